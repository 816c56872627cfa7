"""Long work gives others their turn."""

import asyncio
import gc
from weakref import ref

import pytest
from material import raw_record

from exporter.config.sections import Query
from exporter.statistics.groups import Grouping
from exporter.statistics.records import parse_record
from exporter.steps import (
    collect_all,
    collect_new,
    in_runs,
    in_steps,
    let_go,
    one_a_step,
    spare_what_stays,
)


async def beside(work):
    """Run work beside a task that takes every turn it gets;
    return what it made and how many turns those were.
    """
    task = asyncio.ensure_future(work)
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return task.result(), turns


async def test_a_long_loop_gives_way():
    """Every item comes in its order, and others run all along."""

    async def collected():
        return [item async for item in in_steps(range(100_000))]

    items, turns = await beside(collected())
    assert items == list(range(100_000))
    assert turns > 300


async def test_others_run_before_each_long_item():
    """Items that are a step's work each come in their order, and others run between any two."""
    turns = []

    async def collected():
        return [(item, len(turns)) async for item in one_a_step("abc")]

    task = asyncio.ensure_future(collected())
    while not task.done():
        turns.append(None)
        await asyncio.sleep(0)
    items, seen = zip(*task.result(), strict=True)
    assert items == ("a", "b", "c")
    assert len(set(seen)) == 3


def test_runs_are_short_and_whole():
    """Parted into runs, no item is lost or moved; without items there is no run."""
    runs = list(in_runs(iter(range(1000))))
    assert [item for run in runs for item in run] == list(range(1000))
    assert max(map(len, runs)) <= 256
    assert list(in_runs([])) == []


async def test_a_long_list_is_freed_a_few_items_at_a_time():
    """At the end it is empty, and others ran all along."""
    items = list(range(100_000))
    _, turns = await beside(let_go(items))
    assert items == []
    assert turns > 300


async def test_sums_are_forgotten_in_steps():
    """A discarded grouping holds nothing, and others ran all along."""
    grouping = Grouping(Query(labels=["repo_id"]), (20_000,), max_found=100_000)
    for number in range(50_000):
        grouping.add(a_record(number))
    _, turns = await beside(grouping.discard())
    assert turns > 20
    assert (await grouping.snapshot()).found == 0


def a_record(number):
    """Return a valid record of a repository of its own."""
    return parse_record(raw_record(repoId=f"{number}", timestamp=20_000 * 86_400), {20_000: 0})


class Cycle:
    """Holds itself, so that only the collector frees it."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def thresholds():
    """Put the collector back as it was."""
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_garbage_is_collected_beside_what_was_set_aside(thresholds):
    """Nothing that was there is looked at again, and what comes later is freed as ever."""
    old = Cycle()
    spare_what_stays()
    assert all(thing is not old for thing in gc.get_objects())
    assert gc.get_threshold()[:2] == thresholds[:2]
    for collect in (collect_new, collect_all):
        gone = ref(Cycle())
        collect()
        assert gone() is None
