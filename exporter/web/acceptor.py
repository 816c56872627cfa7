"""Accepts connections: a few at a time, while there is room, each handshake beside the others."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import structlog

from exporter.web.connections import Connection, Connections
from exporter.web.limits import HANDSHAKE_PATIENCE, STALL_PATIENCE

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_AT_ONCE = 4  # connections; fewer than may be open, so that each has a turn to send its request
_PAUSE = 0.05  # seconds until accepting is tried again
_TLS_PATIENCE = {
    "ssl_handshake_timeout": HANDSHAKE_PATIENCE,
    "ssl_shutdown_timeout": STALL_PATIENCE,  # the end of an answer may still be on its way
}

_log = structlog.get_logger(__name__)


class Acceptor:
    """Accepts connections, a few in each turn of the event loop, while there is room for them.

    asyncio itself would accept thousands before it looks at one, and where descriptors run out, log
    a traceback for each.
    """

    def __init__(
        self,
        listener: socket.socket,
        connections: Connections,
        new_connection: Callable[[], Connection],
    ) -> None:
        """Begin to accept; `new_connection` makes what a client becomes."""
        listener.setblocking(False)
        self._listener = listener
        self._connections = connections
        self._new_connection = new_connection
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._arriving: dict[asyncio.Task[None], Connection] = {}
        self._go_on()

    def close(self) -> None:
        """Take no more, and finish no handshake."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        for connecting, connection in self._arriving.items():
            if connection.tls:
                connecting.cancel()

    async def wait_closed(self) -> None:
        """Wait for those who were just arriving."""
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _go_on(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._try_later(error)
                return
            self._welcome(client)

    def _try_later(self, error: OSError) -> None:
        """Pause for a moment; where descriptors or memory have run out, make room before."""
        if error.errno in _EXHAUSTED:
            self._connections.make_room(self._loop.time())
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(_PAUSE, self._go_on)

    def _welcome(self, client: socket.socket) -> None:
        connection = self._new_connection()
        if not self._connections.admit(connection):
            client.close()
            return
        connecting = self._loop.create_task(self._connect(connection, client), name="connect")
        self._arriving[connecting] = connection
        if connection.tls:
            connection.handshake = connecting

        def arrived(connecting: asyncio.Task[None]) -> None:
            del self._arriving[connecting]
            connection.handshake = None
            if not connection.began:  # also where the task was cancelled before it ran
                client.close()
                self._connections.discard(connection)

        connecting.add_done_callback(arrived)

    async def _connect(self, connection: Connection, client: socket.socket) -> None:
        client.setblocking(False)
        options: dict[str, Any] = {}
        if connection.tls:
            options = {"ssl": connection.tls.context, **_TLS_PATIENCE}
        try:
            await self._loop.connect_accepted_socket(lambda: connection, client, **options)
        except OSError as error:  # it has gone already, or does not speak TLS
            _log.debug("not connected", reason=str(error) or type(error).__name__)
