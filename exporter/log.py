"""Structured logs on standard error, in logfmt or JSON, for the exporter and the libraries alike."""

import logging
import sys
from collections import Counter

import structlog

from exporter.lines import Lines

LEVELS = ("debug", "info", "warn", "error")
FORMATS = ("logfmt", "json")

_QUIET = {
    # their debug lines may show headers
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "apscheduler": logging.WARNING,
    "asyncio": logging.WARNING,
    "tzlocal": logging.WARNING,
    # its warnings are what strangers send
    "uvicorn": logging.ERROR,
}
_OWN = "exporter"  # what the names of the exporter's own loggers begin with
_REPEATED = 60.0  # seconds in which a library says the same but once
_MESSAGES = 100  # different ones that are remembered for that
_LAST_LINES = 1.0  # seconds for the last lines to be written at the end


def configure(level: str, form: str, *, background: bool = False) -> None:
    """Set up logging once: `level` and `form` are those of LEVELS and FORMATS.

    In the background, lines are written by a thread, so that no reader of standard error can hold up the exporter.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    order = ["ts", "level", "logger", "msg"]
    logfmt = structlog.processors.LogfmtRenderer(
        key_order=order, drop_missing=True, bool_as_flag=False
    )
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()] if form == "json" else [_lists_as_text, logfmt]
    )
    handler = _Background(Lines(sys.stderr)) if background else logging.StreamHandler(sys.stderr)
    handler.addFilter(_Once())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.getLevelName("WARNING" if level == "warn" else level.upper()))
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _lists_as_text(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Join lists with commas, for logfmt has none."""
    return {
        key: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        for key, value in event.items()
    }


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
            if self._lost and self._lines.write(self.format(_record_of_loss(self._lost))):
                self._lost = 0
            if not self._lines.write(self.format(record)):
                self._lost += 1
        except Exception:  # noqa: BLE001 - as in every handler: a fault of logging ends nothing else
            self.handleError(record)

    def flush(self) -> None:
        """Wait a moment for what is left."""
        self._lines.flush(_LAST_LINES)


def _record_of_loss(lost: int) -> logging.LogRecord:
    text = f"{lost} log lines were lost: nobody read standard error"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)


class _Once(logging.Filter):
    """Lets a library say the same once a minute; the next time, how often it said so meanwhile is added."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged."""
        if record.name.split(".")[0] == _OWN:
            return True
        said = (record.name, str(record.msg).partition("\n")[0])
        if 0 <= record.created - self._said.get(said, float("-inf")) < _REPEATED:
            self._left_out[said] += 1
            return False
        if len(self._said) >= _MESSAGES:
            self._said.clear()
            self._left_out.clear()
        self._said[said] = record.created
        if again := self._left_out.pop(said, 0):
            record.msg = f"{record.msg} (and {again} times more before)"
        return True
