"""Reads the web configuration file, in the format of the Prometheus project's exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md describes it. What
`promtool check web-config` says of the supported keys is what is said here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import yaml

from exporter.config.prometheus_yaml import PrometheusYaml, given
from exporter.errors import ConfigError, Problem

_SECTIONS = {"tls_server_config", "http_server_config", "basic_auth_users"}
_TLS_KEYS = {
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
}
_TLS_UNSUPPORTED = {
    "cert",
    "key",
    "client_ca",
    "cipher_suites",
    "curve_preferences",
    "max_version",
    "prefer_server_cipher_suites",
}
_DEFAULT_VERSION = "TLS12"
_VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_LEAST_HASH = 59  # bytes of a bcrypt hash
_SALT = 22
_COST = re.compile(rb"\+?\d\d?")


class ClientAuth(StrEnum):
    """What is asked of a client's certificate."""

    NONE = "NoClientCert"
    REQUEST = "RequestClientCert"
    VERIFY_IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRE_AND_VERIFY = "RequireAndVerifyClientCert"

    @property
    def verifies(self) -> bool:
        """Whether a certificate that a client shows is checked."""
        return self in (ClientAuth.VERIFY_IF_GIVEN, ClientAuth.REQUIRE_AND_VERIFY)


_WITHOUT_VERIFYING = ("RequireAnyClientCert", "RequireClientCert")


@dataclass(frozen=True, slots=True)
class TlsServer:
    """TLS of the web server: its files and what it asks of clients. `where` is the file that says so."""

    where: str
    cert_file: Path
    key_file: Path
    client_auth: ClientAuth = ClientAuth.NONE
    client_ca_file: Path | None = None
    client_allowed_sans: frozenset[str] | None = None
    min_version: str = _DEFAULT_VERSION

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it names."""
        files = (self.cert_file, self.key_file, self.client_ca_file)
        return tuple(file for file in files if file is not None)


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A bcrypt hash: `salt` is what it was made with, as bcrypt wants it, and `digest` what came out."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Who may read and how; `oddities` says what is permitted, but surely not what was meant."""

    tls: TlsServer | None = None
    users: Mapping[str, PasswordHash] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    oddities: tuple[Problem, ...] = ()

    @property
    def authenticates(self) -> bool:
        """Whether a client has to show who it is."""
        certificate = self.tls is not None and self.tls.client_auth is ClientAuth.REQUIRE_AND_VERIFY
        return certificate or bool(self.users)


def load_web_config(path: Path) -> WebConfig:
    """Return what a file says; the files that it names are not opened. Raises ConfigError with every problem."""
    document = PrometheusYaml(path)
    sections = document.fields(document.root, "", _SECTIONS, {"rate_limit"})
    oddities: list[Problem] = []
    config = WebConfig(
        _tls(document, sections.get("tls_server_config"), path, oddities),
        _users(document, sections.get("basic_auth_users")),
        _headers(document, sections.get("http_server_config")),
        tuple(oddities),
    )
    if document.problems:
        raise ConfigError(document.problems)
    return config


def _tls(
    document: PrometheusYaml, node: yaml.Node | None, path: Path, oddities: list[Problem]
) -> TlsServer | None:
    section = "tls_server_config"
    values = document.fields(node, section, _TLS_KEYS, _TLS_UNSUPPORTED)

    def text(key: str) -> str:
        return document.text(values.get(key), f"{section}.{key}")

    names = {key: text(key) for key in ("cert_file", "key_file", "client_ca_file")}
    sans = document.texts(values.get("client_allowed_sans"), f"{section}.client_allowed_sans")
    version = _version(document, given(values, "min_version"))
    asked = text("client_auth_type")
    if not any(names.values()) and not asked:
        if values:
            oddities.append(Problem(f"{path}: {section}", "TLS is off without cert_file"))
        return None
    for key in ("cert_file", "key_file"):
        if not names[key]:
            document.complain(node, f"{section}.{key}", "required key is missing")
    client_auth = _client_auth(document, values.get("client_auth_type"), asked)
    _check_clients(document, values, client_auth, bool(names["client_ca_file"]))
    oddities += _odd_clients(f"{path}: {section}", client_auth, sans)
    cert_file, key_file, client_ca_file = (
        path.parent / name if name else None for name in names.values()
    )
    return TlsServer(
        str(path),
        cert_file or Path(),
        key_file or Path(),
        client_auth,
        client_ca_file,
        None if sans is None else frozenset(sans),
        version,
    )


def _version(document: PrometheusYaml, node: yaml.Node | None) -> str:
    if node is None:
        return _DEFAULT_VERSION
    where = "tls_server_config.min_version"
    version = document.text(node, where)
    if version not in _VERSIONS:
        document.complain(node, where, f"expected one of {', '.join(_VERSIONS)}")
    return version


def _client_auth(document: PrometheusYaml, node: yaml.Node | None, asked: str) -> ClientAuth:
    where = "tls_server_config.client_auth_type"
    if asked in _WITHOUT_VERIFYING:
        document.complain(
            node,
            where,
            f"{asked} is not supported by this exporter: Python cannot require a certificate without verifying it;"
            f" {ClientAuth.REQUIRE_AND_VERIFY} does both",
        )
        return ClientAuth.REQUIRE_AND_VERIFY
    try:
        return ClientAuth(asked or ClientAuth.NONE)
    except ValueError:
        document.complain(node, where, f"expected one of {', '.join(ClientAuth)}")
        return ClientAuth.REQUIRE_AND_VERIFY


def _check_clients(
    document: PrometheusYaml, values: Mapping[str, yaml.Node], asked: ClientAuth, has_ca: bool
) -> None:
    """Complain of what does not go together."""
    section = "tls_server_config"
    if has_ca and asked is ClientAuth.NONE:
        where = f"{section}.client_ca_file"
        document.complain(
            values["client_ca_file"],
            where,
            "expected a client_auth_type that asks for certificates",
        )
    sans = given(values, "client_allowed_sans")
    if sans is not None and asked is ClientAuth.REQUEST:
        document.complain(
            sans,
            f"{section}.client_allowed_sans",
            f"not supported by this exporter beside {asked}, which verifies no certificate",
        )


def _odd_clients(where: str, asked: ClientAuth, sans: tuple[str, ...] | None) -> list[Problem]:
    oddities = []
    if asked is ClientAuth.NONE and sans is not None:
        message = "has no effect without a client_auth_type that verifies certificates"
        oddities.append(Problem(f"{where}.client_allowed_sans", message))
    if asked is ClientAuth.REQUEST:
        message = f"{asked} lets in everybody; no certificate is asked for"
        oddities.append(Problem(f"{where}.client_auth_type", message))
    return oddities


def _users(document: PrometheusYaml, node: yaml.Node | None) -> dict[str, PasswordHash]:
    users = {}
    for name, (text, key) in document.texts_by_key(node, "basic_auth_users").items():
        try:
            users[name] = parse_hash(text.encode())
        except ValueError as error:
            document.complain(key, f"basic_auth_users.{name}", str(error))
    return users


def parse_hash(text: bytes) -> PasswordHash:
    """Return a bcrypt hash, in whatever form Go's bcrypt takes it. Raises ValueError that says what was expected."""
    if len(text) < _LEAST_HASH or not text.startswith(b"$") or text[1:2] > b"2":
        raise ValueError("expected a bcrypt hash, such as $2y$10$ and 53 characters more")
    begin = 3 if text[2:3] == b"$" else 4
    cost = text[begin : begin + 2]
    if not _COST.fullmatch(cost) or not 4 <= int(cost) <= 31:
        raise ValueError("expected a bcrypt hash with a cost from 4 to 31")
    rest = text[begin + 3 :]
    return PasswordHash(b"$2b$%02d$%s" % (int(cost), rest[:_SALT]), rest[_SALT:])


def _headers(document: PrometheusYaml, node: yaml.Node | None) -> dict[str, str]:
    section = "http_server_config"
    where = f"{section}.headers"
    values = document.fields(node, section, {"headers"}, {"http2"})
    headers = {}
    for name, (value, key) in document.texts_by_key(values.get("headers"), where).items():
        allowed = _HEADERS.get(name)
        if allowed is None:
            document.complain(key, f"{where}.{name}", f"expected one of {', '.join(_HEADERS)}")
        elif allowed and value not in allowed:
            document.complain(key, f"{where}.{name}", f"expected {' or '.join(allowed)}")
        elif value:  # blank leaves it out
            headers[name] = value
    return headers
