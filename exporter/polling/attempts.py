"""Attempts: an operation that failed runs again while that can help and there is time."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_random_exponential,
)

from exporter.api.client import least_seconds
from exporter.clock import Clock
from exporter.errors import PollError

ATTEMPTS = 5
_BACKOFF = wait_random_exponential(multiplier=1, max=30)

_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Attempts:
    """Runs an operation until it is good, at most so many times and within so many `seconds`.

    `wait` says how many seconds the API still wants to be left alone, `about` what the log says
    beside each attempt that failed.
    """

    seconds: float
    clock: Clock
    wait: Callable[[], float]
    about: Mapping[str, str]
    limit: int = ATTEMPTS

    async def run(self, operation: Callable[[float], Awaitable[_T]]) -> _T:
        """Return what the operation returns; it is handed its deadline (monotonic).

        A PollError that is retryable brings another attempt. Raises what the last one raised.
        """
        deadline = self.clock.monotonic() + self.seconds
        return await self._retrying(deadline)(operation, deadline)

    def _retrying(self, deadline: float) -> AsyncRetrying:
        least = least_seconds(self.seconds)

        def enough(state: RetryCallState) -> bool:
            left = deadline - self.clock.monotonic() - state.upcoming_sleep
            return state.attempt_number >= self.limit or left < least

        return AsyncRetrying(
            sleep=self.clock.sleep,
            stop=enough,
            wait=lambda state: max(_BACKOFF(state), self.wait()),
            retry=retry_if_exception(_retryable),
            before_sleep=self._tell,
            reraise=True,
        )

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = f"{state.upcoming_sleep:.1f}s"
        _log.info("trying again", **self.about, after=pause, error=str(error))


def _retryable(error: BaseException) -> bool:
    return isinstance(error, PollError) and error.retryable
