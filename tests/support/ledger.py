"""An account whose statistics a test writes by hand, and an exporter that polls it when told to."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager

import httpx
from clocks import HandClock
from loopback import ACCOUNT_OFF, PATIENCE, served
from material import raw_record

from exporter.clock import SECONDS_A_DAY
from exporter.config.sections import Config
from exporter.daemon import Exporter
from exporter.demo.company import Company
from exporter.demo.simulator import EMAIL, PASSWORD, Simulator
from exporter.serve import application

Fields = dict[str, object]

_TURNS = 5  # of the event loop; a poll that is due begins within so many


class Ledger(Company):
    """What the API says: for each day and repository, the fields of one record."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[int, str], Fields] = {}

    def enter(self, day: int, repository: str, **fields: object) -> None:
        """Write the totals of a repository on a day anew."""
        self.entries[day, repository] = fields

    def records(self, day: int, now: float) -> Iterator[Fields]:
        """Yield the records of a day, as a company does."""
        for (of_day, repository), fields in self.entries.items():
            if of_day == day:
                yield raw_record(timestamp=day * SECONDS_A_DAY, repoId=repository, **fields)


class Account:
    """A simulator that answers from a ledger, and a clock that stands still until it is moved."""

    def __init__(self, clock: HandClock, business: Company | None = None) -> None:
        self.clock = clock
        self.ledger = Ledger()
        self.simulator = Simulator(business or self.ledger, clock)
        self.url = ""

    def configured(self, *queries: Fields, **sections: object) -> Config:
        """Return a configuration for queries by repository. No timer of theirs comes due soon."""
        of_all = {"labels": ["repo_id"], "interval": "12h"}
        return Config.model_validate(
            {
                "api": {"base_url": self.url, "login": {"email": EMAIL, "password": PASSWORD}},
                "account": ACCOUNT_OFF,
                "poll": {"max_data_age": "1d"},
                "queries": [{"name": "one", **of_all, **query} for query in queries or ({},)],
                **sections,
            }
        )


class Driven:
    """An exporter that polls when a test lets time pass."""

    def __init__(self, account: Account, exporter: Exporter, client: httpx.AsyncClient) -> None:
        self.account = account
        self.exporter = exporter
        self.config: Config
        self._client = client

    async def poll(self, seconds: float = 300) -> None:
        """Let time pass, more than a few seconds of it or midnight, which brings a poll of all."""
        await self.account.clock.asleep()
        before = self._polls()
        self.account.clock.move(seconds)
        await self.polled(before + 1)

    async def reload(self, *queries: Fields, **sections: object) -> None:
        """Go on with another configuration, and wait for the polls that it brings."""
        self.config = self.account.configured(*queries, **sections)
        await self.exporter.reload()
        await self.polled()

    async def polled(self, polls: int = 1) -> None:
        """Wait until every query was polled so many times, and rests."""
        at_rest = 0
        async with asyncio.timeout(PATIENCE):
            while at_rest < _TURNS:
                await asyncio.sleep(0)
                at_rest = at_rest + 1 if self._polls() >= polls and self._rests() else 0

    async def scrape(self, accept: str = "text/plain") -> str:
        """Return /metrics as it is at this moment."""
        answer = await self._client.get("/metrics", headers={"Accept": accept})
        return answer.raise_for_status().text

    async def get(self, path: str) -> str:
        """Return another page."""
        return (await self._client.get(path)).raise_for_status().text

    def _polls(self) -> int:
        return min(state.polls for state in self.exporter.status().states.values())

    def _rests(self) -> bool:
        status = self.exporter.status()
        return not status.polling and min(status.next_polls.values()) > 0


@asynccontextmanager
async def account(clock: HandClock, business: Company | None = None):
    """Serve an account's API on loopback, with the records of a ledger or of another business."""
    one = Account(clock, business)
    async with served(one.simulator.app) as (_, one.url):
        yield one


@asynccontextmanager
async def driven(one: Account, *queries: Fields, **sections: object):
    """Run an exporter with its web server on an account, after its first poll."""
    config = one.configured(*queries, **sections)
    exporter = await Exporter.create(config, lambda: driver.config, one.clock)
    async with (
        served(application(exporter)) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        driver = Driven(one, exporter, client)
        exporter.start()
        try:
            await driver.polled()
            yield driver
        finally:
            await exporter.stop()
