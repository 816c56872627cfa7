"""`flashback-exporter check`: is a configuration good, and with `--live` the account."""

import os
from collections.abc import Iterator
from pathlib import Path

from exporter.api.client import FlashbackClient
from exporter.api.secrets import read_secret, saving_fault
from exporter.clock import Clock, utc_day
from exporter.config.sections import Api, Config, Filters, Query
from exporter.errors import PollError, Problem, StateError, noting, refuse
from exporter.lines import complain, say
from exporter.output.exposition import render
from exporter.output.samples import tables
from exporter.polling.poll import Plan, Poll
from exporter.statistics.state import Outcome, Shown
from exporter.store.database import check_path


def check_files(config: Config, clock: Clock) -> None:
    """Raise ConfigError for all files that cannot be used.

    Beside a login, a refresh token need not be there yet.
    """
    problems = [*_secret_faults(config.api), *_state_faults(config.state.file)]
    with noting(problems):
        FlashbackClient(config.api, clock, _ignore)
    refuse(map(config.places.located, problems))


def _secret_faults(api: Api) -> Iterator[Problem]:
    for key, path in _secret_files(api):
        try:
            secret = read_secret(path, "the file")
        except PollError as error:
            yield Problem(key, str(error))
            continue
        if api.authorization and not secret.isascii():
            yield Problem(key, f"the file {path} holds characters that are not ASCII")
        if path == api.refresh_token_file and not api.login and (fault := saving_fault(path)):
            yield Problem(key, f"new tokens cannot be saved in {path}: {fault}")


def _state_faults(path: Path | None) -> Iterator[Problem]:
    try:
        if path:
            check_path(path)
    except StateError as error:
        yield Problem("state.file", f"{path}: {error}")


def _secret_files(api: Api) -> Iterator[tuple[str, Path]]:
    if api.authorization and api.authorization.credentials_file:
        yield "api.authorization.credentials_file", api.authorization.credentials_file
    if api.login and api.login.password_file:
        yield "api.login.password_file", api.login.password_file
    path = api.refresh_token_file
    if path and (api.login is None or os.path.exists(path)):  # noqa: PTH110 - Path.exists may raise
        yield "api.refresh_token_file", path


async def check_live(config: Config, clock: Clock) -> bool:
    """Make one poll of every query, print what would result, and return whether all were good."""
    client = FlashbackClient(config.api, clock, _ignore)
    good = True
    try:
        for number, query in enumerate(config.queries):
            outcome = await _polled(query, config, client, clock)
            snapshot = outcome.snapshot
            if snapshot is None:
                good = False
                continue
            if query.filters != Filters() and not snapshot.records:
                oddity = Problem(f"queries[{number}].filters", "no record matches them")
                warn(config.places.located(oddity))
    finally:
        await client.aclose()
    return good


async def _polled(query: Query, config: Config, client: FlashbackClient, clock: Clock) -> Outcome:
    """Make one poll of a query, and print what came of it."""
    seconds = 3 * config.api.timeout
    plan = Plan(query, "", config.poll.days, config.interval(query), client)
    outcome = await Poll(plan, seconds, clock, attempts=1).run()
    snapshot = outcome.snapshot
    if snapshot is None:
        fault = f"{outcome.reason}: {outcome.message}"
        complain(f"FAILED: query {query.name}: {fault}")
        return outcome
    counters = outcome.counters if query.counters else {}
    shown = Shown(query, snapshot, counters, together=True)
    series = (await render(tables(shown, utc_day(clock.time())))).series
    say(
        f"SUCCESS: query {query.name}: {snapshot.records} records, {snapshot.found} groups"
        f" ({snapshot.folded} folded into other), {series} series,"
        f" {sum(outcome.rejected.values())} records left out, {outcome.duration:.2f} s"
    )
    return outcome


def warn(oddity: Problem) -> None:
    """Print what is odd, with its place."""
    complain(f"WARNING: {oddity}")


def _ignore(endpoint: str, code: str, seconds: float) -> None:
    """Count no requests: nothing is served."""
