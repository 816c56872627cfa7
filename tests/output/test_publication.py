"""What is served at a moment: data swapped in whole, midnight, age, failures."""

import asyncio
import gc

import pytest
from clocks import FakeClock
from material import DAY, at_once, raw_record, text

from exporter.config.sections import Query
from exporter.errors import Reason
from exporter.output.formats import FORMATS, OPENMETRICS, TEXT
from exporter.output.publication import Facts, Publication, View
from exporter.output.status import Status
from exporter.output.telemetry import OwnMetrics
from exporter.statistics.groups import Grouping
from exporter.statistics.records import Rejection, parse_record
from exporter.statistics.state import Outcome, QueryState

SOURCE = "the question"
CALLS = "flashback_ai_daily_api_calls"


def state(name: str = "default", source: object = SOURCE) -> QueryState:
    query = Query(name=name, labels=("repo_id",), metrics=("api_calls",))
    return QueryState(query, source, interval=300, max_data_age=3600)


def good(clock: FakeClock, *records: dict[str, object], query: Query | None = None) -> Outcome:
    """Return the outcome of a poll that has just found these records."""
    today = int(clock.time() // 86_400)
    grouping = Grouping(query or state().query, (today, today - 1))
    for record in records:
        grouping.add(parse_record(record, grouping.window))
    return Outcome(clock.time(), clock.monotonic(), 1.5, {}, at_once(grouping.snapshot()))


def bad(clock: FakeClock, **rejected: int) -> Outcome:
    counts = {Rejection(reason): count for reason, count in rejected.items()}
    return Outcome(clock.time(), clock.monotonic(), 2.5, counts, None, Reason.TIMEOUT, "too slow")


@pytest.fixture
async def publication(clock) -> Publication:
    return await Publication.empty(clock, Facts({"default": state()}))


def lines(publication_view) -> list[str]:
    """Return the sample lines of the calls, as far as they differ."""
    return [
        line.removeprefix(CALLS + '{query="').replace('",repo_id="x"}', "").replace('",day="', " ")
        for line in text(publication_view.exposition.plain(TEXT)).splitlines()
        if line.startswith(CALLS)
    ]


async def test_before_any_poll_there_is_no_data(publication):
    """Nothing is made up: no series, and the query is not up."""
    view = await publication.current()
    assert lines(view) == []
    assert not view.states["default"].up(0)
    assert view.series("default") == 0


async def test_a_good_poll_is_served_until_the_next(publication, clock):
    """A snapshot replaces the one before as a whole."""
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=1)))
    assert lines(await publication.current()) == ["default today 1", "default yesterday 0"]
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=2)))
    view = await publication.current()
    assert lines(view) == ["default today 2", "default yesterday 0"]
    assert view.series("default") == 4
    assert view.states["default"].up(clock.monotonic())


async def test_a_failed_poll_leaves_the_data_alone(publication, clock):
    """The last good data is served, the query is down, the failure is counted,
    and nothing is rendered again.
    """
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=1)))
    before = publication.view.exposition
    await publication.add("default", SOURCE, bad(clock, negative=2))
    view = await publication.current()
    assert view.exposition is before
    shown = view.states["default"]
    assert not shown.up(clock.monotonic())
    assert (shown.polls, shown.failures[Reason.TIMEOUT], shown.rejected[Rejection.NEGATIVE]) == (
        2,
        1,
        2,
    )
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=1)))
    assert publication.view.states["default"].up(clock.monotonic())


async def test_data_that_is_too_old_disappears(publication, clock):
    """Once the data is older than max_data_age its series are gone, at the very next scrape,
    until a good poll.
    """
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=1)))
    clock.move(3600)
    assert len(lines(await publication.current())) == 2
    clock.move(1)
    view = await publication.current()
    assert lines(view) == []
    assert text(view.exposition.plain(TEXT)) == ""
    assert view.series("default") == 0
    assert not view.states["default"].up(clock.monotonic())
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=1)))
    assert len(lines(await publication.current())) == 2


@pytest.mark.parametrize("step", [-7200, 7200])
async def test_the_age_of_data_is_not_that_of_the_wall_clock(publication, clock, step):
    """A wall clock that is set makes no data older or younger."""
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=1)))
    clock.wall += step
    assert len(lines(await publication.current())) == 2
    clock.elapsed += 3601
    assert lines(await publication.current()) == []


async def test_at_midnight_today_becomes_yesterday_at_once(publication, clock):
    """The first scrape of a day shows what was held as yesterday's, and a new day at 0."""
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=5)))
    clock.wall = (DAY + 1) * 86_400 - 0.001
    assert lines(await publication.current()) == ["default today 5", "default yesterday 0"]
    clock.wall = (DAY + 1) * 86_400
    assert lines(await publication.current()) == ["default today 0", "default yesterday 5"]


async def test_midnight_during_a_poll(publication, clock):
    """A poll that began before midnight and ends after it is shown with the days of its end."""
    outcome = good(clock, raw_record(apiCalls=5))
    clock.wall = (DAY + 1) * 86_400 + 3
    await publication.add("default", SOURCE, outcome)
    assert lines(publication.view) == ["default today 0", "default yesterday 5"]


async def test_many_scrapes_at_midnight_render_once(publication, clock):
    """Scrapes that come while the new day is being rendered wait for that and get the same."""
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=5)))
    clock.wall = (DAY + 1) * 86_400
    views = await asyncio.gather(*(publication.current() for _ in range(20)))
    assert len({id(view) for view in views}) == 1


async def test_scrapes_go_on_while_data_is_rendered(publication, clock):
    """Until the new bytes are finished, the old ones are served without waiting."""
    await publication.add("default", SOURCE, good(clock, raw_record(apiCalls=1)))
    before = publication.view
    rendering = asyncio.create_task(
        publication.add("default", SOURCE, good(clock, raw_record(apiCalls=2)))
    )
    await asyncio.sleep(0)
    assert await publication.current() is before
    await rendering
    assert lines(await publication.current())[0] == "default today 2"


async def test_queries_do_not_disturb_one_another(clock):
    """A poll of one query renders that one alone; the other's data and age are its own."""
    publication = await Publication.empty(clock, Facts({"a": state("a"), "b": state("b")}))
    await publication.add("a", SOURCE, good(clock, raw_record(apiCalls=1)))
    rendered = publication.view.parts["a"].rendered
    clock.move(3000)
    await publication.add("b", SOURCE, good(clock, raw_record(apiCalls=2)))
    assert publication.view.parts["a"].rendered is rendered
    assert lines(publication.view) == ["a today 1", "a yesterday 0", "b today 2", "b yesterday 0"]
    clock.move(3000)
    assert lines(await publication.current()) == ["b today 2", "b yesterday 0"]


async def test_the_end_of_a_poll_for_another_question_is_ignored(publication, clock):
    """A reload may put another question in a query's place while the old one is being polled."""
    await publication.add(
        "default", "the question before the reload", good(clock, raw_record(apiCalls=9))
    )
    await publication.add("gone", SOURCE, good(clock, raw_record(apiCalls=9)))
    assert lines(publication.view) == []
    assert publication.view.states["default"].polls == 0


async def test_polls_that_were_skipped_are_counted(publication):
    """A skipped poll changes its counter alone, also for a query that a reload has removed."""
    await publication.skip("default")
    await publication.skip("gone")
    assert publication.view.states["default"].skipped == 1
    assert publication.view.states.keys() == {"default"}


def status(view, clock) -> Status:
    return Status(
        time=clock.time(),
        now=clock.monotonic(),
        changes=view.number,
        states=view.states,
        series={name: view.series(name) for name in view.states},
        polling=set(),
        next_polls={},
        scheduler_alive=True,
        state_write_failures=0,
        account=view.facts.account,
        token_expires_at=0.0,
        reload_successful=True,
        reloaded_at=0.0,
    )


async def test_a_scrape_keeps_no_old_view(clock):
    """Whoever has scraped in whatever format, only the present view is in memory,
    so that old data goes in steps.
    """
    publication = await Publication.empty(clock, Facts({"scraped": state("scraped")}))
    own_metrics = OwnMetrics([])
    for calls in range(3):
        await publication.add("scraped", SOURCE, good(clock, raw_record(apiCalls=calls)))
        for chosen in (FORMATS[calls % 2], OPENMETRICS, TEXT):
            assert b"flashback_exporter_polls_total" in own_metrics.render(
                status(publication.view, clock), chosen
            )
    await publication.skip("scraped")
    gc.collect()
    views = [one for one in gc.get_objects() if isinstance(one, View)]
    assert [one.number for one in views if "scraped" in one.states] == [4]
    kept = [one for one in gc.get_objects() if isinstance(one, Status)]
    assert not any("scraped" in one.states for one in kept)


async def test_an_edition_is_as_old_as_its_exposition(publication, clock):
    """Every change is a new view; only one that changes the bytes is a new edition."""
    seen = [(publication.view.number, publication.view.edition)]
    for outcome in (good(clock, raw_record()), bad(clock), good(clock, raw_record())):
        await publication.add("default", SOURCE, outcome)
        seen.append((publication.view.number, publication.view.edition))
    assert seen == [(0, 0), (1, 1), (2, 1), (3, 3)]


@pytest.mark.parametrize("age", [0, 3601], ids=["shown", "too old to be shown"])
async def test_old_data_is_freed_in_steps(age, publication, clock):
    """Others run all along while 20,000 groups go, even if they were too old to be shown."""
    many = Query(name="default", labels=("repo_id",), metrics=("api_calls",), max_groups=20_000)
    records = [raw_record(repoId=f"{number}") for number in range(20_000)]
    await publication.add("default", SOURCE, good(clock, *records, query=many))
    clock.move(age)
    await publication.current()
    change = asyncio.ensure_future(publication.add("default", SOURCE, good(clock, raw_record())))
    turns = 0
    while not change.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 2 * 20_000 / 256 + 100
