"""Lanes: requests of one kind share permits and a pause, apart from those of another kind."""

import asyncio
from dataclasses import dataclass

from exporter.api.pause import Pause


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """How many requests of a kind run at once, and when none may go out.

    `pause` is what answers in this lane ask for. `before` is the lane whose pause counts here too.
    """

    permits: asyncio.Semaphore
    pause: Pause
    before: "Lane | None" = None

    @property
    def wait(self) -> float:
        """How many seconds the API still wants to be left alone by this lane."""
        others = self.before.wait if self.before else 0.0
        return max(others, self.pause.seconds)

    def check(self) -> None:
        """Raise PollError while no request may go out."""
        if self.before:
            self.before.check()
        self.pause.check()
