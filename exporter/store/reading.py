"""Reads what the state file holds: each query's counters, marks and last good data."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.clock import MILLISECONDS_FROM, Clock
from exporter.errors import StateDamagedError
from exporter.metrics import AMOUNT_NAMES, AMOUNTS
from exporter.statistics.counters import Birth, Counters
from exporter.statistics.groups import Key
from exporter.statistics.kept import Kept, snapshot_of
from exporter.statistics.marks import Day, Marks
from exporter.statistics.records import Amounts
from exporter.statistics.state import Outcome
from exporter.steps import in_steps
from exporter.store import schema
from exporter.store.copy import NO_RECORD, Copy, QueryRow
from exporter.store.database import Database

_KINDS = tuple(QueryRow.__annotations__.values())


@dataclass
class Read:
    """One query of the file. `keys` are its groups by their numbers.

    Where another exporter wrote it, which knew other amounts, `names` are not today's. Then its
    counters go on, its marks are of no use, and it is to be written anew.
    """

    name: str
    copy: Copy
    kept: Kept
    names: list[str]
    polled: float
    asked: tuple[int, ...]
    counts: tuple[int, int, int]
    keys: dict[int, Key] = field(default_factory=dict)
    shown: dict[Key, Amounts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note whether the rows hold other amounts than today's."""
        self._is_foreign = self.names != list(AMOUNT_NAMES)

    def add_group(self, number: int, labels: str) -> None:
        """Take a row of `groups`."""
        key = tuple(map(str, json.loads(labels)))
        self.keys[number] = key
        self.copy.groups[key] = self.copy.last_group = number

    def add_counter(self, number: int, amounts: str, owed: str, ended: int) -> None:
        """Take a row of `counters`; series that ended come in the order in which they did."""
        key, counters = self.keys[number], self.kept.counters
        if ended:
            counters.unserved[key] = self._amounts(amounts)
            self.copy.ended = int(ended)
        else:
            self.shown[key] = self._amounts(amounts)
        if owed:
            counters.births[key] = Birth(None, self._amounts(owed))

    def add_total(self, day: int, number: int, mark: str, total: str | None) -> None:
        """Take a row of `totals`."""
        if self._is_foreign:
            return
        key, of_day = self.keys[number], self.kept.counters.marks.days[day]
        of_day.marks[key] = self._amounts(mark)
        if total is not None:
            of_day.lower[key] = None if total == NO_RECORD else self._amounts(total)

    async def complete(self, clock: Clock) -> None:
        """Put the last good data together, and let all series begin anew."""
        counters = self.kept.counters
        counters.shown = self.shown
        await counters.begin_again()
        if self._is_foreign:
            counters.marks.days.clear()
            return
        age = max(0.0, clock.time() - self.polled)
        self.kept.good = Outcome(
            finished_at=self.polled,
            finished=clock.monotonic() - age,
            duration=0.0,
            rejected={},
            snapshot=await snapshot_of(counters, self.asked, *self.counts),
            counters=counters.shown,
        )

    def _amounts(self, text: str) -> Amounts:
        amounts = numbers(text)
        if not self._is_foreign and len(amounts) == AMOUNTS:
            return amounts
        by_name = dict(zip(self.names, amounts, strict=True))
        return tuple(by_name.get(name, 0) for name in AMOUNT_NAMES)


async def read(database: Database, clock: Clock) -> list[Read]:
    """Return all queries. Raises StateDamagedError where a row makes no sense."""
    try:
        rows = [_checked(row) async for row in _rows(database, schema.QUERIES)]
        queries = {row.number: _query(row) for row in rows}
        async for number, *row in _rows(database, schema.GROUPS):
            queries[number].add_group(*row)
        async for number, *row in _rows(database, schema.COUNTERS):
            queries[number].add_counter(*row)
        async for number, day, *row in _rows(database, schema.TOTALS):
            queries[number].add_total(day, *row)
        for query in queries.values():
            await query.complete(clock)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise StateDamagedError("a row of it makes no sense") from error
    return list(queries.values())


async def _rows(database: Database, query: str) -> AsyncIterator[Sequence[Any]]:
    async for some in database.read(query):
        async for row in in_steps(some):
            yield row


def _checked(row: Sequence[Any]) -> QueryRow:
    """Return a row of `queries`: SQLite takes any value in any column."""
    for value, kind in zip(row, _KINDS, strict=True):
        if not isinstance(value, kind):
            raise TypeError
    checked = QueryRow(*row)
    if not 0 <= checked.polled < MILLISECONDS_FROM or not checked.asked:
        raise ValueError
    return checked


def _query(row: QueryRow) -> Read:
    names = row.amounts.split()
    days = {day: Day() for day in numbers(row.held)}
    marks = Marks(days, row.newest_day, row.newest_record)
    usable = names == list(AMOUNT_NAMES)
    kept = Kept(row.source, Counters(marks))
    return Read(
        name=row.name,
        copy=Copy(row.number, kept if usable else None),
        kept=kept,
        names=names,
        polled=row.polled,
        asked=numbers(row.asked),
        counts=(row.records, row.found, row.folded),
    )


def numbers(text: str) -> tuple[int, ...]:
    """Return the whole numbers of a row."""
    return tuple(map(int, text.split()))
