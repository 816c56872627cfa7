"""The shape of the configuration: frozen values with every key, its default and its limits."""

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from exporter.metrics import DIMENSIONS, METRICS

_DURATION_UNITS = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d+){unit})?" for unit in _DURATION_UNITS), re.ASCII)
_SIZE_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(rf"(\d+) ?({'|'.join(_SIZE_UNITS)})", re.ASCII)


def parse_duration(value: Any) -> float:
    """Return a Prometheus duration such as `30s` or `1h30m` in seconds; ValueError says what was expected."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) < 100 else None
    if not match or not value:
        raise ValueError("expected a duration such as 30s, 5m or 1h30m")
    return sum(int(count) * _DURATION_UNITS[unit] for unit, count in match.groupdict(default="0").items())


def _parse_size(value: Any) -> int:
    match = _SIZE.fullmatch(str(value)) if isinstance(value, str | int) and len(str(value)) < 100 else None
    if not match or isinstance(value, bool):
        raise ValueError("expected a size such as 512MiB or 1GiB")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Relative paths start at the configuration file's folder, as they do in Prometheus."""
    return Path(info.context or ".") / path


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError("expected each entry once")
    return values


def _one_of(known: Iterable[str]) -> AfterValidator:
    names = tuple(known)

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return value

    return AfterValidator(check)


def _without_comma(value: str) -> str:
    if "," in value or not value.strip():
        raise ValueError("expected a text without commas, which the API uses to separate values")
    return value


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(_parse_size), Field(ge=1024)]
File = Annotated[Path, AfterValidator(_beside_the_file)]
Label = Annotated[str, _one_of(DIMENSIONS)]
MetricName = Annotated[str, _one_of(metric.short_name for metric in METRICS)]
FilterValues = tuple[Annotated[str, AfterValidator(_without_comma)], ...]


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, and no input in error messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Authorization(Settings):
    """A fixed bearer token, given in place or, better, in a file that is read again for every request."""

    credentials: SecretStr | None = None
    credentials_file: File | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.credentials is None) == (self.credentials_file is None):
            raise ValueError("expected exactly one of credentials, credentials_file")
        return self


class Login(Settings):
    """E-mail and password for `POST /user/login`."""

    email: Annotated[str, Field(min_length=1)]
    password: SecretStr | None = None
    password_file: File | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("expected exactly one of password, password_file")
        return self


class TlsConfig(Settings):
    """TLS towards the API, as in Prometheus."""

    ca_file: File | None = None
    cert_file: File | None = None
    key_file: File | None = None
    insecure_skip_verify: bool = False

    @model_validator(mode="after")
    def _a_pair(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("expected cert_file beside key_file")
        return self


class Api(Settings):
    """Where the API is and how to reach and sign in to it."""

    base_url: str = "https://backend.flashback.tech"
    authorization: Authorization | None = None
    login: Login | None = None
    refresh_token_file: File | None = None
    timeout: Annotated[Duration, Field(gt=0)] = 30.0
    max_response_size: Size = 1 << 30
    max_concurrent_requests: Annotated[int, Field(ge=1, le=100)] = 2
    allow_plain_http: bool = False
    proxy_url: SecretStr | None = None
    tls_config: TlsConfig = TlsConfig()

    @model_validator(mode="after")
    def _where(self) -> Self:
        try:
            url = urlsplit(self.base_url)
            host, port = url.hostname, url.port
        except ValueError:
            host = port = None
        if not host or port == 0 or url.scheme not in ("https", "http") or not self.base_url.isprintable():
            raise ValueError("base_url: expected https://host[:port][/path]")
        if url.username is not None or url.password is not None or url.query or url.fragment:
            raise ValueError("base_url: expected no user, password, query or fragment in it")
        if url.scheme == "http" and not self.allow_plain_http and not _is_loopback(host):
            raise ValueError("base_url: expected https, for http shows the token to everybody on the way"
                             " (allow_plain_http: true permits it)")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _proxy(self) -> Self:
        proxy = self.proxy_url.get_secret_value() if self.proxy_url else "http://host"
        if not re.fullmatch(r"https?://[^\s/]+/?", proxy):
            raise ValueError("proxy_url: expected http://[user:password@]host[:port]")
        return self

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        if self.authorization is not None and (self.login is not None or self.refresh_token_file is not None):
            raise ValueError("expected one way to sign in: authorization, or login and/or refresh_token_file")
        if self.authorization is None and self.login is None and self.refresh_token_file is None:
            raise ValueError(
                "expected a way to sign in: authorization, login or refresh_token_file here, or FLASHBACK_EMAIL and"
                " FLASHBACK_PASSWORD, FLASHBACK_ACCESS_TOKEN or FLASHBACK_REFRESH_TOKEN_FILE in the environment"
            )
        return self


class Poll(Settings):
    """When to poll and how many days to ask for."""

    interval: Annotated[Duration, Field(ge=1)] = 300.0
    days: Annotated[int, Field(ge=1, le=7)] = 2
    max_data_age: Annotated[Duration, Field(gt=0)] = 3600.0


class Filters(Settings):
    """Which records the API returns. It combines repo_id, ai_llm_id and repo_ai_api_key_id with OR."""

    repo_id: FilterValues = ()
    ai_llm_id: FilterValues = ()
    repo_ai_api_key_id: FilterValues = ()
    hosts: FilterValues = ()
    llm_type: FilterValues = ()
    llm_model: FilterValues = ()
    user_uuid: FilterValues = ()
    conversation_uuid: FilterValues = ()


class Query(Settings):
    """One question to the API and how its answer is shown."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.:/ -]+$")] = "default"
    interval: Annotated[Duration, Field(ge=1)] | None = None
    filters: Filters = Filters()
    labels: Annotated[tuple[Label, ...], AfterValidator(_distinct)] = tuple(
        label for label in DIMENSIONS if label not in ("user_uuid", "conversation_uuid")
    )
    metrics: Annotated[tuple[MetricName, ...], AfterValidator(_distinct), Field(min_length=1)] = tuple(
        metric.short_name for metric in METRICS
    )
    max_groups: Annotated[int, Field(ge=1)] = 10_000


class Config(Settings):
    """The whole configuration."""

    api: Api
    poll: Poll = Poll()
    queries: Annotated[tuple[Query, ...], Field(min_length=1)] = (Query(),)

    @model_validator(mode="after")
    def _queries_fit(self) -> Self:
        names = [query.name for query in self.queries]
        if len(set(names)) < len(names):
            raise ValueError("queries: expected a different name for each")
        for index, query in enumerate(self.queries):
            if self.interval(query) >= self.poll.max_data_age:
                raise ValueError(f"queries[{index}]: expected an interval shorter than poll.max_data_age,"
                                 " or its data would be too old before the next poll")  # fmt: skip
        return self

    def interval(self, query: Query) -> float:
        """Return the seconds between two polls of a query."""
        return self.poll.interval if query.interval is None else query.interval
