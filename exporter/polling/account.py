"""Asks about the account: names, credits and policies, each on a timer of its own.

Nothing here waits for the statistics or holds them up, and whatever goes wrong ends here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import structlog

from exporter.api.client import FlashbackClient
from exporter.api.credits import BALANCE, balance
from exporter.api.policies import POLICIES, policies
from exporter.clock import Clock, utc_day
from exporter.config.sections import Account
from exporter.errors import PollError
from exporter.polling.attempts import Attempts
from exporter.polling.names import NAMES
from exporter.polling.phase import Phase
from exporter.statistics.account import AccountState, EndpointState, Names, Reading

ACCOUNT_ENDPOINTS = (*NAMES, BALANCE, POLICIES)
"""All that may be asked about the account."""

# Answers that say that an endpoint is not there, or not for this account.
_REFUSALS = frozenset({400, 403, 404})
_SHARE_OF_INTERVAL = 0.9
_INTERVALS_SHOWN = 3
_LOOK = 30.0  # seconds; a wall clock that was set is found out that soon

_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class AccountPlan:
    """What to ask about the account, how often, and whom.

    `source` is equal for two configurations that ask about the same account. Credits and policies
    are shown for `max_data_age` (seconds), or three of their intervals if that is longer.
    """

    account: Account
    source: str
    max_data_age: float
    client: FlashbackClient

    def good_until(self, now: float, interval: float) -> float:
        """Return until when (monotonic) to show what was read now."""
        return now + max(self.max_data_age, _INTERVALS_SHOWN * interval)


@dataclass(frozen=True, slots=True)
class _Round:
    """One turn of a timer. The first one asks also for what is not offered."""

    plan: AccountPlan
    interval: float
    deadline: float
    first: bool


class AccountPoller:
    """Keeps what is known about the account up to date, and has each change published."""

    def __init__(self, publish: Callable[[AccountState], Awaitable[object]], clock: Clock) -> None:
        """Prepare; `start` begins."""
        self.state = AccountState()
        """All that is known by now."""
        self._publish = publish
        self._clock = clock
        self._plan: AccountPlan | None = None
        self._timers: list[asyncio.Task[None]] = []

    def start(self, plan: AccountPlan, names: Names | None = None) -> None:
        """Begin: everything is asked at once, then on its timer. `names` are known already."""
        if names is not None:
            self.state = replace(self.state, names=names)
        self._plan = plan
        timers = {
            "names": (plan.account.names.interval, self._ask_names),
            "credits": (plan.account.credits.interval, self._ask_credits),
            "policies": (plan.account.policies.interval, self._ask_policies),
        }
        self._timers = [
            asyncio.create_task(self._keep_asking(plan, what, *timer), name=f"account {what}")
            for what, timer in timers.items()
            if timer[0]
        ]

    async def replace(self, plan: AccountPlan) -> None:
        """Go on with another plan.

        What was not offered is asked for again; of another account nothing is known yet.
        """
        before = self._plan
        await self.stop()
        if before is not None and before.source != plan.source:
            self.state = AccountState()
        self.state = _of_what_is_asked(self.state, plan.account)
        await self._publish(self.state)
        self.start(plan)

    async def stop(self) -> None:
        """Cancel what is under way."""
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*self._timers, return_exceptions=True)
        self._timers = []

    async def _keep_asking(
        self,
        plan: AccountPlan,
        what: str,
        interval: float,
        ask: Callable[[_Round], Awaitable[None]],
    ) -> None:
        phase = Phase(interval, f"{plan.source} {what}")
        first = True
        while True:
            deadline = self._clock.monotonic() + _SHARE_OF_INTERVAL * interval
            try:
                await ask(_Round(plan, interval, deadline, first))
            except Exception:  # noqa: BLE001 - the timer's edge: whatever happens, it goes on
                _log.exception("asking about the account failed", what=what)
            first = False
            await self._due(phase)

    async def _due(self, phase: Phase) -> None:
        """Wait for the next moment of a phase, or until the wall clock was set to another one."""
        moment = phase.after(self._clock.time())
        while phase.after(now := self._clock.time()) == moment:
            await self._clock.sleep(min(_LOOK, moment - now))

    async def _ask_names(self, turn: _Round) -> None:
        for endpoint, ask in NAMES.items():
            operation = partial(ask, turn.plan.client, self.state.names)
            names = await self._answer(turn, endpoint, operation)
            if names is not None:
                await self._learn(endpoint, replace(self.state, names=names))

    async def _ask_credits(self, turn: _Round) -> None:
        found = await self._answer(turn, BALANCE, partial(balance, turn.plan.client))
        if found is not None:
            good_until = turn.plan.good_until(self._clock.monotonic(), turn.interval)
            reading = Reading(found, good_until)
            await self._learn(BALANCE, replace(self.state, credits=reading))

    async def _ask_policies(self, turn: _Round) -> None:
        found = await self._answer(turn, POLICIES, partial(policies, turn.plan.client))
        if found is not None:
            good_until = turn.plan.good_until(self._clock.monotonic(), turn.interval)
            reading = Reading(found, good_until)
            await self._learn(POLICIES, replace(self.state, policies=reading))

    async def _answer(
        self, turn: _Round, endpoint: str, operation: Callable[[float], Awaitable[_T]]
    ) -> _T | None:
        """Return what an endpoint answers; None where it is not due or fails."""
        today = utc_day(self._clock.time())
        before = self.state.endpoint(endpoint)
        seconds = turn.deadline - self._clock.monotonic()
        if seconds <= 0 or not (turn.first or before.is_due(today)):
            return None
        lane = turn.plan.client.account
        attempts = Attempts(seconds, self._clock, lambda: lane.wait, {"endpoint": endpoint})
        try:
            return await attempts.run(operation)
        except PollError as error:
            refused = error.status in _REFUSALS
            message = str(error)
        except Exception:  # noqa: BLE001 - the same for this endpoint alone
            _log.exception("reading an answer failed", endpoint=endpoint)
            refused, message = False, "internal error, see the log"
        after = before.after_refusal(message, today) if refused else before.after_failure(message)
        _log_change(endpoint, before, after)
        await self._change(self.state.after(endpoint, after))
        return None

    async def _learn(self, endpoint: str, state: AccountState) -> None:
        """Go on with a state that a good answer brought."""
        before = state.endpoint(endpoint)
        after = before.after_good()
        _log_change(endpoint, before, after)
        await self._change(state.after(endpoint, after))

    async def _change(self, state: AccountState) -> None:
        self.state = state
        await self._publish(state)


def intervals(account: Account) -> Mapping[str, float]:
    """Return how often each endpoint is asked, in seconds between; 0 where it is turned off."""
    return {
        **dict.fromkeys(NAMES, account.names.interval),
        BALANCE: account.credits.interval,
        POLICIES: account.policies.interval,
    }


def _of_what_is_asked(state: AccountState, account: Account) -> AccountState:
    """Return the state without what the configuration turns off; names once known stay."""
    asked = intervals(account)
    endpoints = {path: fares for path, fares in state.endpoints.items() if asked[path]}
    return replace(
        state,
        credits=state.credits if account.credits.interval else None,
        policies=state.policies if account.policies.interval else None,
        endpoints=endpoints,
    )


def _log_change(endpoint: str, before: EndpointState, after: EndpointState) -> None:
    """Log what is new about an endpoint, once."""
    if not after.offered and before.offered:
        _log.info(
            "not offered to this account, asked again daily",
            endpoint=endpoint,
            error=after.message,
        )
    elif after.up is False and before.up is not False:
        _log.warning("account request failed", endpoint=endpoint, error=after.message)
    elif after.up and before.up is False:
        _log.info("account request good again", endpoint=endpoint)
