"""The command `flashback-exporter`, and `python -m exporter`."""

import signal
import sys


def run() -> None:
    """Run the command line; a SIGTERM that comes before anything runs ends the process with 0 too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from exporter.cli import main  # noqa: PLC0415 - takes half a second, in which a signal may come

    sys.exit(main())


if __name__ == "__main__":
    run()
