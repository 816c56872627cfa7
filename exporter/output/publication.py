"""Holds what is published right now, and keeps it in step with polls, the day and the age of the data."""

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
    """One consistent picture: the state of every query and the exposition that was rendered from it.

    Every change makes a new one with the next `number`; `edition` is the number of the view whose exposition it has.
    Whoever wants to know later whether there is a newer one keeps a number: a view that is kept keeps all its data.
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
        """Return the view for this moment. It is ready, but once a day and when data has become too old."""
        if not self._is_current():
            async with self._turn:
                if not self._is_current():
                    await self._publish(self._view.states)
        return self._view

    async def add(self, name: str, source: object, outcome: Outcome) -> None:
        """Publish how a poll of `source` ended, unless a reload has put another question in its place."""

        def changed(states: States) -> States:
            state = states.get(name)
            return (
                {**states, name: state.after(outcome)}
                if state and state.source == source
                else states
            )

        await self.change(changed)

    async def skip(self, name: str) -> None:
        """Count a poll that was left out."""
        await self.change(
            lambda states: {**states, name: states[name].after_skip()} if name in states else states
        )

    async def change(self, changed: Callable[[States], States]) -> None:
        """Publish the states that `changed` makes of the present ones."""
        async with self._turn:
            await self._publish(changed(self._view.states))

    def _is_current(self) -> bool:
        now = self._clock.monotonic()
        shown = {
            name: snapshot
            for name, state in self._view.states.items()
            if (snapshot := state.snapshot(now))
        }
        return (
            self._view.today == utc_day(self._clock.time())
            and shown.keys() == self._view.shown.keys()
        )

    async def _publish(self, states: States) -> None:
        before, self._view = self._view, await self._next(states)
        gone = await _no_longer_held(before, self._view)
        del before
        await let_go(gone)

    async def _next(self, states: States) -> View:
        before, today, now = self._view, utc_day(self._clock.time()), self._clock.monotonic()
        states = {name: state.on(today) for name, state in states.items()}
        shown = {}
        for name, state in states.items():
            snapshot = state.snapshot(now)
            if snapshot is not None:
                old = before.shown.get(name)
                unchanged = (
                    old is not None
                    and old[0] is snapshot
                    and before.today == today
                    and before.states[name].query == state.query
                )
                rendered = (
                    old[1]
                    if old and unchanged
                    else await render(blocks(state.query, snapshot, today))
                )
                shown[name] = (snapshot, rendered)
        queries = [rendered for _, rendered in shown.values()]
        same = queries == [rendered for _, rendered in before.shown.values()]
        number = before.number + 1
        if same:
            return View(number, before.edition, states, today, shown, before.exposition)
        return View(number, number, states, today, shown, await assemble(queries))


async def _no_longer_held(before: View, after: View) -> list[object]:
    """Return the groups and lines that only the view before has, one by one; it may hold data too old to be shown."""
    kept = {id(part) for part in chain(_snapshots(after), _rendered(after))}
    gone: list[Iterable[object]] = []
    for snapshot in _snapshots(before):
        if id(snapshot) not in kept:
            gone += (snapshot.groups, snapshot.groups.values())
    for rendered in _rendered(before):
        if id(rendered) not in kept:
            gone += rendered.lines.values()
    return [part async for part in in_steps(chain.from_iterable(gone))]


def _snapshots(view: View) -> list[Snapshot]:
    outcomes = [state.good for state in view.states.values()]
    return [outcome.snapshot for outcome in outcomes if outcome and outcome.snapshot]


def _rendered(view: View) -> list[Rendered]:
    return [rendered for _, rendered in view.shown.values()]
