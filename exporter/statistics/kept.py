"""What outlives the configuration of a query, and with a state file the process."""

from dataclasses import dataclass, field
from operator import add

from exporter.statistics.counters import Counters
from exporter.statistics.groups import OTHER, DailyAmounts, Key, Snapshot
from exporter.statistics.records import Amounts
from exporter.statistics.state import Outcome
from exporter.steps import in_steps


@dataclass(eq=False)
class Kept:
    """The counters of a question, and its last good poll. `source` is what it asks whom."""

    source: str
    counters: Counters = field(default_factory=Counters)
    good: Outcome | None = None


async def snapshot_of(
    counters: Counters, window: tuple[int, ...], records: int, found: int, folded: int
) -> Snapshot:
    """Return the data of the last good poll, which follows from the totals before folding."""
    days = [counters.marks.days[day] for day in window]
    groups: dict[Key, DailyAmounts] = {}
    async for key in in_steps(counters.shown):
        groups[key] = tuple([day.total(key) for day in days])

    other = (OTHER,) * len(next(iter(groups), ()))
    if other in groups:
        folded_totals: list[Amounts | None] = list(groups[other])
        for index, day in enumerate(days):
            async for key in in_steps(day.marks):
                total = day.total(key)
                if total and key not in groups:
                    so_far = folded_totals[index]
                    folded_totals[index] = tuple(map(add, so_far, total)) if so_far else total
        groups[other] = tuple(folded_totals)
    return Snapshot(window, groups, records, found, folded)
