"""Polls every query on its own timer, and all of them at midnight or when the clock was set."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from exporter.api.client import FlashbackClient
from exporter.clock import SECONDS_A_DAY, Clock, now_utc, utc_day
from exporter.config.sections import Query
from exporter.polling.poll import Poll, current_window
from exporter.statistics.groups import Snapshot
from exporter.statistics.state import Outcome, QueryState

SHARE_OF_INTERVAL = 0.9  # a poll ends well before the next one is due
_STEP = 5.0  # seconds by which the wall clock may drift from the pace of waiting before it counts as set
_LOOK = 1.0  # how often the clock is looked at, in seconds

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Plan:
    """How to poll one query: what to ask, whom, and how often (seconds). `source` is that of its state."""

    query: Query
    source: object
    days: int
    interval: float
    client: FlashbackClient


@dataclass(frozen=True)
class Results:
    """Where the results of polls go: `add` takes the name of a query, its source and the outcome.

    `states` returns what is known about each query by now, `skip` counts a poll that was left out,
    and `new_day` sees to it that what is shown fits the present day.
    """

    states: Callable[[], Mapping[str, QueryState]]
    add: Callable[[str, object, Outcome], Awaitable[None]]
    skip: Callable[[str], Awaitable[None]]
    new_day: Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class _Run:
    """A poll under way; a regular one was due on its query's timer."""

    plan: Plan
    regular: bool


class Scheduler:
    """Runs the plans. Polls of one query never overlap: one that would is skipped.

    It is counted, unless what is under way is a poll that no timer brought: one at the start, at a reload, at
    midnight, or after the clock was set.
    """

    def __init__(self, results: Results, clock: Clock) -> None:
        """Prepare; `start` begins."""
        self._results = results
        self._clock = clock
        self._plans: Mapping[str, Plan] = {}
        self._running: dict[str, _Run] = {}
        self._out_of_turn: set[str] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._watch: asyncio.Task[None] | None = None
        # Two instances: the second one is there to count that it was skipped.
        defaults = {"coalesce": True, "max_instances": 2, "misfire_grace_time": None}
        self._timers = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)

    @property
    def alive(self) -> bool:
        """Whether the timers and the watch over the clock are running."""
        return self._timers.running and self._watch is not None and not self._watch.done()

    def polling(self, name: str) -> bool:
        """Whether a poll of this query is under way."""
        return name in self._running

    def uses(self, client: FlashbackClient) -> bool:
        """Whether a poll under way began with this client."""
        return any(run.plan.client is client for run in self._running.values())

    def seconds_to_next_poll(self, name: str) -> float | None:
        """Return when a query is polled next, in seconds from now; None where it is not scheduled."""
        job = self._timers.get_job(name)
        return (
            max(0.0, (job.next_run_time - now_utc()).total_seconds())
            if job and job.next_run_time
            else None
        )

    def start(self, plans: Mapping[str, Plan]) -> None:
        """Begin: every query is polled at once, then on its timer."""
        self._timers.start()
        self._watch = asyncio.create_task(self._watch_clock(), name="clock watch")
        self.replace(plans)

    def replace(self, plans: Mapping[str, Plan]) -> None:
        """Go on with other plans: new and changed ones are polled at once, unchanged ones keep their timer."""
        before, self._plans = self._plans, plans
        for name in before.keys() - plans.keys():
            self._timers.remove_job(name)
        for name, plan in plans.items():
            if before.get(name) != plan:
                trigger = IntervalTrigger(seconds=plan.interval, timezone=UTC)
                self._timers.add_job(
                    self._run, trigger, args=[name], id=name, replace_existing=True
                )
                self._poll_soon(name)

    async def stop(self) -> None:
        """Stop all timers and cancel the polls under way."""
        if self._timers.running:
            self._timers.shutdown(wait=False)
        tasks = [task for task in (self._watch, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, name: str) -> None:
        regular = name not in self._out_of_turn
        self._out_of_turn.discard(name)
        if name not in self._plans:  # a reload removed it just before its turn
            return
        if under_way := self._running.get(name):
            if under_way.regular:
                await self._results.skip(name)
            return
        self._tasks.add(asyncio.current_task())
        with suppress(
            asyncio.CancelledError
        ):  # that is `stop`; APScheduler would log it as a fault
            try:
                plan = self._plans[name]
                self._running[name] = _Run(plan, regular)
                asked = current_window(self._clock, plan.days)
                await self._poll(plan)
            finally:
                self._running.pop(name, None)
                self._tasks.discard(asyncio.current_task())
            if name in self._plans and (
                self._plans[name] != plan or current_window(self._clock, plan.days) != asked
            ):
                self._poll_soon(name)  # a reload or midnight came in between

    async def _poll(self, plan: Plan) -> None:
        seconds = plan.interval * SHARE_OF_INTERVAL
        outcome = await Poll(
            plan.query, plan.days, seconds, plan.client, self._clock, self._data(plan)
        ).run()
        _log_if_new(outcome, self._state(plan))
        await self._results.add(plan.query.name, plan.source, outcome)

    def _state(self, plan: Plan) -> QueryState | None:
        state = self._results.states().get(plan.query.name)
        return state if state and state.source == plan.source else None

    def _data(self, plan: Plan) -> Snapshot | None:
        """Return the data whose groups keep their series; none where a reload allows fewer of them."""
        state = self._state(plan)
        snapshot = state.good.snapshot if state and state.good else None
        too_many = snapshot is not None and len(snapshot.groups) > plan.query.max_groups + 1
        return None if too_many else snapshot

    async def _watch_clock(self) -> None:
        """Roll the days over at midnight and poll; poll too when the clock was set or the machine was suspended.

        APScheduler goes by the wall clock: without this, a clock set back by an hour would mean an hour without polls.
        """
        while True:
            before = self._clock.time()
            pause = min(_LOOK, SECONDS_A_DAY - before % SECONDS_A_DAY)
            await self._clock.sleep(pause)
            now = self._clock.time()
            if utc_day(now) != utc_day(before) or abs(now - before - pause) > _STEP:
                _log.info("a new day began or the clock was set: polling all queries")
                await self._results.new_day()
                for name in self._plans:
                    self._poll_soon(name)

    def _poll_soon(self, name: str) -> None:
        """Poll now, and then on the timer; a poll under way sees for itself whether it must begin again."""
        pause = 0.0
        if name in self._running:
            pause = self._plans[name].interval
        else:
            self._out_of_turn.add(name)
        self._timers.modify_job(name, next_run_time=now_utc() + timedelta(seconds=pause))


def _log_if_new(outcome: Outcome, before: QueryState | None) -> None:
    """Log the first good poll of a query, and the first after a failure."""
    if outcome.snapshot is None or before is None:
        return
    failed = before.last is not None and before.last.reason is not None
    if before.good is None or failed:
        _log.info(
            "first good poll" if before.good is None else "poll good again",
            query=before.query.name,
            records=outcome.snapshot.records,
            groups=len(outcome.snapshot.groups),
            seconds=round(outcome.duration, 2),
        )
