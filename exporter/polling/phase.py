"""When a poll is due: at the same moments whenever the exporter was started.

`increase` over a round range loses a jump where polls fall on the range's ends, so they are due
half an interval away from midnight. Replicas poll together, other queries and questions about the
account at other moments.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

MAX_SHIFT = 0.1
"""By what share of an interval the moments of a query may be later than the middle."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


class Phase(BaseTrigger):  # type: ignore[misc]
    """APScheduler's trigger for UTC midnight + (k + ½) intervals, a little later for each name.

    It counts in whole microseconds. In floats, a moment could come out as the one before, and
    APScheduler would ask for the next one for ever.
    """

    def __init__(self, interval: float, name: str) -> None:
        """Take an interval in seconds; the same `name` is always shifted alike."""
        self._interval = timedelta(seconds=interval)
        self._first = self._interval * (0.5 + _shift(name))

    def get_next_fire_time(self, _: datetime | None, now: datetime) -> datetime:
        """Return the first moment after `now`.

        Each day begins anew, unless the interval is longer than one.
        """
        if self._interval > _DAY:
            return self._after(now, _EPOCH + self._first)
        today = now - (now - _EPOCH) % _DAY
        tomorrow = today + _DAY
        moment = self._after(now, today + self._first)
        return moment if moment < tomorrow else tomorrow + self._first

    def after(self, now: float) -> float:
        """Return the same in Unix seconds."""
        return self.get_next_fire_time(None, datetime.fromtimestamp(now, UTC)).timestamp()

    def _after(self, now: datetime, first: datetime) -> datetime:
        passed = (now - first) // self._interval + 1
        return first + passed * self._interval


def _shift(name: str) -> float:
    digest = hashlib.sha256(name.encode()).digest()
    return MAX_SHIFT * int.from_bytes(digest[:4]) / (1 << 32)
