"""Knows what the web configuration file says now: files are read again when they have changed.

What is broken, or would let in more strangers than before, is not taken up: the last good state
stays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from exporter.config.web import TlsSettings, WebConfig, load_web_config
from exporter.errors import ConfigError, Problem, refuse
from exporter.web.tls import TlsInUse, authorities, tls_in_use

_log = structlog.get_logger(__name__)


class Access:
    """Who may read, how, and with which certificate.

    Without a file everybody may, in plain text.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Read the file and the files that it names.

        Raises ConfigError where they cannot be used.
        """
        self._path = path
        self._appearance = _appearance(path) if path else ()
        self._config = load_web_config(path) if path else WebConfig()
        settings = self._config.tls
        self._tls_source = _tls_source(settings)
        self._tls = tls_in_use(settings) if settings else None

    @property
    def config(self) -> WebConfig:
        """What the file says now, or said when it was last good."""
        if self._path:
            appearance = _appearance(self._path)
            if appearance != self._appearance:
                self._appearance = appearance
                self._read_config(self._path)
        return self._config

    @property
    def tls(self) -> TlsInUse | None:
        """What the next handshake is made with; None is plain text, from the start to the end."""
        settings = self.config.tls
        source = _tls_source(settings)
        if settings and source != self._tls_source:
            self._tls_source = source
            self._read_tls(settings)
        return self._tls

    def _read_config(self, path: Path) -> None:
        with _keeping_the_last_good():
            config = load_web_config(path)
            refuse(_loosened(str(path), self._config, config))
            self._config = config
            oddities = [str(oddity) for oddity in config.oddities]
            _log.info("web configuration read again", users=len(config.users), oddities=oddities)

    def _read_tls(self, settings: TlsSettings) -> None:
        with _keeping_the_last_good():
            tls = tls_in_use(settings)
            if settings.client_ca_file and not authorities(settings.client_ca_file):
                refuse([settings.problem("client_ca_file", "expected a certificate in it")])
            self._tls = tls
            _log.info("certificate of the web server read again", file=str(settings.cert_file))


@contextmanager
def _keeping_the_last_good() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
        _log.error("web configuration not taken up, the last good one stays", problems=problems)


def _loosened(where: str, before: WebConfig, after: WebConfig) -> Iterator[Problem]:
    """Yield what needs a restart; a file that was emptied or cut short must not open the server."""
    if bool(before.tls) != bool(after.tls):
        message = f"TLS is switched {'on' if after.tls else 'off'} by a restart only"
        yield Problem(f"{where}: tls_server_config", message)
    if before.users and not after.users:
        yield Problem(f"{where}: basic_auth_users", "the last user is removed by a restart only")
    if before.tls and after.tls:
        yield from _loosened_tls(before.tls, after.tls)


def _loosened_tls(before: TlsSettings, after: TlsSettings) -> Iterator[Problem]:
    if before.requires_certificate and not after.requires_certificate:
        message = "clients are let in without a certificate by a restart only"
        yield after.problem("client_auth_type", message)
    if before.client_allowed_sans is not None and after.client_allowed_sans is None:
        yield after.problem("client_allowed_sans", "the list is removed by a restart only")


def _appearance(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does; a missing one looks like nothing."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _tls_source(settings: TlsSettings | None) -> tuple[object, ...]:
    """Return what TLS is made of; another one has to be read again."""
    files = settings.files if settings else ()
    return settings, *map(_appearance, files)
