"""When queries are polled: by timer, at midnight, when the clock was set, never twice at once."""

import asyncio
import logging
import random
from contextlib import asynccontextmanager

import httpx
import pytest
from clocks import HandClock, calm_interval
from loopback import ACCOUNT_OFF, PATIENCE, Gate, configuration, served
from material import text
from structlog.testing import capture_logs

from exporter.api.client import FlashbackClient
from exporter.clock import SECONDS_A_DAY
from exporter.config.sections import Query
from exporter.daemon import Exporter
from exporter.demo.company import Company
from exporter.demo.simulator import Fault, Simulator
from exporter.output.formats import TEXT
from exporter.output.publication import Facts, Publication
from exporter.polling.schedule import Plan, Results, Scheduler
from exporter.statistics.state import QueryState

NOON = 1_704_110_400.0  # 2024-01-01 12:00 UTC
TWO = [
    {"name": "one", "labels": []},
    {"name": "two", "labels": [], "filters": {"llm_type": ["openai"]}},
]


@pytest.fixture
def clock():
    """Return a clock that moves by hand alone, also for those who sleep."""
    return HandClock(NOON)


@pytest.fixture
async def gate(clock):
    """Serve a simulator behind a gate."""
    simulator = Simulator(Company(), clock)
    gate = Gate(simulator.app)
    async with served(gate) as (_, gate.url):
        gate.simulator = simulator
        yield gate
        gate.open()


@asynccontextmanager
async def polling(gate, clock, queries=TWO, **sections):
    """Run an exporter, without a web server, on queries alone."""
    calm = {"interval": calm_interval()}
    config = configuration(gate.url, queries=queries, account=ACCOUNT_OFF, poll=calm, **sections)
    exporter = await Exporter.create(config, lambda: config, clock)
    exporter.start()
    try:
        yield exporter
    finally:
        await exporter.stop()


async def until(condition):
    """Let everything go on until a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)


async def finished(exporter, polls, *names):
    """Wait until queries have been polled so many times and rest."""
    states = exporter.status().states
    await until(
        lambda: all(
            exporter.status().states[name].polls == polls and not exporter.scheduler.polling(name)
            for name in names or states
        )
    )


def days(arrival):
    """Return the first and last day that a request asks for."""
    return arrival["startDate"][:10], arrival["endDate"][:10]


async def test_every_query_is_polled_at_once(gate, clock):
    """A start does not wait for the first interval to pass."""
    async with polling(gate, clock) as exporter:
        await finished(exporter, 1)
        assert exporter.status().waiting_for == []
        pauses = [exporter.scheduler.seconds_to_next_poll(query["name"]) for query in TWO]
        assert all(0 < pause <= 1.6 * 3600 for pause in pauses)


@asynccontextmanager
async def often(gate, clock, skip=None):
    """Poll one query some times a second; yield the scheduler and a function for its state."""
    query = Query(name="slow", labels=[])
    facts = Facts({"slow": QueryState(query, "source", 0.25, 3600)})
    publication = await Publication.empty(clock, facts)
    client = FlashbackClient(configuration(gate.url).api, clock, lambda *_: None)
    results = Results(
        states=lambda: publication.view.states,
        add=publication.add,
        skip=skip or publication.skip,
        new_day=publication.current,
    )
    scheduler = Scheduler(results, clock)
    scheduler.start({"slow": Plan(query, "source", 2, 0.25, client)})
    try:
        yield scheduler, lambda: publication.view.states["slow"]
    finally:
        await scheduler.stop()
        await client.aclose()


async def due_again(scheduler):
    """Wait until the next regular poll has come due."""
    before = scheduler.seconds_to_next_poll("slow")
    await until(lambda: scheduler.seconds_to_next_poll("slow") > before)


@pytest.fixture
def no_jitter(monkeypatch):
    """Let the wait before a second attempt fit into any poll's time;
    on a clock that stands still it does not end.
    """
    monkeypatch.setattr(random, "uniform", lambda *_: 0.0)


@pytest.mark.usefixtures("no_jitter")
async def test_a_poll_that_would_overlap_is_skipped_and_counted(gate, clock):
    """A regular poll that is due while another is under way is left out and counted."""
    gate.simulator.misbehave(Fault(status=404))  # the poll at the start is over soon
    async with often(gate, clock) as (scheduler, state):
        await until(lambda: state().polls)
        gate.close()
        await until(lambda: gate.inside)
        await until(lambda: state().skipped)
        assert scheduler.polling("slow")


@pytest.mark.usefixtures("no_jitter")
async def test_a_stop_is_quiet_while_a_skip_waits_to_be_counted(gate, clock, caplog):
    """The log calls it no fault that the exporter ends while something else is being published."""
    gate.simulator.misbehave(Fault(status=404))  # the poll at the start is over soon
    skipped = asyncio.Event()

    async def skip(_):
        skipped.set()
        await asyncio.Event().wait()

    async with often(gate, clock, skip) as (scheduler, state):
        await until(lambda: state().polls)
        gate.close()
        await until(lambda: gate.inside)
        async with asyncio.timeout(PATIENCE):
            await skipped.wait()
        await scheduler.stop()
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.usefixtures("no_jitter")
async def test_a_regular_poll_beside_the_one_at_the_start_is_left_out_in_silence(gate, clock):
    """What comes due while the first poll is under way is neither polled nor counted as skipped."""
    gate.close()
    async with often(gate, clock) as (scheduler, state):
        await gate.arrival()
        for _ in range(3):
            await due_again(scheduler)
        assert scheduler.polling("slow")
        assert (state().polls, state().skipped) == (0, 0)
    assert gate.most_inside == 1


async def test_a_first_good_poll_is_logged_and_the_first_after_a_failure(gate, clock):
    """The log says once that a query works, with what was found, and again when it works again."""
    with capture_logs() as logs:
        async with polling(gate, clock, TWO[:1]) as exporter:
            await finished(exporter, 1)
            for fault, polls in ((None, 2), (Fault(status=404), 3), (None, 4)):
                if fault:
                    gate.simulator.misbehave(fault)
                await clock.asleep()
                clock.wall += 3600
                clock.move(1)
                await finished(exporter, polls)
    good = [entry for entry in logs if "good" in entry["event"]]
    assert [entry["event"] for entry in good] == ["first good poll", "poll good again"]
    assert good[0]["query"] == "one"
    assert good[0]["records"] > 100
    assert good[0]["groups"] == 1


async def test_polls_of_a_query_never_overlap(gate, clock):
    """However often a query is asked for while its poll hangs, no second request of it goes out."""
    gate.close()
    async with polling(gate, clock, TWO[:1]) as exporter:
        await gate.arrival()
        for jump in (3600, -3600, 7200, -7200):
            await clock.asleep()
            clock.wall += jump
            clock.move(1)
        await clock.asleep()
        assert gate.arrivals.empty()
        gate.open()
        await finished(exporter, 1)
    assert gate.most_inside == 1


async def test_midnight_brings_a_poll_of_every_query(gate, clock):
    """At 00:00 UTC today becomes yesterday from data already held,
    and every query is polled for the new day.
    """
    clock.wall = NOON + SECONDS_A_DAY / 2 - 0.25
    async with polling(gate, clock) as exporter:
        await finished(exporter, 1)
        before = [days(await gate.arrival()) for _ in TWO]
        gate.close()
        await clock.asleep()
        assert clock.sleeps[-1] == 0.25
        clock.move(0.25)
        after = [days(await gate.arrival()) for _ in TWO]
        held = b"".join((await exporter.publication.current()).exposition.plain(TEXT)).decode()
        gate.open()
        await finished(exporter, 2)
    assert before == [("2023-12-31", "2024-01-01")] * 2
    assert after == [("2024-01-01", "2024-01-02")] * 2
    calls = {
        line.split()[0]: float(line.split()[1])
        for line in held.splitlines()
        if not line.startswith("#")
    }
    assert calls['flashback_ai_daily_api_calls{query="one",day="today"}'] == 0
    assert calls['flashback_ai_daily_api_calls{query="one",day="yesterday"}'] > 0
    assert (
        calls['flashback_ai_daily_start_timestamp_seconds{query="one",day="today"}']
        == NOON + SECONDS_A_DAY / 2
    )


async def test_midnight_during_a_poll_brings_another_one_right_after_it(gate, clock):
    """A poll that asked for yesterday's window is followed at once by one for today's,
    without overlapping it.
    """
    clock.wall = NOON + SECONDS_A_DAY / 2 - 0.25
    gate.close()
    async with polling(gate, clock, TWO[:1]) as exporter:
        before = days(await gate.arrival())
        await clock.asleep()
        clock.move(0.25)
        await clock.asleep()
        assert gate.arrivals.empty()
        gate.let_one_pass()
        after = days(await gate.arrival())
        gate.open()
        await finished(exporter, 2)
        assert gate.arrivals.empty()
    assert (before, after) == (("2023-12-31", "2024-01-01"), ("2024-01-01", "2024-01-02"))
    assert gate.most_inside == 1


@pytest.mark.parametrize("jump", [-3600, 3600], ids=["back", "forth"])
async def test_a_clock_that_was_set_brings_a_poll_of_every_query(gate, clock, jump):
    """When the wall clock was set by an hour, no query waits for it: all are polled at once."""
    async with polling(gate, clock) as exporter:
        await finished(exporter, 1)
        await clock.asleep()
        clock.wall += jump
        clock.move(1)
        await finished(exporter, 2)
        await clock.asleep()
        assert exporter.scheduler.alive


async def test_a_machine_that_slept_polls_when_it_wakes(gate, clock):
    """After hours of suspension, which both clocks count, every query is polled at once."""
    async with polling(gate, clock) as exporter:
        await finished(exporter, 1)
        await clock.asleep()
        clock.move(4 * 3600)
        await finished(exporter, 2)


async def test_time_that_passes_as_usual_brings_no_extra_poll(gate, clock):
    """Seconds that pass one by one, a little late each, cause no poll before the timer does."""
    async with polling(gate, clock) as exporter:
        await finished(exporter, 1)
        for _ in range(100):
            await clock.asleep()
            clock.move(1.5)
        await clock.asleep()
        async with httpx.AsyncClient(base_url=gate.url) as client:
            for _ in range(20):  # time enough for a request of a poll to arrive
                await client.get("/nothing")
        assert not any(exporter.scheduler.polling(query["name"]) for query in TWO)
        assert gate.arrivals.qsize() == 2


async def test_a_query_that_fails_does_not_disturb_another(gate, clock):
    """Each query has its own timer, counters and data."""
    gate.simulator.misbehave(Fault(status=404))
    async with polling(gate, clock) as exporter:
        await finished(exporter, 1)
        states = exporter.status().states.values()
        assert sorted(state.up(clock.monotonic()) for state in states) == [False, True]


async def test_all_end_before_a_stop_returns(gate, clock):
    """A stop cancels the polls under way, waits for their end,
    and leaves no task and no connection behind.
    """
    gate.close()
    before = asyncio.all_tasks()
    async with polling(gate, clock) as exporter:
        await gate.arrival()
        await gate.arrival()
        await clock.asleep()
        mine = {task for task in asyncio.all_tasks() - before if "uvicorn" not in repr(task)}
        await exporter.stop()
        left = [task for task in mine if not task.done()]
        assert not any(exporter.scheduler.polling(query["name"]) for query in TWO)
        assert left == []
        assert not exporter.scheduler.alive


@pytest.mark.parametrize("moment", ["asking", "backing off", "resting"])
async def test_a_stop_is_quiet(gate, clock, caplog, moment):
    """Whatever polls are doing when the process ends, nothing above info is logged."""
    if moment == "asking":
        gate.close()
    if moment == "backing off":
        gate.simulator.misbehave(Fault(status=503), Fault(status=503))
    with capture_logs() as own_logs:
        async with polling(gate, clock) as exporter:
            await gate.arrival()
            await gate.arrival()
            await clock.asleep(3 if moment == "backing off" else 1)
            if moment == "resting":
                await finished(exporter, 1)
        gate.open()
        await until(lambda: not any(exporter.scheduler.polling(query["name"]) for query in TWO))
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []
    assert [entry for entry in own_logs if entry["log_level"] not in ("debug", "info")] == []
    assert all(
        state.failures[reason] == 0
        for state in exporter.status().states.values()
        for reason in state.failures
    )


async def gauges(exporter):
    """Return the lines of the daily gauges."""
    plain = text((await exporter.publication.current()).exposition.plain(TEXT))
    return [line for line in plain.splitlines() if line.startswith("flashback_ai_daily_")]


@pytest.mark.parametrize("ahead", [1, 2, 400, -1, -2], ids=lambda number: f"{number} days")
async def test_a_clock_that_was_wrong_for_one_poll_loses_no_data(gate, clock, ahead):
    """The days that were known before the clock was set are shown again once it is right,
    although the API is gone.
    """
    async with polling(gate, clock, TWO[:1]) as exporter:
        await finished(exporter, 1)
        right = await gauges(exporter)
        await clock.asleep()
        clock.wall += ahead * SECONDS_A_DAY
        clock.move(1)
        await finished(exporter, 2)
        wrong = await gauges(exporter)
        gate.simulator.misbehave(*[Fault(status=404)] * 9)
        await clock.asleep()
        clock.wall -= ahead * SECONDS_A_DAY
        clock.move(1)
        await finished(exporter, 3)
        assert await gauges(exporter) == right
        state = exporter.status().states["one"]
        assert state.good.finished_at < NOON + 60
        assert not state.up(clock.monotonic())
        clock.move(3600)
        assert await gauges(exporter) == []
    assert wrong != right
