"""What is legal in a configuration but hardly meant: warnings of `check` and the daemon's log."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, SecretStr

from exporter.api.secrets import saving_fault
from exporter.config.sections import Config
from exporter.errors import Problem
from exporter.polling.schedule import SHARE_OF_INTERVAL

_LLM_TYPES = ("OPENAI", "ANTHROPIC", "GOOGLE", "AWS", "OTHER")
_VARIABLE = re.compile(r"\$\{\w")


def oddities(config: Config) -> Iterator[Problem]:
    """Yield what is odd in a configuration, each with its key."""
    yield from _long_timeouts(config)
    yield from _unknown_llm_types(config)
    yield from _variables(config, "")
    yield from _tokens_not_saved(config)


def _long_timeouts(config: Config) -> Iterator[Problem]:
    """Yield where a poll ends before one request may take its time."""
    for query in config.queries:
        if config.api.timeout > SHARE_OF_INTERVAL * config.interval(query):
            share = f"{100 * SHARE_OF_INTERVAL:.0f} %"
            fault = f"longer than {share} of the interval of query {query.name}, when a poll ends"
            yield Problem("api.timeout", fault)


def _unknown_llm_types(config: Config) -> Iterator[Problem]:
    for number, query in enumerate(config.queries):
        for entry, value in enumerate(query.filters.llm_type):
            if value.upper() not in _LLM_TYPES:
                key = f"queries[{number}].filters.llm_type[{entry}]"
                yield Problem(key, f"none of the known {', '.join(_LLM_TYPES)}")
    for number, price in enumerate(config.own_prices):
        if price.llm_type.upper() not in _LLM_TYPES:
            fault = f"[{number}].llm_type is none of the known {', '.join(_LLM_TYPES)}"
            yield Problem("prices.file", fault)


def _variables(value: object, key: str) -> Iterator[Problem]:
    """Yield each text that holds `${NAME}`, which other programs replace by a variable's value."""
    if isinstance(value, BaseModel):
        for name, inner in value:
            yield from _variables(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from _variables(inner, f"{key}[{number}]")
    elif isinstance(value, str | Path | SecretStr):
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if _VARIABLE.search(text):
            yield Problem(key, "${…} is taken as it stands, not replaced from the environment")


def _tokens_not_saved(config: Config) -> Iterator[Problem]:
    """Yield a refresh token that would be lost at the first renewal.

    Without a login, `check` fails on it.
    """
    path = config.api.refresh_token_file
    if path and (fault := saving_fault(path)):
        yield Problem("api.refresh_token_file", f"new tokens cannot be saved in {path}: {fault}")
