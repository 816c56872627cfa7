"""A clock that tests move by hand."""

import asyncio


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
