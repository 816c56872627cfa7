"""Addresses of the API and of a proxy: nothing that HTTP cannot use, the same on every Python.

Whether a name in another script than ASCII has a form that DNS knows is left to the HTTP client.
"""

import ipaddress
import re

from pydantic import SecretStr, ValidationInfo

_HOST = r"(?P<host>\[[^\[\]/?#@]*\]|[^\[\]/?#@:]+)"
_PORT = r"(?::(?P<port>[^/?#@:]*))?"
_ANY_CASE = re.ASCII | re.IGNORECASE
_API = re.compile(rf"(?P<scheme>https?)://{_HOST}{_PORT}(?:/[^?#]*)?", _ANY_CASE)
_PROXY = re.compile(rf"https?://(?:[^/?#\[\]]*@)?{_HOST}{_PORT}/?", _ANY_CASE)
_MORE_THAN_AN_ADDRESS = re.compile(r"https?://([^/?#]*@|[^?#]*[?#]).*", _ANY_CASE)

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", _ANY_CASE)
# As RFC 6874 writes a zone, which nobody who looks up the address undoes.
_ESCAPED_ZONE = re.compile(r"%25[^\]]*[^0-9\]]")
_NUMBERS = re.compile(r"[0-9.]+")
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\u3000\ud800-\udfff]")
_MAX_NAME = 253
_MAX_LENGTH = 2000


def usable_address(value: str, info: ValidationInfo) -> str:
    """Return the API's address; the token would be sent there."""
    if _MORE_THAN_AN_ADDRESS.fullmatch(value):
        raise ValueError("expected no user, password, query or fragment in it")
    parts = _parts(_API, value, "https://host[:port][/path]")
    permitted = info.data.get("allow_plain_http") or _is_loopback(parts["host"])
    if parts["scheme"].lower() == "http" and not permitted:
        raise ValueError(
            "expected https: http shows the token to everybody on the way"
            " (allow_plain_http permits it)"
        )
    return value


def usable_proxy(value: SecretStr) -> SecretStr:
    """Return the address of a proxy, which may hold a password."""
    _parts(_PROXY, value.get_secret_value(), "http://[user:password@]host[:port]")
    return value


def _parts(pattern: re.Pattern[str], address: str, form: str) -> re.Match[str]:
    """Return the parts of an address with a host and a port that there can be."""
    if len(address) > _MAX_LENGTH:
        raise ValueError(f"expected at most {_MAX_LENGTH} characters")
    parts = pattern.fullmatch(address)
    if parts is None or _UNSENDABLE.search(address):
        raise ValueError(f"expected {form}")
    _check_host(parts["host"])
    _check_port(parts["port"])
    return parts


def _check_host(host: str) -> None:
    if _ESCAPED_ZONE.search(host):
        raise ValueError("expected a plain % before the zone of an IPv6 address: [fe80::1%eth0]")
    if host.startswith("[") or _NUMBERS.fullmatch(host):
        good = _ip(host) is not None
    elif host.isascii():
        good = bool(_NAME.fullmatch(host)) and len(host) <= _MAX_NAME
    else:
        # As far as can be told here.
        good = True
    if not good:
        raise ValueError("expected the name of a host, an IPv4 address or [an IPv6 address]")


def _check_port(port: str | None) -> None:
    if port is None:
        return
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        raise ValueError("expected a port from 1 to 65535")


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    address = _ip(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        # Pythons before 3.13 do not look at this themselves.
        return address.ipv4_mapped.is_loopback
    return address is not None and address.is_loopback


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is written as: four numbers, or IPv6 in brackets."""
    try:
        if host.startswith("["):
            return ipaddress.IPv6Address(host[1:-1])
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None
