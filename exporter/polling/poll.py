"""One poll of one query: ask, read, add up; try again while that can help and there is time."""

from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_random_exponential,
)

from exporter.api.client import FlashbackClient, least_seconds
from exporter.api.daily import daily_records
from exporter.clock import Clock, utc_day
from exporter.config.sections import Query
from exporter.errors import PollError, Reason
from exporter.statistics.groups import Grouping, Snapshot
from exporter.statistics.records import RejectedRecordError, Rejection, parse_record
from exporter.statistics.rows import OddRowError, Row, as_raw
from exporter.statistics.state import Outcome
from exporter.steps import collect_new

ATTEMPTS = 5
_BACKOFF = wait_random_exponential(multiplier=1, max=30)
_LOGGED_REJECTIONS = 3

_log = structlog.get_logger(__name__)


def current_window(clock: Clock, days: int) -> tuple[int, ...]:
    """Return so many UTC days, today first."""
    today = utc_day(clock.time())
    return tuple(today - offset for offset in range(days))


@dataclass(frozen=True, slots=True)
class _Noted:
    """What one attempt notes about records.

    How many it left out, by reason, and how many lacked each field.
    """

    rejected: Counter[Rejection] = field(default_factory=Counter)
    incomplete: Counter[str] = field(default_factory=Counter)

    def forget(self) -> None:
        """Begin again, for the next attempt."""
        self.rejected.clear()
        self.incomplete.clear()


@dataclass(frozen=True)
class Poll:
    """One poll of one query, to be run once, within so many `seconds`.

    `previous` is the data shown so far: its groups keep their series until the day ends.
    """

    query: Query
    days: int
    seconds: float
    client: FlashbackClient
    clock: Clock
    previous: Snapshot | None = None
    attempts: int = ATTEMPTS

    async def run(self) -> Outcome:
        """Ask, read and add up, again where that may help, and return how it ended.

        Every error ends here.
        """
        started = self.clock.monotonic()
        deadline = started + self.seconds
        noted = _Noted()
        snapshot: Snapshot | None = None
        reason, message = None, ""
        try:
            snapshot = await self._attempts(deadline)(self._attempt, deadline, noted)
        except PollError as error:
            reason, message = error.reason, str(error)
            _log.warning("poll failed", query=self.query.name, reason=reason.value, error=message)
        except Exception:  # noqa: BLE001 - the poll's edge: whatever happens, the exporter goes on
            reason, message = Reason.INVALID_RESPONSE, "internal error, see the log"
            _log.exception("poll failed, which is a fault of the exporter", query=self.query.name)
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
        )

    def _attempts(self, deadline: float) -> AsyncRetrying:
        least = least_seconds(self.seconds)

        def enough(state: RetryCallState) -> bool:
            left = deadline - self.clock.monotonic() - state.upcoming_sleep
            return state.attempt_number >= self.attempts or left < least

        def log(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            pause = f"{state.upcoming_sleep:.1f}s"
            _log.info("trying again", query=self.query.name, after=pause, error=str(error))

        def retryable(error: BaseException) -> bool:
            return isinstance(error, PollError) and error.retryable

        return AsyncRetrying(
            sleep=self.clock.sleep,
            stop=enough,
            wait=lambda state: max(_BACKOFF(state), self.client.wait),
            retry=retry_if_exception(retryable),
            before_sleep=log,
            reraise=True,
        )

    async def _attempt(self, deadline: float, noted: _Noted) -> Snapshot:
        noted.forget()
        window = current_window(self.clock, self.days)
        grouping = Grouping(self.query, window)
        try:
            batches = daily_records(self.client, self.query.filters, window, deadline)
            async with aclosing(batches):
                async for raw_records in batches:
                    self._add(raw_records, grouping, noted)
            snapshot = await grouping.snapshot(self.previous)
        finally:
            await grouping.discard()

        self._tell(noted)
        if noted.rejected and not snapshot.records:
            message = f"none of the {noted.rejected.total()} records is valid"
            raise PollError(Reason.INVALID_RESPONSE, message)
        return snapshot

    def _tell(self, noted: _Noted) -> None:
        """Log what one attempt found to be lacking."""
        if noted.incomplete:
            _log.debug("records lacked fields", query=self.query.name, **noted.incomplete)
        if noted.rejected:
            counts = {reason.value: count for reason, count in noted.rejected.items()}
            _log.warning("records left out", query=self.query.name, **counts)

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
            name = self.query.name
            _log.warning("record left out", query=name, reason=reason.value, field=field)
