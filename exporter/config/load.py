"""Reads the configuration: YAML file and environment in, one frozen `Config` out, or every problem at once."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from exporter.config.sections import Config
from exporter.errors import ConfigError, Problem

Location = tuple[str | int, ...]

_MAX_VALUES = 100_000
_MAX_DEPTH = 20
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class Environment(BaseSettings):
    """The environment variables, each named `FLASHBACK_` and the field in capitals. Empty means unset."""

    model_config = SettingsConfigDict(
        env_prefix="FLASHBACK_", env_ignore_empty=True, hide_input_in_errors=True
    )

    access_token: str | None = Field(default=None, repr=False)
    email: str | None = None
    password: str | None = Field(default=None, repr=False)
    refresh_token_file: str | None = None
    base_url: str | None = None


def load_config(path: Path | None, environment: Environment | None = None) -> Config:
    """Return the configuration of a file (or none) with the environment filling what it leaves out.

    Raises ConfigError with every problem, each with its place; no message ever shows a value.
    """
    name = str(path) if path else "environment"
    places: dict[Location, str] = {}
    environment = environment or Environment()
    problems = [
        Problem(f"environment FLASHBACK_{variable.upper()}", "expected one line of printable text")
        for variable, value in environment
        if value and not value.isprintable()
    ]
    document = _read(path, name, places, problems) if path else {}
    if isinstance(document, Mapping) and isinstance(document.get("api", {}), Mapping | None):
        document = {**document, "api": _filled(document.get("api") or {}, environment)}
    try:
        config = Config.model_validate(document, context=path.parent if path else None)
    except ValidationError as error:
        problems += [_problem(detail, places, name) for detail in error.errors(include_input=False)]
    if problems:
        raise ConfigError(problems)
    return config


def _filled(section: Mapping[str, Any], environment: Environment) -> dict[str, Any]:
    fillable = ("base_url", "authorization", "login", "refresh_token_file")
    api = {key: value for key, value in section.items() if value is not None or key not in fillable}
    in_file = api.keys() & fillable[1:]
    if environment.base_url:
        api.setdefault("base_url", environment.base_url)
    if environment.access_token and not in_file:
        api["authorization"] = {"credentials": environment.access_token}
    if "authorization" not in in_file:
        login = api.get("login", {})
        if isinstance(login, Mapping):
            wanted = {"email", "password"} - ({"password"} if "password_file" in login else set())
            if filled := {**_given(environment, wanted), **login}:
                api["login"] = filled
        if environment.refresh_token_file:
            api.setdefault(
                "refresh_token_file", str(Path(environment.refresh_token_file).absolute())
            )
    return api


def _given(environment: Environment, names: set[str]) -> dict[str, str]:
    return environment.model_dump(include=names, exclude_none=True)


def _read(path: Path, name: str, places: dict[Location, str], problems: list[Problem]) -> Any:
    """Return a YAML file's content; note the place of each node as `file:line:column`, and what is wrong with it."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if node is None:
            return {}
        problems += _walk(yaml.constructor.SafeConstructor(), node, (), name, places)
        document = loader.construct_document(node)
        return {} if document is None else document
    except OSError as error:
        raise ConfigError([Problem(name, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(name, "expected UTF-8 text")]) from None
    except RecursionError:
        raise ConfigError([Problem(name, "expected a few levels")]) from None
    except yaml.MarkedYAMLError as error:  # its text would quote the line, which may hold a secret
        place = _place(name, error.problem_mark) if error.problem_mark else name
        raise ConfigError(
            [*problems, Problem(place, f"not YAML: {_unquoted(error.problem)}")]
        ) from None
    except yaml.YAMLError:
        raise ConfigError([Problem(name, "not YAML")]) from None


def _unquoted(problem: str | None) -> str:
    return re.split("['\"]", problem or "syntax error")[0].strip()


def _place(name: str, mark: Any) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}"


def _walk(
    trial: yaml.constructor.SafeConstructor,
    node: yaml.Node,
    location: Location,
    name: str,
    places: dict[Location, str],
) -> Iterator[Problem]:
    """Note the place of every node below `node`; yield what a configuration may not hold, and cut it out."""
    place = places[location] = _place(name, node.start_mark)
    if len(places) > _MAX_VALUES:
        raise ConfigError(
            [Problem(place, f"expected no more than {_MAX_VALUES} values; aliases multiply them")]
        )
    if len(location) > _MAX_DEPTH:
        raise ConfigError(
            [Problem(place, "expected a few levels, and no alias of what it stands in")]
        )
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(trial, item, (*location, index), name, places)
    elif isinstance(node, yaml.MappingNode):
        pairs = {}
        for key, value in node.value:
            place = _place(name, key.start_mark)
            if key.tag not in _KEY_TAGS:
                yield Problem(place, "expected text as a key")
                continue
            inner = (*location, str(key.value))
            if key.value in pairs:
                yield Problem(place, f"duplicate key {_path(inner)}")
            pairs[key.value] = key, value
            yield from _walk(trial, value, inner, name, places)
            places[inner] = place
        node.value = list(pairs.values())
    else:
        try:
            trial.construct_object(node)
        except (ValueError, KeyError, AttributeError, yaml.constructor.ConstructorError):
            yield Problem(place, f"{_path(location)}: not a value of its YAML type")
            node.tag = "tag:yaml.org,2002:str"


def _path(location: Location) -> str:
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in location
    ).lstrip(".")


def _problem(detail: Any, places: Mapping[Location, str], name: str) -> Problem:
    location: Location = detail["loc"]
    nearest = next(
        (location[:n] for n in range(len(location), 0, -1) if location[:n] in places), ()
    )
    where = places.get(nearest, name) if nearest or not location else name
    return Problem(f"{where}: {_path(location)}" if location else where, detail["msg"])
