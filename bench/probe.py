"""How long rendering and compression hold up the event loop, as a process: `python -m bench.probe <groups>`."""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass

from bench.records import raw_records
from exporter.clock import utc_day
from exporter.exposition import assemble, render_query
from exporter.groups import Grouping
from exporter.records import parse_record
from exporter.settings import Query


@dataclass(frozen=True)
class Held:
    """The largest gap between two turns of the event loop while data was rendered, and the whole of it, in s."""

    series: int
    gap: float
    seconds: float


def grouped(groups: int, today: int, query: Query) -> Grouping:
    """Return what a poll of two records a group adds up to."""
    grouping = Grouping(query, (today, today - 1))
    for raw in raw_records(groups, 2 * groups, today):
        grouping.add(parse_record(raw, grouping.window))
    return grouping


async def held(query: Query, grouping: Grouping, today: int) -> Held:
    """Render and compress, as after the last record, while a loop of `sleep(0)` takes the time of its turns.

    A gap counts by the process's CPU time where that is shorter: another process on the same core is no hold-up here.
    """

    async def work() -> int:
        rendered = await render_query(query, await grouping.snapshot(), today)
        await assemble([rendered])
        return rendered.series

    task = asyncio.create_task(work())
    gap, began = 0.0, time.perf_counter()
    while not task.done():
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(0)
        gap = max(gap, min(time.perf_counter() - wall, time.process_time() - cpu))
    return Held(task.result(), gap, time.perf_counter() - began)


def main() -> None:
    """Print the largest gap for so many groups on two days, as JSON."""
    groups = int(sys.argv[1])
    query, today = Query(max_groups=groups), utc_day(time.time())
    print(json.dumps(asdict(asyncio.run(held(query, grouped(groups, today, query), today)))))


if __name__ == "__main__":
    main()
