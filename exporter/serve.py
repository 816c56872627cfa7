"""Runs an exporter with its web server until the process is asked to end."""

import asyncio
import os
import platform
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog
from starlette.applications import Starlette

from exporter import __version__
from exporter.config.sections import Config
from exporter.config.web import WebConfig
from exporter.daemon import Exporter
from exporter.errors import ConfigError
from exporter.steps import spare_what_stays
from exporter.web.access import Access
from exporter.web.app import Site, create_app
from exporter.web.server import Server, addresses, bound, on_loopback

# Seconds after which the process ends even if a thread still hangs in a DNS look-up.
_LAST_RESORT = 4.5

_OF_PEOPLE = {"user_uuid", "conversation_uuid"}

_log = structlog.get_logger(__name__)


def application(
    exporter: Exporter,
    *,
    telemetry_path: str = "/metrics",
    lifecycle: bool = False,
    notice: str = "",
) -> Starlette:
    """Return the web application of an exporter. `notice` is shown on top of the page."""
    site = Site(
        exporter.publication,
        exporter.own_metrics,
        exporter.status,
        exporter.reload,
        telemetry_path,
        lifecycle,
        notice,
    )
    return create_app(site)


async def run(
    exporter: Exporter,
    server: Server,
    sockets: Sequence[socket.socket],
    greet: Callable[[list[str]], None],
) -> None:
    """Serve and poll until SIGTERM or SIGINT; SIGHUP reloads.

    `greet` is called with the addresses once all is up.
    """
    _log_start(exporter)
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()
    stopping: list[asyncio.Task[None]] = []

    def end(number: int) -> None:
        if not server.should_exit:
            _log.info("ending", signal=signal.Signals(number).name)
            server.should_exit = True
            _ignore_signals(loop)
            # Beside the web server: both take seconds, for slow clients and a renewal of tokens.
            stopping.append(loop.create_task(exporter.stop(), name="stop"))
            _end_at_the_latest()

    def reload() -> None:
        task = loop.create_task(_reload(exporter), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    serve = asyncio.create_task(server.serve(sockets=list(sockets)), name="web server")
    spare_what_stays()  # all that was imported: a full collection looked at it for 27 ms
    exporter.start()
    loop.add_signal_handler(signal.SIGHUP, reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])  # which may have come already
    _log_serving(server.access.config, sockets)
    greet(addresses(sockets))
    await serve
    await asyncio.gather(exporter.stop(), *stopping)


def _log_start(exporter: Exporter) -> None:
    _log.info(
        "starting",
        version=__version__,
        python_version=platform.python_version(),
        queries=list(exporter.status().states),
    )


def _ignore_signals(loop: asyncio.AbstractEventLoop) -> None:
    """Let no other signal disturb the end, also while the interpreter ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _end_at_the_latest() -> None:
    last_resort = threading.Timer(_LAST_RESORT, os._exit, args=[0])
    last_resort.daemon = True
    last_resort.start()


def warn_of_user_ids(config: Config, access: Access, sockets: Sequence[socket.socket]) -> None:
    """Log a warning where labels tell of single people and anybody may read them."""
    labels = {label for query in config.queries for label in query.labels} & _OF_PEOPLE
    if labels and not access.config.authenticates and not on_loopback(sockets):
        _log.warning(
            "anybody who reaches the port can read about single users;"
            " --web.config.file asks for passwords",
            labels=sorted(labels),
            addresses=bound(sockets),
        )


def _log_serving(config: WebConfig, sockets: Sequence[socket.socket]) -> None:
    for oddity in config.oddities:
        _log.warning("odd web configuration", oddity=str(oddity))
    if config.tls or config.users:
        _log.info("protecting", tls=config.tls is not None, users=len(config.users))
    _log.info("serving", addresses=bound(sockets))


async def _reload(exporter: Exporter) -> None:
    with suppress(ConfigError):  # it was logged, and the metric shows it
        await exporter.reload()
