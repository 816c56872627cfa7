"""A state file that cannot be written while the exporter runs, or that is damaged at the start."""

import os
import shutil
import sqlite3
import sys
from random import Random

import anyio
import pytest
from disks import PAGE, full_disk
from growing import QUERY

from exporter.store.keeper import Keeper

FAILURES = "flashback_exporter_state_write_failures_total"
TWO = [QUERY, {**QUERY, "name": "two"}]


async def test_a_full_disk_stops_no_counter(api, state_file, capsys):
    """Each failed write is counted, told once, and the old file is gone meanwhile.

    Once there is room each query is written whole, and a restart goes on from there.
    """
    async with api.exporting(state_file, queries=TWO) as run:
        await run.poll(2)
        before = await run.calls()
        with full_disk():
            await run.poll(2)
            assert not state_file.exists()
            assert not state_file.with_name("state.db-journal").exists()
        assert (await run.calls())["a"] > before["a"]
        assert (await run.own())[FAILURES] == 4

        await run.poll()
        await run.poll()
        assert (await run.own())[FAILURES] == 4
        after = await run.shown()
    told = capsys.readouterr().out
    assert told.count("state file cannot be written: serving from memory") == 1
    assert told.count("state file is written again") == 1
    async with api.exporting(state_file, queries=TWO, polls=0) as run:
        assert await run.shown() == after


@pytest.mark.usefixtures("capsys")  # whose lines go to no file
async def test_a_disk_that_is_full_at_the_start_is_a_failed_write(api, state_file):
    """The exporter serves from memory, and makes the file once there is room."""
    with full_disk():
        async with api.exporting(state_file) as run:
            assert (await run.own())[FAILURES] == 2
            await run.poll()
            assert (await run.own())[FAILURES] == 3
    async with api.exporting(state_file) as run:
        await run.poll(2)
        assert (await run.own())[FAILURES] == 0
        before = await run.calls()
    async with api.exporting(state_file, polls=0) as run:
        assert await run.calls() == before


@pytest.mark.usefixtures("capsys")  # whose lines go to no file
async def test_old_rows_that_could_not_be_removed_are_not_found_again(api, state_file):
    """A file that is back with its old content, of several queries, is written from nothing."""
    kept = state_file.with_name("kept")
    async with api.exporting(state_file, queries=TWO) as run:
        await run.poll()
        shutil.copy(state_file, kept)
        with full_disk():
            await run.poll()
        kept.replace(state_file)
        await run.poll(2)
        before = await run.shown()
    async with api.exporting(state_file, queries=TWO, polls=0) as run:
        assert await run.shown() == before
    assert not state_file.with_name("state.db.damaged").exists()


def _remove(path):
    path.unlink()


def _replace(path):
    path.unlink()
    path.touch()


def _remove_folder(path):
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("harm", [_remove, _replace, _remove_folder])
async def test_a_file_that_is_gone_is_written_again(api, state_file, harm):
    """Removed under the exporter, it is a failed write, not one that nobody finds again."""
    async with api.exporting(state_file) as run:
        await run.poll()
        harm(state_file)
        await run.poll()
        assert (await run.own())[FAILURES] == 1
        state_file.parent.mkdir(exist_ok=True)
        await run.poll(2)
        assert (await run.own())[FAILURES] == 1
        before = await run.calls()
    async with api.exporting(state_file, polls=0) as run:
        assert await run.calls() == before


@pytest.mark.parametrize("content", [b"mine", b"SQLite format 3\0" + bytes(200)])
async def test_what_somebody_else_put_there_stays(api, state_file, content):
    """The exporter neither writes to it nor removes it, and counts on in memory."""
    async with api.exporting(state_file) as run:
        await run.poll()
        state_file.unlink()
        state_file.write_bytes(content)
        await run.poll(3)
        assert (await run.own())[FAILURES] == 3
        assert (await run.calls())["a"] == 4
    assert state_file.read_bytes() == content


def _edit(statement):
    def edit(path):
        with sqlite3.connect(path) as database:
            database.execute(statement)
        database.close()

    edit.__name__ = statement
    return edit


def _cut(path):
    os.truncate(path, path.stat().st_size - PAGE - 100)


def _blank(path):
    path.write_bytes(bytes(path.stat().st_size))


def _blank_a_page(path):
    content = bytearray(path.read_bytes())
    content[PAGE : 2 * PAGE] = Random(1).randbytes(PAGE)
    path.write_bytes(content)


def _damage_a_table(path):
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE totals", b"CREATE\x80TABLE totals"))


COLUMNS = {
    "queries": ("name", "source", "polled", "held", "asked", "newest_day", "records"),
    "groups": ("id", "labels"),
    "counters": ("id", "amounts", "owed", "ended"),
    "totals": ("day", "id", "mark", "total"),
}
EDITS = [
    *[
        f"UPDATE OR REPLACE {table} SET {column} = x'00ff'"
        for table in COLUMNS
        for column in COLUMNS[table]
    ],
    "UPDATE queries SET polled = 1e300",
    "UPDATE queries SET asked = ''",
    "UPDATE queries SET asked = '1 2'",
    "UPDATE queries SET records = 'many'",
    "UPDATE queries SET newest_day = NULL",
    "UPDATE queries SET amounts = 'apiCalls'",
    "UPDATE groups SET labels = '5'",
    "UPDATE groups SET labels = CAST(x'22ff22' AS TEXT)",
    "UPDATE counters SET amounts = '1 2'",
    "UPDATE counters SET ended = 'late'",
    "UPDATE counters SET owed = 'nothing'",
    "UPDATE totals SET mark = 'letters'",
    "DELETE FROM groups",
    "DELETE FROM queries",
    "DROP TABLE totals",
]


DAMAGE = [_cut, _blank, _blank_a_page, _damage_a_table, *map(_edit, EDITS)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return a folder for a state file that is written once."""
    return tmp_path_factory.mktemp("sound") / "state.db"


@pytest.fixture
async def written(api, state_file, sound):
    """Return a state file as an exporter of another API leaves it."""
    if not sound.exists():
        async with api.exporting(sound) as run:
            await run.poll(2)
    return shutil.copy(sound, state_file)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda edit: edit.__name__)
async def test_a_damaged_file_is_moved_aside(api, written, clock, damage, capsys):
    """The exporter tells so, begins anew, and finds what it writes from then on."""
    damage(written)
    content = written.read_bytes()
    keeper = await Keeper.open(written, clock)
    aside = written.with_name("state.db.damaged")
    assert aside.read_bytes() == content
    assert f"moved_to={aside}" in capsys.readouterr().out
    assert keeper.kept("default", "") is not None
    await keeper.close()

    keeper = await Keeper.open(written, clock)
    assert keeper.write_failures == 0
    await keeper.close()


async def test_one_damaged_file_is_kept(api, written, clock):
    """The next one takes its place, and its journal that of the other."""
    journal = written.with_name("state.db.damaged-journal")
    written.with_name("state.db.damaged").write_text("old")
    journal.write_text("old")
    _blank(written)
    await (await Keeper.open(written, clock)).close()
    assert written.with_name("state.db.damaged").read_bytes().strip(b"\0") == b""
    assert not journal.exists()


@pytest.fixture
async def fresh(api, state_file):
    """Return a state file as an exporter has just left it."""
    async with api.exporting(state_file) as run:
        await run.poll(2)
    return state_file


@pytest.mark.parametrize("seed", range(8))
async def test_random_damage_never_stops_a_start(api, fresh, seed):
    """Whatever bytes are hit behind the header, the exporter starts, and serves."""
    random, content = Random(seed), bytearray(fresh.read_bytes())
    for _ in range(random.choice([1, 10, 200])):
        content[random.randrange(100, len(content))] = random.randrange(256)
    fresh.write_bytes(content)
    async with api.exporting(fresh) as run:
        await run.poll()
        assert (await run.calls()).keys() >= {"a", "b"}
        assert (await run.own())[FAILURES] == 0


CRASH = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in (
    "PRAGMA cache_size = 1",
    "BEGIN",
    "UPDATE counters SET amounts = amounts || hex(zeroblob(9000))",
    "UPDATE totals SET mark = mark || hex(zeroblob(9000))",
    "UPDATE groups SET labels = hex(zeroblob(9000))",
):
    database.execute(statement)
os._exit(1)
"""


async def test_a_hot_journal_is_rolled_back(api, fresh):
    """What a transaction left behind that a crash ended is undone, at the next start."""
    await anyio.run_process([sys.executable, "-c", CRASH, str(fresh)], check=False)
    assert fresh.with_name("state.db-journal").stat().st_size > PAGE
    async with api.exporting(fresh, polls=0) as run:
        assert (await run.calls())["a"] == 2
    assert not fresh.with_name("state.db.damaged").exists()


async def test_a_journal_without_its_file_does_no_harm(api, state_file):
    """Somebody removed the file alone: the exporter begins anew."""
    state_file.with_name("state.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 999)
    async with api.exporting(state_file) as run:
        await run.poll(2)
        before = await run.calls()
    async with api.exporting(state_file, polls=0) as run:
        assert await run.calls() == before


async def test_nobody_else_may_read_the_file(api, state_file):
    """Mode 0600 for the file and its journal, also where they had another one before."""
    for path in (state_file, state_file.with_name("state.db-journal")):
        path.touch(0o644)
        path.chmod(0o644)
    for _ in range(2):
        async with api.exporting(state_file):
            found = {path.name: path.stat().st_mode & 0o777 for path in state_file.parent.iterdir()}
        assert found == {"state.db": 0o600, "state.db-journal": 0o600}
        state_file.with_name("state.db-journal").unlink()
