"""What stands beside the statistics: names, account, credits, policies and prices.

One table with a row for each metric, and how it is read. Every ID that the statistics show has one
sample, with a name or without, so that a join with names loses no series. What is not known is not
there, and never 0.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

from exporter.metrics import Family
from exporter.output.about import About
from exporter.output.samples import Column, Table
from exporter.statistics.account import Credits, Policy
from exporter.statistics.state import Shown
from exporter.steps import in_runs, in_steps

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value of the sample."""

_INFO = 1.0  # the value of a metric that only has labels


@dataclass(frozen=True, slots=True)
class Told:
    """What is known, and what the statistics show of it: values of some labels, by the labels."""

    about: About
    shown: Mapping[tuple[str, ...], Iterable[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Beside:
    """One metric beside the statistics, and where it is from: endpoints of the API."""

    name: str
    labels: tuple[str, ...]
    source: str
    help: str
    read: Callable[[Told], Samples]

    @property
    def family(self) -> Family:
        """The metric as a scrape names it."""
        return Family(self.name, "gauge", self.help)


_REPO = ("repo_id",)
_LLM = ("ai_llm_id",)
_KEY = ("repo_ai_api_key_id",)
_MODEL = ("llm_type", "llm_model")
_POLICY = ("policy_id", "policy_name")
_BALANCE = "/credits/balance"
_RULES = "/v2/stats/policies/breakdown/rules"


def _repos(told: Told) -> Samples:
    return (((repo, *told.about.names.repo(repo)), _INFO) for (repo,) in told.shown[_REPO])


def _llms(told: Told) -> Samples:
    return (((llm, told.about.names.llm(llm)), _INFO) for (llm,) in told.shown[_LLM])


def _keys(told: Told) -> Samples:
    return (((key, told.about.names.key(key)), _INFO) for (key,) in told.shown[_KEY])


def _account(told: Told) -> Samples:
    profile = told.about.names.profile
    if profile:
        yield (profile.org_id, profile.role), _INFO


def _credits(amount: Callable[[Credits], SupportsFloat | None]) -> Callable[[Told], Samples]:
    def read(told: Told) -> Samples:
        value = amount(told.about.credits) if told.about.credits else None
        if value is not None:
            yield (), float(value)

    return read


def _pending(told: Told) -> Samples:
    pending = told.about.credits.pending if told.about.credits else {}
    return (((category,), float(amount)) for category, amount in pending.items())


def _policies(amount: Callable[[Policy], int | None]) -> Callable[[Told], Samples]:
    def read(told: Told) -> Samples:
        for policy_id, policy in (told.about.policies or {}).items():
            value = amount(policy)
            if value is not None:
                yield (policy_id, policy.name), value

    return read


def _severities(told: Told) -> Samples:
    for policy_id, policy in (told.about.policies or {}).items():
        for severity, violations in policy.severities.items():
            yield (policy_id, policy.name, severity), violations


def _prices(told: Told) -> Samples:
    for row in told.about.prices.rows((kind, model) for kind, model in told.shown[_MODEL]):
        yield (row.llm_type, row.llm_model, row.direction), row.dollars_per_token


BESIDE = (
    Beside(
        "flashback_repo_info",
        ("repo_id", "repo_name", "workspace_id", "workspace_name"),
        "/repo, /workspace",
        "Always 1: the name and the workspace of each repository that is shown.",
        _repos,
    ),
    Beside(
        "flashback_ai_llm_info",
        ("ai_llm_id", "ai_llm_name"),
        "/ai/llm",
        "Always 1: the name of each LLM configuration that is shown.",
        _llms,
    ),
    Beside(
        "flashback_repo_ai_api_key_info",
        ("repo_ai_api_key_id", "repo_ai_api_key_name"),
        "/repo",
        "Always 1: the name of each API key that is shown.",
        _keys,
    ),
    Beside(
        "flashback_account_info",
        ("org_id", "role"),
        "/user/profile",
        "Always 1: the organisation that the account belongs to, and its role there.",
        _account,
    ),
    Beside(
        "flashback_credits_balance",
        (),
        _BALANCE,
        "Credits that are left right now.",
        _credits(lambda left: left.balance),
    ),
    Beside(
        "flashback_credits_booked_balance",
        (),
        _BALANCE,
        "Credits that were left when they were last booked.",
        _credits(lambda left: left.booked_balance),
    ),
    Beside(
        "flashback_credits_booked_until_timestamp_seconds",
        (),
        _BALANCE,
        "Until when credits are booked, in Unix seconds.",
        _credits(lambda left: left.booked_until),
    ),
    Beside(
        "flashback_credits_pending",
        ("category",),
        _BALANCE,
        "Credits that are used and not booked yet.",
        _pending,
    ),
    Beside(
        "flashback_policy_last_24h_violations",
        _POLICY,
        _RULES,
        "Violations of a policy in the last 24 hours.",
        _policies(lambda policy: policy.violations),
    ),
    Beside(
        "flashback_policy_last_24h_alerts",
        _POLICY,
        _RULES,
        "Alerts that a policy raised in the last 24 hours.",
        _policies(lambda policy: policy.alerts),
    ),
    Beside(
        "flashback_policy_last_24h_blocks",
        _POLICY,
        _RULES,
        "Requests that a policy blocked in the last 24 hours.",
        _policies(lambda policy: policy.blocks),
    ),
    Beside(
        "flashback_policy_last_24h_violations_by_severity",
        (*_POLICY, "severity"),
        _RULES,
        "Violations of a policy in the last 24 hours, by severity.",
        _severities,
    ),
    Beside(
        "flashback_llm_price_dollars_per_token",
        (*_MODEL, "direction"),
        "prices.file, then the built-in prices",
        "What a token of each model costs that is shown, in US dollars.",
        _prices,
    ),
)
"""Every metric that stands beside the statistics."""


async def tables_beside(about: About, shown: Sequence[Shown]) -> Iterator[Table]:
    """Return what is known of what queries show."""
    told = Told(about, {labels: await _values(shown, labels) for labels in _JOINED})
    tables = []
    for metric in BESIDE:
        samples = [sample async for sample in in_steps(metric.read(told))]
        rows = list(map(tuple, in_runs(labels for labels, _ in samples)))
        values = map(tuple, in_runs(value for _, value in samples))
        tables.append(Table(metric.labels, rows, [Column(metric.family, (), (), values)]))
    return iter(tables)


_JOINED = (_REPO, _LLM, _KEY, _MODEL)


async def _values(shown: Sequence[Shown], labels: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """Return the values that some labels have together in what queries show."""
    found: dict[tuple[str, ...], None] = {}
    for one in shown:
        if not set(labels) <= set(one.query.labels):
            continue
        places = [one.query.labels.index(label) for label in labels]
        async for key in in_steps(one.groups):
            found[tuple([key[place] for place in places])] = None
    return found
