"""The account's names in the state file: known from the first scrape on after a restart."""

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from disks import full_disk
from growing import ACCOUNT_OFF
from loopback import PATIENCE

from exporter.api.repositories import REPOSITORIES
from exporter.api.workspaces import WORKSPACES
from exporter.demo.simulator import Fault
from exporter.polling.names import NAMES
from exporter.statistics.account import Names, Profile, Repo
from exporter.store.database import Database
from exporter.store.names import read_names, write_names
from exporter.store.state_file import StateFile

FAILURES = "flashback_exporter_state_write_failures_total"
NAMES_ON = {**ACCOUNT_OFF, "names": {"interval": "1h"}}
SHOP = 'flashback_repo_info{repo_id="a",repo_name="Shop",workspace_id="w",workspace_name="Web"}'
STORE = SHOP.replace("Shop", "Store")
ACCOUNT = "flashback_account_info{"
UNNAMED = 'flashback_repo_info{repo_id="a",repo_name="a",workspace_id="",workspace_name=""}'


def say(api, name):
    """Let the API call the repository `a` so from now on."""
    repos = {"repos": [{"id": "a", "name": name, "workspaceId": "w"}]}
    for endpoint, content in (
        (WORKSPACES, {"workspaces": [{"id": "w", "name": "Web"}]}),
        (REPOSITORIES, repos),
    ):
        fault = Fault(body=json.dumps(content).encode())
        api.simulator.misbehave(fault, endpoint=endpoint)


def refuse(api):
    """Let the API tell no names any more."""
    for endpoint in NAMES:
        api.simulator.misbehave(*[Fault(status=404)] * 99, endpoint=endpoint)


async def until_shown(run, sample):
    """Wait until a sample is served that begins like this."""
    async with asyncio.timeout(PATIENCE):
        while not any(  # noqa: ASYNC110 - nothing announces it
            name.startswith(sample) for name in await run.shown()
        ):
            await asyncio.sleep(0)


async def named(api, state_file, name, sample):
    """Let an exporter learn a name, and end it."""
    say(api, name)
    async with api.exporting(state_file, account=NAMES_ON) as run:
        await until_shown(run, sample)
        await until_shown(run, ACCOUNT)


async def test_names_are_known_after_a_restart(api, state_file):
    """From the first scrape on, before the API was asked, and also where it tells none any more."""
    await named(api, state_file, "Shop", SHOP)
    async with api.exporting(state_file, polls=0, account=NAMES_ON) as run:
        await until_shown(run, SHOP)
        await until_shown(run, ACCOUNT)
    refuse(api)
    async with api.exporting(state_file, account=NAMES_ON) as run:
        async with asyncio.timeout(PATIENCE):
            while len(run.exporter.status().account.endpoints) < len(NAMES):  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert SHOP in await run.shown()


async def test_names_are_known_where_they_are_turned_off(api, state_file):
    """With `names` off, those of the file are shown all the same."""
    await named(api, state_file, "Shop", SHOP)
    async with api.exporting(state_file) as run:
        assert SHOP in await run.shown()


async def test_a_new_name_takes_the_place_of_the_old_one(api, state_file):
    """After a rename a restart knows the new name alone."""
    await named(api, state_file, "Shop", SHOP)
    await named(api, state_file, "Store", STORE)
    async with api.exporting(state_file, polls=0) as run:
        shown = await run.shown()
    assert STORE in shown
    assert SHOP not in shown


async def test_names_belong_to_an_account(api, state_file, monkeypatch):
    """Another account, or another API, knows nothing of the first one's names."""
    await named(api, state_file, "Shop", SHOP)
    monkeypatch.setattr("loopback.EMAIL", "somebody@example.com")
    async with api.exporting(state_file, polls=0) as run:
        assert run.exporter.status().account.names == Names()


async def test_without_a_state_file_a_start_knows_no_names(api):
    """Names are then known once the API was asked."""
    await named(api, None, "Shop", SHOP)
    async with api.exporting(None) as run:
        assert UNNAMED in await run.shown()


@pytest.mark.usefixtures("capsys")  # whose lines go to no file
async def test_names_that_cannot_be_written_are_a_failed_write(api, state_file):
    """It is counted as others are, names are shown all the same, and the next good poll that can
    be written has them with it.
    """
    async with api.exporting(state_file, account=NAMES_ON) as run:
        await until_shown(run, UNNAMED)
        say(api, "Shop")
        with full_disk():
            await run.poll()
            await until_shown(run, SHOP)
            assert (await run.own())[FAILURES] >= 1
            assert not state_file.exists()
        await run.poll(2)
        before = await run.calls()
    async with api.exporting(state_file, polls=0) as run:
        assert SHOP in await run.shown()
        assert await run.calls() == before


async def test_a_file_of_the_first_format_is_migrated(api, state_file):
    """A file without names keeps its counters, and learns names."""
    async with api.exporting(state_file) as run:
        await run.poll(3)
        before = await run.calls()
    with closing(sqlite3.connect(state_file)) as database:
        database.execute("DROP TABLE names")
        database.execute("PRAGMA user_version = 1")
    async with api.exporting(state_file, polls=0) as run:
        assert await run.calls() == before
    await named(api, state_file, "Shop", SHOP)
    async with api.exporting(state_file, polls=0) as run:
        assert SHOP in await run.shown()
    assert not state_file.with_name("state.db.damaged").exists()


@pytest.mark.parametrize("row", ["'s', 'nothing', 'a', 'b', ''", "'s', 'repos', 'a', NULL, ''"])
@pytest.mark.usefixtures("capsys")
async def test_a_name_that_makes_no_sense_is_damage(api, state_file, row):
    """The file is moved aside, and the exporter begins anew."""
    await named(api, state_file, "Shop", SHOP)
    with closing(sqlite3.connect(state_file)) as database:
        database.execute(f"INSERT INTO names VALUES ({row})")
        database.commit()
    async with api.exporting(state_file) as run:
        assert UNNAMED in await run.shown()
    assert state_file.with_name("state.db.damaged").exists()


async def test_only_what_changed_is_written(state_file):
    """Of many names the new, the changed and the gone ones are written, each kind for itself."""
    database = Database(state_file)
    await database.open()
    first = Names(
        {f"r{number}": Repo(f"R{number}", "w") for number in range(1000)},
        {"w": "W"},
        {"l": "L"},
        {"k": "K", "same": "S"},
        Profile("o", "owner"),
    )
    repos = {**first.repos, "r1": Repo("new", ""), "r1000": Repo("", "w")}
    del repos["r2"]
    second = Names(repos, {}, first.llms, {"k": "K2", "same": "S"}, Profile("o", "user"))
    for before, after, source in ((Names(), first, "a"), (first, second, "a")):
        async with database.transaction():
            await write_names(database, source, before, after)
        assert await read_names(database) == {source: after}
    async with database.transaction():
        await write_names(database, "b", Names(), first)
    assert await read_names(database) == {"b": first}
    await database.close()


async def test_a_write_that_is_cancelled_leaves_the_file_usable(clock, state_file):
    """Wherever a reload cancels the writing of names, the next write is good and complete."""
    file = StateFile(state_file, clock)
    await file.open()
    for turns in range(40):
        names = Names(workspaces={f"w{number}": f"{turns}" for number in range(600)})
        writing = asyncio.create_task(file.write_names("a", names))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
    await file.write_names("a", names := Names(llms={"l": "L"}))
    assert file.names("a") is names
    await file.close()
    assert file.write_failures == 0
    again = StateFile(state_file, clock)
    await again.open()
    assert again.names("a") == names
    await again.close()
