"""When regular requests are due, by the wall clock: all replicas ask at the same moments."""

import math
import zlib
from dataclasses import dataclass

_MOST_LATE = 0.1


@dataclass(frozen=True, slots=True)
class Slots:
    """Moments that are an interval (seconds) apart, in the middle of intervals since UTC midnight.

    Each is late by a part of the interval, so that not all that is asked is asked at once.
    """

    interval: float
    late: float = 0.0

    @classmethod
    def of(cls, identity: object, interval: float) -> "Slots":
        """Return the moments of something that is identified by texts, or tuples of them."""
        text = repr(identity).encode(errors="replace")
        return cls(interval, _MOST_LATE * zlib.crc32(text) / 2**32)

    def number(self, now: float) -> int:
        """Return the number of the last moment before a Unix timestamp."""
        return math.floor(now / self.interval - 0.5 - self.late)

    def seconds_to_next(self, now: float) -> float:
        """Return how many seconds after a Unix timestamp the next moment is."""
        return (self.number(now) + 1.5 + self.late) * self.interval - now
