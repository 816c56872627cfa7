"""What the environment says where the configuration file leaves it out."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from exporter.config.places import Places
from exporter.errors import Problem

_PREFIX = "FLASHBACK_"
_WAYS = frozenset({"authorization", "login", "refresh_token_file"})
_FILES = {"state_file": "state", "prices_file": "prices"}
"""Variables, and the section whose key `file` each fills."""


class Environment(BaseSettings):
    """The environment variables, each `FLASHBACK_` and the field in capitals. Empty means unset."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, hide_input_in_errors=True
    )

    access_token: str | None = Field(default=None, repr=False)
    email: str | None = None
    password: str | None = Field(default=None, repr=False)
    password_file: Path | None = None
    refresh_token_file: Path | None = None
    base_url: str | None = None
    state_file: Path | None = None
    prices_file: Path | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong whatever the file says."""
        for name, value in self:
            if value and not str(value).isprintable():
                yield Problem(_variable(name), "expected one line of printable text")
        if self.password and self.password_file:
            both = self._names("password", "password_file")
            yield Problem(both, "expected one of them, not both")

    def filled(self, content: Mapping[str, Any], places: Places) -> dict[str, Any]:
        """Return the configuration with what the environment adds, and note which variables did.

        Relative paths in variables start at the working directory.
        """
        filled = dict(content)
        if isinstance(content.get("api"), Mapping | None):
            filled["api"] = self._api(content.get("api") or {}, places)
        for field, section in _FILES.items():
            path, given = getattr(self, field), content.get(section)
            if path and isinstance(given, Mapping | None) and (given or {}).get("file") is None:
                filled[section] = {**(given or {}), "file": path.absolute()}
                places.note(f"{section}.file", _variable(field))
        return filled

    def _api(self, section: Mapping[str, Any], places: Places) -> dict[str, Any]:
        api = {
            key: value
            for key, value in section.items()
            if value is not None or key not in {"base_url", *_WAYS}
        }
        in_file = api.keys() & _WAYS

        if self.base_url and "base_url" not in api:
            api["base_url"] = self.base_url
            places.note("api.base_url", _variable("base_url"))
        if self.access_token and not in_file:
            api["authorization"] = {"credentials": self.access_token}
            places.note("api.authorization", _variable("access_token"))
        if "authorization" in in_file:
            return api

        login = api.get("login", {})
        if isinstance(login, Mapping) and (filled := self._login(login, places)):
            api["login"] = filled
        if self.refresh_token_file and "refresh_token_file" not in api:
            api["refresh_token_file"] = self.refresh_token_file.absolute()
            places.note("api.refresh_token_file", _variable("refresh_token_file"))
        if "authorization" in api and len(api.keys() & _WAYS) > 1:
            places.note("api", self._names("access_token", "email", "refresh_token_file"))
        return api

    def _login(self, in_file: Mapping[str, Any], places: Places) -> dict[str, Any]:
        login = {key: value for key, value in in_file.items() if value is not None}
        given: dict[str, Any] = {"email": self.email}
        if not login.keys() & {"password", "password_file"}:
            given["password"] = self.password
            if not self.password and self.password_file:
                given["password_file"] = self.password_file.absolute()
        for key, value in given.items():
            if value is not None and key not in login:
                login[key] = value
                places.note(f"api.login.{key}", _variable(key))
        if not in_file:
            places.note("api.login", self._names(*login))
        return login

    def _names(self, *fields: str) -> str:
        return _variable(*(field for field in fields if getattr(self, field)))


def _variable(*fields: str) -> str:
    return "environment " + ", ".join(_PREFIX + field.upper() for field in fields)
