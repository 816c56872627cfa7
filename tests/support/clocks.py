"""A clock that tests move by hand."""

import asyncio
import time

_HALF_AN_HOUR, _HOUR, _DAY = 1800, 3600, 86_400


def calm_interval() -> str:
    """Return a poll interval of which no moment comes soon by the machine's own clock.

    Regular polls are due from half an interval after midnight on, up to a tenth of one later. A
    test that counts polls would be disturbed by one that comes due meanwhile.
    """
    now = time.time() % _DAY

    def seconds_of_calm(interval: int) -> float:
        passed = now / interval % 1
        return 0 if 0.5 <= passed <= 0.6 else (0.5 - passed) % 1 * interval

    return f"{max(range(_HALF_AN_HOUR, _HOUR, 60), key=seconds_of_calm)}s"


class FakeClock:
    """Stands still until it is moved; sleeping moves it at once."""

    def __init__(self, time: float = 1_704_110_400.0) -> None:  # 2024-01-01 12:00 UTC
        self.wall = time
        self.elapsed = 1000.0
        self.sleeps: list[float] = []

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.move(seconds)
        await asyncio.sleep(0)

    def move(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self.wall += seconds
        self.elapsed += seconds


class StillClock(FakeClock):
    """Moves by hand alone: who sleeps on it sleeps until the test ends."""

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await asyncio.Event().wait()


class HandClock(FakeClock):
    """Stands still until it is moved, for those who sleep as well:
    they wake up once enough time has passed.
    """

    def __init__(self, time: float = 1_704_110_400.0) -> None:
        super().__init__(time)
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._asleep = asyncio.Condition()

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        waking = asyncio.get_running_loop().create_future()
        sleeper = (self.elapsed + seconds, waking)
        self._sleepers.append(sleeper)
        async with self._asleep:
            self._asleep.notify_all()
        try:
            await waking
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    async def asleep(self, number: int = 1) -> None:
        """Wait until so many are asleep."""
        async with asyncio.timeout(15), self._asleep:
            await self._asleep.wait_for(lambda: len(self._sleepers) >= number)

    def move(self, seconds: float) -> None:
        super().move(seconds)
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self.elapsed]
        for sleeper in due:
            self._sleepers.remove(sleeper)
            if not sleeper[1].done():
                sleeper[1].set_result(None)


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop that can be told that time has passed, so that the server's patience ends at
    once.
    """

    skipped = 0.0

    def time(self):
        return super().time() + self.skipped

    def skip(self, seconds):
        self.skipped += seconds
