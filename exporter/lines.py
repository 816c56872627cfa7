"""Writes lines to standard output and error.

A command that ends soon writes them at once. The running exporter has a thread for them, so that a
reader that does not read holds up nothing.
"""

import os
import queue
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import TextIO

from exporter.errors import OutputError

# Lines that may wait to be written.
_MAX_WAITING = 1000


def say(line: str) -> None:
    """Write a line of a command's answer. Raises OutputError where standard output refuses it."""
    try:
        _write_at_once(line, sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        raise OutputError(f"standard output cannot be written to: {error.strerror}") from error


def complain(line: str) -> None:
    """Write a line to standard error; where that refuses it, the exit code tells enough."""
    try:
        _write_at_once(line, sys.stderr)
    except OSError:
        _discard(sys.stderr)


class Lines:
    """Lines on their way to a stream, in the order in which they came.

    One that was closed before the program began (None) takes none.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Write to `stream`, which stays the caller's."""
        self._waiting: queue.Queue[bytes | threading.Event] = queue.Queue(_MAX_WAITING)
        self._is_closed = stream is None
        if stream is not None:
            write = partial(self._write_all, stream.fileno())
            threading.Thread(target=write, name="lines", daemon=True).start()

    def write(self, line: str) -> bool:
        """Take one line to be written, and return whether there was room for it."""
        if self._is_closed:
            return True
        try:
            self._waiting.put_nowait(f"{line}\n".encode(errors="backslashreplace"))
        except queue.Full:
            return False
        return True

    def flush(self, seconds: float) -> None:
        """Wait until all lines are written, but no longer than so many seconds."""
        if self._is_closed:
            return
        written = threading.Event()
        with suppress(queue.Full):
            self._waiting.put(written, timeout=seconds)
            written.wait(seconds)

    def _write_all(self, descriptor: int) -> None:
        while True:
            line = self._waiting.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            # An error means that nobody is left to read it.
            with suppress(OSError):
                while line:
                    line = line[os.write(descriptor, line) :]


def _write_at_once(line: str, stream: TextIO | None) -> None:
    """Write a line, with escapes for characters that the stream's encoding lacks.

    A stream that is closed (None) takes none.
    """
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    shown = line.encode(encoding, errors="backslashreplace").decode(encoding)
    stream.write(f"{shown}\n")
    stream.flush()


def _discard(stream: TextIO) -> None:
    """Let what is left in a stream's buffer go nowhere.

    Python would try to write it once more at the end, and complain.
    """
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a device, and no path
        os.dup2(nothing.fileno(), stream.fileno())
