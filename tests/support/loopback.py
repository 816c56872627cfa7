"""Servers on loopback: an application under an address, a running exporter, a gate for requests."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

import httpx

from exporter.api.daily import DAILY
from exporter.config.sections import Config
from exporter.daemon import Exporter
from exporter.demo.simulator import EMAIL, PASSWORD
from exporter.serve import application
from exporter.web.server import addresses, bind, serving

ACCOUNT_OFF = {kind: {"interval": "0s"} for kind in ("names", "credits", "policies")}
"""A section of the configuration: nothing is asked about the account."""
PATIENCE = 15  # seconds after which a test that waits for something gives up


def configuration(base_url, **sections):
    """Return a configuration for a simulator at that address."""
    return Config.model_validate(
        {"api": {"base_url": base_url, "login": {"email": EMAIL, "password": PASSWORD}}, **sections}
    )


@asynccontextmanager
async def served(app, connections=None, access=None):
    """Serve an application on a free port, as the exporter is served; yield server and URL."""
    sockets = bind(("127.0.0.1", 0))
    server = serving(app, connections, access)
    task = asyncio.create_task(server.serve(sockets=sockets))
    try:
        yield server, f"http{'s' if server.access.tls else ''}://{addresses(sockets)[0]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def running(config, clock, load=None, **options):
    """Run an exporter with its web server, and hand out both it and an HTTP client for it."""
    exporter = await Exporter.create(config, load or (lambda: config), clock)
    async with (
        served(application(exporter, **options)) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        exporter.start()
        try:
            yield exporter, client
        finally:
            await exporter.stop()


async def until(client, path, wanted):
    """Ask for a path again and again until the answer is as wanted, and return it."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(response := await client.get(path)):
            pass
    return response


async def polled(client):
    """Wait for the first poll of every query."""
    await until(client, "/-/ready", lambda response: response.status_code == 200)


class Gate:
    """Stands before an application and, while closed, holds up requests for daily statistics."""

    def __init__(self, app):
        self._app = app
        self._passes = asyncio.Semaphore(0)
        self.closed = False
        self.inside = 0
        self.most_inside = 0
        self.arrivals = asyncio.Queue()

    async def arrival(self):
        """Wait for the next request and return its query parameters."""
        async with asyncio.timeout(PATIENCE):
            return await self.arrivals.get()

    def close(self):
        """Hold up what arrives from now on."""
        self.closed = True

    def let_one_pass(self):
        """Let one of those that wait go on, or the next one that comes."""
        self._passes.release()

    def open(self):
        """Let all pass."""
        self.closed = False
        for _ in range(self.inside):
            self._passes.release()

    async def __call__(self, scope, receive, send):
        """Pass the request on, once it may."""
        if scope["type"] != "http" or scope["path"] != DAILY:
            await self._app(scope, receive, send)
            return
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.arrivals.put_nowait(dict(parse_qsl(scope["query_string"].decode())))
        try:
            if self.closed:
                await self._passes.acquire()
            await self._app(scope, receive, send)
        finally:
            self.inside -= 1
