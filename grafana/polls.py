"""How polls and requests fare, by counters of the exporter."""

from collections.abc import Mapping

from grafana.looks import BLUE, CODES, COUNTER_STEP, ORANGE, REASONS, REJECTIONS
from grafana.panels import Panel, Query, lines
from grafana.promql import TARGET, hourly, own, per

LAST_HOUR = (
    "Of the hour before each moment, or of more in a long time range. Too low in the first hour."
)
SOON = "After some minutes of scraping"


def polls_row() -> tuple[Panel, ...]:
    """Return what is counted of polls, records and requests, per hour."""
    counted: tuple[tuple[str, list[Query], str, Mapping[str, str], int], ...] = (
        (
            "Polls per hour",
            [
                Query(hourly(own("polls_total")), "Finished"),
                Query(hourly(own("polls_skipped_total")), "Skipped"),
            ],
            "Polls finished, well or badly, and polls left out because the one before still ran.",
            {"Finished": BLUE, "Skipped": ORANGE},
            8,
        ),
        (
            "Failed polls per hour",
            [Query(hourly(own("poll_failures_total"), "reason"), "{{reason}}")],
            "Polls that failed, by reason.",
            REASONS,
            8,
        ),
        (
            "Rejected records per hour",
            [Query(hourly(own("rejected_records_total"), "reason"), "{{reason}}")],
            "Records left out because they are not valid, by reason; each poll counts them again.",
            REJECTIONS,
            8,
        ),
        (
            "Incomplete records per hour",
            [Query(hourly(own("incomplete_records_total"), "field"), "{{field}}")],
            (
                "Valid records that lacked a field, by the API's name of it; each poll counts them "
                "again."
            ),
            {},
            8,
        ),
        (
            "API requests per hour",
            [Query(hourly(own("api_requests_total", TARGET), "code"), "{{code}}")],
            "Requests sent to the API, by status code, `error` where no answer came.",
            CODES,
            8,
        ),
        (
            "Corrected groups per hour",
            [Query(hourly(own("corrected_groups_total"), "query"), "{{query}}")],
            "Groups and days whose totals fell below what they had been, by query: corrections.",
            {},
            8,
        ),
        (
            "Failed writes of the state per hour",
            [Query(hourly(own("state_write_failures_total", TARGET), "instance"), "{{instance}}")],
            "Times that the state file could not be written: a restart would begin anew.",
            {},
            8,
        ),
    )
    return (
        *(
            lines(
                title,
                queries,
                f"{text} {LAST_HOUR}",
                colors=colors,
                min_step=COUNTER_STEP,
                no_value=SOON,
                size=(width, 8),
            )
            for title, queries, text, colors, width in counted
        ),
        lines(
            "Mean duration of API requests",
            [Query(_mean_duration(), "{{endpoint}}")],
            "Mean time from sending a request to the end of reading its answer, by endpoint. "
            f"{LAST_HOUR}",
            unit="s",
            min_step=COUNTER_STEP,
            no_value=SOON,
            size=(8, 8),
        ),
        lines(
            "Account endpoints",
            [Query(f"min by (endpoint) ({own('account_up', TARGET)})", "{{endpoint}}")],
            "1 where the last answer about the account was good: names, credits and policies. One "
            "that is not offered to the account is not here.",
            no_value="The account is not asked",
            size=(8, 8),
        ),
    )


def _mean_duration() -> str:
    total, count = (
        f"sum by (endpoint) (rate("
        f"{own('api_request_duration_seconds', TARGET, part=part)}[$__rate_interval]))"
        for part in ("_sum", "_count")
    )
    return per(total, count)
