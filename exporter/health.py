"""Tells whether the exporter in this container is well: `python -m exporter.health`, 0 or 1.

It is told nothing: it asks every address that the process listens on, as the kernel lists them.
"""

import http.client
import re
import socket
import ssl
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_LISTENING = "0A"
_EXPORTER = re.compile(rb"(^|/)flashback-exporter\0|\0-m\0exporter\0")
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - not bound to here, but found bound
_LOOPBACK = ("127.0.0.1", "::1")

Address = tuple[str, int]


def main() -> int:
    """Return 0 where the exporters of this user are well; else say what is wrong and return 1."""
    exporters = [process for process in Path("/proc").glob("[0-9]*") if _is_exporter(process)]
    faults = list(what_is_wrong(exporters))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def what_is_wrong(exporters: Iterable[Path], patience: float = 4.0) -> Iterator[str]:
    """Yield what is wrong with processes, given by their folders in `/proc`.

    An answer below 500 is good: a 401, say, where passwords are asked for. So is one that is not
    HTTP, as where TLS wants the certificate of a client. `patience` is seconds for each address.
    """
    found = {address for process in exporters for address in _listening(process)}
    if not found:
        yield "no exporter of this user listens on any address"
    for host, port in sorted(found):
        try:
            status = _first(_LOOPBACK if host in _ANYWHERE else (host,), port, patience)
        except OSError as error:
            yield f"{host} port {port}: {error.strerror or error}"
        else:
            if status >= 500:
                yield f"{host} port {port}: status {status}"


def _is_exporter(process: Path) -> bool:
    try:
        return bool(_EXPORTER.search((process / "cmdline").read_bytes()))
    except OSError:  # it has ended
        return False


def _listening(process: Path) -> Iterator[Address]:
    """Yield where a process listens; nothing where it has ended or is another user's."""
    try:
        files = {str(file.readlink()) for file in (process / "fd").iterdir()}
        tables = [(process / "net" / table).read_text() for table in ("tcp", "tcp6")]
    except OSError:
        return
    for line in "".join(tables).splitlines():
        fields = line.split()
        if fields[3] == _LISTENING and f"socket:[{fields[9]}]" in files:
            yield _address(fields[1])


def _address(text: str) -> Address:
    """Return the address that the kernel writes as hexadecimal words in the machine's order."""
    host, _, port = text.partition(":")
    words = [int(word, 16) for word in re.findall("." * 8, host)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, packed), int(port, 16)


def _first(hosts: Sequence[str], port: int, patience: float) -> int:
    """Return the status of the first of the hosts that lets one connect."""
    *others, last = hosts
    for host in others:
        try:
            return _status(host, port, patience)
        except OSError:  # a container without IPv6 has no ::1, and [::] can be without IPv4
            continue
    return _status(last, port, patience)


def _status(host: str, port: int, patience: float) -> int:
    """Return the status of the answer, in plain text or over TLS; 0 where it is not HTTP."""
    try:
        return _asked(http.client.HTTPConnection(host, port, timeout=patience))
    except (http.client.HTTPException, ConnectionResetError):
        pass
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE  # it is this machine itself, and is told no secret
    try:
        return _asked(http.client.HTTPSConnection(host, port, timeout=patience, context=tls))
    except (http.client.HTTPException, ConnectionResetError, ssl.SSLError):
        return 0


def _asked(connection: http.client.HTTPConnection) -> int:
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
