"""Fake ends of a connection: respx routes, raw servers that break in every way, and a proxy."""

import asyncio
import base64
import io
import json
import logging
import os
import socket
import struct
from collections import deque
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, suppress

import httpx
import pytest
import respx
import structlog

from exporter import log
from exporter.api.client import FlashbackClient
from exporter.api.daily import DAILY
from exporter.config.api_section import Api
from exporter.config.sections import Query
from exporter.errors import PollError
from exporter.metrics import DIMENSIONS, FIELD_KINDS, Kind
from exporter.polling.poll import Plan, Poll

BASE_URL = "https://api.example.com"
TODAY = 1_704_067_200  # the UTC midnight before the moment at which FakeClock stands

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def logging_left_as_it_was():
    """Let whatever happens within change the way of logging for no longer than that."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


@contextmanager
def surroundings():
    """Log everything as the exporter does, and spare clients reading the machine's certificates.

    Hands out a function that returns what was logged so far.
    """
    with logging_left_as_it_was(), pytest.MonkeyPatch.context() as environment:
        with redirect_stderr(io.StringIO()) as lines:
            log.configure("debug", "logfmt")
        environment.setenv("SSL_CERT_FILE", os.devnull)
        environment.setenv("SSL_CERT_DIR", os.devnull)
        yield lines.getvalue


def record(**fields):
    """Return a valid record of today, with something in every field."""
    amounts = {Kind.COUNT: 1, Kind.BIG_COUNT: "10", Kind.MEAN: 250}
    return {
        "timestamp": TODAY,
        **dict.fromkeys(DIMENSIONS.values(), "a"),
        **{field: amounts[kind] for field, kind in FIELD_KINDS.items()},
        **fields,
    }


def statistics(*records):
    """Return the body of a good answer; with one record unless told otherwise."""
    return json.dumps({"success": True, "data": list(records) or [record()]}).encode()


def jwt(**claims):
    """Return an unsigned JWT with these claims."""
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({}, claims)
    )
    return ".".join(parts) + ".signature"


class Body(httpx.AsyncByteStream):
    """A body that has not been read yet, as a real transport hands it out."""

    def __init__(self, content):
        self._content = content

    async def __aiter__(self):
        yield self._content


def answer(status=200, content=None, headers=()):
    """Return an answer with bytes or JSON in it; a 200 without content holds good statistics."""
    if content is None:
        content = statistics() if status == 200 else b""
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    length = {"Content-Length": str(len(content))}
    return httpx.Response(status, headers={**length, **dict(headers)}, stream=Body(content))


def signed_in(token="a", **more):
    """Return the answer to a good sign-in."""
    return answer(200, {"success": True, "accessToken": token, **more})


def in_turn(*answers):
    """Return a side effect that gives (or raises) these answers in turn, and the last for ever."""
    remaining = deque(answers)

    def respond(request):
        one = remaining.popleft() if len(remaining) > 1 else remaining[0]
        if isinstance(one, Exception):
            return httpx.Response(599, extensions={"error": one})
        return httpx.Response(one.status_code, headers=one.headers, stream=one.stream)

    return respond


def fake_api(*daily):
    """Return routes for an API that gives these answers to questions, or good ones."""
    router = respx.MockRouter(base_url=BASE_URL, assert_all_called=False)
    router.get(DAILY, name="daily").mock(side_effect=in_turn(*(daily or (answer(),))))
    return router


def _through(router):
    """Return a transport that raises the planned errors itself:
    respx would make them the cause of their own cause.
    """

    async def handle(request):
        response = await router.async_handler(request)
        if error := response.extensions.get("error"):
            raise error
        return response

    return httpx.MockTransport(handle)


@asynccontextmanager
async def connected(router, clock, observe=None, **api):
    """Hand out a client that talks to a router's routes, or over the network where that is None."""
    if "login" not in api and "refresh_token_file" not in api:
        api.setdefault("authorization", {"credentials": "token"})
    settings = Api.model_validate({"base_url": BASE_URL, **api})
    transport = _through(router) if router is not None else None
    client = FlashbackClient(settings, clock, observe or (lambda *_: None), transport)
    try:
        yield client
    finally:
        await client.aclose()


async def fetch(client, clock, seconds=60):
    """Ask once and return the body of the answer."""
    async with client.ask(DAILY, {}, clock.monotonic() + seconds) as body:
        return b"".join([piece async for piece in body])


async def failure(client, clock, seconds=60):
    """Ask once and return the error that it ends with."""
    try:
        await fetch(client, clock, seconds)
    except PollError as error:
        return error
    raise AssertionError("the request succeeded")


async def poll(client, clock, seconds=1000, name="default", previous=None):
    """Run one poll and return its outcome."""
    plan = Plan(Query(name=name), "", 2, 300, client)
    return await Poll(plan, seconds, clock, lambda: previous).run()


class RawServer:
    """Answers each connection with the bytes or by the coroutine function given;
    `requests` holds the heads it read.

    `asked` is set once one was read, `left` once a connection has ended.
    """

    def __init__(self, *answers):
        self.requests = []
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.connections = 0
        self._answers = deque(answers)

    async def read(self, reader):
        """Read one request."""
        self.requests.append(await head(reader))
        self.asked.set()

    async def serve(self, reader, writer):
        self.connections += 1
        respond = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        try:
            if isinstance(respond, bytes):
                await self.read(reader)
                writer.write(respond)
                await writer.drain()
            else:
                await respond(self, reader, writer)
        except (OSError, EOFError):
            pass  # the client has gone, which is its right
        finally:
            self.left.set()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def raw_server(*answers, tls=None):
    """Serve on a free port of loopback; the server's `url` says where."""
    server = RawServer(*answers)
    tasks = set()

    def connected_to(reader, writer):
        task = asyncio.create_task(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(connected_to, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def head(reader):
    """Read a request with its body, and return its head as text."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode()
    for line in text.lower().splitlines():
        if line.startswith("content-length:"):
            await reader.readexactly(int(line.partition(":")[2]))
    return text


def then(start, follow):
    """Return an answer that begins with these bytes and goes on as `follow` does."""

    async def respond(server, reader, writer):
        await server.read(reader)
        writer.write(start)
        await writer.drain()
        await follow(server, reader, writer)

    return respond


async def silence(server, reader, writer):
    """Accept the connection and say no more until the client goes away."""
    while await reader.read(65536):
        pass


async def reset(server, reader, writer):
    """Break the connection with a TCP reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang_up(server, reader, writer):
    """Close the connection without an answer."""
    await reader.read(1)


def without_end(piece):
    """Return an answer that sends this piece again and again until the client goes away."""

    async def respond(server, reader, writer):
        while not writer.transport.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return respond


def tunnel(port):
    """Return the answer of a proxy to CONNECT: a tunnel to this port of loopback."""

    async def copy(reader, writer):
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def respond(server, reader, writer):
        await server.read(reader)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        finally:
            far_writer.close()

    return respond
