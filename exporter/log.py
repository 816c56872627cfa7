"""Structured logs on standard error, in logfmt or JSON, for the exporter and the libraries alike."""

import logging
import sys

import structlog

LEVELS = ("debug", "info", "warn", "error")
FORMATS = ("logfmt", "json")

_QUIET = (
    "httpx",
    "httpcore",
    "uvicorn",
    "apscheduler",
    "asyncio",
    "tzlocal",
)  # their debug lines may show headers


def configure(level: str, form: str) -> None:
    """Set up logging once: `level` and `form` are those of LEVELS and FORMATS."""
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.getLevelName("WARNING" if level == "warn" else level.upper()))
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
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
