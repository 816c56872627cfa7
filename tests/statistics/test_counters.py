"""Counters: what they come to whatever happens, and when a series begins to grow."""

import asyncio
import tempfile
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from clocks import FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from material import DAY, at_once
from reckoning import ZERO, Reckoning, added

from exporter.config.sections import Query
from exporter.metrics import AMOUNTS, FIELD_INDEX, WEIGHT_INDEX
from exporter.statistics.counters import MAX_UNSERVED, Counters
from exporter.statistics.groups import Grouping, Key, Snapshot
from exporter.statistics.records import Amounts, Record
from exporter.statistics.state import Outcome
from exporter.store.keeper import Keeper

CALLS, TOKENS = FIELD_INDEX["apiCalls"], FIELD_INDEX["tokensIn"]
ACTIVE, LATENCY = FIELD_INDEX["activeConversations"], FIELD_INDEX["latency_ms"]
SOURCES = {"one": "a question", "two": "another"}

# Both labels named other, one of them, and groups that differ in the second label alone.
KEYS = [("other", "other"), ("other", "a"), ("b", "a"), ("b", "b"), ("", "")]
LABELS = ("repo_id", "ai_llm_id")


def amounts_of(calls: int, tokens: int = 0, active: int = 0, latency: int = 0) -> Amounts:
    """Return what a record may add."""
    amounts = [0] * AMOUNTS
    amounts[CALLS], amounts[TOKENS], amounts[ACTIVE] = calls, tokens, active
    amounts[LATENCY], amounts[WEIGHT_INDEX["latency_ms"]] = latency, calls
    return tuple(amounts)


few = st.integers(0, 4)
many = few | st.integers(2**53 - 1, 2**53 + 2) | st.just(10**330)
totals = st.builds(amounts_of, few, many, few, many)


@dataclass
class Step:
    """What happens before one poll, and what the poll finds: totals by age in days and group."""

    query: str
    seconds: float
    today: int
    days: int
    max_groups: int
    restart: bool
    found: dict[tuple[int, Key], Amounts]


def steps(keys: list[Key]) -> st.SearchStrategy[Step]:
    """Return a strategy for steps: mostly the same day, at times the next one or a wrong clock."""
    places = st.tuples(st.integers(0, 2), st.sampled_from(keys))
    return st.builds(
        Step,
        query=st.sampled_from(["one", "one", "two"]),
        seconds=st.sampled_from([5, 60, 119, 120, 300]),
        today=st.sampled_from([0, 0, 0, 1, 1, 2, 3, 9, -1]),
        days=st.sampled_from([2, 2, 2, 1, 3, 7]),
        max_groups=st.sampled_from([1, 2, 2, 10]),
        restart=st.sampled_from([False, False, False, True]),
        found=st.dictionaries(places, totals, max_size=6),
    )


@dataclass
class Asked:
    """One query under test, with the history that its counters have to follow."""

    counters: Counters
    history: Reckoning = field(default_factory=Reckoning)
    corrected: int = 0
    last: Snapshot | None = None
    began: dict[Key, float] = field(default_factory=dict)
    highest: dict[Key, Amounts] = field(default_factory=dict)

    async def poll(self, step: Step, query: Query, clock: FakeClock) -> Outcome:
        """Make one good poll, and see what becomes of the counters."""
        window = tuple(DAY + step.today - age for age in range(step.days))
        answer = {
            (window[age], key[: len(query.labels)]): amounts
            for (age, key), amounts in step.found.items()
            if age < step.days
        }
        grouping = Grouping(query, window)
        for (day, key), amounts in answer.items():
            grouping.add(Record(day, (*key, *[""] * 8)[:8], amounts))
        snapshot = await grouping.snapshot(self.last)

        is_first, before = self.history.newest_day is None, self.counters.shown
        self.history.poll(window, answer)
        changes = await self.counters.grow(grouping.found, snapshot, clock.monotonic())
        self.corrected += changes.growth.corrected
        if not is_first:
            self.began |= dict.fromkeys(snapshot.groups.keys() - before, clock.monotonic())
        self.check(snapshot, clock.monotonic())
        self.last = snapshot
        return Outcome(
            clock.time(), clock.monotonic(), 0, {}, snapshot, counters=self.counters.shown,
            changes=changes,
        )  # fmt: skip

    def check(self, snapshot: Snapshot, now: float) -> None:
        """Say what holds after every good poll."""
        counters = self.counters
        shown, owed = counters.shown, [birth.owed for birth in counters.births.values()]
        assert shown.keys() == snapshot.groups.keys()
        assert shown.keys().isdisjoint(counters.unserved)
        everything = added(ZERO, *shown.values(), *counters.unserved.values(), *owed)
        assert everything == added(ZERO, *self.history.increases().values())
        assert self.corrected == self.history.corrections()

        self.began = {key: since for key, since in self.began.items() if key in shown}
        for key, value in shown.items():
            before = self.highest.get(key, ZERO)
            if key in self.began and now - self.began[key] < 120:
                assert value == before
            else:
                assert all(map(int.__ge__, value, before))
                assert key not in counters.births
            self.highest[key] = value
        for key, value in counters.unserved.items():
            assert value == self.highest[key]


class Exporter:
    """Two queries that are polled, forgotten, or found again in a state file."""

    def __init__(self, path: Path | None, labels: tuple[str, ...]) -> None:
        self.clock = FakeClock()
        self._path = path
        self._labels = labels
        self._asked: dict[str, Asked] = {}

    async def start(self) -> None:
        """Start, with what the state file has or with nothing."""
        self._keeper = await Keeper.open(self._path, self.clock)
        for name, source in SOURCES.items():
            kept = self._keeper.kept(name, source)
            if self._path is None or name not in self._asked:
                self._asked[name] = Asked(kept.counters)
            else:
                self.found_again(self._asked[name], kept)
        self._keeper.served(SOURCES)

    def found_again(self, asked: Asked, kept) -> None:
        """See that a state file holds all of a query."""
        assert kept.counters.shown == asked.counters.shown
        assert list(kept.counters.unserved.items()) == list(asked.counters.unserved.items())
        assert kept.counters.marks == asked.counters.marks
        assert (kept.good.snapshot if kept.good else None) == asked.last
        asked.counters = kept.counters
        asked.began = dict.fromkeys(kept.counters.shown, self.clock.monotonic())

    async def take(self, step: Step) -> None:
        """Let time pass, restart maybe, and poll."""
        self.clock.move(step.seconds)
        if step.restart:
            await self.stop()
            await self.start()
        query = Query(name=step.query, labels=self._labels, max_groups=step.max_groups)
        outcome = await self._asked[step.query].poll(step, query, self.clock)
        await self._keeper.keep(step.query, outcome)
        self._keeper.served(SOURCES)  # of the other query, as after a poll that failed

    async def stop(self) -> None:
        """Let go of the state file."""
        await self._keeper.close()


async def live(history: list[Step], path: Path | None, labels: tuple[str, ...]) -> None:
    """Live through a history."""
    exporter = Exporter(path, labels)
    await exporter.start()
    try:
        for step in history:
            await exporter.take(step)
    finally:
        await exporter.stop()


def through(history: list[Step], labels: tuple[str, ...] = LABELS, *, file: bool = False) -> None:
    """Live through a history, with a state file or without."""
    with tempfile.TemporaryDirectory() if file else nullcontext() as folder:
        asyncio.run(live(history, Path(folder, "state.db") if folder else None, labels))


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@given(
    history=st.lists(steps(KEYS), min_size=2, max_size=12),
    labels=st.sampled_from([LABELS, LABELS, ("repo_id",), ()]),
)
@settings(deadline=None, max_examples=150, suppress_health_check=SLOW)
def test_over_all_groups_counters_are_the_highest_totals_less_their_bases(history, labels):
    """Whatever is corrected, moved, folded, forgotten or asked for, nothing is lost, counted twice,
    or falls; and series are those of the gauges and grow when they may.
    """
    through(history, labels)


@given(history=st.lists(steps(KEYS), min_size=2, max_size=8))
@settings(deadline=None, max_examples=25, suppress_health_check=SLOW)
def test_a_state_file_makes_a_restart_nothing_special(history):
    """With one, the same holds whenever the exporter was restarted."""
    through(history, file=True)


WINDOW = (DAY, DAY - 1)


def showing(*keys: Key) -> Snapshot:
    """Return a snapshot of which only the groups matter."""
    return Snapshot(WINDOW, dict.fromkeys(keys, (None, None)), 0, 0, 0)


def found(calls: dict[Key, int]) -> dict[Key, list[Amounts | None]]:
    """Return the totals of today."""
    return {key: [amounts_of(number), None] for key, number in calls.items()}


def shown(counters: Counters) -> dict[Key, int]:
    """Return the calls of the series."""
    return {key: amounts[CALLS] for key, amounts in counters.shown.items()}


def test_ten_thousand_counters_without_a_series_are_kept():
    """The last to lose theirs are; the others begin anew, and nothing counts a second time."""
    many = [(f"{number}",) for number in range(MAX_UNSERVED + 2)]
    counters = Counters()
    at_once(counters.grow(found({}), showing(), 0))
    counters.served(0)
    at_once(counters.grow(found(dict.fromkeys(many, 1)), showing(*many), 10))
    counters.served(10)
    at_once(counters.grow(found(dict.fromkeys(many, 2)), showing(*many), 130))
    changes = at_once(counters.grow(found({}), showing(), 140))
    assert changes.forgotten == many[:2]
    assert len(counters.unserved) == MAX_UNSERVED

    at_once(counters.grow(found(dict.fromkeys(many, 3)), showing(*many), 150))
    counters.served(150)
    assert shown(counters) == dict.fromkeys(many, 2) | dict.fromkeys(many[:2], 0)
    at_once(counters.grow(found(dict.fromkeys(many, 3)), showing(*many), 270))
    assert shown(counters) == dict.fromkeys(many, 3) | dict.fromkeys(many[:2], 1)


def test_what_is_owed_waits_for_a_series_to_return():
    """A group that leaves before it could grow is owed its calls, and gets them when it is back."""
    counters, other = Counters(), ("b",)
    at_once(counters.grow(found({}), showing(), 0))
    counters.served(0)
    for now, key in ((10, ("a",)), (20, other), (30, ("a",))):
        at_once(counters.grow(found({("a",): 5}), showing(key), now))
        counters.served(now)
        assert shown(counters) == {key: 0}
    at_once(counters.grow(found({("a",): 5}), showing(("a",)), 149))
    assert shown(counters) == {("a",): 0}
    at_once(counters.grow(found({("a",): 5}), showing(("a",)), 150))
    assert shown(counters) == {("a",): 5}


def test_a_reload_in_the_midst_of_a_poll_leaves_nothing_owed_for_ever():
    """Whenever series begin anew, even while a poll counts on, all grow two minutes later."""
    keys = [(f"{number}",) for number in range(1000)]
    for turns in range(30):
        counters = Counters()
        at_once(counters.grow(found({}), showing(), 0))
        counters.served(0)
        poll = counters.grow(found(dict.fromkeys(keys, 1)), showing(*keys), 10)
        with suppress(StopIteration):
            for _ in range(turns):
                poll.send(None)
        at_once(counters.begin_again())
        counters.served(11)
        with suppress(StopIteration, RuntimeError):
            at_once(poll)
        counters.served(12)
        at_once(counters.grow(found(dict.fromkeys(keys, 1)), showing(*keys), 132))
        assert shown(counters) == dict.fromkeys(keys, 1)
        assert counters.births == {}
