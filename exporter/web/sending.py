"""Sends finished bytes to clients of any speed, in memory that slow ones cannot make grow."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.output.exposition import Exposition
from exporter.output.formats import Format
from exporter.steps import give_way, one_a_step
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


@dataclass(frozen=True)
class Body:
    """The pieces of an answer, how many bytes they are, and their Content-Encoding, if any."""

    pieces: Iterable[bytes]
    size: int
    encoding: str


def compressed(exposition: Exposition, chosen: Format, rest: bytes) -> Body:
    """Return an exposition and the rest of the answer as one gzip stream."""
    pieces = exposition.compressed(chosen, rest)
    return Body(pieces, sum(map(len, pieces)), "gzip")


def plain(exposition: Exposition, chosen: Format, rest: bytes) -> Body:
    """Return the same as text, which is inflated while it is sent."""
    pieces = chain(exposition.plain(chosen), [rest])
    return Body(pieces, exposition.size(chosen) + len(rest), "")


class ReadyBytes(Response):
    """A response of finished bytes, in small pieces, so that a slow client holds no copy."""

    def __init__(self, body: Body, edition: int, readers: Readers, media_type: str) -> None:
        """Announce the whole length."""
        headers = {
            "Content-Length": str(body.size),
            "Content-Type": media_type,
            "Vary": "Accept, Accept-Encoding",
        }
        if body.encoding:
            headers["Content-Encoding"] = body.encoding
        super().__init__(headers=headers)
        self._pieces = body.pieces
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
        async for piece in one_a_step(self._pieces):
            size = self._readers.chunk
            for start in range(0, len(piece), size):
                chunk = piece[start : start + size]
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if connection.gone:
                    connection.cut_off()
                    await give_way()  # then it is lost, and uvicorn sends nothing more
                    return
