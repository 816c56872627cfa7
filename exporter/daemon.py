"""The running exporter: puts configuration, client, publication and scheduler together."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from exporter.api.auth import LOGIN, REFRESH
from exporter.api.client import FlashbackClient
from exporter.api.daily import DAILY
from exporter.clock import Clock
from exporter.config.sections import Config
from exporter.errors import ConfigError, Problem, StateError, StateInUseError
from exporter.output.publication import Facts, Publication
from exporter.output.status import Status
from exporter.output.telemetry import OwnMetrics
from exporter.plans import account_plan, account_source, plans, question, states
from exporter.polling.account import ACCOUNT_ENDPOINTS, AccountPoller, intervals
from exporter.polling.schedule import Results, Scheduler
from exporter.prices.table import Prices
from exporter.statistics.account import AccountState
from exporter.statistics.state import Outcome
from exporter.store.keeper import Keeper

_ENDPOINTS = (DAILY, LOGIN, REFRESH, *ACCOUNT_ENDPOINTS)
_LOOK = 1.0  # how often a client that was replaced is looked at, in seconds

_log = structlog.get_logger(__name__)


class Exporter:
    """Polls as its configuration says and publishes the result.

    `load` reads the configuration again for a reload.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        clock: Clock,
        publication: Publication,
        keeper: Keeper,
    ) -> None:
        """Prepare; `Exporter.create` is the way to get one.

        Raises ConfigError where a TLS file cannot be used.
        """
        self.publication = publication
        self.own_metrics = OwnMetrics(_ENDPOINTS)
        self.scheduler = Scheduler(self._results(), clock)
        self._account = AccountPoller(self._learn, clock)

        self._keeper = keeper
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
        """Return an exporter that has not begun to poll, with the data of its state file.

        Raises ConfigError where the state file or a TLS file cannot be used, StateInUseError where
        another exporter has the state file.
        """
        try:
            keeper = await Keeper.open(config.state.file, clock)
        except StateInUseError as error:
            raise StateInUseError(f"{config.state.file}: another exporter uses it") from error
        except StateError as error:
            problem = Problem("state.file", f"{config.state.file}: {error}")
            raise ConfigError([config.places.located(problem)]) from error
        await keeper.forget([query.name for query in config.queries])
        known = AccountState(keeper.names(account_source(config)))
        facts = Facts(states(config, {}, keeper), known, Prices(config.own_prices))
        try:
            return cls(config, load, clock, await Publication.empty(clock, facts), keeper)
        except ConfigError:
            await keeper.close()
            raise

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
            account=view.facts.account,
            account_intervals=intervals(self._config.account),
            notices={path: str(said) for path, said in self._client.notices.all.items()},
            built_in_prices=view.facts.prices.built_in,
            state_write_failures=self._keeper.write_failures,
            state_is_failing=self._keeper.is_failing,
            token_expires_at=self._client.token_expires_at,
            reload_successful=self._reload_successful,
            reloaded_at=self._reloaded_at,
        )

    def start(self) -> None:
        """Begin to poll."""
        self._keeper.served(self.publication.view.states)
        self.scheduler.start(plans(self._config, self._client, self._keeper))
        names = self.publication.view.facts.account.names
        self._account.start(account_plan(self._config, self._client), names)

    async def stop(self) -> None:
        """Cancel what is under way and close all connections."""
        await asyncio.gather(self.scheduler.stop(), self._account.stop())
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, self._client.aclose(), return_exceptions=True)
        await self._keeper.close()

    async def reload(self) -> None:
        """Read the configuration again and go on with it.

        Raises ConfigError and changes nothing where it is bad.
        """
        async with self._turn:
            config, client = self._read_again()
            await self._keeper.forget(self.publication.view.states)
            await self._begin_series(config)
            await self.publication.change(lambda facts: self._changed(facts, config))
            self._keeper.served(self.publication.view.states)
            await self._go_on(config, client)

            self._reload_successful = True
            self._reloaded_at = self._clock.time()
            _log.info("configuration reloaded", queries=list(self.publication.view.states))

    def _read_again(self) -> tuple[Config, FlashbackClient]:
        """Return the configuration as it is now, and the client that it needs."""
        try:
            config = self._load()
            self._check_state_file(config)
            return config, self._client if self._fits(config) else self._connected(config)
        except ConfigError as error:
            self._reload_successful = False
            problems = [str(problem) for problem in error.problems]
            _log.error("configuration not reloaded", problems=problems)
            raise

    def _check_state_file(self, config: Config) -> None:
        """Refuse another state file: the one in use is locked from start to end."""
        if config.state != self._config.state:
            problem = Problem("state.file", "expected no change of it; that needs a restart")
            raise ConfigError([config.places.located(problem)])

    def _fits(self, config: Config) -> bool:
        """Whether the present client can go on under another configuration."""
        # Files of the same names may hold other certificates by now, and a client reads them once.
        tls = config.api.tls_config
        return config.api == self._config.api and not (tls.ca_file or tls.cert_file)

    def _changed(self, facts: Facts, config: Config) -> Facts:
        changed = states(config, facts.states, self._keeper)
        return replace(facts, states=changed, prices=Prices(config.own_prices))

    async def _begin_series(self, config: Config) -> None:
        """Let counters begin anew of which a new configuration shows what was not shown before."""
        before = self.publication.view.states
        for query in config.queries:
            shown = before[query.name].query if query.name in before else None
            if shown is None or (shown.metrics, shown.counters) != (query.metrics, query.counters):
                kept = self._keeper.kept(query.name, question(config, query))
                await kept.counters.begin_again()

    def _connected(self, config: Config) -> FlashbackClient:
        with config.places.locating():
            return FlashbackClient(config.api, self._clock, self.own_metrics.requests.observe)

    async def _go_on(self, config: Config, client: FlashbackClient) -> None:
        before, self._client, self._config = self._client, client, config
        if client is not before:
            client.take_over(before)
        self.scheduler.replace(plans(config, client, self._keeper))
        await self._account.replace(account_plan(config, client))

        if client is not before:
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

    def _results(self) -> Results:
        return Results(
            states=lambda: self.publication.view.states,
            add=self._add,
            skip=self.publication.skip,
            new_day=self.publication.current,
        )

    async def _learn(self, known: AccountState) -> None:
        """Publish what is known of the account; its names are kept for the next start."""
        await self._keeper.keep_names(account_source(self._config), known.names)
        await self.publication.learn(known)

    async def _add(self, name: str, source: str, outcome: Outcome) -> None:
        """Publish how a poll ended. What is served is safe before: a counter never falls.

        One that began before its question was asked anew is left out.
        """
        if await self._keeper.keep(name, outcome):
            await self.publication.add(name, source, outcome)
            self._keeper.served([name])
        await self._keeper.forget(self.publication.view.states)
