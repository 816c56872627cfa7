"""Finished bytes on their way to clients: how much is copied for each at a time."""

from contextlib import ExitStack

import pytest

from exporter.web.sending import Body, Readers, ReadyBytes

KIB = 1 << 10
MIB = 1 << 20


class Client:
    """A connection that takes whatever it is sent."""

    gone = False


async def chunks(readers, pieces):
    """Send pieces to one more client; return the sizes in which it gets them."""
    sizes = []

    async def send(message):
        if message["type"] == "http.response.body":
            sizes.append(len(message["body"]))

    body = Body(pieces, sum(map(len, pieces)), "")
    response = ReadyBytes(body, 1, readers, "text/plain")
    await response({"method": "GET", "state": {"connection": Client()}}, None, send)
    return sizes[:-1]  # the last one says that this was all


@pytest.mark.parametrize(("others", "chunk"), [(0, MIB), (3, MIB), (4, 128 * KIB), (50, 128 * KIB)])
async def test_few_readers_get_large_chunks(others, chunk):
    """Up to four readers get a megabyte at a time; more of them an eighth, whatever they take."""
    readers = Readers()
    with ExitStack() as stack:
        for number in range(others):
            stack.enter_context(readers.reading(number % 2, Client()))
        assert await chunks(readers, [b"x" * (2 * MIB + 5)]) == [chunk] * (2 * MIB // chunk) + [5]


async def test_chunks_grow_again_once_readers_have_left():
    """Who has taken all counts no more."""
    readers = Readers()
    with ExitStack() as stack:
        for _ in range(9):
            stack.enter_context(readers.reading(1, Client()))
    assert await chunks(readers, [b"x" * MIB]) == [MIB]


async def test_small_pieces_are_sent_as_they_are():
    """What is smaller than a chunk is one."""
    assert await chunks(Readers(), [b"abc", b"", b"de"]) == [3, 2]
