"""Serves a web application on the listen addresses: sockets, and uvicorn within this process."""

import asyncio
import errno
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
from exporter.web.connections import Connection, Connections

_GRACE = 1  # seconds for scrapes under way when the process ends
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_AT_ONCE = 4  # connections; fewer than may be open, so that each has a turn to send its request
_PAUSE = 0.05  # seconds until accepting is tried again

_ORIGIN = re.compile(r"https?://[^/]*", re.IGNORECASE)  # of a request line with a whole URL

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
    shown = _joined(host, port)
    try:
        if not host and socket.has_dualstack_ipv6():
            return [_listening(socket.AF_INET6, ("::", port), dual=True)]
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return [
            _listening(family, place)
            for family, place in dict.fromkeys((info[0], info[4]) for info in found)
        ]
    except UnicodeError:
        raise ListenError(f"cannot listen on {shown}: that is no host name") from None
    except OSError as error:
        what = (
            error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        )
        raise ListenError(
            f"cannot listen on {shown}: {what}; choose another --web.listen-address"
        ) from None


def _listening(family: int, place: Any, *, dual: bool = False) -> socket.socket:
    listener = socket.create_server(place, family=family, backlog=1024, dualstack_ipv6=dual)
    # asyncio sets it on its own listeners alone
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Acceptor:
    """Accepts connections, a few in each turn of the event loop, while there is room for them.

    asyncio itself would accept thousands before it looks at one, and where descriptors run out, log
    a traceback for each.
    """

    def __init__(self, listener: socket.socket, server: "Server") -> None:
        listener.setblocking(False)
        self._listener = listener
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._arriving: set[asyncio.Task[None]] = set()
        self._go_on()

    def close(self) -> None:
        """Take no more."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Wait for those who were just arriving."""
        await asyncio.gather(*self._arriving)

    def _go_on(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._rest(error)
                return
            self._welcome(client)

    def _rest(self, error: OSError) -> None:
        """Try again a little later, with room that was made where that was the reason."""
        if error.errno in _EXHAUSTED:
            self._server.connections.make_room(self._loop.time())
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(_PAUSE, self._go_on)

    def _welcome(self, client: socket.socket) -> None:
        connection = self._server.new_connection()
        if not self._server.connections.admit(connection):
            client.close()
            return
        task = self._loop.create_task(self._connect(connection, client), name="connect")
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _connect(self, connection: Connection, client: socket.socket) -> None:
        client.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, client)
        except OSError:  # it has gone already
            client.close()
            self._server.connections.discard(connection)


class Server(uvicorn.Server):
    """uvicorn within this process: it accepts with care, and signals are left to the exporter."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        """Serve as uvicorn's configuration says.

        Several servers of a process share their `connections`.
        """
        super().__init__(config)
        self.connections = connections

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def new_connection(self) -> Connection:
        """Return what is to become a connection."""
        return Connection(
            self.connections, config=self.config, server_state=self.server_state, app_state={}
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        self.servers = [_Acceptor(listener, self) for listener in sockets or []]  # type: ignore[misc]
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


def serving(app: ASGIApp, connections: Connections | None = None) -> Server:
    """Return a server for an application; `serve(sockets=…)` runs it until `should_exit` is set."""
    config = uvicorn.Config(
        _forgiving(app),
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE + 1,
    )
    return Server(config, connections or Connections())


def _forgiving(app: ASGIApp) -> ASGIApp:
    """Return the application for clients who name the whole URL, as to a proxy, or go away."""

    async def forgiving(scope: Scope, receive: Receive, send: Send) -> None:
        absolute = _ORIGIN.match(scope["path"])
        if absolute:
            scope = {**scope, "path": scope["path"][absolute.end() :] or "/"}
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
    places = [listener.getsockname()[:2] for listener in sockets]
    anywhere = ("::", "0.0.0.0")  # noqa: S104 - what is bound to all addresses is found here too
    return [_joined("localhost" if host in anywhere else host, port) for host, port in places]


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
