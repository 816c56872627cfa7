"""Sends finished bytes to clients of any speed, in memory that slow ones cannot make grow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.steps import give_way
from exporter.web.connections import Connection

# Bytes that are copied for a client at a time. Larger chunks are quicker, and a few clients cannot
# hold much memory with them.
_CHUNK = 1 << 17
_CHUNK_FOR_FEW = 1 << 20
_FEW = 4
_EDITIONS = 3  # the newest one and two that slow clients are still taking


class Readers:
    """Who is being sent which edition of the statistics.

    An edition stays in memory while anybody takes it. So there may be two old ones at once; those
    who take one still older are cut off.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self._readers: dict[int, set[Connection]] = {}

    @property
    def chunk(self) -> int:
        """How many bytes to copy for one of them at a time."""
        number = sum(map(len, self._readers.values()))
        return _CHUNK_FOR_FEW if number <= _FEW else _CHUNK

    @contextmanager
    def reading(self, edition: int, connection: Connection) -> Iterator[None]:
        """Count a connection as a reader of an edition; a higher number is a newer one."""
        self._readers.setdefault(edition, set()).add(connection)
        if len(self._readers) > _EDITIONS:
            for late in self._readers[min(self._readers)]:
                late.cut_off()
        try:
            yield
        finally:
            self._readers[edition].discard(connection)
            if not self._readers[edition]:
                del self._readers[edition]


class ReadyBytes(Response):
    """A response of finished bytes, in small pieces, so that a slow client holds no copy."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        edition: int,
        readers: Readers,
        media_type: str,
        encoding: str,
    ) -> None:
        """Announce the whole length; `encoding` is the Content-Encoding, if any."""
        headers = {
            "Content-Length": str(sum(map(len, pieces))),
            "Content-Type": media_type,
            "Vary": "Accept, Accept-Encoding",
        }
        super().__init__(headers=headers | ({"Content-Encoding": encoding} if encoding else {}))
        self._pieces = pieces
        self._edition = edition
        self._readers = readers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the headers and, but for HEAD, the pieces."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            connection: Connection = scope["state"]["connection"]
            with self._readers.reading(self._edition, connection):
                await self._send_pieces(connection, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_pieces(self, connection: Connection, send: Send) -> None:
        for piece in self._pieces:
            size = self._readers.chunk
            for start in range(0, len(piece), size):
                chunk = piece[start : start + size]
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if connection.gone:
                    connection.cut_off()
                    await give_way()  # then it is lost, and uvicorn sends nothing more
                    return
