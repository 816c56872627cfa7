"""Reads the configuration: YAML and environment in, a frozen `Config` out or every problem."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from exporter.config import document
from exporter.config.environment import Environment
from exporter.config.places import Places, dotted
from exporter.config.sections import Config
from exporter.errors import ConfigError, Problem


def load_config(path: Path | None, environment: Environment | None = None) -> Config:
    """Return the configuration of a file (or none) with the environment filling what it leaves out.

    Raises ConfigError with every problem, each with its place; no message ever shows a value.
    """
    environment = environment or Environment()
    places = Places(str(path) if path else "environment")
    problems = list(environment.problems())
    content = document.read(path, places, problems) if path else {}
    if isinstance(content, Mapping) and isinstance(content.get("api", {}), Mapping | None):
        content = {**content, "api": environment.filled(content.get("api") or {}, places)}
    try:
        config = Config.model_validate(content, context=path.parent if path else None)
    except ValidationError as error:
        for fault in error.errors(include_input=False):
            problem = Problem(dotted(fault["loc"]), fault["msg"])
            problems.append(places.located(problem))
    if problems:
        raise ConfigError(problems)
    return config.given_at(places)
