"""What is known about the account: its names, its credits, its policies, and who answers.

Beside the statistics, which need none of it. IDs and names are fit for labels. What the API does
not say is None or not there, never 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice
from typing import Generic, TypeVar

from exporter.steps import in_steps

MAX_KNOWN = 200_000
"""Names of a kind that are kept; those that the API said last."""

_SEE_EVERYTHING = frozenset({"administrators", "owner"})

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository's name, empty where it is not known, and the workspace that it belongs to."""

    name: str
    workspace_id: str

    def after(self, before: "Repo") -> "Repo":
        """Return the repository with what was known before and is not said now."""
        return Repo(self.name or before.name, self.workspace_id or before.workspace_id)


@dataclass(frozen=True, slots=True)
class Profile:
    """Who the account is: its organisation and its role, in one of the API's words or a number."""

    org_id: str
    role: str

    @property
    def sees_part(self) -> bool:
        """Whether its role is known not to see the whole organisation.

        What it may not see is left out of every answer, silently.
        """
        return bool(self.role) and self.role not in _SEE_EVERYTHING


@dataclass(frozen=True, slots=True)
class Names:
    """Every name that the API has ever said, by ID: also of what was deleted since."""

    repos: Mapping[str, Repo] = field(default_factory=dict)
    workspaces: Mapping[str, str] = field(default_factory=dict)
    llms: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    profile: Profile | None = None

    def repo(self, repo_id: str) -> tuple[str, str, str]:
        """Return a repository's name, or its ID, and its workspace's ID and name, or nothing."""
        repo = self.repos.get(repo_id)
        if repo is None:
            return repo_id, "", ""
        workspace_name = self.workspaces.get(repo.workspace_id, "")
        return repo.name or repo_id, repo.workspace_id, workspace_name

    def llm(self, llm_id: str) -> str:
        """Return the name of an LLM configuration, or its ID."""
        return self.llms.get(llm_id) or llm_id

    def key(self, key_id: str) -> str:
        """Return the name of an API key, or its ID; a deleted key keeps its name."""
        return self.keys.get(key_id) or key_id


@dataclass(frozen=True, slots=True)
class Credits:
    """The balance right now, what is booked and until when (Unix seconds), and what is not yet.

    `pending` maps a category to what is used but not booked. Amounts are as exact as the API's.
    """

    balance: Decimal | None = None
    booked_balance: Decimal | None = None
    booked_until: float | None = None
    pending: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """What one policy found in the last 24 hours; `severities` maps a severity to violations."""

    name: str
    violations: int | None = None
    alerts: int | None = None
    blocks: int | None = None
    severities: Mapping[str, int] = field(default_factory=dict)


Policies = Mapping[str, Policy]
"""The policies that found something in the last 24 hours, by ID."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[_T]):
    """What was read, and until when (monotonic) it may be shown."""

    value: _T
    good_until: float

    def at(self, now: float) -> _T | None:
        """Return what was read, unless it is too old at `now` (monotonic)."""
        return self.value if now <= self.good_until else None


@dataclass(frozen=True, slots=True)
class EndpointState:
    """How an endpoint about the account fares.

    `up` says whether the last answer was good; None before the first, and where the endpoint is not
    offered to this account. `day` is the UTC day on which it was last found not to be.
    """

    up: bool | None = None
    ever_good: bool = False
    offered: bool = True
    day: int = 0
    message: str = ""

    def after_good(self) -> "EndpointState":
        """Return the state after a good answer."""
        return EndpointState(up=True, ever_good=True)

    def after_failure(self, message: str) -> "EndpointState":
        """Return the state after a failure that says nothing about what is offered."""
        return EndpointState(up=False, ever_good=self.ever_good, message=message)

    def after_refusal(self, message: str, today: int) -> "EndpointState":
        """Return the state after an answer that it is not there, or not for this account.

        That is a failure like others once it has been there.
        """
        if self.ever_good:
            return self.after_failure(message)
        return EndpointState(offered=False, day=today, message=message)

    def is_due(self, today: int) -> bool:
        """Whether to ask it on a UTC day: where it is not offered, once a day."""
        return self.offered or self.day != today


@dataclass(frozen=True, slots=True)
class AccountState:
    """All that is known about the account, and how each endpoint that is asked for it fares."""

    names: Names = field(default_factory=Names)
    credits: Reading[Credits] | None = None
    policies: Reading[Policies] | None = None
    endpoints: Mapping[str, EndpointState] = field(default_factory=dict)

    @property
    def up(self) -> Mapping[str, bool]:
        """Whether each endpoint's last answer was good, for those that are offered."""
        states = self.endpoints.items()
        return {endpoint: state.up for endpoint, state in states if state.up is not None}

    def endpoint(self, path: str) -> EndpointState:
        """Return how an endpoint fares."""
        return self.endpoints.get(path, EndpointState())

    def after(self, path: str, state: EndpointState) -> "AccountState":
        """Return the state with that of one endpoint."""
        return replace(self, endpoints={**self.endpoints, path: state})


async def learned(
    known: Mapping[str, _T], said: Mapping[str, _T], newer: Callable[[_T, _T], _T]
) -> Mapping[str, _T]:
    """Return what is known by ID after the API said something: the last said stands last.

    `newer` combines what is said of an ID with what was known of it.
    """
    together = dict(known)
    async for key, value in in_steps(said.items()):
        before = together.pop(key, None)
        together[key] = value if before is None else newer(value, before)
    oldest = list(islice(together, max(0, len(together) - MAX_KNOWN)))
    async for key in in_steps(oldest):
        del together[key]
    return together
