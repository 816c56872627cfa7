"""The connections of the web server: how long each may take, and how many there may be."""

import asyncio
import socket
import struct
from enum import Enum
from typing import Any

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporter.web.limits import (
    ANSWER_PATIENCE,
    IDLE_PATIENCE,
    REQUEST_PATIENCE,
    STALL_PATIENCE,
    most_connections,
)
from exporter.web.tls import TlsInUse

# Bytes of an answer that wait to be encrypted; asyncio's own limit is 8 times that.
_MOST_UNSENT = 1 << 16
_SLICE = 1 << 12  # bytes
# Bytes of other requests that may come before one is answered; it is h11's limit of a header.
_MOST_BEHIND = 1 << 14
_PAUSE_OF_WARNINGS = 60.0  # seconds

_log = structlog.get_logger(__name__)


class _Phase(Enum):
    """What a client is doing, and for how many seconds it may."""

    ASKING = REQUEST_PATIENCE
    """From connecting, or its first byte, until the headers of a request are whole."""
    ANSWERED = ANSWER_PATIENCE
    """From then on until the last byte of the answer has left this process."""
    IDLE = IDLE_PATIENCE
    """Between an answer and the next request."""


class Connection(H11Protocol):
    """One client, with a limit in time for each of its phases; uvicorn would wait for ever."""

    def __init__(self, connections: "Connections", tls: TlsInUse | None, **options: Any) -> None:
        """Belong to `connections`, with TLS or in plain text; the options are uvicorn's."""
        super().__init__(**options)
        self._connections = connections
        self.tls = tls
        """What its handshake is made with; None is plain text."""
        self.handshake: asyncio.Task[None] | None = None
        """What leads to a connection with TLS."""
        self._connected = False
        self.began = False
        """Whether it ever came about, handshake included."""
        self._unwanted = False
        self._unsent = 0
        self._moved = 0.0
        self.waiting_since = self.loop.time()
        """When it connected, or when its last answer was taken; by the time of the event loop."""
        self.app_state = {"connection": self}
        self._enter(_Phase.ASKING)

    @property
    def answering(self) -> bool:
        """Whether its request is complete and the answer has not been taken."""
        return self._asked or self._unsent_bytes > 0

    @property
    def gone(self) -> bool:
        """Whether nobody is there any more to take the present answer."""
        return self.cycle is None or self.cycle.disconnected or self.transport.is_closing()

    def cut_off(self) -> None:
        """End the connection at once; what has not been taken is thrown away, by the kernel too."""
        self._unwanted = True
        if not self._connected:  # accepted a moment ago, in the middle of its handshake, or lost
            if self.handshake:
                self.handshake.cancel()
            return
        if self.answering:
            reset = struct.pack("ii", 1, 0)
            own_socket = self.transport.get_extra_info("socket")
            own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        self.transport.abort()

    def is_overdue(self, now: float) -> bool:
        """Whether the client has taken longer than it may."""
        if self._phase is _Phase.ANSWERED:
            if not self.answering:
                self._wait_for_the_next()
            self._note_progress(now)
            if now - self._moved >= STALL_PATIENCE:
                return True
        return now - self._since >= self._phase.value

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._connected = self.began = True
        if self.tls:
            self._begin_after_handshake(transport, self.tls)
        if self._unwanted:
            transport.abort()

    def _begin_after_handshake(self, transport: asyncio.Transport, tls: TlsInUse) -> None:
        """Count the time anew; a certificate without an allowed name ends it at once."""
        self._enter(_Phase.ASKING)
        transport.set_write_buffer_limits(_MOST_UNSENT)
        close = transport.close
        # uvicorn closes twice at times; asyncio's TLS transport then fails at what is asked next.
        transport.close = lambda: None if transport.is_closing() else close()  # type: ignore[method-assign]
        if not tls.admits(transport.get_extra_info("peercert")):
            self._unwanted = True

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and hold nothing that holds this, so that no garbage waits to be collected."""
        self._connected = False
        self._connections.discard(self)
        super().connection_lost(exc)
        if self.tls:
            del self.transport.close
        self.app_state = {}
        self.cycle = self.scope = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request.

        They go to h11 in slices: it would accept a header of any length that comes at once.
        """
        for start in range(0, len(data), _SLICE):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _SLICE])
        if self._asked:
            if len(self.conn.trailing_data[0]) > _MOST_BEHIND:
                self.cut_off()
            if self._phase is not _Phase.ANSWERED:
                self._enter(_Phase.ANSWERED)
        elif self._phase is _Phase.IDLE:
            self._enter(_Phase.ASKING)

    def on_response_complete(self) -> None:
        """Go on once the application has finished an answer; the client may still be taking it."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # it would begin before the answer has been taken
        if self._asked:
            self._enter(_Phase.ANSWERED)  # the next request came with this one
        elif not self.answering:
            self._wait_for_the_next()

    def resume_writing(self) -> None:
        """Go on with an answer of which the client has taken something."""
        super().resume_writing()
        self._moved = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; where an answer has begun already, end it."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # else uvicorn would go on with a second answer
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Take no other request; an answer under way may be finished."""
        if self._asked:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    @property
    def _asked(self) -> bool:
        """Whether the application has a request to answer."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size() if self._connected else 0

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._since = self._moved = self.loop.time()

    def _wait_for_the_next(self) -> None:
        """Wait for the next request, of which a part may have come."""
        self.waiting_since = self.loop.time()
        self._enter(_Phase.ASKING if self.conn.trailing_data[0] else _Phase.IDLE)

    def _note_progress(self, now: float) -> None:
        """Look whether the client has taken a byte since the last look, or has had none to take."""
        unsent = self._unsent_bytes
        if unsent != self._unsent or not unsent:
            self._moved = now
        self._unsent = unsent


class Connections:
    """All connections of a process's web servers, of which there are never more than `most`.

    Who connects when all places are taken has the place of the one that has been longest without a
    complete request. One that is being answered keeps its place, and where all are, the newcomer is
    closed.
    """

    def __init__(self, most: int | None = None) -> None:
        """Begin with none; without a number, `most_connections` says how many there may be."""
        self._most = most or most_connections()
        self._open: set[Connection] = set()
        self._warned: float | None = None

    def admit(self, newcomer: Connection) -> bool:
        """Give a newcomer a place, and return whether there was one."""
        is_full = len(self._open) >= self._most
        if is_full and not self.make_room(newcomer.loop.time()):
            return False
        self._open.add(newcomer)
        return True

    def make_room(self, now: float) -> bool:
        """Close the one longest without a complete request; False where all are being answered."""
        if self._warned is None or now - self._warned >= _PAUSE_OF_WARNINGS:
            self._warned = now
            _log.warning("too many connections, the longest silent are closed", most=self._most)
        silent = [connection for connection in self._open if not connection.answering]
        if not silent:
            return False
        longest = min(silent, key=lambda connection: connection.waiting_since)
        self._open.discard(longest)
        longest.cut_off()
        return True

    def discard(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)

    def sweep(self, now: float) -> None:
        """Cut off whoever has taken longer than it may."""
        for connection in [each for each in self._open if each.is_overdue(now)]:
            connection.cut_off()

    def cut_off(self) -> None:
        """Cut off everybody."""
        for connection in list(self._open):
            connection.cut_off()
