"""What the state file has of one query, and how it is brought up to date."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

from exporter.metrics import AMOUNT_NAMES
from exporter.statistics.counters import Changes, Counters
from exporter.statistics.groups import Key, Snapshot
from exporter.statistics.kept import Kept
from exporter.statistics.marks import Growth, Marks
from exporter.steps import in_runs, in_steps, one_a_step
from exporter.store import schema
from exporter.store.database import Database

NAMES = " ".join(AMOUNT_NAMES)
"""Which amounts a row holds, in their order."""
NO_RECORD = ""
"""Stands for the total of a group that the last answer had no record of."""

_T = TypeVar("_T")
_Row = Sequence[Any]


class Good(NamedTuple):
    """What a good poll found, what it changed, and the Unix time at which it ended."""

    finished_at: float
    snapshot: Snapshot
    changes: Changes


class QueryRow(NamedTuple):
    """A row of `queries`."""

    number: int
    name: str
    source: str
    amounts: str
    polled: float
    held: str
    asked: str
    newest_day: int
    newest_record: int
    records: int
    found: int
    folded: int


@dataclass
class Copy:
    """One query in the file: its number there, those of its groups, and how many series ended.

    It is a copy of `kept`, or of None where its rows are of no use to this exporter.
    """

    query: int
    kept: Kept | None
    groups: dict[Key, int] = field(default_factory=dict)
    last_group: int = 0
    ended: int = 0

    async def update(self, database: Database, name: str, kept: Kept, good: Good) -> None:
        """Write what a good poll changed. Belongs in a transaction. Raises StateError."""
        counters, changes = kept.counters, good.changes
        growth = changes.growth
        new = await self._numbered(key async for _, key in in_steps(growth.changed))
        new += await self._numbered(in_steps(changes.counters))
        await _write(database, schema.GROUP, new, self._group)

        changed = [key async for key in in_steps(changes.counters) if _has_counter(counters, key)]
        counter = partial(self._counter, counters)
        await _write(database, schema.COUNTER, changed, counter)
        await _write(database, schema.NO_COUNTER, changes.forgotten, self._place)

        total = partial(self._total, counters.marks)
        await _write(database, schema.TOTAL, growth.changed, total)
        if growth.dropped:
            await self._drop(database, counters, growth.dropped)
        await database.write(schema.QUERY, [self._query(name, kept, good)])

    async def _drop(self, database: Database, counters: Counters, days: Sequence[int]) -> None:
        """Forget days, and the groups of which nothing is left."""
        await database.write(schema.NO_DAY, [(self.query, day) for day in days])
        gone = [key async for key in in_steps(self.groups) if not _is_kept(counters, key)]
        await _write(database, schema.NO_GROUP, gone, self._place)
        async for key in in_steps(gone):
            del self.groups[key]

    async def _numbered(self, keys: AsyncIterator[Key]) -> list[Key]:
        """Return the groups that the file does not have yet, numbered now."""
        new = []
        async for key in keys:
            if key not in self.groups:
                self.last_group += 1
                self.groups[key] = self.last_group
                new.append(key)
        return new

    def _place(self, key: Key) -> _Row:
        return self.query, self.groups[key]

    def _group(self, key: Key) -> _Row:
        return *self._place(key), json.dumps(key)

    def _counter(self, counters: Counters, key: Key) -> _Row:
        birth = counters.births.get(key)
        owed = written(birth.owed) if birth else ""
        amounts, ended = counters.shown.get(key), 0
        if amounts is None:
            self.ended += 1
            amounts, ended = counters.unserved[key], self.ended
        return *self._place(key), written(amounts), owed, ended

    def _total(self, marks: Marks, place: tuple[int, Key]) -> _Row:
        day, key = place
        of_day = marks.days[day]
        total = None
        if key in of_day.lower:
            lower = of_day.lower[key]
            total = NO_RECORD if lower is None else written(lower)
        return self.query, day, self.groups[key], written(of_day.marks[key]), total

    def _query(self, name: str, kept: Kept, good: Good) -> QueryRow:
        marks, snapshot = kept.counters.marks, good.snapshot
        return QueryRow(
            number=self.query,
            name=name,
            source=kept.source,
            amounts=NAMES,
            polled=good.finished_at,
            held=written(marks.days),
            asked=written(snapshot.window),
            newest_day=marks.newest_day or max(snapshot.window),
            newest_record=marks.newest_record,
            records=snapshot.records,
            found=snapshot.found,
            folded=snapshot.folded,
        )


async def _write(
    database: Database, statement: str, items: Iterable[_T], row: Callable[[_T], _Row]
) -> None:
    """Run a statement for each item, whose row is made ready in steps."""
    async for run in one_a_step(in_runs(items)):
        await database.write(statement, [row(item) for item in run])


def written(numbers: Iterable[int]) -> str:
    """Return whole numbers as a row holds them."""
    return " ".join(map(str, numbers))


async def everything(counters: Counters) -> Changes:
    """Return all of a query as if it had changed, for a file that does not have it yet."""
    days = counters.marks.days
    all_totals = ((day, key) for day in days for key in days[day].marks)
    changes = Changes(Growth())
    changes.growth.changed = [total async for total in in_steps(all_totals)]
    changes.counters = [*counters.shown, *counters.unserved]
    return changes


def _has_counter(counters: Counters, key: Key) -> bool:
    return key in counters.shown or key in counters.unserved


def _is_kept(counters: Counters, key: Key) -> bool:
    days = counters.marks.days.values()
    return _has_counter(counters, key) or any(key in day.marks for day in days)
