"""Adds records up into groups, one for each combination of label values, and folds the smallest where there are many.

No sum is ever lost: what a query's groups show adds up to what its records said, on every day.
"""

import asyncio
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from operator import add

from exporter.config.sections import Query
from exporter.errors import PollError, Reason
from exporter.metrics import CALLS, DIMENSIONS
from exporter.statistics.records import Record
from exporter.steps import in_steps, let_go

OTHER = "other"
MAX_FOUND = 500_000
"""Groups that one answer may hold; they take about a kilobyte each until they are folded."""

_RUN = 2000

Key = tuple[str, ...]
"""A group's label values, in the order of the query's labels."""
Days = tuple[tuple[int, ...] | None, ...]
"""A group's amounts for each day of the window, newest first; None where it had no record."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one good poll found: the groups to show, over the days that were asked for (newest first)."""

    days: tuple[int, ...]
    groups: Mapping[Key, Days]
    records: int
    found: int
    folded: int


class Grouping:
    """Adds up the records of one poll. Memory grows with the groups, not with the records."""

    def __init__(self, query: Query, days: tuple[int, ...], max_found: int = MAX_FOUND) -> None:
        """Start empty; `days` is the window that was asked for, newest first."""
        self._max_found = max_found
        self.window = {day: index for index, day in enumerate(days)}
        self._max_groups = query.max_groups
        self._other = (OTHER,) * len(query.labels)
        self._positions = [list(DIMENSIONS).index(label) for label in query.labels]
        self._groups: dict[Key, list[tuple[int, ...] | None]] = {}
        self._records = 0

    def add(self, record: Record) -> None:
        """Add one record to its group and day. Raises PollError `too_large` beyond `max_found` groups."""
        dimensions = record.dimensions
        key = tuple([dimensions[position] for position in self._positions])
        days = self._groups.get(key)
        if days is None:
            if len(self._groups) >= self._max_found:
                raise PollError(
                    Reason.TOO_LARGE,
                    f"the answer holds more than {self._max_found} groups; use fewer labels",
                )
            days = self._groups[key] = [None] * len(self.window)
        _add(days, self.window[record.day], record.amounts)
        self._records += 1

    async def snapshot(self, previous: Snapshot | None = None) -> Snapshot:
        """Return the finished sums. Groups that `previous` showed on the same day keep their own series."""
        found, other = self._groups, self._other
        days = tuple(self.window)
        shown: Mapping[Key, Days] = previous.groups if previous and previous.days == days else {}
        newcomers = [key async for key in in_steps(found) if key not in shown and key != other]
        room = max(0, self._max_groups - len(shown) + (other in shown))
        kept = newcomers if len(newcomers) <= room else await self._busiest(newcomers, room)
        nothing: Days = (None,) * len(days)
        groups = {key: tuple(found.get(key, nothing)) async for key in in_steps(chain(shown, kept))}
        rest = [key async for key in in_steps(found) if key not in groups and key != other]
        if rest or other in found:
            groups[other] = await self._folded(chain([other], rest))
        return Snapshot(days, groups, self._records, len(found), len(rest))

    async def discard(self) -> None:
        """Forget all sums, so that nothing large is left to be freed at once."""
        async for _ in in_steps(range(len(self._groups))):
            self._groups.popitem()

    async def _busiest(self, keys: list[Key], room: int) -> list[Key]:
        """Return so many groups, those with the most calls first; sorted in runs, so that no step takes long."""
        runs = []
        for start in range(0, len(keys), _RUN):
            runs.append(sorted(map(self._rank, keys[start : start + _RUN])))
            await asyncio.sleep(0)
        busiest = [key async for _, key in in_steps(islice(heapq.merge(*runs), room))]
        for run in runs:
            await let_go(run)
        return busiest

    def _rank(self, key: Key) -> tuple[int, Key]:
        """Order groups by their calls, most first, and equal ones by their labels."""
        return -sum(amounts[CALLS] for amounts in self._groups[key] if amounts), key

    async def _folded(self, keys: Iterable[Key]) -> Days:
        total: list[tuple[int, ...] | None] = [None] * len(self.window)
        async for key in in_steps(keys):
            for index, amounts in enumerate(self._groups.get(key, ())):
                if amounts:
                    _add(total, index, amounts)
        return tuple(total)


def _add(days: list[tuple[int, ...] | None], index: int, amounts: tuple[int, ...]) -> None:
    so_far = days[index]
    days[index] = amounts if so_far is None else tuple(map(add, so_far, amounts))
