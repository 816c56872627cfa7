"""Fixtures that many tests share."""

import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from clocks import FakeClock

from exporter.config.sections import Config
from exporter.demo.company import Company
from exporter.demo.simulator import EMAIL, PASSWORD, Simulator
from exporter.web.server import bind, serving


def pytest_collection_finish() -> None:
    """Set aside what the tests are made of, as the daemon does: each poll collects garbage."""
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio alone, as the exporter does."""
    return "asyncio"


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands at 2024-01-01 12:00 UTC, a Monday."""
    return FakeClock()


@dataclass
class Api:
    """A simulator that listens on loopback."""

    simulator: Simulator
    base_url: str

    def config(self, **sections: object) -> Config:
        """Return a configuration for it; `api` adds to the usual section, others are as given."""
        api = {"base_url": self.base_url, "login": {"email": EMAIL, "password": PASSWORD}}
        extra = sections.pop("api", {})
        assert isinstance(extra, dict)
        return Config.model_validate({"api": api | extra, **sections})


@pytest.fixture
async def api(clock: FakeClock) -> AsyncIterator[Api]:
    """Serve a simulator, which goes by the same clock, on a free port of loopback."""
    import asyncio

    simulator = Simulator(Company(), clock)
    sockets = bind(("127.0.0.1", 0))
    server = serving(simulator.app)
    task = asyncio.create_task(server.serve(sockets=sockets))
    yield Api(simulator, f"http://127.0.0.1:{sockets[0].getsockname()[1]}")
    server.should_exit = True
    await task
