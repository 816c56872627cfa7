"""What is known about each query: frozen values, replaced as a whole after each poll."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from exporter.config.sections import Query
from exporter.errors import Reason
from exporter.metrics import OPTIONAL_FIELDS
from exporter.statistics.groups import Snapshot
from exporter.statistics.records import Rejection

_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one poll ended: with a snapshot, or with a reason and a message.

    `incomplete` says how many of the valid records lacked each field.
    `finished_at` is a Unix timestamp, `finished` the same moment by the monotonic clock, `duration` in seconds.
    """

    finished_at: float
    finished: float
    duration: float
    rejected: Mapping[Rejection, int]
    snapshot: Snapshot | None = None
    reason: Reason | None = None
    message: str = ""
    incomplete: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueryState:
    """One query, its counters since the start, how its last poll ended, and its last good one.

    `source` is equal for two configurations that ask the same question of the same account. Times are in seconds.
    """

    query: Query
    source: object
    interval: float
    max_data_age: float
    polls: int = 0
    skipped: int = 0
    failures: Mapping[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))
    rejected: Mapping[Rejection, int] = field(default_factory=lambda: dict.fromkeys(Rejection, 0))
    incomplete: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(OPTIONAL_FIELDS, 0))
    last: Outcome | None = None
    good: Outcome | None = None

    def after(self, outcome: Outcome) -> "QueryState":
        """Return the state after one more poll; a failed one leaves the last good data alone."""
        failures = dict(self.failures)
        if outcome.reason is not None:
            failures[outcome.reason] += 1
        return replace(
            self,
            polls=self.polls + 1,
            failures=failures,
            rejected=_added(self.rejected, outcome.rejected),
            incomplete=_added(self.incomplete, outcome.incomplete),
            last=outcome,
            good=outcome if outcome.snapshot is not None else self.good,
        )

    def after_skip(self) -> "QueryState":
        """Return the state after a poll that was left out."""
        return replace(self, skipped=self.skipped + 1)

    def age(self, now: float) -> float | None:
        """Return the age of the data in seconds at `now` (monotonic); None where there is none."""
        return now - self.good.finished if self.good else None

    def snapshot(self, now: float) -> Snapshot | None:
        """Return the data to show at `now` (monotonic): the last good, unless it is too old."""
        age = self.age(now)
        return (
            self.good.snapshot
            if self.good and age is not None and age <= self.max_data_age
            else None
        )

    def up(self, now: float) -> bool:
        """Whether the last poll succeeded and its data is not too old at `now` (monotonic)."""
        return self.last is not None and self.last.reason is None and self.snapshot(now) is not None


def _added(counts: Mapping[_Name, int], more: Mapping[_Name, int]) -> Mapping[_Name, int]:
    return {name: count + more.get(name, 0) for name, count in counts.items()}
