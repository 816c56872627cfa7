"""Where each key of a configuration was given, so that a problem can say where to mend it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from exporter.errors import Problem, noting, refuse

Location = tuple[str | int, ...]
"""The way to a value: names of keys and numbers of entries."""

_LAST_STEP = re.compile(r"(?:\.[^.\[\]]*|\[\d+\])$")


def dotted(location: Location) -> str:
    """Return a location as people write it: `queries[0].filters.repo_id`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).lstrip(".")


def place_of(file: str, mark: yaml.Mark) -> str:
    """Return a place in a YAML file as `file:line:column`."""
    return f"{file}:{mark.line + 1}:{mark.column + 1}"


class Places:
    """Maps keys, dotted, to places: `file:line:column`, or a variable of the environment.

    Any two are equal, for configurations that say the same are equal wherever they say it.
    """

    def __init__(self, source: str = "") -> None:
        """Begin with no key; `source` is the place of what has no other."""
        self.source = source
        self._of: dict[str, str] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def __hash__(self) -> int:
        return 0

    def __len__(self) -> int:
        return len(self._of)

    def note(self, key: str, place: str) -> None:
        """Note where a key was given."""
        self._of[key] = place

    def located(self, problem: Problem) -> Problem:
        """Return a problem with the place of its key, or of the nearest key around it."""
        key = nearest = problem.where
        while nearest not in self._of and _LAST_STEP.search(nearest):
            nearest = _LAST_STEP.sub("", nearest)
        place = self._of.get(nearest, self.source)
        return Problem(f"{place}: {key}" if key else place, problem.message)

    @contextmanager
    def locating(self) -> Iterator[None]:
        """Add places to the problems of a ConfigError, which name no more than keys."""
        problems: list[Problem] = []
        with noting(problems):
            yield
        refuse(map(self.located, problems))
