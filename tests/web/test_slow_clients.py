"""Clients that are slow, silent or gone hold up nobody, and do not stay for ever."""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from clocks import HandClock
from loopback import PATIENCE, configuration, polled, served

from exporter.daemon import Exporter
from exporter.demo.company import Company
from exporter.demo.simulator import Simulator
from exporter.web.app import create_app
from exporter.web.server import REQUEST_PATIENCE

MANY = 200
HALF_A_HEADER = b"GET /metrics HTTP/1.1\r\nHost: local"
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\r\n"
NOWHERE = "http://127.0.0.1:9"  # nothing is asked there


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop that can be told that time has passed, so that the server's patience ends at once."""

    skipped = 0.0

    def time(self):
        return super().time() + self.skipped

    def skip(self, seconds):
        self.skipped += seconds


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
    async with served(create_app(exporter, clock)) as (_, url):
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
    """200 connections with half a header and 200 with nothing: a scrape answers within a second, and they are cut."""
    async with AsyncExitStack() as stack:
        silent = []
        for first in (HALF_A_HEADER, b""):
            for _ in range(MANY):
                reader, _ = await stack.enter_async_context(connected(address, first))
                silent.append(reader)
        await scrape(address)
        asyncio.get_running_loop().skip(REQUEST_PATIENCE - 1)
        await scrape(address)
        assert not any(reader.at_eof() for reader in silent)
        asyncio.get_running_loop().skip(1)
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
    """A connection that has been answered may stay idle for a minute, which is what scrape intervals are made of."""
    async with connected(address) as (reader, writer):
        for _ in range(3):
            assert b" 200 " in await answer(reader, writer)
            asyncio.get_running_loop().skip(60)
            await scrape(address)


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
    """A TLS handshake, half a request line or a header without end is answered with 400 and the connection closed."""
    async with connected(address, garbage) as (reader, _):
        assert (await closed(reader)).startswith((b"HTTP/1.1 400 ", b""))
        await scrape(address)


async def test_clients_that_read_nothing_hold_up_nobody(caplog):
    """Large answers that nobody takes off the wire leave the server free for other scrapes and for a quiet end."""
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
        async with served(create_app(exporter, clock)) as (server, url):
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
