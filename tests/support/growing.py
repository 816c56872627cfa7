"""An API whose totals grow, and an exporter that keeps a state file about it."""

import asyncio
from contextlib import asynccontextmanager

from loopback import ACCOUNT_OFF, PATIENCE, configuration
from material import raw_record, text

from exporter.clock import SECONDS_A_DAY, utc_day
from exporter.daemon import Exporter
from exporter.demo.company import Company
from exporter.output.formats import TEXT

QUERY = {"name": "default", "labels": ["repo_id"], "metrics": ["api_calls"]}
CALLS = "flashback_ai_api_calls_total"


class GrowingCompany(Company):
    """Repositories with so many calls today; with `growth` more each time that somebody asks."""

    def __init__(self, repositories=("a", "b")):
        super().__init__()
        self.calls = dict.fromkeys(repositories, 0)
        self.growth = 0

    def records(self, day, now):
        """Yield the records of a day: only the present one has any."""
        if day != utc_day(now):
            return
        for repository in self.calls:
            self.calls[repository] += self.growth
            calls = self.calls[repository]
            yield raw_record(timestamp=day * SECONDS_A_DAY, repoId=repository, apiCalls=calls)


class Run:
    """An exporter between its start and its end."""

    def __init__(self, exporter):
        self.exporter = exporter

    async def shown(self):
        """Return the samples that are served, by name and labels."""
        plain = text((await self.exporter.publication.current()).exposition.plain(TEXT))
        lines = [line for line in plain.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    async def calls(self, query="default"):
        """Return the counters of calls, by repository."""
        shown = await self.shown()
        start, middle, end = f'{CALLS}{{query="{query}",', 'repo_id="', '"}'
        return {
            name.removeprefix(start + middle).removesuffix(end): value
            for name, value in shown.items()
            if name.startswith(start)
        }

    async def own(self):
        """Return the exporter's own metrics as a scrape shows them, by name and labels."""
        await self.exporter.publication.current()
        page = self.exporter.own_metrics.render(self.exporter.status(), TEXT).decode()
        samples = [line for line in page.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in samples)}

    async def poll(self, times=1):
        """Poll every query so many times, by reloads that change how many days are asked for."""
        for _ in range(times):
            before = self._polls()
            await self.exporter.reload()
            await self.finished(before + 1)

    async def finished(self, polls):
        """Wait until every query was polled so many times."""
        async with asyncio.timeout(PATIENCE):
            while self._polls() < polls:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0)

    def _polls(self):
        return min(state.polls for state in self.exporter.status().states.values())


def configured(base_url, state_file, **sections):
    """Return a function that reads a configuration, each time with another number of days."""
    days = [2, 3]

    def load():
        days.reverse()
        poll = {"days": days[0], "interval": "1h", "max_data_age": "12h"}
        rest = {"poll": poll, "queries": [QUERY], "account": ACCOUNT_OFF, **sections}
        return configuration(base_url, state={"file": state_file}, **rest)

    return load


@asynccontextmanager
async def exporting(base_url, state_file, clock, *, polls=1, **sections):
    """Run an exporter with a state file, and hand it out once it has polled so many times."""
    load = configured(base_url, state_file, **sections)
    exporter = await Exporter.create(load(), load, clock)
    run = Run(exporter)
    if polls:
        exporter.start()
    try:
        await run.finished(polls)
        yield run
    finally:
        await exporter.stop()
