"""How many connections there may be, and who is closed for a newcomer."""

import asyncio
import gc
import resource
import socket
import sys
import time
import weakref
from contextlib import AsyncExitStack, ExitStack, contextmanager

import pytest
from clocks import HandClock
from loopback import PATIENCE, configuration, served
from programs import get, process
from servers import surroundings

from exporter.daemon import Exporter
from exporter.serve import application
from exporter.web.connections import Connections
from exporter.web.limits import most_connections

MOST = 8
MANY = 200
HALF = b"GET /metrics HTTP/1.1\r\nHost: loc"
REQUEST = b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n"
NOWHERE = "http://127.0.0.1:9"  # nothing is asked there


class Hold:
    """An application that answers nothing before it may; `waiting` counts those who wait."""

    def __init__(self):
        self.waiting = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.waiting.release()
        await self.go_on.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def lines():
    """Log everything as the exporter does; hand out a function that returns it."""
    with surroundings() as lines:
        yield lines


async def ended(reader):
    """Wait until the server has closed a connection."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def opened(stack, url, first=b""):
    """Connect to a server and send something."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    stack.callback(writer.close)
    writer.write(first)
    return reader, writer


async def head_of_answer(reader):
    """Return the status line of an answer, whose body is short."""
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
    return head.split(b"\r\n")[0]


async def test_the_longest_without_a_complete_request_makes_room(lines):
    """At the cap each newcomer is answered, the oldest silent connection goes,
    and one line of the log tells.
    """
    hold = Hold()
    hold.go_on.set()
    async with AsyncExitStack() as stack, served(hold, Connections(MOST)) as (_, url):
        silent = [(await opened(stack, url, HALF))[0] for _ in range(MOST)]
        for number in range(MOST):
            reader, _ = await opened(stack, url, REQUEST)
            assert b" 200 " in await head_of_answer(reader)
            assert await ended(silent[number]) == b""
            assert not any(other.at_eof() for other in silent[number + 1 :])
    assert lines().count("too many connections") == 1


async def test_another_byte_makes_a_connection_no_younger(lines):
    """Who has been silent longest goes first, though it has just begun its next request."""
    hold = Hold()
    hold.go_on.set()
    async with AsyncExitStack() as stack, served(hold, Connections(MOST)) as (_, url):
        first, to_first = await opened(stack, url, REQUEST)
        await head_of_answer(first)
        others = [(await opened(stack, url))[0] for _ in range(MOST - 1)]
        to_first.write(HALF)
        for reader in ((await opened(stack, url, REQUEST))[0],):
            assert b" 200 " in await head_of_answer(reader)
        assert await ended(first) == b""
        assert not any(other.at_eof() for other in others)


async def test_one_that_is_being_answered_is_never_closed(lines):
    """Where all are being answered the newcomer is closed,
    and as many answers come as there are places.
    """
    hold = Hold()
    async with AsyncExitStack() as stack, served(hold, Connections(MOST)) as (_, url):
        answered = [(await opened(stack, url, REQUEST))[0] for _ in range(MOST)]
        for _ in range(MOST):
            await hold.waiting.acquire()
        for _ in range(3):
            newcomer, _ = await opened(stack, url, REQUEST)
            assert await ended(newcomer) == b""
        hold.go_on.set()
        for reader in answered:
            assert b" 200 " in await head_of_answer(reader)
        again, _ = await opened(stack, url, REQUEST)
        assert b" 200 " in await head_of_answer(again)


async def test_servers_of_one_process_share_their_places(lines):
    """Two servers together have no more connections than one alone."""
    hold = Hold()
    hold.go_on.set()
    shared = Connections(MOST)
    async with (
        AsyncExitStack() as stack,
        served(hold, shared) as (_, one),
        served(hold, shared) as (_, other),
    ):
        silent = [(await opened(stack, one))[0] for _ in range(MOST)]
        reader, _ = await opened(stack, other, REQUEST)
        assert b" 200 " in await head_of_answer(reader)
        assert await ended(silent[0]) == b""


@pytest.mark.parametrize("whole", [True, False])
async def test_a_connection_that_has_ended_is_freed_at_once(whole, lines):
    """Nothing of it waits for the garbage collector, which may not come for long."""
    alive = []

    async def app(scope, receive, send):
        alive.append(weakref.ref(scope["state"]["connection"]))
        headers = [(b"content-length", b"2" if whole else b"3")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok", "more_body": not whole})
        while not (whole or scope["state"]["connection"].gone):  # noqa: ASYNC110
            await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        async with AsyncExitStack() as stack, served(app) as (server, url):
            reader, writer = await opened(stack, url, REQUEST)
            assert b" 200 " in await head_of_answer(reader)
            writer.close()
            async with asyncio.timeout(PATIENCE):
                while server.server_state.connections or server.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert alive[0]() is None
    finally:
        gc.enable()


async def test_a_lack_of_descriptors_is_borne(lines):
    """Where descriptors run out all the same, the longest silent makes room,
    and the log does not fill.
    """
    clock = HandClock()
    config = configuration(NOWHERE)
    exporter = await Exporter.create(config, lambda: config, clock)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        async with served(application(exporter)) as (_, url):
            place = url.removeprefix("http://").split(":")
            clients = [stack.enter_context(socket.socket()) for _ in range(2 * MOST)]
            in_use = clients[-1].fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + MOST, hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            for client in clients:
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, (place[0], int(place[1])))
                await asyncio.get_running_loop().sock_sendall(client, REQUEST)
            async with asyncio.timeout(PATIENCE):
                answer = await asyncio.get_running_loop().sock_recv(clients[-1], 100)
            assert answer.startswith(b"HTTP/1.1 503 ")
    await exporter.stop()
    assert len([line for line in lines().splitlines() if "level=debug" not in line]) < 5


@pytest.mark.parametrize(
    ("limit", "most"),
    [(16, 8), (40, 8), (64, 32), (256, 192), (1024, 512), (1 << 20, 512)],
)
def test_the_cap_stays_below_the_limit(limit, most, monkeypatch):
    """There is a cap whatever the limit is, and room for everything else below the limit."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most_connections() == most


def test_without_a_limit_there_is_a_cap(monkeypatch):
    """Even where the system sets no limit."""
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (unlimited, unlimited))
    assert most_connections() == 512


@contextmanager
def demo(limit):
    """Run the demo under a limit of descriptors;
    hand out the process and the addresses of exporter and API.
    """
    demo = f'exec "{sys.executable}" -m exporter demo --web.listen-address=127.0.0.1:0'
    command = f"ulimit -n {limit}; {demo}"
    with process("bash", "-c", command, ready=r"msg=serving .*127\.0\.0\.1:(\d+)") as (
        program,
        match,
    ):
        yield program, int(match[1])


def test_strangers_cannot_use_up_the_descriptors():
    """At a limit of 64, with 200 half-sent requests,
    a scrape answers within a second and polls go on.
    """
    with demo(64) as (program, port), ExitStack() as stack:
        url = f"http://127.0.0.1:{port}"
        program.eventually(lambda: get(f"{url}/-/ready"))
        for _ in range(MANY):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(HALF)
        for _ in range(5):
            began = time.perf_counter()
            scraped = get(f"{url}/metrics").decode()
            assert time.perf_counter() - began < 1
        assert 'flashback_up{query="default"} 1.0' in scraped
        assert "Traceback" not in program.text
        assert len(program.text.splitlines()) < 20
