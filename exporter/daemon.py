"""The running exporter: puts configuration, client, publication and scheduler together."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from exporter.api.auth import LOGIN, REFRESH
from exporter.api.client import FlashbackClient
from exporter.api.daily import DAILY
from exporter.clock import Clock
from exporter.config.sections import Config, Query
from exporter.errors import ConfigError
from exporter.output.publication import Publication, States
from exporter.output.status import Status
from exporter.output.telemetry import OwnMetrics
from exporter.polling.schedule import Plan, Results, Scheduler
from exporter.statistics.state import QueryState

_ENDPOINTS = (DAILY, LOGIN, REFRESH)
_LOOK = 1.0  # how often a client that was replaced is looked at, in seconds

_log = structlog.get_logger(__name__)


class Exporter:
    """Polls as its configuration says and publishes the result.

    `load` reads the configuration again for a reload.
    """

    def __init__(
        self, config: Config, load: Callable[[], Config], clock: Clock, publication: Publication
    ) -> None:
        """Prepare; `Exporter.create` is the way to get one.

        Raises ConfigError where a TLS file cannot be used.
        """
        self.publication = publication
        self.own_metrics = OwnMetrics(_ENDPOINTS)
        self.scheduler = Scheduler(_results(publication), clock)

        self._load = load
        self._clock = clock
        self._client = self._connected(config)
        self._config = config

        self._turn = asyncio.Lock()  # one reload at a time
        self._retired: set[asyncio.Task[None]] = set()
        self._reload_successful = True
        self._reloaded_at = clock.time()

    @classmethod
    async def create(cls, config: Config, load: Callable[[], Config], clock: Clock) -> "Exporter":
        """Return an exporter that has not begun to poll."""
        return cls(config, load, clock, await Publication.empty(clock, _states(config, {})))

    def status(self) -> Status:
        """Return how it is doing at this moment."""
        view = self.publication.view
        pauses = {name: self.scheduler.seconds_to_next_poll(name) for name in view.states}

        return Status(
            time=self._clock.time(),
            now=self._clock.monotonic(),
            changes=view.number,
            states=view.states,
            series={name: view.series(name) for name in view.states},
            polling={name for name in view.states if self.scheduler.polling(name)},
            next_polls={name: pause for name, pause in pauses.items() if pause is not None},
            scheduler_alive=self.scheduler.alive,
            token_expires_at=self._client.token_expires_at,
            reload_successful=self._reload_successful,
            reloaded_at=self._reloaded_at,
        )

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
        """Read the configuration again and go on with it.

        Raises ConfigError and changes nothing where it is bad.
        """
        async with self._turn:
            config, client = self._read_again()
            await self.publication.change(lambda states: _states(config, states))
            self._go_on(config, client)

            self._reload_successful = True
            self._reloaded_at = self._clock.time()
            _log.info("configuration reloaded", queries=list(self.publication.view.states))

    def _read_again(self) -> tuple[Config, FlashbackClient]:
        """Return the configuration as it is now, and the client that it needs."""
        try:
            config = self._load()
            return config, self._client if self._fits(config) else self._connected(config)
        except ConfigError as error:
            self._reload_successful = False
            problems = [str(problem) for problem in error.problems]
            _log.error("configuration not reloaded", problems=problems)
            raise

    def _fits(self, config: Config) -> bool:
        """Whether the present client can go on under another configuration."""
        # Files of the same names may hold other certificates by now, and a client reads them once.
        tls = config.api.tls_config
        return config.api == self._config.api and not (tls.ca_file or tls.cert_file)

    def _connected(self, config: Config) -> FlashbackClient:
        with config.places.locating():
            return FlashbackClient(config.api, self._clock, self.own_metrics.requests.observe)

    def _go_on(self, config: Config, client: FlashbackClient) -> None:
        before, self._client, self._config = self._client, client, config
        if before is client:
            self.scheduler.replace(_plans(config, client))
            return

        client.take_over(before)
        self.scheduler.replace(_plans(config, client))

        task = asyncio.create_task(self._retire(before), name="retire client")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def _retire(self, client: FlashbackClient) -> None:
        """Close a client once the polls that began with it have ended."""
        try:
            while self.scheduler.uses(client):
                await self._clock.sleep(_LOOK)
            await client.retire()
        except asyncio.CancelledError:
            # The process ends. At any other time the next client may be renewing the same tokens.
            await client.aclose()
            raise


def _results(publication: Publication) -> Results:
    return Results(
        states=lambda: publication.view.states,
        add=publication.add,
        skip=publication.skip,
        new_day=publication.current,
    )


def _source(config: Config, query: Query) -> object:
    """Return what makes a question.

    Equal ones have the same answer, whoever asks and how much of it is shown.
    """
    return config.api.base_url, config.api.email, query.filters, query.labels


def _states(config: Config, before: States) -> States:
    """Return a state for each query.

    Counters go on; the data is kept where the query still asks the same.
    """
    return {query.name: _state(config, query, before.get(query.name)) for query in config.queries}


def _state(config: Config, query: Query, before: QueryState | None) -> QueryState:
    source = _source(config, query)
    interval = config.interval(query)
    max_data_age = config.poll.max_data_age

    if before is None:
        return QueryState(query, source, interval, max_data_age)

    if before.source != source:
        before = replace(before, last=None, good=None, aside=None)
    return replace(before, query=query, source=source, interval=interval, max_data_age=max_data_age)


def _plans(config: Config, client: FlashbackClient) -> Mapping[str, Plan]:
    return {query.name: _plan(config, query, client) for query in config.queries}


def _plan(config: Config, query: Query, client: FlashbackClient) -> Plan:
    return Plan(query, _source(config, query), config.poll.days, config.interval(query), client)
