"""When a query is due: at the same moments whenever the exporter was started.

`increase` over a round range loses a jump where polls fall on the range's ends, so they are due
half an interval away from midnight. Replicas poll together, other queries at other moments.
"""

import hashlib
from datetime import UTC, datetime

from apscheduler.triggers.base import BaseTrigger

from exporter.clock import SECONDS_A_DAY, midnight, utc_day

MAX_SHIFT = 0.1
"""By what share of an interval the moments of a query may be later than the middle."""


class Phase(BaseTrigger):  # type: ignore[misc]
    """APScheduler's trigger for UTC midnight + (k + ½) intervals, a little later for each name."""

    def __init__(self, interval: float, name: str) -> None:
        """Take an interval in seconds; the same `name` is always shifted alike."""
        self._interval = interval
        self._first = interval * (0.5 + _shift(name))

    def get_next_fire_time(self, _: datetime | None, now: datetime) -> datetime:
        """Return the first moment after `now`."""
        return datetime.fromtimestamp(self.after(now.timestamp()), UTC)

    def after(self, now: float) -> float:
        """Return the first moment after `now`, both in Unix seconds.

        Each day begins anew, unless the interval is longer than one.
        """
        if self._interval > SECONDS_A_DAY:
            return self._on_from(0, now)
        today = midnight(utc_day(now))
        moment = self._on_from(today, now)
        tomorrow = today + SECONDS_A_DAY
        return moment if moment < tomorrow else tomorrow + self._first

    def _on_from(self, start: float, now: float) -> float:
        passed = (now - start - self._first) // self._interval + 1
        return start + self._first + max(0.0, passed) * self._interval


def _shift(name: str) -> float:
    digest = hashlib.sha256(name.encode()).digest()
    return MAX_SHIFT * int.from_bytes(digest[:4]) / (1 << 32)
