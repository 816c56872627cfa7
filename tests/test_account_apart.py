"""Whatever the endpoints about the account do, the statistics are the same, byte for byte."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from clocks import HandClock
from loopback import configuration, polled, running, served, until

from exporter.demo.company import Company
from exporter.demo.simulator import Fault, Simulator
from exporter.polling.account import ACCOUNT_ENDPOINTS

OFF = {name: {"interval": "0s"} for name in ("names", "credits", "policies")}
ENTRIES = [{"id": f"id-{number}", "name": "n" * 100, "key": "k"} for number in range(150_000)]
HUGE = {"repos": ENTRIES, "workspaces": ENTRIES, "aiLlms": ENTRIES, "entities": ENTRIES}
WRONG_NAMES = {
    "repos": [
        {"id": repo.id, "name": 'x"}\n1', "workspaceId": 7, "aiApiKeys": [None, {"id": True}]}
        for repo in Company().organisation.repositories
    ]
}
FAULTS = {
    "unauthorized": Fault(status=401),
    "forbidden": Fault(status=403),
    "missing": Fault(status=404),
    "gone": Fault(status=410),
    "busy": Fault(status=429, headers={"Retry-After": "3600"}),
    "broken": Fault(status=500),
    "slow": Fault(delay=3600),
    "dripping": Fault(body=b"[" * 10_000, seconds_a_byte=1),
    "cut off": Fault(body=b'{"repos": [{"id": "r'),
    "no JSON": Fault(body=b"<html>"),
    "null": Fault(body=b"null"),
    "a failure": Fault(body=b'{"success": false, "message": "no"}'),
    "deep": Fault(body=b'{"data": ' + b"[" * 100_000),
    "huge": Fault(body=json.dumps(HUGE).encode()),
    "wrong names": Fault(body=json.dumps(WRONG_NAMES).encode()),
}


@pytest.fixture
def clock():
    """Return a clock that stands still, also for those who sleep."""
    return HandClock()


def statistics(exposition):
    """Return the lines about statistics."""
    lines = exposition.splitlines()
    return [line for line in lines if line.startswith("flashback_ai_") and 'query="' in line]


@asynccontextmanager
async def exporting(simulator, clock, **sections):
    """Run an exporter that asks for another number of days after a reload; hand out its client."""
    async with served(simulator.app) as (_, url):
        after = configuration(url, poll={"days": 3}, **sections)
        before = configuration(url, **sections)
        async with running(before, clock, lambda: after, lifecycle=True) as (exporter, client):
            await polled(client)
            yield exporter, client


async def two_polls(exporter, client, clock, simulator=None, fault=None):
    """Return the statistics after the first poll, and after another one minutes later."""
    first = statistics((await client.get("/metrics")).text)
    clock.wall += 600
    clock.elapsed += 600
    if fault:
        misbehave(simulator, fault)
    await client.post("/-/reload")
    await until(client, "/metrics", lambda answer: 'polls_total{query="default"} 2' in answer.text)
    assert exporter.status().states["default"].good
    assert not exporter.status().states["default"].last.reason
    return first, statistics((await client.get("/metrics")).text)


def misbehave(simulator, fault):
    """Let each endpoint about the account answer with a fault, again and again."""
    for endpoint in ACCOUNT_ENDPOINTS:
        simulator.misbehave(*[fault] * 20, endpoint=endpoint)


@pytest.fixture(scope="module")
def alone():
    """Return what the statistics are where nothing is asked about the account."""

    async def alone():
        clock = HandClock()
        async with exporting(Simulator(Company(), clock), clock, account=OFF) as (exporter, client):
            return await two_polls(exporter, client, clock)

    return asyncio.run(alone())


@pytest.mark.parametrize("name", FAULTS)
async def test_faults_of_the_account_change_no_statistics(clock, alone, name):
    """Refused, slow, huge or wrong from the start on: two polls have the same numbers."""
    simulator = Simulator(Company(), clock)
    misbehave(simulator, FAULTS[name])
    async with exporting(simulator, clock) as (exporter, client):
        found = await two_polls(exporter, client, clock)
    assert len(alone[0]) > 5_000
    assert found == alone
    assert {endpoint for endpoint, _ in simulator.requests}.intersection(ACCOUNT_ENDPOINTS)


@pytest.mark.parametrize("name", ["forbidden", "busy", "no JSON", "slow"])
async def test_an_account_that_goes_and_comes_back_changes_no_statistics(clock, alone, name):
    """Good at first, then at fault: two polls have the same numbers."""
    simulator = Simulator(Company(), clock)
    async with exporting(simulator, clock) as (exporter, client):
        await until(client, "/metrics", lambda answer: answer.text.count("account_up{") == 6)
        assert await two_polls(exporter, client, clock, simulator, FAULTS[name]) == alone
