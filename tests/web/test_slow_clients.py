"""Clients that are slow, silent or gone hold up nobody, and do not stay for ever."""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from clocks import HandClock, SkippingLoop
from loopback import PATIENCE, configuration, polled, served
from servers import surroundings

from exporter.daemon import Exporter
from exporter.demo.company import Company
from exporter.demo.simulator import Simulator
from exporter.serve import application
from exporter.web.limits import (
    ANSWER_PATIENCE,
    IDLE_PATIENCE,
    REQUEST_PATIENCE,
    STALL_PATIENCE,
)
from exporter.web.sending import Body, Readers, ReadyBytes

MANY = 200
HALF_A_HEADER = b"GET /metrics HTTP/1.1\r\nHost: local"
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\r\n"
OTHER = REQUEST.replace(b"/metrics", b"/other")
NOWHERE = "http://127.0.0.1:9"  # nothing is asked there


@pytest.fixture
def anyio_backend():
    """Run the tests of this module in a loop whose time can be skipped."""
    return "asyncio", {"loop_factory": SkippingLoop}


@pytest.fixture
async def address():
    """Serve an exporter that has not begun to poll; return host and port."""
    clock = HandClock()
    config = configuration(NOWHERE)
    exporter = await Exporter.create(config, lambda: config, clock)
    async with served(application(exporter)) as (_, url):
        yield url.removeprefix("http://").split(":")
    await exporter.stop()


@asynccontextmanager
async def connected(address, first=b""):
    """Connect, send a beginning and hand out the streams."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(first)
        yield reader, writer
    finally:
        writer.close()


async def closed(reader):
    """Wait until the server has closed a connection, and return what it had sent before."""
    async with asyncio.timeout(REQUEST_PATIENCE / 2):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def answer(reader, writer, request=REQUEST):
    """Send a request and return the head of its answer, having read all of it."""
    writer.write(request)
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [
            line.split()[1]
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        ]
        await reader.readexactly(int(length))
    return head


async def scrape(address):
    """Scrape over a new connection, within the second that is promised."""
    async with connected(address) as (reader, writer):
        async with asyncio.timeout(1):
            head = await answer(reader, writer)
        assert head.startswith(b"HTTP/1.1 200 ")


async def test_silent_connections_hold_up_nobody_and_are_closed(address):
    """200 connections with half a header and 200 with nothing: a scrape answers within a second,
    and they are cut.
    """
    async with AsyncExitStack() as stack:
        silent = []
        for first in (HALF_A_HEADER, b""):
            for _ in range(MANY):
                reader, _ = await stack.enter_async_context(connected(address, first))
                silent.append(reader)
        await scrape(address)
        asyncio.get_running_loop().skip(REQUEST_PATIENCE / 2)
        await scrape(address)
        assert not any(reader.at_eof() for reader in silent)
        asyncio.get_running_loop().skip(REQUEST_PATIENCE / 2)
        assert set(await asyncio.gather(*map(closed, silent))) == {b""}
        await scrape(address)


async def test_a_client_that_drips_is_cut_off(address):
    """Another byte of the header now and then buys no more time."""
    async with connected(address, HALF_A_HEADER) as (reader, writer):
        for _ in range(9):
            asyncio.get_running_loop().skip(REQUEST_PATIENCE / 10)
            writer.write(b"x")
            await scrape(address)
        assert not reader.at_eof()
        asyncio.get_running_loop().skip(REQUEST_PATIENCE / 10)
        assert await closed(reader) == b""


async def test_a_header_that_comes_late_but_comes_is_answered(address):
    """Who finishes the header in time has an answer, however slowly it came."""
    async with connected(address, HALF_A_HEADER) as (reader, writer):
        await scrape(address)
        asyncio.get_running_loop().skip(REQUEST_PATIENCE * 0.9)
        assert b" 200 " in await answer(reader, writer, REQUEST.removeprefix(HALF_A_HEADER))


async def test_a_connection_may_rest_between_two_scrapes(address):
    """A connection that was answered may idle for two minutes, as scrape intervals need."""
    async with connected(address) as (reader, writer):
        for _ in range(3):
            assert b" 200 " in await answer(reader, writer)
            asyncio.get_running_loop().skip(IDLE_PATIENCE / 2)
            await scrape(address)
        asyncio.get_running_loop().skip(IDLE_PATIENCE / 2)
        assert await closed(reader) == b""


async def test_a_second_request_must_be_finished_as_well(address):
    """The limit holds for each request of a connection, not for the first alone."""
    async with connected(address) as (reader, writer):
        await answer(reader, writer)
        writer.write(HALF_A_HEADER)
        await scrape(address)
        asyncio.get_running_loop().skip(REQUEST_PATIENCE)
        assert await closed(reader) == b""


async def test_a_second_request_that_begins_in_the_packet_of_the_first_must_be_finished_as_well(
    address,
):
    """Half a request that came right behind a whole one is under the same limit."""
    async with connected(address) as (reader, writer):
        await answer(reader, writer, REQUEST + HALF_A_HEADER)
        await scrape(address)
        asyncio.get_running_loop().skip(REQUEST_PATIENCE)
        assert await closed(reader) == b""


async def test_a_body_that_never_comes(address):
    """A request that announces a body is answered without it, and its connection does not stay."""
    async with connected(address) as (reader, writer):
        head = await answer(
            reader,
            writer,
            b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
        )
        assert b" 403 " in head
        await scrape(address)
        asyncio.get_running_loop().skip(120)
        assert await closed(reader) == b""


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"x" * 200_000]
)
async def test_what_is_not_http_is_refused(address, garbage):
    """A TLS handshake, half a request line or a header without end is answered with
    400 and the connection closed.
    """
    async with connected(address, garbage) as (reader, _):
        assert (await closed(reader)).startswith((b"HTTP/1.1 400 ", b""))
        await scrape(address)


async def test_clients_that_read_nothing_hold_up_nobody(caplog):
    """Large answers that nobody takes leave the server free for other scrapes and a quiet end."""
    clock = HandClock()
    simulator = Simulator(Company(), clock)
    async with served(simulator.app) as (_, api), AsyncExitStack() as stack:
        query = {
            "labels": [
                "repo_id",
                "ai_llm_id",
                "repo_ai_api_key_id",
                "user_uuid",
                "conversation_uuid",
            ]
        }
        config = configuration(api, queries=[query])
        exporter = await Exporter.create(config, lambda: config, clock)
        async with served(application(exporter)) as (server, url):
            exporter.start()
            async with httpx.AsyncClient(base_url=url) as client:
                await polled(client)
            for _ in range(20):
                deaf = socket.socket()
                stack.callback(deaf.close)
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.setblocking(False)
                host, port = url.removeprefix("http://").split(":")
                await asyncio.get_running_loop().sock_connect(deaf, (host, int(port)))
                await asyncio.get_running_loop().sock_sendall(deaf, REQUEST * 3)
            for _ in range(3):
                await scrape((host, port))
            assert len(server.server_state.tasks) >= 20, (
                "the answer was too small to hold anybody up"
            )
            await exporter.stop()
        assert [
            record.message for record in caplog.records if record.levelno >= logging.ERROR
        ] == []


class Large:
    """An application that answers with many pieces; on /metrics,
    the kernel takes little of them at a time.
    """

    def __init__(self, *, piece=300_000, pieces=100):
        self._readers = Readers()
        self._pieces = [b"x" * piece] * pieces
        self.size = piece * pieces
        self.edition = 0
        self.connections = []
        self.ended = asyncio.Semaphore(0)

    async def __call__(self, scope, receive, send):
        body = Body(self._pieces, self.size, "")
        answer = ReadyBytes(body, self.edition, self._readers, "text/plain")
        if scope["path"] == "/metrics":
            connection = scope["state"]["connection"]
            self.connections.append(connection)
            connection.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
            )
        await answer(scope, receive, send)
        self.ended.release()

    @property
    def all_stuck(self):
        """Whether nothing more can be sent to anybody."""
        return all(
            one.transport.get_write_buffer_size() for one in self.connections if not one.gone
        )

    @property
    def buffered(self):
        """How many bytes are held for clients, beside the pieces themselves."""
        return sum(one.transport.get_write_buffer_size() for one in self.connections)


async def deaf(stack, url, request=REQUEST):
    """Connect with small buffers, ask, and read nothing; return the socket."""
    client = socket.socket()
    stack.callback(client.close)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    host, port = url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (host, int(port)))
    await loop.sock_sendall(client, request)
    return client


async def stuck(app, number=1):
    """Wait until so many clients have asked and the server cannot send more to any."""
    async with asyncio.timeout(PATIENCE):
        while len(app.connections) < number or not app.all_stuck:  # noqa: ASYNC110 - no time
            await asyncio.sleep(0)


async def looks(server, url, number=3):
    """Let the server look at its clients so often; others are answered meanwhile."""
    async with httpx.AsyncClient(base_url=url) as client:
        for _ in range(number):
            await client.head("/other")
            server.connections.sweep(asyncio.get_running_loop().time())


async def open_connections(server, number):
    """Wait until the server has so many connections."""
    async with asyncio.timeout(PATIENCE):
        while len(server.server_state.connections) != number:  # noqa: ASYNC110 - no time
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "app", [Large(), Large(piece=50_000, pieces=1)], ids=["more to send", "all handed over"]
)
async def test_a_client_that_takes_nothing_is_cut_off(app):
    """30 s without taking a byte are the end, also where the application has finished its part."""
    async with AsyncExitStack() as stack, served(app) as (server, url):
        await deaf(stack, url)
        await stuck(app)
        await looks(server, url)
        asyncio.get_running_loop().skip(STALL_PATIENCE / 2)
        await looks(server, url)
        assert app.connections[0] in server.server_state.connections
        asyncio.get_running_loop().skip(STALL_PATIENCE / 2)
        await open_connections(server, 0)


async def test_a_client_that_takes_a_little_now_and_then_is_cut_off():
    """60 s for a whole answer are the end, whatever was taken of it."""
    app = Large()
    async with AsyncExitStack() as stack, served(app) as (server, url):
        client = await deaf(stack, url)
        await stuck(app)
        for _ in range(5):
            asyncio.get_running_loop().skip(ANSWER_PATIENCE / 6)
            assert await asyncio.get_running_loop().sock_recv(client, 20_000)
            await looks(server, url)
            assert app.connections[0] in server.server_state.connections
        asyncio.get_running_loop().skip(ANSWER_PATIENCE / 6)
        await open_connections(server, 0)


async def test_a_client_that_takes_all_in_time_may_ask_again():
    """After a slow answer the connection is as good as before."""
    app = Large(piece=100_000, pieces=1)
    async with served(app) as (_, url):
        address = url.removeprefix("http://").split(":")
        async with connected(address) as (reader, writer):
            for _ in range(3):
                writer.write(REQUEST)
                asyncio.get_running_loop().skip(ANSWER_PATIENCE / 3)
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(100_000)


async def test_many_readers_that_take_nothing_cost_little():
    """50 clients that never read an answer of 30 MB hold little memory and hold up nobody."""
    app = Large()
    async with AsyncExitStack() as stack, served(app) as (server, url):
        for _ in range(50):
            await deaf(stack, url)
        await stuck(app, 50)
        assert app.buffered < 50 * 200_000
        async with httpx.AsyncClient(base_url=url) as client, asyncio.timeout(1):
            assert (await client.get("/other")).content == b"x" * app.size
        assert len(server.server_state.connections) >= 50


async def test_few_editions_are_held_for_slow_clients():
    """Whoever takes a third old edition at once is cut off, lest memory grow with each poll."""
    app = Large()
    async with AsyncExitStack() as stack, served(app) as (server, url):
        for app.edition in range(6):
            await deaf(stack, url)
            await deaf(stack, url)
            await stuck(app, 2 * app.edition + 2)
            await open_connections(server, min(2 * app.edition + 2, 6))
        assert {one.gone for one in app.connections[:-6]} == {True}
        assert {one.gone for one in app.connections[-6:]} == {False}


@pytest.mark.parametrize("taken", [0, 1000])
async def test_a_client_that_hangs_up_is_sent_nothing_more(taken):
    """Who goes away before or amid 600 pieces leaves no line in the log; the rest is not sent."""
    app = Large(piece=1000, pieces=600) if not taken else Large()
    with surroundings() as lines:
        async with AsyncExitStack() as stack, served(app) as (server, url):
            for _ in range(3):
                client = await deaf(stack, url, REQUEST if taken else OTHER)
                if taken:
                    await asyncio.get_running_loop().sock_recv(client, taken)
                client.close()
                async with asyncio.timeout(PATIENCE):
                    await app.ended.acquire()
            await open_connections(server, 0)
    assert "level=warning" not in lines()
    assert "level=error" not in lines()


async def test_slow_clients_do_not_hold_up_the_end():
    """The server ends though clients take nothing, quietly and soon."""
    app = Large()
    with surroundings() as lines:
        async with AsyncExitStack() as stack, asyncio.timeout(4), served(app) as (_, url):
            for _ in range(5):
                await deaf(stack, url)
            await stuck(app, 5)
    assert "level=warning" not in lines()
    assert "level=error" not in lines()
