"""The project's own errors. Foreign exceptions are turned into these where they arise.

ExporterError
├── ConfigError      the configuration, all of its problems at once
├── ListenError      the web server cannot have its address
├── OutputError      standard output cannot be written to
├── StateError       the state file cannot be used
│   ├── StateInUseError   by another exporter, at this moment
│   ├── StateDamagedError what it holds cannot be read
│   └── StateWriteError   what is new could not be written
└── PollError        why a poll, or one request of it, failed
    ├── RefusedError the API refused a sign-in or a refresh for good
    └── TruncatedError an answer ended in its middle
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a poll failed: `reason` of `flashback_exporter_poll_failures_total`."""

    AUTH = "auth"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    NETWORK = "network"
    TLS = "tls"
    INVALID_RESPONSE = "invalid_response"
    TOO_LARGE = "too_large"


class ExporterError(Exception):
    """Base of all errors that the exporter raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in the configuration: where it is and what was expected there, never a value."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(ExporterError):
    """The configuration cannot be used; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@contextmanager
def noting(problems: list[Problem]) -> Iterator[None]:
    """Add the problems of a ConfigError to a list, so that what follows is looked at as well."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def refuse(problems: Iterable[Problem]) -> None:
    """Raise ConfigError where there are problems."""
    if found := list(problems):
        raise ConfigError(found)


class ListenError(ExporterError):
    """A listen address cannot be bound."""


class OutputError(ExporterError):
    """Standard output takes no more: its disk is full, or its reader has gone."""


class StateError(ExporterError):
    """The state file cannot be used: it is foreign, of a newer format, or not to be opened."""


class StateInUseError(StateError):
    """Another exporter has locked the state file."""


class StateDamagedError(StateError):
    """The state file is the exporter's own, and what it holds cannot be read."""


class StateWriteError(StateError):
    """The state file could not be written: the disk is full, say."""


class PollError(ExporterError):
    """A request or its answer failed.

    `retryable` says whether another attempt within the same poll may help, `status` is the answer's
    where that is what went wrong, else 0.
    """

    def __init__(
        self, reason: Reason, message: str, *, retryable: bool = False, status: int = 0
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable
        self.status = status


class RefusedError(PollError):
    """The API answered that these credentials, or this refresh token, are not valid."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.AUTH, message)


class TruncatedError(PollError):
    """An answer ended too early; where nothing says how long it is, the connection broke."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.INVALID_RESPONSE, message)
