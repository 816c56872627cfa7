"""The table of the metrics about the exporter itself."""

from dataclasses import dataclass


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
