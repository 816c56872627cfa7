"""Holds what is published right now: the newest polls, on the present day, unless too old."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import is_

from exporter.clock import Clock, utc_day
from exporter.output.about import About
from exporter.output.beside import tables_beside
from exporter.output.exposition import NOTHING_RENDERED, Exposition, Rendered, assemble, render
from exporter.output.samples import tables
from exporter.prices.table import Prices
from exporter.statistics.account import AccountState
from exporter.statistics.groups import Key
from exporter.statistics.state import Outcome, QueryState, Shown
from exporter.steps import in_steps, let_go

States = Mapping[str, QueryState]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one source shows: what that was made of, on which day, and its lines."""

    shown: Shown
    today: int
    rendered: Rendered

    def shows(self, shown: Shown, today: int) -> bool:
        """Whether that is what the lines say already."""
        before = self.shown
        return (
            self.today == today
            and before.query is shown.query
            and before.snapshot is shown.snapshot
            and before.counters is shown.counters
        )


@dataclass(frozen=True, slots=True, eq=False)
class PartBeside:
    """What stands beside the statistics: what is known, what the statistics showed, its lines."""

    about: About
    shown: Sequence[Shown]
    rendered: Rendered

    def shows(self, about: About, shown: Sequence[Shown]) -> bool:
        """Whether that is what the lines say already."""
        same = len(self.shown) == len(shown) and all(map(is_, self.shown, shown))
        return same and self.about.is_same(about)


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """All that is published: the state of every query, what is known of the account, and prices."""

    states: States
    account: AccountState = field(default_factory=AccountState)
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One consistent picture: facts, and the exposition rendered from them.

    Every change makes a new one with the next `number`; `edition` is the number of the view whose
    exposition it has. Whoever wants to know later whether there is a newer one keeps a number: a
    view that is kept keeps all its data.
    """

    number: int
    edition: int
    facts: Facts
    parts: Mapping[str, Part]
    beside: PartBeside
    exposition: Exposition

    @property
    def states(self) -> States:
        """The state of every query."""
        return self.facts.states

    @property
    def rendered(self) -> list[Rendered]:
        """All lines."""
        return [*(part.rendered for part in self.parts.values()), self.beside.rendered]

    def series(self, name: str) -> int:
        """Return how many series of AI statistics a query shows."""
        return self.parts[name].rendered.series if name in self.parts else 0


class Publication:
    """Publishes views: each change makes a new one, and one assignment publishes it."""

    def __init__(self, clock: Clock, view: View) -> None:
        """Begin with a view; see `Publication.empty`."""
        self._clock = clock
        self._view = view
        self._turn = asyncio.Lock()  # one rendering at a time, so that no change is lost

    @classmethod
    async def empty(cls, clock: Clock, facts: Facts) -> "Publication":
        """Return a publication that has no data yet."""
        about = About.at(clock.monotonic(), facts.account, facts.prices)
        beside = PartBeside(about, (), NOTHING_RENDERED)
        return cls(clock, View(0, 0, facts, {}, beside, await assemble([])))

    @property
    def view(self) -> View:
        """What is published, without regard to the time that has passed since."""
        return self._view

    async def current(self) -> View:
        """Return the view for this moment.

        A new one is made only where a day has begun or data has become too old since the last.
        """
        if not self._is_current():
            async with self._turn:
                if not self._is_current():  # else somebody else has made it meanwhile
                    await self._publish(self._view.facts)
        return self._view

    async def add(self, name: str, source: str, outcome: Outcome) -> None:
        """Publish how a poll of `source` ended, unless the query has another source by now."""

        def changed(states: States) -> States:
            state = states.get(name)
            if state is None or state.source != source:
                return states
            return {**states, name: state.after(outcome)}

        await self.change_states(changed)

    async def skip(self, name: str) -> None:
        """Count a poll that was left out."""

        def changed(states: States) -> States:
            state = states.get(name)
            return {**states, name: state.after_skip()} if state else states

        await self.change_states(changed)

    async def learn(self, account: AccountState) -> None:
        """Publish what is known of the account."""
        await self.change(lambda facts: replace(facts, account=account))

    async def change_states(self, changed: Callable[[States], States]) -> None:
        """Publish the states that `changed` makes of the present ones."""
        await self.change(lambda facts: replace(facts, states=changed(facts.states)))

    async def change(self, changed: Callable[[Facts], Facts]) -> None:
        """Publish the facts that `changed` makes of the present ones."""
        async with self._turn:
            await self._publish(changed(self._view.facts))

    def _is_current(self) -> bool:
        view, now, today = self._view, self._clock.monotonic(), utc_day(self._clock.time())
        shown = _shown(view.states, now)
        about = About.at(now, view.facts.account, view.facts.prices)
        return (
            view.parts.keys() == shown.keys()
            and all(view.parts[name].shows(shown[name], today) for name in shown)
            and view.beside.about.is_same(about)
        )

    async def _publish(self, facts: Facts) -> None:
        before, self._view = self._view, await self._next(facts)
        gone = await _no_longer_held(before, self._view)

        # Now only `gone` holds what goes. With the view itself, all of it would be freed at once.
        del before
        await let_go(gone)

    async def _next(self, facts: Facts) -> View:
        before, now, today = self._view, self._clock.monotonic(), utc_day(self._clock.time())
        facts = replace(facts, states={name: of.on(today) for name, of in facts.states.items()})

        parts: dict[str, Part] = {}
        for name, shown in _shown(facts.states, now).items():
            parts[name] = await _part(shown, today, before.parts.get(name))
        about = About.at(now, facts.account, facts.prices)
        beside = await _part_beside(about, [part.shown for part in parts.values()], before.beside)

        number = before.number + 1
        view = View(number, number, facts, parts, beside, before.exposition)
        if view.rendered == before.rendered:
            return replace(view, edition=before.edition)
        return replace(view, exposition=await assemble(view.rendered))


async def _part(shown: Shown, today: int, before: Part | None) -> Part:
    """Return the lines of a query, those before where they still say the same."""
    if before is None:
        return Part(shown, today, await render(tables(shown, today)))
    if before.shows(shown, today):
        return before
    return Part(shown, today, await render(tables(shown, today), before.rendered))


async def _part_beside(about: About, shown: Sequence[Shown], before: PartBeside) -> PartBeside:
    """Return the lines beside the statistics, those before where they still say the same."""
    if before.shows(about, shown):
        return before
    rendered = await render(await tables_beside(about, shown), before.rendered)
    return PartBeside(about, shown, rendered)


def _shown(states: States, now: float) -> dict[str, Shown]:
    """Return what every query shows that has something to show."""
    every = {name: state.shown(now) for name, state in states.items()}
    return {name: shown for name, shown in every.items() if shown.snapshot or shown.counters}


async def _no_longer_held(before: View, after: View) -> list[object]:
    """Return, one by one, what only the view before may have."""
    kept = {id(holder) for holder in _holders(after)}
    gone = [holder for holder in _holders(before) if id(holder) not in kept]
    groups = chain.from_iterable(chain(holder, holder.values()) for holder in gone)
    lines = chain.from_iterable(rendered.parts for rendered in before.rendered)
    return [part async for part in in_steps(chain(groups, lines))]


def _holders(view: View) -> list[Mapping[Key, object]]:
    """Return what a view holds by group, also data that is too old to be shown."""
    holders: list[Mapping[Key, object]] = [state.counters for state in view.states.values()]
    outcomes = [state.good for state in view.states.values()]
    return holders + [good.snapshot.groups for good in outcomes if good and good.snapshot]
