"""Polls every query on its own timer, and all of them at midnight or when the clock was set.

The timers are APScheduler's, which takes no clock: they go by the machine's own. All that depends
on them is when a poll is due. What a poll does then goes by the `Clock` that is handed in, and
`_watch_clock` mends what a wall clock that was set would do to the timers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from functools import partial

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from exporter.api.client import FlashbackClient
from exporter.clock import SECONDS_A_DAY, Clock, now_utc, utc_day
from exporter.polling.phase import Phase
from exporter.polling.poll import Plan, Poll, current_window
from exporter.statistics.groups import Snapshot
from exporter.statistics.state import Outcome, QueryState
from exporter.steps import collect_all

SHARE_OF_INTERVAL = 0.9
"""How much of its interval a poll may take, so that it ends well before the next one is due."""

# How often the wall clock is looked at, and by how much more it may move than the time that has
# passed before it counts as set. In seconds.
_SECONDS_A_LOOK = 1.0
_MAX_DRIFT = 5.0

# A regular poll that has a smaller share of its interval left began late: two moments are always at
# least half an interval apart.
_LATE = 0.4

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Results:
    """Where the results of polls go: `add` takes the name of a query, its source and the outcome.

    `states` returns what is known about each query by now, `skip` counts a poll that was left out,
    and `new_day` sees to it that what is shown fits the present day.
    """

    states: Callable[[], Mapping[str, QueryState]]
    add: Callable[[str, str, Outcome], Awaitable[None]]
    skip: Callable[[str], Awaitable[None]]
    new_day: Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class _Run:
    """A poll under way, to end before so many seconds have passed, with some of them to spare.

    A regular one was due by its query's timer.
    """

    plan: Plan
    seconds: float
    regular: bool


class Scheduler:
    """Runs the plans. Polls of one query never overlap: one that would is skipped.

    A skipped poll is counted, unless the one under way was not due by the timer: one at the start,
    at a reload, at midnight, or after the clock was set.
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
        """Return in how many seconds a query is polled next; None where it is not scheduled."""
        job = self._timers.get_job(name)
        if job is None or job.next_run_time is None:
            return None
        seconds = (job.next_run_time - now_utc()).total_seconds()
        return max(0.0, float(seconds))

    def start(self, plans: Mapping[str, Plan]) -> None:
        """Begin: every query is polled at once, then on its timer."""
        self._timers.start()
        self._watch = asyncio.create_task(self._watch_clock(), name="clock watch")
        self.replace(plans)

    def replace(self, plans: Mapping[str, Plan]) -> None:
        """Go on with other plans.

        New and changed ones are polled at once, unchanged ones keep their timer.
        """
        before, self._plans = self._plans, plans
        for name in before.keys() - plans.keys():
            self._timers.remove_job(name)
        for name, plan in plans.items():
            if before.get(name) != plan:
                self._set_timer(name, plan)
                self._poll_soon(name)

    def _set_timer(self, name: str, plan: Plan) -> None:
        trigger = Phase(plan.interval, f"{name} {plan.source}")
        self._timers.add_job(self._turn, trigger, args=[name], id=name, replace_existing=True)

    async def stop(self) -> None:
        """Stop all timers and cancel the polls under way."""
        if self._timers.running:
            self._timers.shutdown(wait=False)
        tasks = [task for task in (self._watch, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _turn(self, name: str) -> None:
        """Poll a query whose turn it is, unless a poll of it is under way."""
        out_of_turn = name in self._out_of_turn
        self._out_of_turn.discard(name)

        plan = self._plans.get(name)
        if plan is None:
            # A reload removed the query just before its turn.
            return
        under_way = self._running.get(name)
        # Only `stop` cancels; APScheduler would log it as a fault.
        with suppress(asyncio.CancelledError):
            if under_way is None:
                await self._run(name, self._planned(name, plan, out_of_turn))
            elif under_way.regular:
                await self._results.skip(name)

    def _planned(self, name: str, plan: Plan, out_of_turn: bool) -> _Run:
        """Return how long a poll may take that begins now: a regular one, until the next is due.

        One that the machine was too busy for, or asleep, is regular no more.
        """
        seconds = self.seconds_to_next_poll(name) or 0.0
        if out_of_turn or seconds < _LATE * plan.interval:
            return _Run(plan, plan.interval, regular=False)
        return _Run(plan, min(seconds, plan.interval), regular=True)

    async def _run(self, name: str, run: _Run) -> None:
        """Poll, and once more where a reload or midnight came in between."""
        task = asyncio.current_task()
        self._tasks.add(task)
        self._running[name] = run
        asked = current_window(self._clock, run.plan.days)
        try:
            await self._poll(run.plan, run.seconds * SHARE_OF_INTERVAL)
        finally:
            self._running.pop(name, None)
            self._tasks.discard(task)

        plan = self._plans.get(name)
        if plan is None:
            return
        if plan != run.plan or current_window(self._clock, plan.days) != asked:
            self._poll_soon(name)

    async def _poll(self, plan: Plan, seconds: float) -> None:
        poll = Poll(plan, seconds, self._clock, partial(self._data, plan))
        outcome = await poll.run()
        _log_if_new(outcome, self._state(plan))
        await self._results.add(plan.query.name, plan.source, outcome)

        # By now nothing is left of the poll but what is published, and little of that looked at.
        if outcome.changes:
            await outcome.changes.let_go()
        del outcome
        collect_all()

    def _state(self, plan: Plan) -> QueryState | None:
        state = self._results.states().get(plan.query.name)
        return state if state and state.source == plan.source else None

    def _data(self, plan: Plan) -> Snapshot | None:
        """Return the data whose groups keep their series; none if a reload allows fewer groups."""
        state = self._state(plan)
        snapshot = state.good.snapshot if state and state.good else None
        too_many = snapshot is not None and len(snapshot.groups) > plan.query.max_groups + 1
        return None if too_many else snapshot

    async def _watch_clock(self) -> None:
        """Roll the days over at midnight and poll all queries.

        They are polled too when the clock was set or the machine was suspended: APScheduler goes by
        the wall clock, so that a clock set back by an hour would mean an hour without polls.
        """
        while True:
            before = self._clock.time()
            pause = min(_SECONDS_A_LOOK, SECONDS_A_DAY - before % SECONDS_A_DAY)
            await self._clock.sleep(pause)
            now = self._clock.time()
            drift = abs(now - before - pause)
            if utc_day(now) != utc_day(before) or drift > _MAX_DRIFT:
                _log.info("a new day began or the clock was set: polling all queries")
                await self._results.new_day()
                for name in self._plans:
                    self._poll_soon(name)

    def _poll_soon(self, name: str) -> None:
        """Poll now, and then on the timer.

        A poll under way sees for itself, at its end, whether there must be another.
        """
        if name not in self._running:
            self._out_of_turn.add(name)
            self._timers.modify_job(name, next_run_time=now_utc())


def _log_if_new(outcome: Outcome, before: QueryState | None) -> None:
    """Log the first good poll of a query, and the first after a failure."""
    if outcome.snapshot is None or before is None:
        return
    first = before.good is None
    failed = before.last is not None and before.last.reason is not None
    if first or failed:
        _log.info(
            "first good poll" if first else "poll good again",
            query=before.query.name,
            records=outcome.snapshot.records,
            groups=len(outcome.snapshot.groups),
            seconds=round(outcome.duration, 2),
        )
