"""Counters: by how much the groups have grown since the first good poll, shown where they are.

An increase goes to the counter of the group whose series shows it now: its own, or `other`. So
folding decides where an increase is shown, and never how much is shown in all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add

from exporter.statistics.groups import OTHER, Key, Snapshot
from exporter.statistics.marks import NOTHING, Found, Growth, Marks
from exporter.statistics.records import Amounts
from exporter.steps import empty, in_steps, let_go

MAX_UNSERVED = 10_000
"""Counters without a series that are kept: those that lost theirs last."""
SECONDS_AT_FIRST = 120.0
"""How long a series keeps the value that it began with: scraped so often, it is seen to begin."""


@dataclass(frozen=True, slots=True)
class Birth:
    """What a counter is owed: its series began lately, or ended before it was paid.

    `cohort` numbers the series that began together; it is None where the series has ended.
    """

    cohort: int | None
    owed: Amounts


@dataclass(slots=True)
class Changes:
    """What one good poll changed, for whoever keeps a copy.

    `counters` are the groups with another counter or debt, and those that got or lost a series;
    `forgotten` ones are not kept any longer.
    """

    growth: Growth
    counters: list[Key] = field(default_factory=list)
    forgotten: list[Key] = field(default_factory=list)

    async def let_go(self) -> None:
        """Forget it all in steps, for it may be long."""
        await let_go(self.growth.changed)
        await let_go(self.counters)


@dataclass(eq=False)
class Counters:
    """The counters of one query.

    `shown` holds those that have a series, exactly the groups of the last good poll. It is replaced
    as a whole: whoever has it keeps one moment. `unserved` holds those that lost theirs, in order,
    and `births` what some of both are owed.
    """

    marks: Marks = field(default_factory=Marks)
    shown: Mapping[Key, Amounts] = field(default_factory=dict)
    unserved: dict[Key, Amounts] = field(default_factory=dict)
    births: dict[Key, Birth] = field(default_factory=dict)
    _cohort: int = 0
    _served_since: dict[int, float] = field(default_factory=dict)
    _grown_up: int = 0

    async def grow(self, found: Found, snapshot: Snapshot, now: float) -> Changes:
        """Add what a good poll found to be new, and return what that changed.

        `found` are the groups before folding, and `snapshot` those with a series. `now` is in
        monotonic seconds.
        """
        first = self.marks.newest_day is None
        self._cohort += 1
        changes = Changes(await self.marks.rise(found, snapshot.window))
        increases = await _of_series(changes.growth.increases, snapshot)
        old_enough = self._old_enough(now)

        shown: dict[Key, Amounts] = {}
        async for key in in_steps(snapshot.groups):
            before, birth = self.shown.get(key), self.births.get(key)
            if before is None and not first:
                self._begin(key)
            value = self.unserved.pop(key, NOTHING) if before is None else before
            shown[key] = self._grown(key, value, increases.get(key), old_enough)
            if shown[key] is not before or self.births.get(key) is not birth:
                changes.counters.append(key)

        await self._end_others(shown, changes)
        self.shown = shown
        await empty(increases)
        await empty(changes.growth.increases)
        return changes

    def served(self, now: float) -> None:
        """Note that by `now` (monotonic) all of `shown` is being served."""
        self._served_since.setdefault(self._cohort, now)

    async def begin_again(self) -> None:
        """Let all series begin anew, as those do that a start finds in a file."""
        self._cohort += 1
        async for key in in_steps(self.shown):
            self._begin(key)

    def _begin(self, key: Key) -> None:
        before = self.births.get(key)
        self.births[key] = Birth(self._cohort, before.owed if before else NOTHING)

    def _old_enough(self, now: float) -> int:
        """Return the last cohort that has been served long enough to grow; so have all before."""
        old = [
            cohort
            for cohort, since in self._served_since.items()
            if now - since >= SECONDS_AT_FIRST
        ]
        for cohort in old:
            del self._served_since[cohort]
        self._grown_up = max(old, default=self._grown_up)
        return self._grown_up

    def _grown(
        self, key: Key, value: Amounts, increase: Amounts | None, old_enough: int
    ) -> Amounts:
        """Return what a counter becomes, and note what it is owed: all, while its series is new."""
        birth = self.births.get(key)
        if birth is None:
            return _sum(value, increase)

        owed = _sum(birth.owed, increase)
        if birth.cohort is not None and birth.cohort <= old_enough:
            del self.births[key]
            return _sum(value, owed)

        if owed is not birth.owed:
            self.births[key] = Birth(birth.cohort, owed)
        return value

    async def _end_others(self, shown: Mapping[Key, Amounts], changes: Changes) -> None:
        """Keep the counters whose series ends, as far as there is room."""
        async for key in in_steps(self.shown):
            if key in shown:
                continue
            self.unserved[key] = self.shown[key]
            if birth := self.births.pop(key, None):
                self.births[key] = Birth(None, birth.owed)
            changes.counters.append(key)

        async for key in in_steps(list(self.unserved)[:-MAX_UNSERVED]):
            del self.unserved[key]
            self.births.pop(key, None)
            changes.forgotten.append(key)


async def _of_series(increases: Mapping[Key, Amounts], snapshot: Snapshot) -> dict[Key, Amounts]:
    """Return the increases by the series that show them: those of folded groups are in `other`."""
    of_series: dict[Key, Amounts] = {}
    async for key, increase in in_steps(increases.items()):
        series = key if key in snapshot.groups else (OTHER,) * len(key)
        of_series[series] = _sum(increase, of_series.get(series))
    return of_series


def _sum(amounts: Amounts, more: Amounts | None) -> Amounts:
    return amounts if more is None else tuple(map(add, amounts, more))
