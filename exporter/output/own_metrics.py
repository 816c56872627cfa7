"""The table of the metrics about the exporter itself: what each is called, and how it is read."""

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from exporter import __version__
from exporter.errors import Reason
from exporter.output.status import Status
from exporter.statistics.groups import Snapshot
from exporter.statistics.records import Rejection
from exporter.statistics.state import QueryState

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value of the sample."""

Counts = Mapping[Reason, int] | Mapping[Rejection, int] | Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """One metric about the exporter itself. Counters are named with their `_total`.

    `read` is None where it is counted as it happens, and not read off the status.
    """

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    read: Callable[[Status], Samples] | None = None


_NO_DATA = Snapshot((), {}, 0, 0, 0)


def _per_query(
    name: str, help_text: str, value: Callable[[Status, QueryState], float]
) -> OwnMetric:
    def read(status: Status) -> Samples:
        return (((query,), value(status, state)) for query, state in status.states.items())

    return OwnMetric(name, _type(name), ("query",), help_text, read)


def _per_kind(
    name: str, label: str, help_text: str, counts: Callable[[QueryState], Counts]
) -> OwnMetric:
    def read(status: Status) -> Samples:
        for query, state in status.states.items():
            for kind, count in counts(state).items():
                yield (query, kind), count

    return OwnMetric(name, _type(name), ("query", label), help_text, read)


def _single(name: str, help_text: str, value: Callable[[Status], float]) -> OwnMetric:
    return OwnMetric(name, _type(name), (), help_text, lambda status: [((), value(status))])


def _type(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"


def _data(state: QueryState) -> Snapshot:
    """Return the last good data, whatever its age."""
    return state.good.snapshot if state.good and state.good.snapshot else _NO_DATA


REQUESTS = OwnMetric(
    "flashback_exporter_api_requests_total",
    "counter",
    ("endpoint", "code"),
    "Requests sent to the API, by status code; `error` where no answer came.",
)

REQUEST_DURATION = OwnMetric(
    "flashback_exporter_api_request_duration_seconds",
    "histogram",
    ("endpoint",),
    "Time from sending a request to the end of reading its answer.",
)

_TABLE = (
    _per_query(
        "flashback_up",
        "1 where the last poll succeeded and its data is not too old.",
        lambda status, state: state.up(status.now),
    ),
    _per_query(
        "flashback_exporter_polls_total",
        "Polls finished, well or badly.",
        lambda _, state: state.polls,
    ),
    _per_kind(
        "flashback_exporter_poll_failures_total",
        "reason",
        "Polls that failed, by reason.",
        lambda state: state.failures,
    ),
    _per_query(
        "flashback_exporter_polls_skipped_total",
        "Polls left out because the one before still ran.",
        lambda _, state: state.skipped,
    ),
    _per_query(
        "flashback_exporter_poll_duration_seconds",
        "How long the last poll took, retries included.",
        lambda _, state: state.last.duration if state.last else 0,
    ),
    _per_query(
        "flashback_exporter_poll_interval_seconds",
        "The configured time between two polls.",
        lambda _, state: state.interval,
    ),
    _per_query(
        "flashback_exporter_last_poll_timestamp_seconds",
        "When the last poll finished; 0 before it.",
        lambda _, state: state.last.finished_at if state.last else 0,
    ),
    _per_query(
        "flashback_exporter_last_success_timestamp_seconds",
        "When the last good poll finished; 0 before it.",
        lambda _, state: state.good.finished_at if state.good else 0,
    ),
    _per_query(
        "flashback_exporter_records",
        "Valid records in the last good poll.",
        lambda _, state: _data(state).records,
    ),
    _per_kind(
        "flashback_exporter_rejected_records_total",
        "reason",
        "Records left out because they are not valid.",
        lambda state: state.rejected,
    ),
    _per_kind(
        "flashback_exporter_incomplete_records_total",
        "field",
        "Valid records that lacked a field, by the API's name of it.",
        lambda state: state.incomplete,
    ),
    _per_query(
        "flashback_exporter_groups",
        "Combinations of label values in the last good poll.",
        lambda _, state: _data(state).found,
    ),
    _per_query(
        "flashback_exporter_folded_groups",
        "Those of them that are added up in the group `other`.",
        lambda _, state: _data(state).folded,
    ),
    _per_query(
        "flashback_exporter_series",
        "Series of AI statistics that are being served.",
        lambda status, state: status.series[state.query.name],
    ),
    _per_query(
        "flashback_exporter_max_data_age_seconds",
        "How old data may be and still be served.",
        lambda _, state: state.max_data_age,
    ),
    _per_query(
        "flashback_exporter_corrected_groups_total",
        "Groups and days whose totals fell below what they had been.",
        lambda _, state: state.corrected,
    ),
    _single(
        "flashback_exporter_state_write_failures_total",
        "Times that the state file could not be written.",
        lambda status: status.state_write_failures,
    ),
    OwnMetric(
        "flashback_exporter_account_up",
        "gauge",
        ("endpoint",),
        "1 where the last answer about the account was good; absent where it is not offered.",
        lambda status: (((path,), up) for path, up in status.account.up.items()),
    ),
    REQUESTS,
    REQUEST_DURATION,
    _single(
        "flashback_exporter_access_token_expiry_timestamp_seconds",
        "When the access token in use expires; 0 where that is not known.",
        lambda status: status.token_expires_at,
    ),
    _single(
        "flashback_exporter_config_last_reload_successful",
        "1 where the last reload was good.",
        lambda status: status.reload_successful,
    ),
    _single(
        "flashback_exporter_config_last_reload_success_timestamp_seconds",
        "When a good configuration came in.",
        lambda status: status.reloaded_at,
    ),
    OwnMetric(
        "flashback_exporter_build_info",
        "gauge",
        ("version", "python_version"),
        "Always 1; the labels say which version runs.",
        lambda _: [((__version__, platform.python_version()), 1)],
    ),
)

OWN_METRICS = {metric.name: metric for metric in _TABLE}
