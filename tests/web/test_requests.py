"""Requests as clients of all kinds write them: answered or refused, and nothing fills the log."""

import asyncio
import re

import pytest
from clocks import HandClock
from loopback import PATIENCE, configuration, served
from servers import surroundings

from exporter.daemon import Exporter
from exporter.demo.company import Company
from exporter.demo.simulator import Simulator
from exporter.serve import application

NOWHERE = "http://127.0.0.1:9"  # nothing is asked there


@pytest.fixture
def logged():
    """Log everything as the exporter does; return a function that gives the lines above debug."""
    with surroundings() as lines:
        yield lambda: [
            line for line in lines().splitlines() if not re.search(r"level=(debug|info)", line)
        ]


@pytest.fixture
async def address(logged):
    """Serve an exporter that has not begun to poll; return host and port."""
    clock = HandClock()
    config = configuration(NOWHERE)
    exporter = await Exporter.create(config, lambda: config, clock)
    async with served(application(exporter)) as (_, url):
        yield url.removeprefix("http://").split(":")
    await exporter.stop()


async def said(address, *pieces, pause=False):
    """Send bytes, in one packet or several; return all that comes until the server closes."""
    reader, writer = await asyncio.open_connection(*address)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if pause:
            await scraped(address)
    async with asyncio.timeout(PATIENCE):
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
    writer.close()
    return answer


async def scraped(address):
    """Scrape over a connection of its own."""
    answer = await said(address, b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    return answer


CLOSE = b"Host: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://localhost:9877/metrics", 200),
        (b"HTTP://example.com/metrics", 200),
        (b"https://example.com/metrics?x=/y", 200),
        (b"http://example.com/", 200),
        (b"http://example.com", 200),
        (b"http://example.com/nothing", 404),
        (b"/metrics?name[]=up", 200),
        (b"/m%65trics", 200),
        (b"//metrics", 404),
        (b"/metrics/", 404),
        (b"*", 404),
        (b"example.com:443", 404),
    ],
)
async def test_a_request_is_served_by_its_path(target, status, address, logged):
    """A whole URL in the request line, as for a proxy, means its path;
    what names nothing is not found.
    """
    answer = await said(address, b"GET " + target + b" HTTP/1.1\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert logged() == []


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"OPTIONS * HTTP/1.1", 404),
        (b"OPTIONS /metrics HTTP/1.1", 405),
        (b"CONNECT example.com:443 HTTP/1.1", 404),
        (b"BREW /metrics HTTP/1.1", 405),
        (b"HEAD /metrics HTTP/1.1", 200),
        (b"HEAD / HTTP/1.1", 200),
    ],
)
async def test_other_methods(request_line, status, address, logged):
    """HEAD is GET without a body; what nobody offers is refused."""
    answer = await said(address, request_line + b"\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    if request_line.startswith(b"HEAD"):
        assert answer.endswith(b"\r\n\r\n")
    assert logged() == []


async def test_http_1_0_is_answered_and_closed(address, logged):
    """A client of 1996 needs no Host and gets the whole answer."""
    answer = await said(address, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"flashback_up" in answer
    assert logged() == []


async def test_pipelined_requests_are_answered_in_order(address, logged):
    """Requests that come in one packet have their answers one after the other."""
    one = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = await said(address, one * 20 + b"GET /nothing HTTP/1.1\r\n" + CLOSE)
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", answer)
    assert statuses == [b"503"] * 20 + [b"404"]
    assert logged() == []


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    ],
)
async def test_bodies_and_upgrades_are_passed_over(headers, address, logged):
    """A body or the wish for another protocol does not keep the answer back."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /-/ready HTTP/1.1\r\nHost: a\r\n" + headers)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
    writer.close()
    assert logged() == []


BAD_CHUNK = (
    b"POST /-/reload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"zz\r\nhello\r\n",
)


@pytest.mark.parametrize("pause", [True, False], ids=["later", "at once"])
@pytest.mark.parametrize(
    "pieces",
    [
        BAD_CHUNK,
        (b"".join(BAD_CHUNK),),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", b"GET\r\n\r\n"),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET\r\n\r\n",),
        (b"GET /metrics HTTP/1.1\r\n\r\n",),
        (b"GET /metrics\r\n\r\n",),
        (b"GET /metrics SIP/2.0\r\nHost: a\r\n\r\n",),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nx\r\n\r\n",),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n",),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000,),
        (b"x" * 200_000,),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 4000,),
    ],
)
async def test_bad_requests_are_refused_without_a_word_in_the_log(pieces, pause, address, logged):
    """What is not HTTP ends with 400 or at once; others are served,
    and nothing above debug is logged.
    """
    answer = await said(address, *pieces, pause=pause)
    answered = set(re.findall(rb"HTTP/1.1 (\d+) ", answer))
    assert answered <= {b"200", b"400", b"403"}
    await scraped(address)
    assert logged() == []


async def test_clients_that_hang_up_are_not_logged(logged):
    """Who goes away in the middle of a large answer, or of their own body, leaves no warning."""
    clock = HandClock()
    simulator = Simulator(Company(), clock)
    async with served(simulator.app) as (_, url):
        api = url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(*api)
        writer.write(b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await said(api, b"GET / HTTP/1.1\r\n" + CLOSE)
    assert logged() == []
