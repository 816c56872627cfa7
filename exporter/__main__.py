"""The command `flashback-exporter`, and `python -m exporter`."""

import os
import signal
import sys


def run() -> None:
    """Run the command line, heeding signals from the start.

    SIGTERM and SIGINT end the exporter with 0, and SIGHUP waits until there is something to reload.
    A check that is interrupted has not found anything good, so it ends with 1.
    """
    checking = "check" in sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_check if checking else _end)
    if not checking:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    from exporter.cli import main  # noqa: PLC0415 - takes half a second, in which a signal may come

    sys.exit(main())


def _end(*_: object) -> None:
    os._exit(0)  # an exception would be lost where Python ignores those of callbacks


def _end_check(*_: object) -> None:
    sys.exit(1)


if __name__ == "__main__":
    run()
