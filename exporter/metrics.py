"""The one table of metrics of the AI statistics: what a record holds and what is shown of it.

Validation, grouping, samples, the exposition, the README and the tests all read it.
"""

from dataclasses import dataclass
from enum import Enum

PREFIX = "flashback_ai_"
DAILY_PREFIX = PREFIX + "daily_"

DIMENSIONS = {
    "repo_id": "repoId",
    "ai_llm_id": "aiLlmId",
    "repo_ai_api_key_id": "repoAiApiKeyId",
    "llm_type": "llmType",
    "llm_model": "llmModel",
    "host": "host",
    "user_uuid": "userUuid",
    "conversation_uuid": "conversationUuid",
}
"""Label name to record field, for the eight dimensions of a record."""

FILTERS = {label: field for label, field in DIMENSIONS.items() if label != "host"} | {
    "hosts": "hosts"
}
"""Filter name in the configuration to query parameter of the API: the dimensions, but `hosts`."""


class Kind(Enum):
    """What an API field holds and how the records of a group are combined."""

    COUNT = "sum"
    """A whole number; added up."""
    BIG_COUNT = "sum of exact integers"
    """A whole number, added up. It may be beyond 2^53, so the API writes it as a string."""
    MEAN = "mean weighted by apiCalls"
    """An average over the record's calls; weighted by them, where it is known."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric as a scrape names it: its samples stand together under one HELP and TYPE.

    The name is OpenMetrics': that of a counter is without the `_total` of its samples.
    """

    name: str
    type: str
    help: str


@dataclass(frozen=True, slots=True)
class Metric:
    """One gauge of the AI statistics, and the counter beside it.

    `fields` maps the value of the label `split_by` to an API field. Most metrics show one field and
    have no such label: then `split_by` is empty, and so is the only key. So many of the API's units
    as `divisor` says make one of the metric's; counts have one unit. A record that lacks a
    `required` field is not valid; where it lacks another one, the rest of it counts. What is not
    `additive` over days has no counter. That of a mean is a summary, called `summary` if given.
    """

    short_name: str
    text: str
    fields: dict[str, str]
    kind: Kind = Kind.COUNT
    split_by: str = ""
    divisor: int = 1
    required: bool = False
    additive: bool = True
    summary: str = ""

    @property
    def name(self) -> str:
        """The full name of the gauge on /metrics."""
        return DAILY_PREFIX + self.short_name

    @property
    def gauge(self) -> Family:
        """The gauge: a day's total or mean."""
        caveat = _MEAN_CAVEAT if self.kind is Kind.MEAN else _SUM_CAVEAT
        return Family(self.name, "gauge", f"{self.text} ({self._source}). {caveat}")

    @property
    def counter(self) -> Family | None:
        """The counter, or the summary of a mean; None where days do not add up."""
        if not self.additive:
            return None
        if self.kind is Kind.MEAN:
            text = f"{self.text} ({self._source}), times calls. {_COUNTER_CAVEAT}"
            return Family(PREFIX + (self.summary or self.short_name), "summary", text)
        text = f"{self.text} ({self._source}). {_COUNTER_CAVEAT}"
        return Family(PREFIX + self.short_name, "counter", text)

    @property
    def _source(self) -> str:
        return f"API field {', '.join(self.fields.values())}"


_SUM_CAVEAT = "The UTC day's total so far; cached between polls."
_MEAN_CAVEAT = (
    "The UTC day's mean so far, weighted by the calls it is known for; "
    "absent where there are none; cached between polls."
)
_COUNTER_CAVEAT = "Counts on across days; grows with polls, and no correction lowers it."

METRICS = (
    Metric("api_calls", "Calls to the LLM API", {"": "apiCalls"}, required=True),
    Metric("input_tokens", "Input tokens", {"": "tokensIn"}, Kind.BIG_COUNT),
    Metric("output_tokens", "Output tokens", {"": "tokensOut"}, Kind.BIG_COUNT),
    Metric(
        "llm_input_tokens",
        "Input tokens as the LLM counts them",
        {"": "llmTokensIn"},
        Kind.BIG_COUNT,
    ),
    Metric(
        "llm_output_tokens",
        "Output tokens as the LLM counts them",
        {"": "llmTokensOut"},
        Kind.BIG_COUNT,
    ),
    Metric(
        "active_conversations",
        "Conversations that were active, not additive across users and days",
        {"": "activeConversations"},
        additive=False,
    ),
    Metric("policy_violations", "Policy violations found", {"": "policyViolations"}),
    Metric(
        "policy_violations_by_severity",
        "Policy violations found, by severity",
        {"low": "numSeverityLow", "medium": "numSeverityMedium", "high": "numSeverityHigh"},
        split_by="severity",
    ),
    Metric("alerts", "Alerts raised by policies", {"": "numAlerts"}),
    Metric("blocks", "Requests blocked by policies", {"": "numBlocks"}),
    Metric(
        "latency_seconds",
        "Average latency of a call",
        {"": "latency_ms"},
        Kind.MEAN,
        divisor=1000,
        summary="call_duration_seconds",
    ),
)

DAY_START = Family(
    DAILY_PREFIX + "start_timestamp_seconds",
    "gauge",
    "The UTC midnight at which the day began, in Unix seconds. Values are cached between polls.",
)

FIELD_KINDS = {field: metric.kind for metric in METRICS for field in metric.fields.values()}
"""Every numeric field of a record with its kind, in the order of the table."""

COUNT_FIELDS = tuple(field for field, kind in FIELD_KINDS.items() if kind is not Kind.MEAN)
MEAN_FIELDS = tuple(field for field, kind in FIELD_KINDS.items() if kind is Kind.MEAN)

AMOUNT_NAMES = (
    *COUNT_FIELDS,
    *(f"{field}:{part}" for field in MEAN_FIELDS for part in ("sum", "weight")),
)
"""What each amount of a record is, in their order."""
AMOUNTS = len(AMOUNT_NAMES)
"""How many amounts a record has: its counts, then for each mean its weighted sum and its weight."""

FIELD_INDEX = {field: index for index, field in enumerate(COUNT_FIELDS)} | {
    field: len(COUNT_FIELDS) + 2 * index for index, field in enumerate(MEAN_FIELDS)
}
"""Where each field stands among a record's amounts; for a mean, where its weighted sum does."""

WEIGHT_INDEX = {field: FIELD_INDEX[field] + 1 for field in MEAN_FIELDS}
"""Where each mean's weight stands among them: the calls that the mean is known for."""

CALLS = FIELD_INDEX["apiCalls"]

ADDITIVE = tuple(
    FIELD_INDEX[field]
    for metric in METRICS
    if metric.additive and metric.kind is not Kind.MEAN
    for field in metric.fields.values()
)
"""Where the counts stand that add up over days."""

REQUIRED_FIELDS = frozenset(
    field for metric in METRICS if metric.required for field in metric.fields.values()
)

OPTIONAL_FIELDS = tuple(
    field for field in (*DIMENSIONS.values(), *FIELD_KINDS) if field not in REQUIRED_FIELDS
)
"""Every field that a valid record may lack, absent or null: the API's fields grew over time."""
