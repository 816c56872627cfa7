"""The one table of metrics. Validation, grouping, exposition, the README and the tests all read it."""

from dataclasses import dataclass
from enum import Enum

PREFIX = "flashback_ai_daily_"
DAY_START = PREFIX + "start_timestamp_seconds"
DAY_START_HELP = (
    "The UTC midnight at which the day began, in Unix seconds. Values are cached between polls."
)

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
"""Filter name in the configuration to query parameter of the API: as the dimensions, but `hosts`."""


class Kind(Enum):
    """What an API field holds and how the records of a group are combined."""

    COUNT = "sum"
    """A whole number; added up."""
    BIG_COUNT = "sum of exact integers"
    """A whole number that may be beyond 2^53, so that the API writes it as a string of digits; added up."""
    MEAN = "mean weighted by apiCalls"
    """An average over the record's calls; weighted by them, where it is known."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One gauge of the AI statistics. `fields` maps the value of the label `split_by` to an API field.

    Most metrics show one field and have no such label: `split_by` is empty then and so is the only key. So many of the
    API's units as `divisor` says make one of the metric's; counts have one unit. A record that lacks a `required`
    field is not valid; where it lacks another one, the rest of it counts.
    """

    short_name: str
    text: str
    fields: dict[str, str]
    kind: Kind = Kind.COUNT
    split_by: str = ""
    divisor: int = 1
    required: bool = False

    @property
    def name(self) -> str:
        """The full name on /metrics."""
        return PREFIX + self.short_name

    @property
    def help(self) -> str:
        """The HELP text: what it counts, the API field it comes from, and that it is a cached total of a day."""
        return f"{self.text} (API field {', '.join(self.fields.values())}). {_CAVEAT[self.kind]}"


_CAVEAT = {
    Kind.COUNT: "The UTC day's total so far; cached between polls.",
    Kind.BIG_COUNT: "The UTC day's total so far; cached between polls.",
    Kind.MEAN: (
        "The UTC day's mean so far, weighted by the calls it is known for; absent where there are none; "
        "cached between polls."
    ),
}

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
    ),
)

FIELD_KINDS = {field: metric.kind for metric in METRICS for field in metric.fields.values()}
"""Every numeric field of a record with its kind, in the order of the table."""

COUNT_FIELDS = tuple(field for field, kind in FIELD_KINDS.items() if kind is not Kind.MEAN)
MEAN_FIELDS = tuple(field for field, kind in FIELD_KINDS.items() if kind is Kind.MEAN)

AMOUNTS = len(COUNT_FIELDS) + 2 * len(MEAN_FIELDS)
"""How many amounts a record has: its counts, and then for each mean its weighted sum and its weight."""

FIELD_INDEX = {field: index for index, field in enumerate(COUNT_FIELDS)} | {
    field: len(COUNT_FIELDS) + 2 * index for index, field in enumerate(MEAN_FIELDS)
}
"""Where each field stands among a record's amounts; for a mean, where its weighted sum does."""

WEIGHT_INDEX = {field: FIELD_INDEX[field] + 1 for field in MEAN_FIELDS}
"""Where each mean's weight stands among a record's amounts: the calls that the mean is known for."""

CALLS = FIELD_INDEX["apiCalls"]

REQUIRED_FIELDS = frozenset(
    field for metric in METRICS if metric.required for field in metric.fields.values()
)

OPTIONAL_FIELDS = tuple(
    field for field in (*DIMENSIONS.values(), *FIELD_KINDS) if field not in REQUIRED_FIELDS
)
"""Every field that a valid record may lack, absent or null: the API's fields grew over time."""


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """One metric about the exporter itself. Counters are named with their `_total`."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


_QUERY = ("query",)
_REASON = ("query", "reason")
_EXPORTER = "flashback_exporter_"

OWN_METRICS = {
    metric.name: metric
    for metric in (
        OwnMetric(
            "flashback_up",
            "gauge",
            _QUERY,
            "1 where the last poll succeeded and its data is not too old.",
        ),
        OwnMetric(_EXPORTER + "polls_total", "counter", _QUERY, "Polls finished, well or badly."),
        OwnMetric(
            _EXPORTER + "poll_failures_total", "counter", _REASON, "Polls that failed, by reason."
        ),
        OwnMetric(
            _EXPORTER + "polls_skipped_total",
            "counter",
            _QUERY,
            "Polls left out because the one before still ran.",
        ),
        OwnMetric(
            _EXPORTER + "poll_duration_seconds",
            "gauge",
            _QUERY,
            "How long the last poll took, retries included.",
        ),
        OwnMetric(
            _EXPORTER + "poll_interval_seconds",
            "gauge",
            _QUERY,
            "The configured time between two polls.",
        ),
        OwnMetric(
            _EXPORTER + "last_poll_timestamp_seconds",
            "gauge",
            _QUERY,
            "When the last poll finished; 0 before it.",
        ),
        OwnMetric(
            _EXPORTER + "last_success_timestamp_seconds",
            "gauge",
            _QUERY,
            "When the last good poll finished; 0 before it.",
        ),
        OwnMetric(_EXPORTER + "records", "gauge", _QUERY, "Valid records in the last good poll."),
        OwnMetric(
            _EXPORTER + "rejected_records_total",
            "counter",
            _REASON,
            "Records left out because they are not valid.",
        ),
        OwnMetric(
            _EXPORTER + "incomplete_records_total",
            "counter",
            ("query", "field"),
            "Valid records that lacked a field, by the API's name of it.",
        ),
        OwnMetric(
            _EXPORTER + "groups",
            "gauge",
            _QUERY,
            "Combinations of label values in the last good poll.",
        ),
        OwnMetric(
            _EXPORTER + "folded_groups",
            "gauge",
            _QUERY,
            "Those of them that are added up in the group `other`.",
        ),
        OwnMetric(
            _EXPORTER + "series", "gauge", _QUERY, "Series of AI statistics that are being served."
        ),
        OwnMetric(
            _EXPORTER + "api_requests_total",
            "counter",
            ("endpoint", "code"),
            "Requests sent to the API, by status code; `error` where no answer came.",
        ),
        OwnMetric(
            _EXPORTER + "api_request_duration_seconds",
            "histogram",
            ("endpoint",),
            "Time from sending a request to the end of reading its answer.",
        ),
        OwnMetric(
            _EXPORTER + "access_token_expiry_timestamp_seconds",
            "gauge",
            (),
            "When the access token in use expires; 0 where that is not known.",
        ),
        OwnMetric(
            _EXPORTER + "config_last_reload_successful",
            "gauge",
            (),
            "1 where the last reload was good.",
        ),
        OwnMetric(
            _EXPORTER + "config_last_reload_success_timestamp_seconds",
            "gauge",
            (),
            "When a good configuration came in.",
        ),
        OwnMetric(
            _EXPORTER + "build_info",
            "gauge",
            ("version", "python_version"),
            "Always 1; the labels say which version runs.",
        ),
    )
}
