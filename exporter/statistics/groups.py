"""Adds records up into groups, one for each combination of label values, and folds the smallest.

No sum is ever lost: what a query's groups show adds up to what its records said, on every day.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import add
from typing import Any

from exporter.config.sections import Query
from exporter.errors import PollError, Reason
from exporter.metrics import CALLS, DIMENSIONS
from exporter.statistics import rows
from exporter.statistics.records import Amounts, Record, label_values
from exporter.steps import collect_new, empty, in_runs, in_steps, let_go, one_a_step

OTHER = "other"
MAX_FOUND = 500_000
"""Groups that one answer may hold; they take about a kilobyte each until they are folded."""

Key = tuple[str, ...]
"""A group's label values, in the order of the query's labels."""
DailyAmounts = tuple[Amounts | None, ...]
"""A group's amounts on each day of the window; None where it had no record."""
_Sums = list[Amounts | None]
"""The same while records are added up."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one good poll found: its groups with their amounts on the days of the window.

    The window holds the days that were asked for, as days since 1970, newest first. Of the `found`
    combinations of label values, `folded` are added up in one group.
    """

    window: tuple[int, ...]
    groups: Mapping[Key, DailyAmounts]
    records: int
    found: int
    folded: int


class Grouping:
    """Adds up the records of one poll. Memory grows with the groups, not with the records."""

    def __init__(self, query: Query, window: tuple[int, ...], max_found: int = MAX_FOUND) -> None:
        """Start empty, for days since 1970, newest first."""
        self.window = window
        self._place = {day: index for index, day in enumerate(window)}
        self._max_found = max_found
        self._max_groups = query.max_groups
        self._other = (OTHER,) * len(query.labels)
        self._labels = query.labels
        self._positions = [list(DIMENSIONS).index(label) for label in query.labels]
        self._nothing: _Sums = [None] * len(window)
        self.found: dict[Key, _Sums] = {}
        self.records = 0

    def add(self, record: Record) -> None:
        """Add one record to its group and day. Raises PollError `too_large` beyond `max_found`."""
        dimensions = record.dimensions
        key = tuple([dimensions[position] for position in self._positions])
        _add(self._sums(key), self._place[record.day], record.amounts)
        self.records += 1

    def add_rows(self, many: Sequence[Any]) -> None:
        """Add many rows as `add` adds the same records.

        Raises OddRowError where a row is odd, and has added none then; PollError like `add`.
        """
        found = self.found
        keys = rows.keys(many, self._labels)
        places = rows.places(many, self._place)
        for key, place, amounts in zip(keys, places, rows.amounts(many), strict=True):
            # A key that was found needs no cutting or mending; the others are looked at.
            sums = found.get(key) or self._sums(label_values(key))
            _add(sums, place, amounts)
        self.records += len(many)

    async def snapshot(self, previous: Snapshot | None = None) -> Snapshot:
        """Return the finished sums, with at most `max_groups` groups beside `other`.

        Groups that `previous` showed over the same window keep their series. The others compete for
        what room is left, and the losers are folded into `other`, beside a real group of that name.
        """
        found, other = self.found, self._other
        standing = self._standing(previous)
        newcomers = [key async for key in in_steps(found) if key not in standing and key != other]
        winners = await self._busiest(newcomers, self._room_beside(standing))

        shown: dict[Key, DailyAmounts] = {}
        async for run in one_a_step(in_runs(chain(standing, winners))):
            amounts = [self._amounts(key) for key in run]
            collect_new()  # so that it never looks at them again, nor at the dictionary
            shown.update(zip(run, amounts, strict=True))
        folded = [key async for key in in_steps(found) if key not in shown and key != other]
        if folded or other in found:
            shown[other] = await self._together(chain([other], folded))
        return Snapshot(self.window, shown, self.records, len(found), len(folded))

    async def discard(self) -> None:
        """Forget all sums, so that nothing large is left to be freed at once."""
        await empty(self.found)

    def _sums(self, key: Key) -> _Sums:
        """Return where a group is added up."""
        sums = self.found.get(key)
        if sums is None:
            sums = self._new(key)
        return sums

    def _new(self, key: Key) -> _Sums:
        if len(self.found) >= self._max_found:
            raise PollError(
                Reason.TOO_LARGE,
                f"the answer holds more than {self._max_found} groups; use fewer labels",
            )
        sums = self.found[key] = self._nothing.copy()
        return sums

    def _standing(self, previous: Snapshot | None) -> Mapping[Key, DailyAmounts]:
        """Return the groups that keep their series until the day ends."""
        return previous.groups if previous and previous.window == self.window else {}

    def _room_beside(self, standing: Mapping[Key, DailyAmounts]) -> int:
        own = len(standing) - (self._other in standing)
        return max(0, self._max_groups - own)

    async def _busiest(self, keys: list[Key], room: int) -> list[Key]:
        """Return so many groups, those with the most calls."""
        if len(keys) <= room:
            return keys

        runs = [sorted(map(self._rank, run)) async for run in one_a_step(in_runs(keys))]
        busiest = [key async for _, key in in_steps(islice(heapq.merge(*runs), room))]

        for run in runs:
            await let_go(run)
        return busiest

    def _rank(self, key: Key) -> tuple[int, Key]:
        """Order groups by their calls, most first, and equal ones by their labels."""
        return -sum(amounts[CALLS] for amounts in self.found[key] if amounts), key

    def _amounts(self, key: Key) -> DailyAmounts:
        """Return what a group adds up to; it may have been found by an earlier poll alone."""
        return tuple(self.found.get(key, self._nothing))

    async def _together(self, keys: Iterable[Key]) -> DailyAmounts:
        """Return what groups add up to together."""
        total = self._nothing.copy()
        async for key in in_steps(keys):
            for index, amounts in enumerate(self._amounts(key)):
                if amounts:
                    _add(total, index, amounts)
        return tuple(total)


def _add(sums: _Sums, index: int, amounts: Amounts) -> None:
    so_far = sums[index]
    sums[index] = amounts if so_far is None else tuple(map(add, so_far, amounts))
