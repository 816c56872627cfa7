"""One poll of one query: ask, read, add up; try again while that can help and there is time."""

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import structlog

from exporter.api.client import FlashbackClient
from exporter.api.daily import daily_records
from exporter.clock import Clock, utc_day
from exporter.config.sections import Query
from exporter.errors import PollError, Reason
from exporter.polling.attempts import ATTEMPTS, Attempts
from exporter.statistics.counters import Changes, Counters
from exporter.statistics.groups import Grouping, Snapshot
from exporter.statistics.records import RejectedRecordError, Rejection, parse_record
from exporter.statistics.rows import OddRowError, Row, as_raw
from exporter.statistics.state import Outcome
from exporter.steps import collect_new

_LOGGED_REJECTIONS = 3

_log = structlog.get_logger(__name__)


def current_window(clock: Clock, days: int) -> tuple[int, ...]:
    """Return so many UTC days, today first."""
    today = utc_day(clock.time())
    return tuple(today - offset for offset in range(days))


@dataclass(slots=True)
class _Noted:
    """What one attempt notes about records, and what it found in the end.

    How many it left out, by reason, and how many lacked each field.
    """

    rejected: Counter[Rejection] = field(default_factory=Counter)
    incomplete: Counter[str] = field(default_factory=Counter)
    snapshot: Snapshot | None = None
    changes: Changes | None = None

    def forget(self) -> None:
        """Begin again, for the next attempt."""
        self.rejected.clear()
        self.incomplete.clear()

    def take(self) -> tuple[Snapshot | None, Changes | None]:
        """Return what was found, and hold it no more."""
        found = self.snapshot, self.changes
        self.snapshot = self.changes = None
        return found


@dataclass(frozen=True)
class Plan:
    """How to poll one query: what to ask, whom, how often (seconds), and what to count on with.

    `source` is that of its state.
    """

    query: Query
    source: str
    days: int
    interval: float
    client: FlashbackClient
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True)
class Poll:
    """One poll as planned, to be run once, within so many `seconds`.

    `previous` returns the data shown so far: its groups keep their series until the day ends.
    """

    plan: Plan
    seconds: float
    clock: Clock
    previous: Callable[[], Snapshot | None] = lambda: None
    attempts: int = ATTEMPTS

    async def run(self) -> Outcome:
        """Ask, read and add up, again where that may help, and return how it ended.

        Every error ends here.
        """
        started = self.clock.monotonic()
        noted = _Noted()
        reason, message = None, ""
        try:
            await self._attempts().run(partial(self._attempt, noted))
        except PollError as error:
            reason, message = error.reason, str(error)
            _log.warning("poll failed", query=self._name, reason=reason.value, error=message)
        except Exception:  # noqa: BLE001 - the poll's edge: whatever happens, the exporter goes on
            reason, message = Reason.INVALID_RESPONSE, "internal error, see the log"
            _log.exception("poll failed, which is a fault of the exporter", query=self._name)
        # Taken out: tenacity's objects hold one another, and what they hold, until a collection.
        snapshot, changes = noted.take()
        now = self.clock.monotonic()
        return Outcome(
            finished_at=self.clock.time(),
            finished=now,
            duration=now - started,
            rejected=dict(noted.rejected),
            incomplete=dict(noted.incomplete),
            snapshot=snapshot,
            reason=reason,
            message=message,
            counters=self.plan.counters.shown,
            changes=changes,
        )

    @property
    def _name(self) -> str:
        return self.plan.query.name

    def _attempts(self) -> Attempts:
        client, about = self.plan.client, {"query": self._name}
        return Attempts(self.seconds, self.clock, lambda: client.wait, about, self.attempts)

    async def _attempt(self, noted: _Noted, deadline: float) -> None:
        noted.forget()
        query, client = self.plan.query, self.plan.client
        window = current_window(self.clock, self.plan.days)
        grouping = Grouping(query, window)
        try:
            batches = daily_records(client, query.filters, window, deadline)
            async with aclosing(batches):
                async for raw_records in batches:
                    self._add(raw_records, grouping, noted)
            self._check(noted, grouping)
            snapshot = await grouping.snapshot(self.previous())
            now = self.clock.monotonic()
            noted.changes = await self.plan.counters.grow(grouping.found, snapshot, now)
            noted.snapshot = snapshot
        finally:
            await grouping.discard()

    def _check(self, noted: _Noted, grouping: Grouping) -> None:
        """Log what one attempt found to be lacking. Raises PollError where nothing is valid."""
        if noted.incomplete:
            _log.debug("records lacked fields", query=self._name, **noted.incomplete)
        if noted.rejected:
            counts = {reason.value: count for reason, count in noted.rejected.items()}
            _log.warning("records left out", query=self._name, **counts)
        if noted.rejected and not grouping.records:
            message = f"none of the {noted.rejected.total()} records is valid"
            raise PollError(Reason.INVALID_RESPONSE, message)

    def _add(self, found: list[Any], grouping: Grouping, noted: _Noted) -> None:
        """Add what an answer held: rows together, and all else one by one."""
        for kind, alike in groupby(found, type):
            records = list(alike)
            if kind is Row:
                try:
                    grouping.add_rows(records)
                    continue
                except OddRowError:
                    records = [as_raw(row) for row in records]
            self._add_carefully(records, grouping, noted)
        collect_new()

    def _add_carefully(self, records: list[Any], grouping: Grouping, noted: _Noted) -> None:
        for raw in records:
            try:
                record = parse_record(raw, grouping.window)
                grouping.add(record)
            except RejectedRecordError as rejection:
                self._leave_out(rejection, noted)
                continue
            if record.lacking:
                noted.incomplete.update(record.lacking)

    def _leave_out(self, rejection: RejectedRecordError, noted: _Noted) -> None:
        reason, field = rejection.reason, rejection.field
        noted.rejected[reason] += 1
        if noted.rejected.total() <= _LOGGED_REJECTIONS:
            name = self._name
            _log.warning("record left out", query=name, reason=reason.value, field=field)
