"""How long publishing a poll holds up the event loop: `python -m bench.probe <groups>`."""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass

from bench.records import raw_records
from exporter.clock import Clock, SystemClock, utc_day
from exporter.config.sections import Query
from exporter.output.publication import Facts, Publication
from exporter.statistics.counters import Counters
from exporter.statistics.groups import Grouping
from exporter.statistics.records import parse_record
from exporter.statistics.state import Outcome, QueryState


@dataclass(frozen=True)
class Held:
    """The largest gap between two turns of the event loop, and the CPU it all took, in s.

    Both are of the time in which data was published.
    """

    series: int
    gap: float
    seconds: float


def grouped(groups: int, today: int, query: Query) -> Grouping:
    """Return what a poll of two records a group adds up to."""
    grouping = Grouping(query, (today, today - 1))
    for raw in raw_records(groups, 2 * groups, today):
        grouping.add(parse_record(raw, grouping.window))
    return grouping


async def publish(
    publication: Publication, grouping: Grouping, counters: Counters, clock: Clock, query: Query
) -> None:
    """Do what follows the last record of a poll."""
    data = publication.view.states[query.name].good
    snapshot = await grouping.snapshot(data.snapshot if data else None)
    changes = await counters.grow(grouping.found, snapshot, clock.monotonic())
    await grouping.discard()
    del data
    now = clock.monotonic()
    outcome = Outcome(clock.time(), now, 0, {}, snapshot, counters=counters.shown, changes=changes)
    del snapshot, changes
    await publication.add(query.name, "bench", outcome)


async def held(groups: int) -> Held:
    """Publish one poll and a second one in its place, while a loop of `sleep(0)` times its turns.

    A gap counts by the process's CPU time where that is shorter: another process on the same core
    is no hold-up here.
    """
    clock, query = SystemClock(), Query(max_groups=groups)
    states = {query.name: QueryState(query, "bench", 300, 3600)}
    publication = await Publication.empty(clock, Facts(states))
    counters = Counters()
    gap = seconds = 0.0
    for _ in range(2):
        grouping = grouped(groups, utc_day(clock.time()), query)
        task = asyncio.create_task(publish(publication, grouping, counters, clock, query))
        del grouping
        began = time.process_time()
        while not task.done():
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(0)
            gap = max(gap, min(time.perf_counter() - wall, time.process_time() - cpu))
        seconds = time.process_time() - began
    return Held(publication.view.series(query.name), gap, seconds)


def main() -> None:
    """Print the largest gap for so many groups on two days, as JSON."""
    print(json.dumps(asdict(asyncio.run(held(int(sys.argv[1]))))))


if __name__ == "__main__":
    main()
