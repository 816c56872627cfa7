"""How long polls hold up the event loop: `python -m bench.probe <configuration> <polls>`.

It runs the exporter's daemon beside a task that takes every turn of the loop.
"""

import asyncio
import json
import logging
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from bench.processes import poll_again
from exporter.clock import SystemClock
from exporter.config.load import load_config
from exporter.daemon import Exporter
from exporter.statistics.state import QueryState
from exporter.steps import spare_what_stays

_QUERY = "default"


@dataclass(frozen=True)
class Held:
    """The largest gap between two turns of the loop, in s, for so many series."""

    series: int
    gap: float


def state(exporter: Exporter) -> QueryState:
    """Return how the query is doing."""
    return exporter.publication.view.states[_QUERY]


async def gap_until(exporter: Exporter, polls: int) -> float:
    """Return the largest gap between two turns until so many polls have ended, in s.

    A gap counts by the process's CPU time where that is shorter: another process on the same core
    is no hold-up here.
    """
    gap = 0.0
    while state(exporter).polls < polls:
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(0)
        gap = max(gap, min(time.perf_counter() - wall, time.process_time() - cpu))
    return gap


async def held(path: Path, polls: int) -> Held:
    """Poll some times, as the daemon does, each time for grown amounts.

    The first poll is not judged: much is loaded when the client makes its first connection. Raises
    RuntimeError where a poll failed.
    """
    exporter = await Exporter.create(load_config(path), lambda: load_config(path), SystemClock())
    spare_what_stays()
    exporter.start()
    await gap_until(exporter, 1)
    gap = 0.0
    for number in range(2, polls + 1):
        poll_again(path)
        await exporter.reload()
        gap = max(gap, await gap_until(exporter, number))

    found = Held(exporter.publication.view.series(_QUERY), gap)
    failures = sum(state(exporter).failures.values())
    await exporter.stop()
    if failures:
        raise RuntimeError("a poll failed; what was measured means nothing")
    return found


def main() -> None:
    """Print what was found, as JSON."""
    errors_alone = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=errors_alone)
    print(json.dumps(asdict(asyncio.run(held(Path(sys.argv[1]), int(sys.argv[2]))))))


if __name__ == "__main__":
    main()
