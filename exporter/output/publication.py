"""Holds what is published right now: the newest polls, on the present day, unless too old."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

from exporter.clock import Clock, utc_day
from exporter.output.exposition import NOTHING_RENDERED, Exposition, Rendered, assemble, render
from exporter.output.samples import tables
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
class View:
    """One consistent picture: the state of every query and the exposition rendered from it.

    Every change makes a new one with the next `number`; `edition` is the number of the view whose
    exposition it has. Whoever wants to know later whether there is a newer one keeps a number: a
    view that is kept keeps all its data.
    """

    number: int
    edition: int
    states: States
    today: int
    parts: Mapping[str, Part]
    exposition: Exposition

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
    async def empty(cls, clock: Clock, states: States) -> "Publication":
        """Return a publication that has no data yet."""
        return cls(clock, View(0, 0, states, utc_day(clock.time()), {}, await assemble([])))

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
                    await self._publish(self._view.states)
        return self._view

    async def add(self, name: str, source: str, outcome: Outcome) -> None:
        """Publish how a poll of `source` ended, unless the query has another source by now."""

        def changed(states: States) -> States:
            state = states.get(name)
            if state is None or state.source != source:
                return states
            return {**states, name: state.after(outcome)}

        await self.change(changed)

    async def skip(self, name: str) -> None:
        """Count a poll that was left out."""

        def changed(states: States) -> States:
            state = states.get(name)
            return {**states, name: state.after_skip()} if state else states

        await self.change(changed)

    async def change(self, changed: Callable[[States], States]) -> None:
        """Publish the states that `changed` makes of the present ones."""
        async with self._turn:
            await self._publish(changed(self._view.states))

    def _is_current(self) -> bool:
        view, today = self._view, utc_day(self._clock.time())
        shown = _shown(view.states, self._clock.monotonic())
        return view.parts.keys() == shown.keys() and all(
            view.parts[name].shows(shown[name], today) for name in shown
        )

    async def _publish(self, states: States) -> None:
        before, self._view = self._view, await self._next(states)
        gone = await _no_longer_held(before, self._view)

        # Now only `gone` holds what goes. With the view itself, all of it would be freed at once.
        del before
        await let_go(gone)

    async def _next(self, states: States) -> View:
        before = self._view
        today = utc_day(self._clock.time())
        states = {name: state.on(today) for name, state in states.items()}

        parts: dict[str, Part] = {}
        for name, shown in _shown(states, self._clock.monotonic()).items():
            part = before.parts.get(name)
            if part is None or not part.shows(shown, today):
                before_it = part.rendered if part else NOTHING_RENDERED
                part = Part(shown, today, await render(tables(shown, today), before_it))
            parts[name] = part

        number = before.number + 1
        lines = [part.rendered for part in parts.values()]
        if lines == [part.rendered for part in before.parts.values()]:
            return View(number, before.edition, states, today, parts, before.exposition)
        return View(number, number, states, today, parts, await assemble(lines))


def _shown(states: States, now: float) -> dict[str, Shown]:
    """Return what every query shows that has something to show."""
    every = {name: state.shown(now) for name, state in states.items()}
    return {name: shown for name, shown in every.items() if shown.snapshot or shown.counters}


async def _no_longer_held(before: View, after: View) -> list[object]:
    """Return, one by one, what only the view before may have."""
    kept = {id(holder) for holder in _holders(after)}
    gone = [holder for holder in _holders(before) if id(holder) not in kept]
    groups = chain.from_iterable(chain(holder, holder.values()) for holder in gone)
    lines = chain.from_iterable(part.rendered.parts for part in before.parts.values())
    return [part async for part in in_steps(chain(groups, lines))]


def _holders(view: View) -> list[Mapping[Key, object]]:
    """Return what a view holds by group, also data that is too old to be shown."""
    holders: list[Mapping[Key, object]] = [state.counters for state in view.states.values()]
    outcomes = [state.good for state in view.states.values()]
    return holders + [good.snapshot.groups for good in outcomes if good and good.snapshot]
