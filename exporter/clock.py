"""The one module that knows the time. Everything else is handed a `Clock`.

Only timers differ: APScheduler, which takes no clock, says when a poll is due (`polling.schedule`),
and asyncio ends what takes longer than a number of seconds that the `Clock` gave. Log lines bear
the time at which the standard library made them.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

SECONDS_A_DAY = 86_400
MILLISECONDS_FROM = 1e11
"""A Unix timestamp above this is one in milliseconds."""

# Unlike CLOCK_MONOTONIC, it counts the time that the machine is suspended.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What the exporter asks of a clock; tests pass one that they move by hand."""

    def time(self) -> float:
        """Return the wall clock in Unix seconds; it may be set back or forth."""

    def monotonic(self) -> float:
        """Return seconds since a fixed moment: never set, and counting while suspended."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""


class SystemClock:
    """The machine's clocks."""

    def time(self) -> float:
        """Return the wall clock in Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since boot."""
        return time.clock_gettime(_CLOCK)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        await asyncio.sleep(seconds)


def utc_day(timestamp: float) -> int:
    """Return the UTC day that a Unix timestamp belongs to, as days since 1970-01-01."""
    return int(timestamp // SECONDS_A_DAY)


def midnight(day: int) -> int:
    """Return the Unix timestamp at which a UTC day begins."""
    return day * SECONDS_A_DAY


def iso_instant(timestamp: float, milliseconds: int = 0) -> str:
    """Return a Unix timestamp as the API writes instants: `2024-01-01T00:00:00.000Z`."""
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(timestamp))
    return f"{seconds}.{milliseconds:03d}Z"


def iso_date(timestamp: float) -> str:
    """Return the UTC date of a Unix timestamp: `2024-01-01`."""
    return time.strftime("%Y-%m-%d", time.gmtime(timestamp))


def now_utc() -> datetime:
    """Return the machine's wall clock as APScheduler reads and understands it."""
    return datetime.now(UTC)
