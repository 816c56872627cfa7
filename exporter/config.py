"""Reads the configuration: YAML file and environment in, one frozen `Config` out, or every problem at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from exporter.errors import ConfigError, Problem
from exporter.settings import Config

Location = tuple[str | int, ...]


class Environment(BaseSettings):
    """The environment variables, each named `FLASHBACK_` and the field in capitals. Empty means unset."""

    model_config = SettingsConfigDict(env_prefix="FLASHBACK_", env_ignore_empty=True, hide_input_in_errors=True)

    access_token: str | None = None
    email: str | None = None
    password: str | None = None
    refresh_token_file: str | None = None
    base_url: str | None = None


def load_config(path: Path | None, environment: Environment | None = None) -> Config:
    """Return the configuration of a file (or none) with the environment filling what it leaves out.

    Raises ConfigError with every problem, each with its place; no message ever shows a value.
    """
    name = str(path) if path else "environment"
    places: dict[Location, str] = {}
    problems: list[Problem] = []
    document = _read(path, name, places, problems) if path else {}
    if isinstance(document, Mapping) and isinstance(document.get("api", {}), Mapping | None):
        document = {**document, "api": _filled(dict(document.get("api") or {}), environment or Environment())}
    try:
        config = Config.model_validate(document, context=path.parent if path else None)
    except ValidationError as error:
        problems += [_problem(detail, places, name) for detail in error.errors(include_input=False)]
    if problems:
        raise ConfigError(problems)
    return config


def _filled(api: dict[str, Any], environment: Environment) -> dict[str, Any]:
    if environment.base_url:
        api.setdefault("base_url", environment.base_url)
    login = api.get("login")
    if isinstance(login, dict):
        given = {"password"} if "password_file" in login else set()
        api["login"] = {**_given(environment, {"email", "password"} - given), **login}
    elif not {"authorization", "login", "refresh_token_file"} & api.keys():
        if environment.access_token:
            api["authorization"] = {"credentials": environment.access_token}
        if login := _given(environment, {"email", "password"}):
            api["login"] = login
        if environment.refresh_token_file:
            api["refresh_token_file"] = str(Path(environment.refresh_token_file).absolute())
    if "login" in api and "refresh_token_file" not in api and environment.refresh_token_file:
        api["refresh_token_file"] = str(Path(environment.refresh_token_file).absolute())
    return api


def _given(environment: Environment, names: set[str]) -> dict[str, str]:
    return environment.model_dump(include=names, exclude_none=True)


def _read(path: Path, name: str, places: dict[Location, str], problems: list[Problem]) -> Any:
    """Return a YAML file's content; note the place of each node as `file:line:column`, and duplicate keys."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if node is None:
            return {}
        problems += _walk(node, (), name, places, set())
        return loader.construct_document(node)
    except OSError as error:
        raise ConfigError([Problem(name, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(name, "expected UTF-8 text")]) from None
    except RecursionError:
        raise ConfigError([Problem(name, "expected a few levels of nesting")]) from None
    except yaml.MarkedYAMLError as error:  # its text would quote the line, which may hold a secret
        place = _place(name, error.problem_mark) if error.problem_mark else name
        raise ConfigError([Problem(place, f"not YAML: {_unquoted(error.problem)}")]) from None
    except (yaml.YAMLError, ValueError):
        raise ConfigError([Problem(name, "not YAML")]) from None


def _unquoted(problem: str | None) -> str:
    return (problem or "syntax error").split("'")[0].strip()


def _place(name: str, mark: Any) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}"


def _walk(
    node: yaml.Node, location: Location, name: str, places: dict[Location, str], above: set[int]
) -> Iterator[Problem]:
    """Record the place of every node below `node` and yield a problem for each duplicate key."""
    if id(node) in above or len(places) > 100_000:
        yield Problem(_place(name, node.start_mark), "expected no alias that leads back to itself")
        return
    places[location] = _place(name, node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*location, index), name, places, above | {id(node)})
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield Problem(_place(name, key.start_mark), f"duplicate key {_path((*location, str(key.value)))}")
            seen.add(str(key.value))
            yield from _walk(value, (*location, str(key.value)), name, places, above | {id(node)})
            places[*location, str(key.value)] = _place(name, key.start_mark)


def _path(location: Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _problem(detail: Any, places: Mapping[Location, str], name: str) -> Problem:
    location: Location = detail["loc"]
    nearest = next((location[:n] for n in range(len(location), 0, -1) if location[:n] in places), ())
    where = places.get(nearest, name) if nearest or not location else name
    return Problem(f"{where}: {_path(location)}" if location else where, detail["msg"])
