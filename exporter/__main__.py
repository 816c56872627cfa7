"""The command `flashback-exporter`, and `python -m exporter`."""

import os
import signal
import sys
from contextlib import suppress


def run() -> None:
    """Run the command line, heeding signals from the start.

    SIGTERM and SIGINT end the exporter with 0, and SIGHUP waits until there is something to reload.
    A check that is interrupted has not found anything good, so it ends with 1.
    """
    with suppress(OSError):
        _fill_closed_streams()
    checking = "check" in sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_check if checking else _end)
    if not checking:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    from exporter.cli import main  # noqa: PLC0415 - takes half a second, in which a signal may come

    sys.exit(main())


def _fill_closed_streams() -> None:
    """Open the null device where a standard stream is closed.

    The next socket would get its number otherwise, and with it what the interpreter writes there.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


def _end(*_: object) -> None:
    os._exit(0)  # an exception would be lost where Python ignores those of callbacks


def _end_check(*_: object) -> None:
    sys.exit(1)


if __name__ == "__main__":
    run()
