"""What a configuration means for each query, and for the account: states to go on from, and plans.

Equal questions have the same answer, whoever asks and how much of it is shown. So a state goes on
as long as its question stays.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from exporter.api.client import FlashbackClient
from exporter.config.sections import Config, Query
from exporter.output.publication import States
from exporter.polling.account import AccountPlan
from exporter.polling.poll import Plan
from exporter.statistics.state import QueryState
from exporter.store.keeper import Keeper


def question(config: Config, query: Query) -> str:
    """Return what a query asks, of whom, as JSON."""
    filters = {name: values for name, values in query.filters.model_dump().items() if values}
    return json.dumps(
        {
            "base_url": config.api.base_url,
            "email": config.api.email,
            "filters": filters,
            "labels": query.labels,
        }
    )


def plans(config: Config, client: FlashbackClient, keeper: Keeper) -> Mapping[str, Plan]:
    """Return how to poll each query."""
    return {query.name: _plan(config, query, client, keeper) for query in config.queries}


def account_source(config: Config) -> str:
    """Return which account is asked, of whom, as JSON."""
    return json.dumps([config.api.base_url, config.api.email])


def account_plan(config: Config, client: FlashbackClient) -> AccountPlan:
    """Return how to ask about the account."""
    return AccountPlan(config.account, account_source(config), config.poll.max_data_age, client)


def states(config: Config, before: States, keeper: Keeper) -> States:
    """Return a state for each query: what was counted goes on, its data if it asks the same."""
    return {
        query.name: _state(config, query, before.get(query.name), keeper)
        for query in config.queries
    }


def _plan(config: Config, query: Query, client: FlashbackClient, keeper: Keeper) -> Plan:
    source = question(config, query)
    counters = keeper.kept(query.name, source).counters
    return Plan(query, source, config.poll.days, config.interval(query), client, counters)


def _state(config: Config, query: Query, before: QueryState | None, keeper: Keeper) -> QueryState:
    source, interval = question(config, query), config.interval(query)
    age = config.poll.max_data_age
    if before is not None and before.source == source:
        return replace(before, query=query, interval=interval, max_data_age=age)

    kept = keeper.kept(query.name, source)
    counted = before or QueryState(query, source, interval, age)
    return replace(
        counted,
        query=query,
        source=source,
        interval=interval,
        max_data_age=age,
        # Not those of a poll that is being written at this moment.
        counters=kept.good.counters if kept.good else kept.counters.shown,
        last=None,
        good=kept.good,
        aside=None,
    )
