"""Reads the configuration: YAML and environment in, a frozen `Config` out or every problem."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.config import document
from exporter.config.environment import Environment
from exporter.config.places import Places
from exporter.config.price_list import OwnPrice, load_prices
from exporter.config.sections import Config, Pricing
from exporter.config.types import faults
from exporter.errors import ConfigError, Problem


def load_config(path: Path | None, environment: Environment | None = None) -> Config:
    """Return the configuration of a file (or none) with the environment filling what it leaves out.

    Raises ConfigError with every problem, each with its place; no message ever shows a value.
    """
    environment = environment or Environment()
    places = Places(str(path) if path else "environment")
    problems = list(environment.problems())
    content = document.read(path, places, problems) if path else {}
    if isinstance(content, Mapping):
        content = environment.filled(content, places)
    folder = path.parent if path else None
    try:
        config = Config.model_validate(content, context=folder)
    except ValidationError as error:
        problems += map(places.located, faults(error))
    own_prices = _own_prices(content, folder, problems)
    if problems:
        raise ConfigError(problems)
    return config.given_at(places).with_prices(own_prices)


def _own_prices(content: Any, folder: Path | None, problems: list[Problem]) -> tuple[OwnPrice, ...]:
    """Return the entries of the file that `prices.file` names; note what is wrong with them.

    Whatever else is wrong with the configuration, all is told at once.
    """
    section = content.get("prices") if isinstance(content, Mapping) else None
    try:
        file = Pricing.model_validate(section or {}, context=folder).file
        return load_prices(file) if file else ()
    except ValidationError:
        return ()  # reported with the whole
    except ConfigError as error:
        problems += error.problems
        return ()
