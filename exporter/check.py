"""`flashback-exporter check`: says whether a configuration is good, and with `--live` whether the account is."""

import sys
from pathlib import Path

from exporter.api.client import FlashbackClient
from exporter.api.secrets import read_secret
from exporter.clock import Clock, utc_day
from exporter.config.sections import Config
from exporter.errors import ConfigError, PollError, Problem
from exporter.output.exposition import render
from exporter.output.samples import blocks
from exporter.polling.poll import Poll


def check_files(config: Config, clock: Clock) -> None:
    """Raise ConfigError for all files that cannot be used; beside a login, a refresh token need not be there yet."""
    api = config.api
    files: list[tuple[str, Path | None]] = []
    if api.authorization:
        files.append(("api.authorization.credentials_file", api.authorization.credentials_file))
    if api.login:
        files.append(("api.login.password_file", api.login.password_file))
    if api.refresh_token_file and (api.login is None or api.refresh_token_file.exists()):
        files.append(("api.refresh_token_file", api.refresh_token_file))
    problems = []
    for name, path in files:
        try:
            if path is not None:
                read_secret(path, "the file")
        except PollError as error:
            problems.append(Problem(name, str(error)))
    try:
        FlashbackClient(api, clock, _ignore)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)


async def check_live(config: Config, clock: Clock) -> bool:
    """Make one poll of every query, print what would result, and return whether all were good."""
    client = FlashbackClient(config.api, clock, _ignore)
    good = True
    try:
        for query in config.queries:
            outcome = await Poll(
                query, config.poll.days, 3 * config.api.timeout, client, clock, attempts=1
            ).run()
            if outcome.snapshot is None:
                good = False
                print(
                    f"FAILED: query {query.name}: {outcome.reason}: {outcome.message}",
                    file=sys.stderr,
                )
                continue
            snapshot = outcome.snapshot
            series = (await render(blocks(query, snapshot, utc_day(clock.time())))).series
            print(
                f"SUCCESS: query {query.name}: {snapshot.records} records, {snapshot.found} groups"
                f" ({snapshot.folded} folded into other), {series} series,"
                f" {sum(outcome.rejected.values())} records left out, {outcome.duration:.2f} s"
            )
    finally:
        await client.aclose()
    return good


def _ignore(endpoint: str, code: str, seconds: float) -> None:
    """Count no requests: nothing is served."""
