"""Fixtures for tests of the state file."""

import logging
import os
from dataclasses import dataclass

import pytest
import structlog
from clocks import HandClock
from growing import GrowingCompany, exporting
from loopback import served

from exporter.demo.simulator import Simulator


@pytest.fixture
def clock():
    """Return a clock that moves by hand alone, also for those who sleep."""
    return HandClock()


@dataclass
class Api:
    """A simulator of a company that grows, and the exporters that ask it."""

    company: GrowingCompany
    simulator: Simulator
    url: str
    clock: HandClock

    def exporting(self, state_file, **options):
        """Run an exporter with this state file; see `growing.exporting`."""
        return exporting(self.url, state_file, self.clock, **options)


@pytest.fixture
async def api(clock):
    """Serve a company that grows by one call a repository with each poll."""
    company = GrowingCompany()
    company.growth = 1
    simulator = Simulator(company, clock)
    async with served(simulator.app) as (_, url):
        yield Api(company, simulator, url, clock)


@pytest.fixture
def state_file(tmp_path):
    """Return where a state file may be, in a folder of its own."""
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "state.db"


@pytest.fixture
def restore_logging(monkeypatch):
    """Let a command find no variables of the machine, and leave no logging behind."""
    for name in [name for name in os.environ if name.upper().startswith("FLASHBACK_")]:
        monkeypatch.delenv(name)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
