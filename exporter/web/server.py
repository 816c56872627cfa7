"""Serves a web application on the listen addresses: sockets, and uvicorn within this process."""

import asyncio
import ipaddress
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.errors import ListenError
from exporter.web.acceptor import Acceptor
from exporter.web.access import Access
from exporter.web.authentication import Authentication
from exporter.web.connections import Connection, Connections

_GRACE = 0.5  # seconds for scrapes under way when the process ends
_LAST_RESORT = 2  # seconds, after which uvicorn gives up and says so
_ORIGIN = re.compile(r"^https?://[^/]*", re.IGNORECASE)  # of a request line with a whole URL

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.%\w]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`, `[::1]:port` or `:port` (all interfaces).

    Raises ValueError.
    """
    match = _ADDRESS.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise ValueError("expected host:port, [::1]:port or :port")
    return match["ipv6"] or match["host"] or "", int(match["port"])


def bind(address: tuple[str, int]) -> list[socket.socket]:
    """Return listening sockets for an address, on IPv4 and IPv6 where no host is given.

    Raises ListenError.
    """
    host, port = address
    where = f"cannot listen on {_joined(host, port)}"
    try:
        if not host and socket.has_dualstack_ipv6():
            return [_listening(socket.AF_INET6, ("::", port), dual=True)]
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        places = dict.fromkeys((family, place) for family, _, _, _, place in found)
        return [_listening(family, place) for family, place in places]
    except UnicodeError:
        raise ListenError(f"{where}: that is no host name") from None
    except socket.gaierror as error:
        what = error.strerror
    except OSError as error:
        what = os.strerror(error.errno or 0)
    raise ListenError(f"{where}: {what}; choose another --web.listen-address")


def _listening(family: int, place: Any, *, dual: bool = False) -> socket.socket:
    listener = socket.create_server(place, family=family, backlog=1024, dualstack_ipv6=dual)
    # asyncio sets it on its own listeners alone
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Server(uvicorn.Server):
    """uvicorn within this process: it accepts with care, and signals are left to the exporter."""

    def __init__(self, config: uvicorn.Config, connections: Connections, access: Access) -> None:
        """Serve as uvicorn's configuration says.

        Several servers of a process share their `connections`.
        """
        super().__init__(config)
        self.connections = connections
        self.access = access

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def _welcome(self) -> Connection:
        """Return what is to become a connection, with TLS or in plain text as it is now."""
        options = {"config": self.config, "server_state": self.server_state, "app_state": {}}
        return Connection(self.connections, self.access.tls, **options)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        acceptors = [
            Acceptor(listener, self.connections, self._welcome) for listener in sockets or []
        ]
        self.servers = acceptors  # type: ignore[assignment] # uvicorn closes them in the end
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """End what has taken too long; uvicorn calls this ten times a second."""
        self.connections.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; answers under way have a moment to be taken."""
        end = asyncio.get_running_loop().call_later(_GRACE, self.connections.cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            end.cancel()


def serving(
    app: ASGIApp, connections: Connections | None = None, access: Access | None = None
) -> Server:
    """Return a server for an application; `serve(sockets=…)` runs it until `should_exit` is set.

    Without `access` it serves everybody, in plain text.
    """
    access = access or Access()
    config = uvicorn.Config(
        _forgiving(Authentication(app, access)),
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_RESORT,
    )
    return Server(config, connections or Connections(), access)


def _forgiving(app: ASGIApp) -> ASGIApp:
    """Return the application for clients who name the whole URL, as to a proxy, or go away."""

    async def forgiving(scope: Scope, receive: Receive, send: Send) -> None:
        path = _ORIGIN.sub("", scope["path"]) or "/"
        if path != scope["path"]:
            scope = {**scope, "path": path}
        with suppress(ClientDisconnect):
            await app(scope, receive, send)

    return forgiving


def bound(sockets: Sequence[socket.socket]) -> list[str]:
    """Return `host:port` that each socket is bound to.

    `[::]` and `0.0.0.0` are all of the machine's addresses.
    """
    return [_joined(*listener.getsockname()[:2]) for listener in sockets]


def addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """Return `host:port` of each socket, as it stands in a URL on this machine."""
    anywhere = ("::", "0.0.0.0")  # noqa: S104 - what is bound to all addresses is found here too
    places = [listener.getsockname()[:2] for listener in sockets]
    return [_joined("localhost" if host in anywhere else host, port) for host, port in places]


def on_loopback(sockets: Sequence[socket.socket]) -> bool:
    """Whether nobody but this machine reaches any of the sockets."""
    hosts = [listener.getsockname()[0] for listener in sockets]
    return all(ipaddress.ip_address(host).is_loopback for host in hosts)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
