"""The state file: found again at the start, written at each good poll before that is served."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from exporter.clock import Clock
from exporter.errors import StateDamagedError, StateError, StateInUseError, StateWriteError
from exporter.statistics.account import Names
from exporter.statistics.kept import Kept
from exporter.store import schema
from exporter.store.copy import Copy, Good, everything
from exporter.store.database import Database
from exporter.store.names import read_names, write_names
from exporter.store.reading import read

_PATIENCE = 10.0  # seconds for another exporter to end
_LOOK = 0.1

_log = structlog.get_logger(__name__)


class StateFile:
    """The state of queries in a file.

    A write that fails is not tried again. The file is removed, for an old one would make counters
    fall, and is written whole at the next good poll.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Prepare; `open` opens."""
        self.write_failures = 0
        self._path = path
        self._clock = clock
        self._database = Database(path)
        self._copies: dict[str, Copy] = {}
        self._last_number = 0
        self._source, self._names = "", Names()
        self._named: Mapping[str, Names] = {}
        self._turn = asyncio.Lock()  # one transaction at a time
        self._is_open = False
        self.is_failing = False

    async def open(self) -> dict[str, Kept]:
        """Open the file and return what it holds, by the names of the queries.

        A damaged one is moved aside. Raises StateInUseError where another exporter keeps it for
        longer than ten seconds, StateError where it cannot be used at all.
        """
        try:
            return await self._found()
        except StateWriteError as error:
            await self._give_up(error)
        return {}

    async def write(self, name: str, kept: Kept, good: Good) -> None:
        """Write what a good poll changed, and return once it is safe, or has failed."""
        async with self._turn:
            try:
                if not self._is_open:
                    await self._open()
                async with self._database.transaction():
                    await self._write(name, kept, good)
                    named = await self._write_names()
                self._named = named
                self._note_success()
            except StateError as error:
                await self._give_up(error)

    def names(self, source: str) -> Names:
        """Return the names of an account that the file holds."""
        return self._named.get(source, Names())

    async def write_names(self, source: str, names: Names) -> None:
        """Write what is new about an account's names; after a failure, with the next good poll."""
        async with self._turn:
            self._source, self._names = source, names
            if self.is_failing or self.names(source) is names:
                return
            try:
                async with self._database.transaction():
                    named = await self._write_names()
                self._named = named
            except StateError as error:
                await self._give_up(error)

    async def forget(self, name: str) -> None:
        """Forget a query."""
        async with self._turn:
            copy = self._copies.pop(name, None)
            if copy is None:
                return
            try:
                async with self._database.transaction():
                    await self._remove(copy)
            except StateError as error:
                await self._give_up(error)

    async def close(self) -> None:
        """Close the file."""
        async with self._turn:
            await self._database.close()

    async def _open(self) -> None:
        await self._database.open()
        self._is_open = True

    async def _found(self) -> dict[str, Kept]:
        """Return what the file holds: nothing, where it is damaged and has to be moved aside."""
        try:
            await self._open_in_time()
            return await self._read()
        except StateDamagedError as error:
            aside, why = str(await self._database.set_aside()), str(error)
            _log.error("state file is damaged: beginning anew", moved_to=aside, error=why)
            await self._open()
            return {}

    async def _open_in_time(self) -> None:
        deadline = self._clock.monotonic() + _PATIENCE
        while not self._is_open:
            try:
                await self._open()
            except StateInUseError:
                if self._clock.monotonic() >= deadline:
                    raise
                await self._clock.sleep(_LOOK)

    async def _read(self) -> dict[str, Kept]:
        found = await read(self._database, self._clock)
        self._named = await read_names(self._database)
        self._copies = {query.name: query.copy for query in found}
        self._last_number = max((query.copy.query for query in found), default=0)
        return {query.name: query.kept for query in found}

    async def _write(self, name: str, kept: Kept, good: Good) -> None:
        if self.is_failing:
            await self._empty()
        copy = self._copies.get(name)
        if copy is not None and copy.kept is kept:
            await copy.update(self._database, name, kept, good)
            return

        if copy is not None:
            await self._remove(copy)
        self._last_number += 1
        self._copies[name] = new = Copy(self._last_number, kept)
        whole = good._replace(changes=await everything(kept.counters))
        await new.update(self._database, name, kept, whole)

    async def _write_names(self) -> Mapping[str, Names]:
        """Write what the file lacks of the latest names; return what it holds then."""
        source, names = self._source, self._names
        before = self.names(source)
        if not source or before is names:
            return self._named
        await write_names(self._database, source, before, names)
        return {source: names}

    async def _empty(self) -> None:
        """Forget what stands in a file that could not be removed, or was put in its place."""
        for statement in schema.EMPTY:
            await self._database.write(statement, [()])

    async def _remove(self, copy: Copy) -> None:
        for statement in schema.NO_QUERY:
            await self._database.write(statement, [(copy.query,)])

    async def _give_up(self, error: StateError) -> None:
        """Remove the file: what it holds is older than what will be served."""
        self._note_failure(error)
        self._is_open = False
        self._copies.clear()
        self._named = {}
        if isinstance(error, StateInUseError):
            return
        try:
            await self._database.remove()
        except StateError as fault:
            why = str(fault)
            _log.error("state file cannot be removed: a start would find old state", error=why)

    def _note_failure(self, error: StateError) -> None:
        self.write_failures += 1
        if not self.is_failing:
            _log.error("state file cannot be written: serving from memory", error=str(error))
        self.is_failing = True

    def _note_success(self) -> None:
        if self.is_failing:
            _log.info("state file is written again")
        self.is_failing = False
