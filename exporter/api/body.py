"""Reads the body of an answer: decompressed in small pieces, no more than is allowed."""

import json
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from exporter.errors import PollError, Reason, TruncatedError
from exporter.steps import give_way

PIECE = 64 * 1024
MAX_JSON = 256 * 1024
"""Bytes of an answer that is decoded as a whole: a sign-in's, or a message about a failure."""


def decompressed(raw: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Return a body in pieces of at most 64 KiB, however well it was compressed.

    Others run at each. `raw` comes in such pieces, off the network, and `encoding` is its
    Content-Encoding. Raises PollError where the body is something else, TruncatedError where it is
    cut off.
    """
    if encoding in ("identity", ""):
        return raw
    if encoding in ("gzip", "x-gzip"):
        return _gunzipped(raw)
    message = "the answer has a Content-Encoding that was not asked for"
    raise PollError(Reason.INVALID_RESPONSE, message)


async def limited(pieces: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Yield a body's pieces.

    Raises PollError `too_large` where there are more than `limit` bytes.
    """
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > limit:
            raise PollError(Reason.TOO_LARGE, f"the answer is larger than {limit} bytes")
        yield piece


def json_object(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object that a body holds.

    Raises PollError where it holds none, TruncatedError where it is empty or the object has no end.
    """
    text = content.strip()
    if not text:
        raise TruncatedError("the answer is empty")
    if text.startswith(b"{") and not text.endswith(b"}"):
        raise TruncatedError("the answer is not complete")
    try:
        answer = json.loads(content[:MAX_JSON])
    except (ValueError, RecursionError):
        # Without the cause, which holds what the server sent.
        raise PollError(Reason.INVALID_RESPONSE, "the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise PollError(Reason.INVALID_RESPONSE, "the answer is not a JSON object")
    return answer


async def _gunzipped(compressed: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    decompressor = zlib.decompressobj(wbits=31)
    try:
        async for raw in compressed:
            data = raw
            while data or not decompressor.eof:
                if decompressor.eof:
                    # A gzip stream may consist of several members.
                    decompressor = zlib.decompressobj(wbits=31)
                piece = decompressor.decompress(data, PIECE)
                yield piece
                await give_way()
                ended = decompressor.eof
                data = decompressor.unused_data if ended else decompressor.unconsumed_tail
                if not data and len(piece) < PIECE:
                    break
    except zlib.error as error:
        raise PollError(Reason.INVALID_RESPONSE, "the answer is not valid gzip") from error
    if not decompressor.eof:
        raise TruncatedError("the answer ends in the middle of its gzip stream")
