"""Reads the configuration: YAML and environment in, a frozen `Config` out or every problem."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from exporter.clock import Clock, SystemClock
from exporter.config import document
from exporter.config.environment import Environment
from exporter.config.places import Places, dotted
from exporter.config.sections import Config
from exporter.errors import Problem, refuse


def load_config(path: Path | None, clock: Clock | None = None) -> Config:
    """Return the configuration of a file (or none) with the environment filling what it leaves out.

    A pipe has a second, by the machine's clock unless another is given. Raises ConfigError with
    every problem, each with its place; no message ever shows a value.
    """
    environment = Environment()
    places = Places(str(path) if path else "environment")
    problems = list(environment.problems())
    content = document.read(path, clock or SystemClock(), places, problems) if path else {}
    if isinstance(content, Mapping) and isinstance(content.get("api", {}), Mapping | None):
        content = {**content, "api": environment.filled(content.get("api") or {}, places)}
    try:
        config = Config.model_validate(content, context=path.parent if path else None)
    except ValidationError as error:
        for fault in error.errors(include_input=False):
            problem = Problem(dotted(fault["loc"]), fault["msg"])
            problems.append(places.located(problem))
    refuse(problems)
    return config.given_at(places)
