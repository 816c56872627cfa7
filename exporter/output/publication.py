"""Holds what is published right now: the newest polls, on the present day, unless too old."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from exporter.clock import Clock, utc_day
from exporter.output.exposition import Exposition, Rendered, assemble, render
from exporter.output.samples import blocks
from exporter.statistics.groups import Snapshot
from exporter.statistics.state import Outcome, QueryState
from exporter.steps import in_steps, let_go

States = Mapping[str, QueryState]


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
    shown: Mapping[str, tuple[Snapshot, Rendered]]
    exposition: Exposition

    def series(self, name: str) -> int:
        """Return how many series of AI statistics a query shows."""
        return self.shown[name][1].series if name in self.shown else 0

    def rendered(self, state: QueryState, snapshot: Snapshot, today: int) -> Rendered | None:
        """Return the lines of a query; None where they would be others by now."""
        name = state.query.name
        held, lines = self.shown.get(name, (None, None))
        same = held is snapshot and self.today == today and self.states[name].query == state.query
        return lines if same else None


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

    async def add(self, name: str, source: object, outcome: Outcome) -> None:
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
        to_show = _to_show(view.states, self._clock.monotonic())
        return view.today == today and view.shown.keys() == to_show.keys()

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

        shown: dict[str, tuple[Snapshot, Rendered]] = {}
        for name, snapshot in _to_show(states, self._clock.monotonic()).items():
            state = states[name]
            rendered = before.rendered(state, snapshot, today)
            if rendered is None:
                rendered = await render(blocks(state.query, snapshot, today))
            shown[name] = snapshot, rendered

        number = before.number + 1
        lines = [rendered for _, rendered in shown.values()]
        if lines == _rendered(before):
            return View(number, before.edition, states, today, shown, before.exposition)
        return View(number, number, states, today, shown, await assemble(lines))


def _to_show(states: States, now: float) -> dict[str, Snapshot]:
    """Return the data of every query that has some, and not too old."""
    snapshots = {name: state.snapshot(now) for name, state in states.items()}
    return {name: snapshot for name, snapshot in snapshots.items() if snapshot}


async def _no_longer_held(before: View, after: View) -> list[object]:
    """Return, one by one, the groups and lines that only the view before has."""
    kept = {id(part) for part in chain(_snapshots(after), _rendered(after))}
    parts: list[Iterable[object]] = []

    for snapshot in _snapshots(before):
        if id(snapshot) not in kept:
            parts += [snapshot.groups, snapshot.groups.values()]

    for rendered in _rendered(before):
        if id(rendered) not in kept:
            parts += rendered.lines.values()

    return [part async for part in in_steps(chain.from_iterable(parts))]


def _snapshots(view: View) -> list[Snapshot]:
    """Return the data that a view holds, also that which is too old to be shown."""
    outcomes = [state.good for state in view.states.values()]
    return [outcome.snapshot for outcome in outcomes if outcome and outcome.snapshot]


def _rendered(view: View) -> list[Rendered]:
    return [rendered for _, rendered in view.shown.values()]
