"""Serves a web application on the listen addresses: sockets, uvicorn, and patience with slow clients."""

import asyncio
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporter.errors import ListenError

REQUEST_PATIENCE = 10.0  # seconds for a client to finish the headers of a request
_SEND_PATIENCE = 60.0  # seconds for a client to take anything of an answer
_KEEP_ALIVE = 120  # seconds without a request between two scrapes
_GRACE = 2  # seconds for scrapes under way when the process ends

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.%\w]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`, `[::1]:port` or `:port` (all interfaces). Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise ValueError("expected host:port, [::1]:port or :port")
    return match["ipv6"] or match["host"] or "", int(match["port"])


def bind(address: tuple[str, int]) -> list[socket.socket]:
    """Return listening sockets for an address, on IPv4 and IPv6 where no host is given. Raises ListenError."""
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
    listener.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )  # asyncio sets it on its own listeners alone
    return listener


class _PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to its patience: it would wait for the headers of a request for ever."""

    def __init__(self, patience: float, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._patience = patience
        self._limit: asyncio.TimerHandle | None = None
        self._send_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.trailing_data[0]:  # a part of the next request came with this one
            self._await_headers()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_limit = self.loop.call_later(_SEND_PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_send_limit()

    def shutdown(self) -> None:
        super().shutdown()
        if self.flow.write_paused:  # a client that does not take its answer would hold up the end
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_limit()
        self._forget_send_limit()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        """Start the limit when bytes of a request may come and none is being answered; end it once one is."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_limit()
        elif self._limit is None:
            self._limit = self.loop.call_later(self._patience, self._give_up)

    def _forget_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _forget_send_limit(self) -> None:
        if self._send_limit is not None:
            self._send_limit.cancel()
            self._send_limit = None

    def _give_up(self) -> None:
        self._limit = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn within this process: signals are left to the exporter."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def serving(app: ASGIApp, patience: float = REQUEST_PATIENCE) -> Server:
    """Return a server for an application; `serve(sockets=…)` runs it until `should_exit` is set.

    A client that does not finish the headers of a request within `patience` seconds is cut off.
    """
    return Server(
        uvicorn.Config(
            app,
            http=partial(_PatientProtocol, patience),  # type: ignore[arg-type] # anything that makes a protocol
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
    )


def bound(sockets: Sequence[socket.socket]) -> list[str]:
    """Return `host:port` that each socket is bound to; `[::]` and `0.0.0.0` are all of the machine's addresses."""
    return [_joined(*listener.getsockname()[:2]) for listener in sockets]


def addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """Return `host:port` of each socket, as it stands in a URL on this machine."""
    places = [listener.getsockname()[:2] for listener in sockets]
    anywhere = ("::", "0.0.0.0")  # noqa: S104 - what is bound to all addresses is found here too
    return [_joined("localhost" if host in anywhere else host, port) for host, port in places]


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
