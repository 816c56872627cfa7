"""Makes TLS for the web server out of its certificate, its key and what it asks of clients."""

import ipaddress
import re
import ssl
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.config.web import TlsSettings
from exporter.errors import ConfigError, Problem, refuse

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN (?:(?!ENCRYPTED)[A-Z0-9 ]+ )?PRIVATE KEY-----(?!\s+Proc-Type)")
_ANYTHING = re.compile(b"")


@dataclass(frozen=True, slots=True)
class TlsInUse:
    """What a handshake is made with, and which of the clients' certificates are good.

    None: all that are verified.
    """

    context: ssl.SSLContext
    allowed_sans: frozenset[str] | None = None

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client may stay, by its certificate as Python shows it, verified before."""
        if self.allowed_sans is None:
            return True
        return not self.allowed_sans.isdisjoint(_names(certificate or {}))


def tls_in_use(settings: TlsSettings) -> TlsInUse:
    """Return TLS as the settings say, from the files as they are now.

    Raises ConfigError where they cannot be used.
    """
    refuse(_faults(settings))
    try:
        context = _context(settings)
    except (OSError, ValueError) as error:
        what = getattr(error, "reason", None) or "they do not fit together"
        message = f"the certificate and the key cannot be used: {what}"
        raise ConfigError([settings.problem("cert_file", message)]) from None
    return TlsInUse(context, settings.client_allowed_sans if context.verify_mode else None)


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    _permit_versions(context, settings.min_version)
    # Without a password given, OpenSSL would ask for one on the terminal.
    context.load_cert_chain(settings.cert_file, settings.key_file, password=bytes)
    if settings.client_auth.verifies:
        _verify_clients(context, settings)
    return context


def _faults(settings: TlsSettings) -> Iterator[Problem]:
    """Yield which files cannot be read, or hold something else."""
    expected = {
        "cert_file": (settings.cert_file, _CERTIFICATE, "a certificate"),
        "key_file": (settings.key_file, _KEY, "a private key without a password,"),
        "client_ca_file": (settings.client_ca_file, _ANYTHING, ""),
    }
    for key, (file, pattern, what) in expected.items():
        if file is None:
            continue
        try:
            if not pattern.search(file.read_bytes()):
                yield settings.problem(key, f"{file}: expected {what} in PEM form")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "that is no file name"
            yield settings.problem(key, f"{file} cannot be read: {reason}")


def _permit_versions(context: ssl.SSLContext, least: ssl.TLSVersion) -> None:
    if least < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # what these versions need is off otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # who names an old version knows
        context.minimum_version = least


def _verify_clients(context: ssl.SSLContext, settings: TlsSettings) -> None:
    required = settings.requires_certificate
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    # As in Go, whatever stands in the file is trusted, also what no root has signed.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if settings.client_ca_file is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    for certificate in authorities(settings.client_ca_file):
        context.load_verify_locations(cadata=certificate)


def authorities(file: Path) -> list[bytes]:
    """Return the readable certificates of a PEM file, in DER; as in Go, the rest is passed over."""
    readable = []
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for block in _CERTIFICATE.findall(file.read_bytes()):
        try:
            certificate = ssl.PEM_cert_to_DER_cert(block.decode("ascii"))
            trial.load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError):
            continue
        readable.append(certificate)
    return readable


def _names(certificate: Mapping[str, Any]) -> set[str]:
    """Return the names of a certificate, each in the form in which Go writes it."""
    names = set()
    for kind, value in certificate.get("subjectAltName", ()):
        if kind in ("DNS", "email", "URI"):
            names.add(value)
        elif kind == "IP Address":
            names.add(_address(value.strip()))
    return names


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
