"""What survives a restart: counters, what they are owed, and the last good data."""

import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import anyio
import httpx
import pytest
from growing import CALLS, QUERY
from loopback import served

from exporter.clock import SECONDS_A_DAY
from exporter.demo.simulator import EMAIL, PASSWORD, Fault
from exporter.serve import application

PACKAGE = Path(__file__).parents[2] / "exporter"
SUPPORT = Path(__file__).parents[1] / "support"
SEEN = 121  # seconds after which a series that a start found may grow


async def test_counters_go_on_where_they_were(api, state_file, clock):
    """A start serves the old counters, and then adds what happened while the exporter was down."""
    async with api.exporting(state_file) as run:
        await run.poll(4)
        before = await run.calls()
        assert before == {"a": 4, "b": 4}

    api.company.calls["a"] += 100
    async with api.exporting(state_file, polls=0) as run:
        assert await run.calls() == before
    async with api.exporting(state_file) as run:
        assert await run.calls() == before
        clock.move(SEEN)
        await run.poll()
        assert await run.calls() == {"a": 106, "b": 6}


async def test_the_last_good_data_is_served_while_the_api_is_gone(api, state_file, clock):
    """From the first scrape on, with its true age; it goes once it is too old, and counters stay.

    A start is up, and ready, by its own polls alone.
    """
    async with api.exporting(state_file) as run:
        await run.poll(2)
        before, own = await run.shown(), await run.own()
        assert own['flashback_up{query="default"}'] == 1

    clock.move(3600)
    api.simulator.misbehave(*[Fault(status=404)] * 99)
    async with api.exporting(state_file, polls=0) as run:
        assert await run.shown() == before
        assert await ready(run) == 503
    async with api.exporting(state_file) as run:
        assert await run.shown() == before
        assert await ready(run) == 200
        after = await run.own()
        kept = ("last_success_timestamp_seconds", "records", "groups", "folded_groups", "series")
        for name in (f'flashback_exporter_{metric}{{query="default"}}' for metric in kept):
            assert after[name] == own[name] > -1
        assert after['flashback_up{query="default"}'] == 0

        clock.move(11 * 3600 + 1)
        left = {name for name in await run.shown() if name.startswith("flashback_ai_")}
        assert left == {name for name in before if name.startswith(CALLS)}


async def ready(run):
    """Return the status of /-/ready; the page for people has to work as well."""
    async with (
        served(application(run.exporter)) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        assert (await client.get("/")).status_code == 200
        return (await client.get("/-/ready")).status_code


LOGIN = {"email": EMAIL, "password": PASSWORD}


@pytest.mark.parametrize(
    ("changed", "is_kept"),
    [
        ({"api": {"login": {**LOGIN, "password": "another"}}}, True),
        ({"poll": {"days": 4, "interval": "2h", "max_data_age": "9h"}}, True),
        ({"queries": [{**QUERY, "metrics": ["blocks", "api_calls"]}]}, True),
        ({"queries": [{**QUERY, "max_groups": 1}]}, True),
        ({"queries": [{**QUERY, "labels": ["repo_id", "host"]}]}, False),
        ({"queries": [{**QUERY, "filters": {"llm_model": ["x"]}}]}, False),
        ({"queries": [{**QUERY, "name": "another"}]}, False),
        ({"api": {"login": {**LOGIN, "email": "me@example.com"}}}, False),
        ({"api": {"login": LOGIN, "base_url": "http://127.0.0.1:1"}}, False),
    ],
    ids=str,
)
async def test_state_belongs_to_a_question(api, state_file, changed, is_kept):
    """Another question begins anew; who asks it, how often, and how much is shown is no matter."""
    async with api.exporting(state_file) as run:
        await run.poll(2)

    if "api" in changed:
        changed = {"api": {"base_url": api.url, **changed["api"]}}
    async with api.exporting(state_file, polls=0, **changed) as run:
        assert ("a" in await run.calls()) is is_kept


async def test_a_changed_question_drops_its_own_state_alone(api, state_file):
    """Other queries go on, also after the changed one was written in its new shape."""
    two = [QUERY, {**QUERY, "name": "two"}]
    async with api.exporting(state_file, queries=two) as run:
        await run.poll(2)
        before = await run.calls()

    changed = [QUERY, {**QUERY, "name": "two", "filters": {"llm_model": ["x"]}}]
    async with api.exporting(state_file, queries=changed) as run:
        assert await run.calls("two") == {"a": 0, "b": 0}
        assert await run.calls() == before
    async with api.exporting(state_file, queries=changed, polls=0) as run:
        assert await run.calls("two") == {"a": 0, "b": 0}
        assert await run.calls() == before


async def test_a_question_asked_again_finds_nothing_of_before(api, state_file, clock):
    """Changed and changed back by reloads, a query begins anew, in the file as in memory."""
    queries = [QUERY]
    async with api.exporting(state_file, queries=queries) as run:
        await run.poll(2)
        api.company.growth = 0
        del api.company.calls["b"]
        for filters in ({"llm_model": ["y"]}, {}):
            queries[0] = {**QUERY, "filters": filters}
            await run.exporter.reload()
        await run.poll()
        assert await run.calls() == {"a": 0}

    api.company.calls["b"] = 50
    async with api.exporting(state_file) as run:
        await run.poll()
        clock.move(SEEN)
        await run.poll()
        assert await run.calls() == {"a": 0, "b": 50}


@pytest.mark.parametrize(("days", "is_kept"), [(6, True), (8, False)])
async def test_a_removed_query_is_forgotten_after_a_week(api, state_file, clock, days, is_kept):
    """Counted from its last good poll, also where no reload removed it but a start."""
    two = [QUERY, {**QUERY, "name": "two"}]
    async with api.exporting(state_file, queries=two) as run:
        await run.poll(2)
        before = await run.calls("two")

    clock.move(days * SECONDS_A_DAY)
    async with api.exporting(state_file) as run:
        await run.poll()
    async with api.exporting(state_file, queries=two, polls=0) as run:
        assert await run.calls("two") == (before if is_kept else {})


async def test_a_clock_that_was_set_back_in_between_counts_nothing_twice(api, state_file, clock):
    """Days before the newest that was seen are a base."""
    async with api.exporting(state_file) as run:
        await run.poll(2)
        before = await run.calls()

    clock.wall -= 5 * SECONDS_A_DAY
    async with api.exporting(state_file) as run:
        assert await run.calls() == before
        clock.move(SEEN)
        await run.poll(2)
        assert await run.calls() == {name: calls + 2 for name, calls in before.items()}


async def test_the_file_holds_no_secret(api, state_file):
    """Neither the password nor a token; an e-mail address is part of a question."""
    async with api.exporting(state_file) as run:
        await run.poll(2)
    with sqlite3.connect(state_file) as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert EMAIL in dump
    for secret in (PASSWORD, "refresh-", "c2ltdWxhdG9y", "eyJ"):
        assert secret not in dump
        assert secret.encode() not in state_file.read_bytes()


ROW = '    Metric("retries", "Retries", {"": "retries"}),\n)\n\nDAY_START'
PROGRAM = """
import asyncio, json, sys
from clocks import HandClock
from growing import exporting

async def main(url, state_file, wall):
    clock, told = HandClock(float(wall)), []
    async with exporting(url, state_file, clock) as run:
        told.append(await run.calls())
        clock.move(121)
        await run.poll()
        told.append(await run.calls())
    print(json.dumps(told))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("newer", [True, False], ids=["upgrade", "downgrade"])
async def test_counters_survive_another_table_of_metrics(api, state_file, clock, tmp_path, newer):
    """An exporter that knows one metric more, or less, goes on with the counters of both.

    The totals of the days become a base.
    """
    (package := tmp_path / "copy").mkdir()
    shutil.copytree(PACKAGE, package / "exporter")
    table = package / "exporter" / "metrics.py"
    before, end, after = table.read_text().partition(")\n\nDAY_START")
    assert end
    table.write_text(before + ROW + after)

    async def other():
        """Run the other exporter; return its counters after the first and second poll."""
        command = [sys.executable, "-c", PROGRAM, api.url, str(state_file), str(clock.wall)]
        folders = os.pathsep.join((str(package), str(SUPPORT)))
        done = await anyio.run_process(
            command, cwd=package, env={**os.environ, "PYTHONPATH": folders}, stderr=None
        )
        return json.loads(done.stdout.splitlines()[-1])

    async def this():
        async with api.exporting(state_file) as run:
            first = await run.calls()
            clock.move(SEEN)
            await run.poll()
            return [first, await run.calls()]

    one, two = (this, other) if newer else (other, this)
    before = (await one())[-1]
    assert before == {"a": 1, "b": 1}
    assert await two() == [before, {"a": 2, "b": 2}]
