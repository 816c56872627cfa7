"""The command line: `flashback-exporter` and its commands `check` and `demo`."""

import argparse
import asyncio
import re
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import structlog

from exporter import __version__, log
from exporter.check import check_files, check_live, warn
from exporter.clock import SystemClock
from exporter.config.load import load_config
from exporter.config.sections import Config
from exporter.daemon import Exporter
from exporter.demo.run import run_demo
from exporter.errors import (
    ConfigError,
    ListenError,
    OutputError,
    Problem,
    StateInUseError,
    noting,
    refuse,
)
from exporter.lines import complain, say
from exporter.oddities import oddities
from exporter.serve import application, run, warn_of_user_ids
from exporter.web.access import Access
from exporter.web.server import bind, parse_address, serving

OK, FAILED, BAD_CONFIGURATION = 0, 1, 2

_PORT = 9877
# Neither a page of the exporter's own nor a pattern or more than a path.
_PATH = re.compile(r"/(?!-/)[^{}?# ]*")

_log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 is fine, 1 a failure at run time, 2 bad usage or a bad configuration.
    """
    defaults = argparse.Namespace(
        level="info",
        format="logfmt",
        config=None,
        access=None,
        listen=None,
        path="/metrics",
        lifecycle=False,
    )
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args([_two_dashes(argument) for argument in given], defaults)
    log.configure(options.level, options.format, background=options.command != "check")
    try:
        if options.command == "check":
            return _check(options)
        asyncio.run(_demo(options) if options.command == "demo" else _serve(options))
    except ConfigError as error:
        for problem in error.problems:
            complain(f"flashback-exporter: {problem}")
        return BAD_CONFIGURATION
    except (ListenError, OutputError, StateInUseError, KeyboardInterrupt) as error:
        complain(f"flashback-exporter: {error or 'interrupted'}")
        return FAILED
    finally:
        log.flush()
    return OK


def _parser() -> argparse.ArgumentParser:
    logs, web = _log_flags(), _web_flags()
    text = "YAML; environment and defaults fill the rest"
    config = _file_flag("--config.file", "config", text)
    text = "TLS, passwords and headers, as in Prometheus's exporters (none)"
    access = _file_flag("--web.config.file", "access", text)
    parser = argparse.ArgumentParser(
        prog="flashback-exporter",
        description="Prometheus exporter for the daily AI statistics of the Flashback platform.",
        epilog=(
            "The README describes configuration and metrics;"
            " `flashback-exporter demo` needs no account."
        ),
        parents=[logs, config, access, web],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"flashback-exporter {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="[check | demo]", title="commands")
    text = "validate the configuration and exit"
    check = commands.add_parser(
        "check", help=text, description=text, parents=[logs, config, access], allow_abbrev=False
    )
    text = "also sign in, and ask once for each query and about the account"
    check.add_argument("--live", action="store_true", help=text)
    text = "serve made-up data from a simulator; no account, no network"
    commands.add_parser(
        "demo", help=text, description=text, parents=[logs, access, web], allow_abbrev=False
    )
    return parser


def _flags() -> argparse.ArgumentParser:
    """Return a parser for flags before and after a command: what is not given sets nothing."""
    return argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )


def _log_flags() -> argparse.ArgumentParser:
    flags = _flags()
    text = "log what is at least this severe (info)"
    flags.add_argument("--log.level", dest="level", type=_level, choices=log.LEVELS, help=text)
    text = "how log lines look (logfmt)"
    flags.add_argument("--log.format", dest="format", choices=log.FORMATS, help=text)
    return flags


def _file_flag(name: str, option: str, text: str) -> argparse.ArgumentParser:
    flags = _flags()
    flags.add_argument(name, dest=option, type=_file, metavar="FILE", help=text)
    return flags


def _web_flags() -> argparse.ArgumentParser:
    flags = _flags()
    flags.add_argument(
        "--web.listen-address",
        dest="listen",
        action="append",
        type=_address,
        metavar="HOST:PORT",
        help=f"where to serve: host:port, [::1]:port or :port; repeatable (:{_PORT})",
    )
    text = "where the metrics are (/metrics)"
    flags.add_argument("--web.telemetry-path", dest="path", type=_path, metavar="PATH", help=text)
    text = "allow POST /-/reload"
    flags.add_argument("--web.enable-lifecycle", dest="lifecycle", action="store_true", help=text)
    return flags


def _two_dashes(argument: str) -> str:
    """Return a flag spelled as Go's own library takes it too, `-config.file`, with two dashes."""
    return f"-{argument}" if re.match(r"-[a-z]{2}", argument) else argument


def _level(text: str) -> str:
    level = text.lower()
    return "warn" if level == "warning" else level


def _address(text: str) -> tuple[str, int]:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _file(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected the path of a file")
    return Path(text)


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise argparse.ArgumentTypeError("expected a path such as /metrics")
    return text


def _check(options: argparse.Namespace) -> int:
    clock = SystemClock()

    def load() -> Config:
        config = load_config(options.config)
        check_files(config, clock)
        return config

    config, access = _both(load, options.access)
    odd = map(config.places.located, oddities(config))
    for oddity in (*odd, *access.config.oddities):
        warn(oddity)
    say(f"SUCCESS: {options.config or 'the environment'} is a valid configuration")
    if options.access:
        say(f"SUCCESS: {options.access} is a valid web configuration")
    good = not options.live or asyncio.run(check_live(config, clock))
    return OK if good else FAILED


def _both(load: Callable[[], Config], web_config: Path | None) -> tuple[Config, Access]:
    """Return the configuration and who may read.

    Raises ConfigError with the problems of both files.
    """
    problems: list[Problem] = []
    with noting(problems):
        config = load()
    with noting(problems):
        access = Access(web_config)
    refuse(problems)
    return config, access


async def _serve(options: argparse.Namespace) -> None:
    clock = SystemClock()
    config, access = _both(lambda: load_config(options.config), options.access)
    sockets: list[socket.socket] = []

    def load() -> Config:
        config = load_config(options.config)
        _log_oddities(config, access, sockets)
        return config

    sockets += _sockets(options)
    with ExitStack() as listening:
        for listener in sockets:
            listening.enter_context(listener)
        # The port is bound by now: scrapes wait while a large state file is being read.
        exporter = await Exporter.create(config, load, clock)
        _log_oddities(config, access, sockets)
        app = application(exporter, telemetry_path=options.path, lifecycle=options.lifecycle)
        await run(exporter, serving(app, access=access), sockets, lambda _: None)


def _log_oddities(config: Config, access: Access, sockets: Sequence[socket.socket]) -> None:
    for oddity in oddities(config):
        _log.warning("odd configuration", oddity=str(config.places.located(oddity)))
    warn_of_user_ids(config, access, sockets)


async def _demo(options: argparse.Namespace) -> None:
    access = Access(options.access)
    sockets = _sockets(options)
    await run_demo(sockets, access, telemetry_path=options.path, lifecycle=options.lifecycle)


def _sockets(options: argparse.Namespace) -> list[socket.socket]:
    addresses = options.listen or [("", _PORT)]
    return [listener for address in addresses for listener in bind(address)]
