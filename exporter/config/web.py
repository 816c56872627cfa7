"""Reads the web configuration file, in the format of the Prometheus project's exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md describes it.
What `promtool check web-config` says of the supported keys is what is said here.
"""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from exporter.config.password_hash import PasswordHash, parse_hash
from exporter.config.prometheus_yaml import PrometheusYaml, YamlSection
from exporter.errors import Problem, refuse

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
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


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
class TlsSettings:
    """What the file says of TLS: the files to use and what is asked of clients.

    `where` is the file that says so.
    """

    where: str
    cert_file: Path
    key_file: Path
    client_auth: ClientAuth
    client_ca_file: Path | None
    client_allowed_sans: frozenset[str] | None
    min_version: ssl.TLSVersion

    @property
    def requires_certificate(self) -> bool:
        """Whether nobody is let in without a certificate."""
        return self.client_auth is ClientAuth.REQUIRE_AND_VERIFY

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it names."""
        files = (self.cert_file, self.key_file, self.client_ca_file)
        return tuple(file for file in files if file is not None)

    def problem(self, key: str, message: str) -> Problem:
        """Return what is wrong with one of its keys."""
        return Problem(f"{self.where}: tls_server_config.{key}", message)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Who may read and how; `oddities` says what is permitted, but surely not what was meant."""

    tls: TlsSettings | None = None
    users: Mapping[str, PasswordHash] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    oddities: tuple[Problem, ...] = ()

    @property
    def authenticates(self) -> bool:
        """Whether a client has to show who it is."""
        return bool(self.users) or (self.tls is not None and self.tls.requires_certificate)


def load_web_config(path: Path) -> WebConfig:
    """Return what a file says; the files that it names are not opened.

    Raises ConfigError with every problem.
    """
    file = PrometheusYaml(path)
    root = file.section(_SECTIONS, {"rate_limit"})
    tls_section = root.section("tls_server_config", _TLS_KEYS, _TLS_UNSUPPORTED)
    tls = _tls(tls_section, path)
    users = root.each("basic_auth_users", lambda _, text: parse_hash(text.encode()))
    headers = root.section("http_server_config", {"headers"}, {"http2"}).each("headers", _header)
    refuse(file.problems)
    sent = {name: value for name, value in headers.items() if value}
    oddities = list(_odd_clients(tls)) if tls else []
    if tls is None and not tls_section.is_empty:
        oddities = [Problem(f"{path}: {tls_section.name}", "TLS is off without cert_file")]
    return WebConfig(tls, users, sent, tuple(oddities))


def _tls(section: YamlSection, path: Path) -> TlsSettings | None:
    """Return None where TLS is off: no file is named, and nothing asked of clients."""
    names = {key: section.text(key) for key in ("cert_file", "key_file", "client_ca_file")}
    sans = section.texts("client_allowed_sans")
    min_version = _min_version(section)
    asked = section.text("client_auth_type")
    if not any(names.values()) and not asked:
        return None
    for key in ("cert_file", "key_file"):
        if not names[key]:
            section.add_problem(key, "required key is missing")
    client_auth = _client_auth(section, asked)
    if client_auth is ClientAuth.NONE and names["client_ca_file"]:
        message = "expected a client_auth_type that asks for certificates"
        section.add_problem("client_ca_file", message)
    if client_auth is ClientAuth.REQUEST and sans is not None:
        message = "not supported by this exporter beside {}, which verifies no certificate"
        section.add_problem("client_allowed_sans", message.format(client_auth))
    return TlsSettings(
        where=str(path),
        cert_file=path.parent / names["cert_file"],
        key_file=path.parent / names["key_file"],
        client_auth=client_auth,
        client_ca_file=path.parent / names["client_ca_file"] if names["client_ca_file"] else None,
        client_allowed_sans=None if sans is None else frozenset(sans),
        min_version=min_version,
    )


def _min_version(section: YamlSection) -> ssl.TLSVersion:
    if not section.has("min_version"):
        return ssl.TLSVersion.TLSv1_2
    version = _VERSIONS.get(section.text("min_version"))
    if version is None:
        section.add_problem("min_version", f"expected one of {', '.join(_VERSIONS)}")
    return version or ssl.TLSVersion.TLSv1_2


def _client_auth(section: YamlSection, asked: str) -> ClientAuth:
    try:
        return ClientAuth(asked or ClientAuth.NONE)
    except ValueError:
        fault = f"expected one of {', '.join(ClientAuth)}"
    if asked in _WITHOUT_VERIFYING:
        fault = (
            f"{asked} is not supported by this exporter:"
            " Python cannot require a certificate without verifying it;"
            f" {ClientAuth.REQUIRE_AND_VERIFY} does both"
        )
    section.add_problem("client_auth_type", fault)
    return ClientAuth.REQUIRE_AND_VERIFY


def _odd_clients(tls: TlsSettings) -> Iterator[Problem]:
    if tls.client_auth is ClientAuth.NONE and tls.client_allowed_sans is not None:
        message = "has no effect without a client_auth_type that verifies certificates"
        yield tls.problem("client_allowed_sans", message)
    if tls.client_auth is ClientAuth.REQUEST:
        message = f"{tls.client_auth} lets in everybody; no certificate is asked for"
        yield tls.problem("client_auth_type", message)


def _header(name: str, value: str) -> str:
    """Return the value to send; a blank one leaves the header out."""
    allowed = _HEADERS.get(name)
    if allowed is None:
        raise ValueError(f"expected one of {', '.join(_HEADERS)}")
    if allowed and value not in allowed:
        raise ValueError(f"expected {' or '.join(allowed)}")
    return value
