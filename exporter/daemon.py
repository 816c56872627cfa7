"""The running exporter: wires configuration, client, publication and scheduler together, and reloads them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from exporter.api.client import FlashbackClient
from exporter.clock import Clock
from exporter.config.sections import Config, Query
from exporter.errors import ConfigError
from exporter.output.publication import Publication, States, View
from exporter.output.telemetry import OwnMetrics
from exporter.polling.schedule import Plan, Scheduler
from exporter.statistics.state import QueryState

_log = structlog.get_logger(__name__)


class Exporter:
    """Polls as its configuration says and publishes the result; `load` reads the configuration again for a reload."""

    def __init__(
        self, config: Config, load: Callable[[], Config], clock: Clock, publication: Publication
    ) -> None:
        """Prepare; `Exporter.create` is the way to get one. Raises ConfigError where a TLS file cannot be used."""
        self.own_metrics = OwnMetrics(self, clock)
        self._observe = self.own_metrics.requests.observe
        self._load = load
        self._clock = clock
        self._publication = publication
        self._client = self._connected(config)
        self._config = config
        self._turn = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()
        self.scheduler = Scheduler(publication, clock)
        self.reload_successful = True
        self.reloaded_at = clock.time()

    @classmethod
    async def create(cls, config: Config, load: Callable[[], Config], clock: Clock) -> "Exporter":
        """Return an exporter that has not begun to poll."""
        return cls(config, load, clock, await Publication.empty(clock, _states(config, {})))

    @property
    def view(self) -> View:
        """What is published."""
        return self._publication.view

    @property
    def token_expires_at(self) -> float:
        """When the access token in use expires, in Unix seconds; 0 where unknown."""
        return self._client.token_expires_at

    @property
    def waiting_for(self) -> list[str]:
        """The queries whose first poll has not finished yet."""
        return [name for name, state in self.view.states.items() if not state.polls]

    async def current(self) -> View:
        """Return the view for this moment."""
        return await self._publication.current()

    def start(self) -> None:
        """Begin to poll."""
        self.scheduler.start(_plans(self._config, self._client))

    async def stop(self) -> None:
        """Cancel what is under way and close all connections."""
        await self.scheduler.stop()
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, self._client.aclose(), return_exceptions=True)

    async def reload(self) -> None:
        """Read the configuration again and go on with it. Raises ConfigError and changes nothing where it is bad."""
        async with self._turn:
            try:
                config = self._load()
                tls = (
                    config.api.tls_config
                )  # its files may have other content behind the same names
                same_api = config.api == self._config.api and not (tls.ca_file or tls.cert_file)
                client = self._client if same_api else self._connected(config)
            except ConfigError as error:
                self.reload_successful = False
                _log.error(
                    "configuration not reloaded",
                    problems=[str(problem) for problem in error.problems],
                )
                raise
            await self._publication.change(lambda states: _states(config, states))
            before, self._client, self._config = self._client, client, config
            if before is not client:
                client.take_over(before)
            self.scheduler.replace(_plans(config, client))
            if before is not client:
                self._retire(before)
            self.reload_successful = True
            self.reloaded_at = self._clock.time()
            _log.info("configuration reloaded", queries=list(self.view.states))

    def _connected(self, config: Config) -> FlashbackClient:
        with config.places.locating():
            return FlashbackClient(config.api, self._clock, self._observe)

    def _retire(self, client: FlashbackClient) -> None:
        """Close a client once the polls that began with it have ended."""

        async def close() -> None:
            try:
                while self.scheduler.uses(client):
                    await self._clock.sleep(1)
                await client.retire()
            finally:
                await client.aclose()

        task = asyncio.create_task(close(), name="retire client")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)


def _source(config: Config, query: Query) -> object:
    """Return what makes a question: equal ones have the same answer, whoever asks and how much of it is shown."""
    email = config.api.login.email if config.api.login else None
    return config.api.base_url, email, query.filters, query.labels


def _states(config: Config, before: States) -> States:
    """Return a state for each query; the data of those that ask the same as before is kept, counters always are."""
    states: dict[str, QueryState] = {}
    for query in config.queries:
        source, interval, age = (
            _source(config, query),
            config.interval(query),
            config.poll.max_data_age,
        )
        state = before.get(query.name) or QueryState(query, source, interval, age)
        if state.source != source:
            state = replace(state, last=None, good=None, aside=None)
        states[query.name] = replace(
            state, query=query, source=source, interval=interval, max_data_age=age
        )
    return states


def _plans(config: Config, client: FlashbackClient) -> Mapping[str, Plan]:
    return {
        query.name: Plan(
            query, _source(config, query), config.poll.days, config.interval(query), client
        )
        for query in config.queries
    }
