"""When the API wants to be left alone: what Retry-After means, and how long it still holds."""

from datetime import UTC
from email.utils import parsedate_to_datetime

from exporter.clock import SECONDS_A_DAY, Clock
from exporter.errors import PollError, Reason

_LONGEST = float(SECONDS_A_DAY)
# Seconds: an answer whose Date is older may have been kept by a cache.
_FRESH = 60.0


class Pause:
    """Until when no request may go out, and what the API said about it.

    It outlives a client, for the API is the same to the next one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = 0.0
        self._asked = PollError(Reason.RATE_LIMITED, "")

    @property
    def seconds(self) -> float:
        """How long the API still wants to be left alone."""
        return max(0.0, self._until - self._clock.monotonic())

    def begin(self, seconds: float, error: PollError) -> None:
        """Let so many seconds pass without a request, for an answer that ended in `error`."""
        until = self._clock.monotonic() + seconds
        if until > self._until:
            self._until, self._asked = until, error

    def check(self) -> None:
        """Raise PollError while no request may go out, with the reason of the answer before."""
        if seconds := self.seconds:
            message = f"no request for another {seconds:.0f} s: {self._asked}"
            raise PollError(self._asked.reason, message, retryable=True)


def retry_after(value: str, date: str, now: float) -> float:
    """Return how long an answer asks to wait, in seconds; 0 where it does not say, a day at most.

    `value` and `date` are its headers Retry-After and Date. Dates are measured by the server's own
    clock, so that a wrong clock here does no harm. A cache may send an old Date, though: where it
    is old and Retry-After still to come, the clock here counts.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        digits = value.lstrip("0")
        return _LONGEST if len(digits) > 5 else min(float(digits or 0), _LONGEST)
    moment = http_date(value)
    there = http_date(date) or now
    if now - there > _FRESH and moment > now:
        there = now
    return min(max(0.0, moment - there), _LONGEST)


def http_date(value: str) -> float:
    """Return an HTTP date in Unix seconds; 0 where it is none."""
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
