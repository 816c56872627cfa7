"""What is known about each query: frozen values, replaced as a whole after each poll."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from exporter.config.sections import Query
from exporter.errors import Reason
from exporter.metrics import OPTIONAL_FIELDS
from exporter.statistics.counters import Changes
from exporter.statistics.groups import Key, Snapshot
from exporter.statistics.records import Amounts, Rejection

_Name = TypeVar("_Name", bound=str)

_NO_COUNTERS: Mapping[Key, Amounts] = {}
_SET_BY = 60.0  # seconds; what is moved by less is a clock that is being kept right


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one poll ended: with a snapshot, or with a reason and a message.

    `finished_at` is a Unix timestamp, `finished` the same moment by the monotonic clock, `duration`
    in seconds. `incomplete` says how many of the valid records lacked each field. `counters` are
    those to show with the snapshot, and `changes` what the poll changed about them.
    """

    finished_at: float
    finished: float
    duration: float
    rejected: Mapping[Rejection, int]
    snapshot: Snapshot | None = None
    reason: Reason | None = None
    message: str = ""
    incomplete: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[Key, Amounts] = field(default_factory=dict)
    changes: Changes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a query shows: its data, unless that is too old, and its counters, if it has any.

    `together` tells that they are of one poll: then they have the same groups.
    """

    query: Query
    snapshot: Snapshot | None
    counters: Mapping[Key, Amounts]
    together: bool

    @property
    def groups(self) -> Iterator[Key]:
        """The groups that have a series, some of them twice."""
        if self.snapshot:
            yield from self.snapshot.groups
        if not (self.snapshot and self.together):
            yield from self.counters


@dataclass(frozen=True, slots=True)
class QueryState:
    """One query, what was counted since the start, how its last poll ended, and its last good one.

    `source` is equal for two configurations that ask the same question of the same account.
    `corrected` counts groups and days that fell below an earlier total. `counters` are those of the
    last good poll, however old. `aside` is a good poll of another day: the wall clock was set after
    it, and the next good poll took its place. Times are in seconds.
    """

    query: Query
    source: str
    interval: float
    max_data_age: float
    polls: int = 0
    skipped: int = 0
    failures: Mapping[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))
    rejected: Mapping[Rejection, int] = field(default_factory=lambda: dict.fromkeys(Rejection, 0))
    incomplete: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(OPTIONAL_FIELDS, 0))
    corrected: int = 0
    counters: Mapping[Key, Amounts] = field(default_factory=dict)
    last: Outcome | None = None
    good: Outcome | None = None
    aside: Outcome | None = None

    def after(self, outcome: Outcome) -> "QueryState":
        """Return the state after one more poll; a failed one leaves the last good data alone."""
        outcome, changes = replace(outcome, changes=None), outcome.changes
        good = outcome.snapshot is not None
        failed = {} if outcome.reason is None else {outcome.reason: 1}
        return replace(
            self,
            polls=self.polls + 1,
            failures=_added(self.failures, failed),
            rejected=_added(self.rejected, outcome.rejected),
            incomplete=_added(self.incomplete, outcome.incomplete),
            corrected=self.corrected + (changes.growth.corrected if changes else 0),
            counters=outcome.counters if good else self.counters,
            last=outcome,
            good=outcome if good else self.good,
            aside=self._aside(outcome) if good else self.aside,
        )

    def on(self, today: int) -> "QueryState":
        """Return the state with the good poll that fits a day best.

        Where the clock was set back, that is the one that was put aside.
        """
        if self.aside is None or _distance(self.good, today) <= _distance(self.aside, today):
            return self
        return replace(self, good=self.aside, aside=self.good)

    def _aside(self, outcome: Outcome) -> Outcome | None:
        """Return which good poll to keep beside a new one: of another day, and not too old."""
        kept = self.good if self.good and _clock_was_set(self.good, outcome) else self.aside
        if kept is None or outcome.finished - kept.finished > self.max_data_age:
            return None
        return None if _newest_day(kept) == _newest_day(outcome) else kept

    def after_skip(self) -> "QueryState":
        """Return the state after a poll that was left out."""
        return replace(self, skipped=self.skipped + 1)

    def age(self, now: float) -> float | None:
        """Return the age of the data in seconds at `now` (monotonic); None where there is none."""
        return now - self.good.finished if self.good else None

    def snapshot(self, now: float) -> Snapshot | None:
        """Return the data to show at `now` (monotonic): the last good, unless it is too old."""
        age = self.age(now)
        fresh = age is not None and age <= self.max_data_age
        return self.good.snapshot if self.good and fresh else None

    def shown(self, now: float) -> Shown:
        """Return what to show at `now` (monotonic)."""
        counters = self.counters if self.query.counters else _NO_COUNTERS
        together = self.good is not None and self.good.counters is counters
        return Shown(self.query, self.snapshot(now), counters, together)

    def up(self, now: float) -> bool:
        """Whether the last poll succeeded and its data is not too old at `now` (monotonic)."""
        succeeded = self.last is not None and self.last.reason is None
        return succeeded and self.snapshot(now) is not None


def _newest_day(outcome: Outcome) -> int:
    return outcome.snapshot.window[0] if outcome.snapshot else 0


def _distance(outcome: Outcome | None, today: int) -> float:
    """Return how many days before today a poll's window ends; one that ends after it fits worst."""
    ends = today - _newest_day(outcome) if outcome else -1
    return ends if ends >= 0 else float("inf")


def _clock_was_set(before: Outcome, after: Outcome) -> bool:
    """Whether the wall clock went another way between two polls than the monotonic one."""
    wall = after.finished_at - before.finished_at
    return abs(wall - (after.finished - before.finished)) > _SET_BY


def _added(counts: Mapping[_Name, int], more: Mapping[_Name, int]) -> Mapping[_Name, int]:
    return {name: count + more.get(name, 0) for name, count in counts.items()}
