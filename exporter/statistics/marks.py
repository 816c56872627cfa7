"""The highest totals seen, from which follows by how much the days have grown.

There is a mark for each group as the records have it, before folding, and for each day. So no call
counts twice when a group gets a series or loses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, sub

from exporter.metrics import ADDITIVE, AMOUNTS
from exporter.statistics.groups import Key
from exporter.statistics.records import Amounts
from exporter.steps import in_runs, let_go, one_a_step

NOTHING: Amounts = (0,) * AMOUNTS

Found = Mapping[Key, Sequence[Amounts | None]]
"""Groups before folding, with their totals on the days of a window; None where a day had none."""


@dataclass(slots=True)
class Day:
    """The marks of one day, and the last totals of those groups that are below theirs.

    None is the last total of a group that the last answer had no record of.
    """

    marks: dict[Key, Amounts] = field(default_factory=dict)
    lower: dict[Key, Amounts | None] = field(default_factory=dict)

    def total(self, key: Key) -> Amounts | None:
        """Return a group's last total."""
        return self.lower[key] if key in self.lower else self.marks.get(key)


@dataclass(slots=True)
class Growth:
    """What one good poll found to be new.

    `increases` are by how much each group has grown, `changed` the days and groups with another
    mark or last total, `dropped` the days whose marks went. `corrected` says how many groups and
    days have fallen below their mark, in counts that add up over days.
    """

    increases: dict[Key, Amounts] = field(default_factory=dict)
    changed: list[tuple[int, Key]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    corrected: int = 0

    def add(self, key: Key, increase: Amounts) -> None:
        """Add to what a group has grown by on other days."""
        so_far = self.increases.get(key)
        self.increases[key] = tuple(map(add, so_far, increase)) if so_far else increase


@dataclass
class Marks:
    """The marks of one query. Days count from 1970.

    `newest_day` is the newest of any good poll's window, `newest_record` that of any record.
    """

    days: dict[int, Day] = field(default_factory=dict)
    newest_day: int | None = None
    newest_record: int = 0

    async def rise(self, found: Found, window: Sequence[int]) -> Growth:
        """Raise the marks to what a good poll found for a window of days, newest first."""
        growth = Growth()
        bases = self._hold(window)

        for index, day in enumerate(window):
            # What a base holds was there before: it is to be written, and counts as no increase.
            on_day = growth if day not in bases else Growth(changed=growth.changed)
            await self._rise_on(day, index, found, on_day)
            await self._miss_on(day, index, found, growth)

        growth.dropped = await self._drop(window)
        return growth

    def _hold(self, window: Sequence[int]) -> set[int]:
        """Begin to hold the marks of a window, and return the days whose totals are only a base.

        A day that is newer than all days before counts from 0.
        """
        before = self.newest_day
        self.newest_day = max(window) if before is None else max(before, *window)

        new = [day for day in window if day not in self.days]
        self.days |= {day: Day() for day in new}
        return {day for day in new if before is None or day <= before}

    async def _rise_on(self, day: int, index: int, found: Found, growth: Growth) -> None:
        """Raise the marks of one day, which stands at `index` in the totals of each group."""
        of_day = self.days[day]
        async for run in one_a_step(in_runs(found.items())):
            for key, totals in run:
                total = totals[index]
                if total is None:
                    continue
                self.newest_record = max(self.newest_record, day)

                mark = of_day.marks.get(key)
                if total == mark and key not in of_day.lower:
                    continue
                growth.changed.append((day, key))
                increase = _raise(of_day, key, total, mark or NOTHING, growth)
                if any(increase):
                    growth.add(key, increase)

    async def _miss_on(self, day: int, index: int, found: Found, growth: Growth) -> None:
        """Note the groups that have a mark on a day and are missing from the answer."""
        of_day = self.days[day]
        async for run in one_a_step(in_runs(of_day.marks.items())):
            for key, mark in run:
                totals = found.get(key)
                missing = totals is None or totals[index] is None
                if missing and of_day.total(key) is not None:
                    growth.changed.append((day, key))
                    _fall(of_day, key, None, mark, growth)

    async def _drop(self, window: Sequence[int]) -> list[int]:
        """Forget the days that have left the window, going by the newest day with a record.

        The clock alone moves nothing out: it may have been set.
        """
        oldest = self.newest_record - len(window) + 1
        gone = [day for day in self.days if day < oldest and day not in window]
        for day in gone:
            of_day = self.days.pop(day)
            marks = list(of_day.marks.values())
            of_day.marks.clear()
            await let_go(marks)
        return gone


def _raise(day: Day, key: Key, total: Amounts, mark: Amounts, growth: Growth) -> Amounts:
    """Raise one mark to a total, and return by how much."""
    increase = tuple(map(sub, total, mark))
    if min(increase) >= 0:
        day.marks[key] = total
        day.lower.pop(key, None)
        return increase

    _fall(day, key, total, mark, growth)
    day.marks[key] = tuple(map(max, total, mark))
    return tuple([max(0, amount) for amount in increase])


def _fall(day: Day, key: Key, total: Amounts | None, mark: Amounts, growth: Growth) -> None:
    """Keep a total that is below its mark, and count it unless the one before was as well."""
    before = day.total(key)
    if _is_below(total, mark) and not _is_below(before, mark):
        growth.corrected += 1
    day.lower[key] = total


def _is_below(total: Amounts | None, mark: Amounts) -> bool:
    """Whether a group has fallen in an amount that adds up over days."""
    seen = total or NOTHING
    return any(seen[index] < mark[index] for index in ADDITIVE)
