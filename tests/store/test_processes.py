"""Processes that share a state file, are killed, or look at it beside one another."""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import httpx
import pytest
from clocks import FakeClock, HandClock
from growing import CALLS, GrowingCompany
from loopback import served
from programs import PATIENCE

from exporter.clock import SystemClock
from exporter.demo.simulator import EMAIL, PASSWORD, Simulator
from exporter.errors import StateInUseError
from exporter.store.keeper import Keeper

SUPPORT = Path(__file__).parents[1] / "support"
COMMAND = Path(sys.executable).with_name("flashback-exporter")
KILLS = int(os.environ.get("KILLS", "4"))
HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA locking_mode = EXCLUSIVE")
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
async def growing():
    """Serve a company of the present day; hand out it and its URL."""
    company = GrowingCompany()
    async with served(Simulator(company, SystemClock()).app) as (_, url):
        yield company, url


@asynccontextmanager
async def started(*command, wanted):
    """Start a process; hand it out with the match in its output. It is killed at last."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    running = await asyncio.create_subprocess_exec(*map(str, command), **pipes)
    try:
        async with asyncio.timeout(PATIENCE):
            lines = []
            while not (match := re.search(wanted, lines[-1] if lines else "")):
                lines.append((await running.stdout.readline()).decode())
                assert lines[-1], lines
        yield running, match
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.communicate()


def hasty(url, state_file):
    """Start an exporter whose time passes fast."""
    command = ("env", f"PYTHONPATH={SUPPORT}", sys.executable, SUPPORT / "hasty.py")
    return started(*command, url, state_file, wanted=r"127\.0\.0\.1:\d+")


async def calls(client):
    """Scrape; return the counter of each series."""
    lines = (await client.get("/metrics")).text.splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith(CALLS)]
    return {name: float(value) for name, _, value in found}


async def test_a_counter_that_was_served_never_falls_however_the_process_ends(growing, state_file):
    """Killed at random moments of a poll, it finds the file sound, and counts nothing twice."""
    company, url = growing
    async with hasty(url, state_file) as (_, place), httpx.AsyncClient() as client:
        client.base_url = f"http://{place[0]}"
        while not await calls(client):
            pass
    company.growth = 7
    served_last, random = {}, Random()
    for number in range(KILLS + 1):
        last = number == KILLS
        async with hasty(url, state_file) as (running, place), httpx.AsyncClient() as client:
            client.base_url = f"http://{place[0]}"
            shown = await calls(client)
            assert shown.keys() == {f'{CALLS}{{query="default",repo_id="{name}"}}' for name in "ab"}
            for _ in range(random.randrange(1, 12)):
                assert all(shown[name] >= value for name, value in served_last.items())
                served_last = shown
                await client.post("/-/reload")
                await asyncio.sleep(random.random() / 20)
                shown = await calls(client)
            if last:
                company.growth = 0
                await quiet(client, company)
            running.kill()
    assert not state_file.with_name("state.db.damaged").exists()


async def quiet(client, company):
    """Poll until the counters have what grew since the base, and see that it is not more."""
    async with asyncio.timeout(PATIENCE):
        while set((await calls(client)).values()) != set(company.calls.values()):
            await client.post("/-/reload")
    for _ in range(3):
        await client.post("/-/reload")
    assert set((await calls(client)).values()) == set(company.calls.values())


@pytest.fixture
def configured(growing, tmp_path, state_file):
    """Return a configuration file for the company, with a state file."""
    path = tmp_path / "exporter.yml"
    login = f"{{email: {EMAIL}, password: {PASSWORD}}}"
    path.write_text(
        f"api: {{base_url: '{growing[1]}', login: {login}}}\nstate: {{file: '{state_file}'}}\n"
    )
    return path


def exporter(config, *flags):
    """Start the exporter as users do."""
    command = (COMMAND, "--config.file", config, "--web.listen-address=127.0.0.1:0", *flags)
    return started(*command, wanted=r"msg=serving.*?(127\.0\.0\.1:\d+)|first good poll")


def is_locked(path):
    """Whether another process has the file."""
    database = sqlite3.connect(path, timeout=0)
    try:
        database.execute("SELECT * FROM queries")
    except sqlite3.OperationalError:
        return True
    finally:
        database.close()
    return False


async def test_neither_a_check_nor_a_reload_drops_the_lock(configured, state_file):
    """A check reads only and does not mind that the file is in use."""
    async with exporter(configured, "--web.enable-lifecycle") as (running, place):
        assert is_locked(state_file)
        check = await asyncio.create_subprocess_exec(
            COMMAND, "check", "--config.file", configured, stdout=subprocess.DEVNULL
        )
        assert await check.wait() == 0
        assert is_locked(state_file)

        async with httpx.AsyncClient(base_url=f"http://{place[1]}") as client:
            assert (await client.post("/-/reload")).status_code == 200
            assert is_locked(state_file)
            text = configured.read_text()
            configured.write_text(text.replace("state.db", "other.db"))
            refused = await client.post("/-/reload")
        assert refused.status_code == 500
        assert "state.file: expected no change of it; that needs a restart" in refused.text
        assert not state_file.with_name("other.db").exists()
        assert is_locked(state_file)

        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
    assert not is_locked(state_file)


async def test_a_second_exporter_waits_ten_seconds(state_file):
    """Then it gives up, and leaves the file alone."""
    async with started(sys.executable, "-c", HOLDER, state_file, wanted="held"):
        clock = FakeClock()
        with pytest.raises(StateInUseError):
            await Keeper.open(state_file, clock)
        assert sum(clock.sleeps) == pytest.approx(10)
    await (await Keeper.open(state_file, clock)).close()


async def test_a_file_that_is_free_in_time_is_used(state_file):
    """The exporter before may take a while to end."""
    clock = HandClock()
    async with started(sys.executable, "-c", HOLDER, state_file, wanted="held") as (holder, _):
        opening = asyncio.create_task(Keeper.open(state_file, clock))
        await clock.asleep()
        holder.kill()
        await holder.wait()
        clock.move(1)
        await (await opening).close()


async def test_a_start_that_waits_for_the_file_heeds_signals(configured, state_file):
    """SIGTERM ends it with 0 at once."""
    async with started(sys.executable, "-c", HOLDER, state_file, wanted="held"):
        waiting = await asyncio.create_subprocess_exec(
            COMMAND, "--config.file", configured, "--web.listen-address=127.0.0.1:0"
        )
        async with asyncio.timeout(PATIENCE):
            while not has_open(waiting.pid, state_file):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0)
        waiting.terminate()
        async with asyncio.timeout(3):
            assert await waiting.wait() == 0


def has_open(pid, path):
    """Whether a process has a file open."""
    folder = Path(f"/proc/{pid}/fd")
    if not folder.parent.exists():
        pytest.skip("needs /proc")
    with suppress(FileNotFoundError):
        return any(str(path) in str(entry.readlink()) for entry in folder.iterdir())
    return False
