"""The state file as SQLite sees it: opened once, locked from start to end, written in a thread."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from exporter.errors import StateDamagedError, StateError, StateInUseError, StateWriteError
from exporter.store.paths import check_path, real_path
from exporter.store.schema import FORMAT, FORMATS

Rows = Sequence[Sequence[Any]]

_ROWS = 1000  # rows that are read or written at a time
_PRIVATE = 0o600
_OPENING = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = TRUNCATE",
    "PRAGMA synchronous = FULL",
    "BEGIN EXCLUSIVE",  # takes the lock, which the locking mode keeps
    "COMMIT",
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ERRORS = {
    sqlite3.SQLITE_ERROR: StateDamagedError,  # no such table, for one
    sqlite3.SQLITE_BUSY: StateInUseError,
    sqlite3.SQLITE_LOCKED: StateInUseError,
    sqlite3.SQLITE_CORRUPT: StateDamagedError,
    sqlite3.SQLITE_NOTADB: StateDamagedError,
    sqlite3.SQLITE_IOERR_SHORT_READ: StateDamagedError,
    sqlite3.SQLITE_FULL: StateWriteError,
    sqlite3.SQLITE_IOERR_WRITE: StateWriteError,
    sqlite3.SQLITE_IOERR_FSYNC: StateWriteError,
}

_T = TypeVar("_T")
_Place = tuple[int, int]


class Database:
    """A state file. While it is open, no other process can open it."""

    def __init__(self, path: Path) -> None:
        """Prepare; `open` opens."""
        self._path = real_path(path)
        self._opened: _Place | None = None
        # One thread: SQLite waits for the disk.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state file")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open and lock the file, and make it where there is none. Raises StateError."""
        await self._in_thread(self._open)

    async def read(self, query: str) -> AsyncIterator[Rows]:
        """Yield rows, a thousand at a time. Raises StateDamagedError."""
        cursor = await self._in_thread(self._execute, query)
        while rows := await self._in_thread(cursor.fetchmany, _ROWS):
            yield rows

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Have all that is written meanwhile saved, or nothing of it. Raises StateError."""
        try:
            await self._in_thread(self._begin)
            yield
            await self._in_thread(self._execute, "COMMIT")
        except BaseException:
            with suppress(StateError):
                await self._in_thread(self._execute, "ROLLBACK")
            raise

    async def write(self, statement: str, rows: Rows) -> None:
        """Run a statement once for each of some rows. Raises StateError."""
        if rows:
            await self._in_thread(self._execute_many, statement, rows)

    async def close(self) -> None:
        """Close the file, which ends the lock."""
        await self._in_thread(self._close)

    async def remove(self) -> None:
        """Close the file and remove it. Raises StateError where that does not work.

        What somebody else has put in its place stays.
        """
        await self._in_thread(self._remove)

    async def set_aside(self) -> Path:
        """Close the file and give it and its journal other names; return the file's."""
        return await self._in_thread(self._set_aside)

    async def _in_thread(self, work: Callable[..., _T], *values: Any) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work, *values)
        except sqlite3.Error as error:
            raise _state_error(error) from error
        except UnicodeDecodeError as error:  # a message of SQLite that repeats damaged text
            raise StateDamagedError("what it holds is damaged") from error
        except OSError as error:
            kind = StateWriteError if error.errno in _NO_ROOM else StateError
            raise kind(error.strerror or "it cannot be used") from error

    def _open(self) -> None:
        self._close()
        check_path(self._path)
        _make_private(self._path)
        self._connection = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._opened = _place(self._path)
        for statement in _OPENING:
            self._execute(statement)
        (version,) = self._execute("PRAGMA user_version").fetchone()
        if version < FORMAT:
            self._bring_up(version)
        (sound,) = self._execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise StateDamagedError("what it holds is damaged")

    def _bring_up(self, version: int) -> None:
        """Make of an older format, or of a new file, one of today's."""
        self._execute("BEGIN IMMEDIATE")
        for statement in chain.from_iterable(FORMATS[version:]):
            self._execute(statement)
        self._execute("COMMIT")

    def _begin(self) -> None:
        """Begin a transaction. SQLite itself would write on where nobody finds it again."""
        if _place(self._path) != self._opened:
            raise StateWriteError("it was removed or replaced")
        self._execute("BEGIN IMMEDIATE")

    def _execute(self, statement: str) -> sqlite3.Cursor:
        if self._connection is None:
            raise StateWriteError("it is not open")
        return self._connection.execute(statement)

    def _execute_many(self, statement: str, rows: Rows) -> None:
        if self._connection is not None:
            self._connection.executemany(statement, rows)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._opened = None
        if connection is not None:
            connection.close()

    def _remove(self) -> None:
        is_ours = self._opened is not None and self._opened == _place(self._path)
        self._close()
        if is_ours:
            for path in (self._path, _journal(self._path)):
                path.unlink(missing_ok=True)

    def _set_aside(self) -> Path:
        self._close()
        aside = self._path.with_name(f"{self._path.name}.damaged")
        self._path.replace(aside)
        journal = _journal(self._path)
        if journal.exists():
            journal.replace(_journal(aside))
        else:
            _journal(aside).unlink(missing_ok=True)
        return aside


def _place(path: Path) -> _Place | None:
    """Return what tells a file from one that takes its place; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_private(path: Path) -> None:
    """Make the file where there is none, and let nobody else read it, nor its journal.

    SQLite would let others. A new journal gets the file's mode.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE))
    for each in (path, _journal(path)):
        with suppress(FileNotFoundError, PermissionError):  # it may be somebody else's
            each.chmod(_PRIVATE)


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _state_error(error: sqlite3.Error) -> StateError:
    """Return what an error of SQLite means for the file. Its text names no content."""
    # There is no code where Python finds text that is not UTF-8.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    kind = _ERRORS.get(code) or _ERRORS.get(code & 0xFF, StateError)
    return kind(str(error))
