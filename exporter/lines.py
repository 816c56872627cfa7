"""Writes lines to standard output or error in a thread of its own.

So a reader that does not read holds up nothing.
"""

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

# Lines that may wait to be written.
_MAX_WAITING = 1000


class Lines:
    """Lines on their way to a stream, in the order in which they came.

    One that was closed before the program began (None) takes none.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Write to `stream`, which stays the caller's."""
        self._descriptor = stream.fileno() if stream is not None else None
        self._waiting: queue.Queue[bytes | threading.Event] = queue.Queue(_MAX_WAITING)
        self._writer: threading.Thread | None = None

    def write(self, line: str) -> bool:
        """Take one line to be written, and return whether there was room for it."""
        if self._descriptor is None:
            return True
        if self._writer is None:
            self._writer = _started(self._write_all, self._descriptor)
        try:
            self._waiting.put_nowait(f"{line}\n".encode(errors="backslashreplace"))
        except queue.Full:
            return False
        return True

    def flush(self, seconds: float) -> None:
        """Wait until all lines are written, but no longer than so many seconds."""
        if self._writer is None:
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


def _started(work: Callable[[int], None], descriptor: int) -> threading.Thread:
    thread = threading.Thread(target=work, args=[descriptor], name="lines", daemon=True)
    thread.start()
    return thread
