"""`flashback-exporter check`: is a configuration good, and with `--live` the account."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from exporter.api.client import FlashbackClient
from exporter.api.credits import BALANCE, balance
from exporter.api.llms import LLMS
from exporter.api.policies import POLICIES, policies
from exporter.api.profile import PROFILE
from exporter.api.repositories import REPOSITORIES
from exporter.api.secrets import read_secret, saving_fault
from exporter.api.workspaces import WORKSPACES
from exporter.clock import Clock, utc_day
from exporter.config.api_section import Api
from exporter.config.sections import Config, Filters, Query
from exporter.errors import PollError, Problem, Reason, StateError, noting, refuse
from exporter.lines import complain, say
from exporter.output.exposition import render
from exporter.output.samples import tables
from exporter.polling.account import intervals
from exporter.polling.names import NAMES
from exporter.polling.poll import Plan, Poll
from exporter.statistics.account import Credits, Names, Profile
from exporter.statistics.state import Outcome, Shown
from exporter.store.paths import check_path

# Requests that may follow one another for one answer, sign-in included.
_REQUESTS = 3
# Reasons for which every endpoint would fail alike.
_ALIKE = frozenset({Reason.AUTH, Reason.NETWORK, Reason.TLS, Reason.TIMEOUT})


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
    """Make one poll of every query, print what would result, and return whether all were good.

    The endpoints about the account are asked too. They are optional: what they lack is a warning.
    """
    client = FlashbackClient(config.api, clock, _ignore)
    reasons = []
    try:
        for number, query in enumerate(config.queries):
            outcome = await _polled(query, config, client, clock)
            reasons.append(outcome.reason)
            snapshot = outcome.snapshot
            if snapshot and not snapshot.records and query.filters != Filters():
                oddity = Problem(f"queries[{number}].filters", "no record matches them")
                warn(config.places.located(oddity))
        if not _ALIKE.issuperset(reasons):
            await _check_account(config, client, clock)
        for endpoint, notice in client.notices.all.items():
            warn(Problem(endpoint, f"the API says that it {notice}"))
    finally:
        await client.aclose()
    return not any(reasons)


async def _polled(query: Query, config: Config, client: FlashbackClient, clock: Clock) -> Outcome:
    """Make one poll of a query, and print what came of it."""
    seconds = _REQUESTS * config.api.timeout
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


async def _check_account(config: Config, client: FlashbackClient, clock: Clock) -> None:
    """Ask each endpoint about the account once, and print what it gave, or why it gave nothing."""
    for endpoint, interval in intervals(config.account).items():
        if not interval:
            say(f"OFF: account {endpoint}: turned off in the configuration")
            continue
        deadline = clock.monotonic() + _REQUESTS * config.api.timeout
        try:
            given = client.quotable(await _given(endpoint, client, deadline))
        except PollError as error:
            complain(f"WARNING: account {endpoint}: {error.reason}: {error}; it is optional")
            continue
        say(f"SUCCESS: account {endpoint}: {given}")


async def _given(endpoint: str, client: FlashbackClient, deadline: float) -> str:
    """Return in a few words what an endpoint gives. Raises PollError."""
    if endpoint == BALANCE:
        return _credits(await balance(client, deadline))
    if endpoint == POLICIES:
        return f"{len(await policies(client, deadline))} policies in the last 24 hours"
    names = await NAMES[endpoint](client, Names(), deadline)
    return _NAMED[endpoint](names)


def _credits(found: Credits) -> str:
    amounts = {"balance": found.balance, "booked balance": found.booked_balance}
    known = [f"{what} {amount:,.2f}" for what, amount in amounts.items() if amount is not None]
    return ", ".join(known) or "no balance"


def _who(profile: Profile | None) -> str:
    if profile is None:
        return "nobody"
    part = ", which does not see the whole organisation: numbers may be partial"
    role = f"role {profile.role or 'not known'}{part if profile.sees_part else ''}"
    return f"{role}; organisation {profile.org_id or 'not known'}"


_NAMED: Mapping[str, Callable[[Names], str]] = {
    REPOSITORIES: lambda names: f"{len(names.repos)} repositories, {len(names.keys)} API keys",
    WORKSPACES: lambda names: f"{len(names.workspaces)} workspaces",
    LLMS: lambda names: f"{len(names.llms)} LLM configurations",
    PROFILE: lambda names: _who(names.profile),
}


def warn(oddity: Problem) -> None:
    """Print what is odd, with its place."""
    complain(f"WARNING: {oddity}")


def _ignore(endpoint: str, code: str, seconds: float) -> None:
    """Count no requests: nothing is served."""
