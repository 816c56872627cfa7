"""Structured logs on standard error, in logfmt or JSON, for exporter and libraries alike."""

import logging
import sys
from collections import Counter

import structlog
from structlog.typing import EventDict

from exporter.lines import Lines

LEVELS = ("debug", "info", "warn", "error")
FORMATS = ("logfmt", "json")

_QUIET = {
    # Their debug lines may show headers.
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "apscheduler": logging.WARNING,
    "asyncio": logging.WARNING,
    "tzlocal": logging.WARNING,
    # Its warnings are about what strangers send.
    "uvicorn": logging.ERROR,
}
# What the names of the exporter's own loggers begin with.
_OWN = "exporter"
# Seconds in which a library says the same only once, and how many messages are remembered for it.
_REPEATED = 60.0
_MAX_REMEMBERED = 100
_LAST_LINES = 0.5  # seconds for them to be written at the end


def configure(level: str, form: str, *, background: bool = False) -> None:
    """Set up logging once: `level` and `form` are those of LEVELS and FORMATS.

    In the background, lines are written by a thread, so that no reader of standard error can hold
    up the exporter.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    formatter = structlog.stdlib.ProcessorFormatter
    processors = [formatter.remove_processors_meta, *_renderers(form)]
    handler = _Background(Lines(sys.stderr)) if background else logging.StreamHandler(sys.stderr)
    handler.addFilter(_Once())
    handler.setFormatter(formatter(foreign_pre_chain=shared, processors=processors))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.getLevelName("WARNING" if level == "warn" else level.upper()))
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            formatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _renderers(form: str) -> list[structlog.typing.Processor]:
    if form == "json":
        return [structlog.processors.JSONRenderer()]
    logfmt = structlog.processors.LogfmtRenderer(
        key_order=["ts", "level", "logger", "msg"],
        drop_missing=True,
        bool_as_flag=False,
    )
    return [_lists_as_text, logfmt]


def _lists_as_text(_: object, __: str, event: EventDict) -> EventDict:
    """Join lists with commas, for logfmt has none."""
    for key, value in event.items():
        if isinstance(value, list | tuple):
            event[key] = ", ".join(map(str, value))
    return event


def flush() -> None:
    """Wait a moment for what was logged to be written."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class _Background(logging.Handler):
    """Hands lines over without waiting; where too many wait already, they are lost, and counted."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, and before it how many could not be written."""
        try:
            if self._lost and self._written(_record_of_loss(self._lost)):
                self._lost = 0
            if not self._written(record):
                self._lost += 1
        except Exception:  # noqa: BLE001 - as in every handler: a fault of logging ends nothing else
            self.handleError(record)

    def flush(self) -> None:
        """Wait a moment for what is left."""
        self._lines.flush(_LAST_LINES)

    def _written(self, record: logging.LogRecord) -> bool:
        return self._lines.write(self.format(record))


def _record_of_loss(lost: int) -> logging.LogRecord:
    text = f"{lost} log lines were lost: nobody read standard error"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)


class _Once(logging.Filter):
    """Lets a library say the same once a minute.

    The next time, it is added how often the library said so meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged."""
        if record.name.split(".")[0] == _OWN:
            return True
        message, _, _ = str(record.msg).partition("\n")
        said = record.name, message
        seconds = record.created - self._said.get(said, float("-inf"))
        if 0 <= seconds < _REPEATED:
            self._left_out[said] += 1
            return False
        if len(self._said) >= _MAX_REMEMBERED:
            self._said.clear()
            self._left_out.clear()
        self._said[said] = record.created
        if again := self._left_out.pop(said, 0):
            record.msg = f"{record.msg} (and {again} times more before)"
        return True
