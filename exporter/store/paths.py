"""Says where a state file can never be used, without opening it as SQLite does."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from exporter.errors import StateError
from exporter.store.schema import APPLICATION_ID, FORMAT

_HEADER = 100  # bytes at the beginning that say what a file is
_MAGIC = b"SQLite format 3\x00"


def check_path(path: Path) -> None:
    """Raise StateError where a state file can never be used. Opens and makes nothing for good.

    The process that has the file locked must not call it: closing the file again would end the
    lock, as POSIX has it.
    """
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            _check_file(path)
        _check_folder(real_path(path).parent)
    except OSError as error:
        raise StateError(error.strerror or "it cannot be opened") from error


def _check_file(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise StateError("it is a directory")
    if not stat.S_ISREG(mode):
        raise StateError("it is no regular file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StateError("it may not be read and written")
    with path.open("rb") as file:
        _check_header(file.read(_HEADER))


def _check_folder(folder: Path) -> None:
    """Refuse a folder in which SQLite cannot make its journal."""
    if not folder.is_dir():
        raise StateError("its folder does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StateError("its folder may not be written to")


def _check_header(header: bytes) -> None:
    """Refuse other programs' files, and those of newer exporters. An empty one is new."""
    if not header.strip(b"\x00"):
        return
    if not header.startswith(_MAGIC) or len(header) < _HEADER:
        raise StateError("it is no state file")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise StateError("it is another program's database")
    if int.from_bytes(header[60:64]) > FORMAT:
        raise StateError("a newer exporter wrote it")


def real_path(path: Path) -> Path:
    """Return where a path leads."""
    return Path(os.path.realpath(path))  # Path.resolve raises at links that lead to themselves
