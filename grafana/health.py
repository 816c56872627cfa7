"""Exporter health: does it run, is its data fresh, what does the API answer, what does it cost."""

from collections.abc import Mapping

from grafana import promql
from grafana.frame import Page, Row, all_queries
from grafana.looks import (
    AGE,
    BLUE,
    CODES,
    COUNTER_STEP,
    GREEN,
    NEVER,
    ORANGE,
    REASONS,
    RED,
    REJECTIONS,
    mapping,
)
from grafana.panels import Panel, Query, lines, number
from grafana.promql import TARGET, hourly, own, per, recorded
from grafana.tables import Column, listing

UP = mapping({"0": ("Down", RED), "1": ("Up", GREEN)})
OK = mapping({"0": ("Failed", RED), "1": ("OK", GREEN)})
LAST_HOUR = (
    "Of the hour before each moment, or of more in a long time range. Too low in the first hour."
)
SOON = "After some minutes of scraping"
_EVERY = 'job=~"$job", query=~"$query"'
MOST = "In a long time range, the most in each step."

_KEPT_IDS = {
    "Exporter": 2,
    "Last poll": 3,
    "Age of data": 4,
    "Firing alerts": 5,
    "Token valid for": 6,
    "Last reload": 7,
    "Config age": 8,
    "Version": 9,
    "Queries": 11,
    "Age of data by query": 12,
    "Duration of the last poll": 13,
    "Polls per hour": 15,
    "Failed polls per hour": 16,
    "Rejected records per hour": 17,
    "Incomplete records per hour": 18,
    "API requests per hour": 19,
    "Mean duration of API requests": 20,
    "Records": 22,
    "Groups": 23,
    "Series": 24,
    "Memory": 26,
    "CPU": 27,
    "Duration of scrapes": 28,
}


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="flashback-exporter",
        title="Flashback / Exporter health",
        text="Whether the exporter runs and its data is fresh, what the API answers, and what "
        "the exporter takes.",
        rows=(
            Row("Is it working?", _working()),
            Row("How fresh is the data?", _fresh()),
            Row("Do polls fail?", _polls()),
            Row("How much data?", _data()),
            Row("What does it take?", _process()),
        ),
        alerts=promql.firing("exporter"),
        variables=all_queries(),
        time="now-6h",
        kept_ids=_KEPT_IDS,
    )


def _working() -> tuple[Panel, ...]:
    expiry = own("access_token_expiry_timestamp_seconds", TARGET)
    reloaded = own("config_last_reload_success_timestamp_seconds", TARGET)
    return (
        number(
            "Exporter",
            f"min(up{{{TARGET}}} and on (job, instance)"
            f" last_over_time({own('build_info', TARGET)}[1d]))",
            "Whether Prometheus reaches every exporter that it has reached in the day before.",
            mappings=[UP],
            thresholds=NEVER,
            no_value="Absent",
        ),
        number(
            "Last poll",
            f"min({own('flashback_up')})",
            "Whether the last poll of every query succeeded and its data is not too old.",
            mappings=[OK],
            thresholds=NEVER,
            no_value="Absent",
        ),
        number(
            "Age of data",
            f"max({recorded('query:flashback_data:age_seconds', matchers=_EVERY)})",
            "Time since the last good poll, of the query where it is longest. Orange after 15 "
            "minutes, three polls at the default interval; red after an hour, when the exporter "
            "stops serving it. Needs the recording rules.",
            unit="s",
            decimals=0,
            thresholds=AGE,
            no_value="No poll yet",
        ),
        number(
            "Firing alerts",
            f"count({promql.firing('exporter')}) or vector(0)",
            "Alerts about the exporter that fire at the end of the time range. Needs the "
            "alerting rules.",
            thresholds=((None, "green"), (1, "red")),
        ),
        number(
            "Token valid for",
            f"min({expiry} > 0) - time()",
            "Time until the access token in use expires; the exporter renews it before.",
            unit="s",
            no_value="Not known",
        ),
        number(
            "Last reload",
            f"min({own('config_last_reload_successful', TARGET)})",
            "Whether the last reload of the configuration was good.",
            mappings=[OK],
            thresholds=NEVER,
        ),
        number(
            "Config age",
            f"time() - min({reloaded})",
            "Time since the configuration in use came in.",
            unit="s",
        ),
        number(
            "Version",
            f"max by (version) ({own('build_info', TARGET)})",
            "The exporter's version.",
            legend="{{version}}",
        ),
    )


def _fresh() -> tuple[Panel, ...]:
    age = recorded("query:flashback_data:age_seconds", matchers=_EVERY)
    stamps = own("last_success_timestamp_seconds"), own("last_poll_timestamp_seconds")
    return (
        listing(
            "Queries",
            {"instance": "Instance", "query": "Query"},
            (
                Column("Last poll", _each(own("flashback_up")), mappings=(OK,)),
                Column(
                    "Since good poll", f"time() - {_each(f'{stamps[0]} > 0')}", unit="s", width=140
                ),
                Column(
                    "Since last poll", f"time() - {_each(f'{stamps[1]} > 0')}", unit="s", width=140
                ),
                Column("Interval", _each(own("poll_interval_seconds")), unit="s"),
                Column("Took", _each(own("poll_duration_seconds")), unit="s"),
                Column("Records", _each(own("records"))),
                Column("Groups", _each(own("groups"))),
                Column("Folded", _each(own("folded_groups"))),
                Column("Series", _each(own("series"))),
            ),
            "Each query: whether its last poll succeeded, the time since the last good poll and "
            "since the last poll of all, the time between polls and what the last one took, "
            "valid records, groups, those folded into `other`, and series.",
            sort="Series",
            size=(24, 5),
        ),
        lines(
            "Age of data by query",
            [Query(f"{_by_query(f'max_over_time({age}[$__interval])')} / 60", "{{query}}")],
            "Minutes since the last good poll, by query. The lines mark 15 minutes, three polls "
            "at the default interval, and an hour, when the exporter stops serving what it has. "
            f"{MOST} Needs the recording rules.",
            unit="m",
            thresholds=((None, "transparent"), (15, ORANGE), (60, RED)),
        ),
        lines(
            "Duration of the last poll",
            [
                Query(
                    _by_query(f"max_over_time({own('poll_duration_seconds')}[$__interval])"),
                    "{{query}}",
                )
            ],
            f"How long the last poll took, retries included, by query. {MOST}",
            unit="s",
        ),
    )


def _each(expr: str) -> str:
    return f"max by (instance, query) ({expr})"


def _by_query(expr: str) -> str:
    return f"max by (query) ({expr})"


def _polls() -> tuple[Panel, ...]:
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


def _data() -> tuple[Panel, ...]:
    return tuple(
        lines(title, queries, text, size=(8, 8))
        for title, queries, text in (
            (
                "Records",
                [Query(_by_query(own("records")), "{{query}}")],
                "Valid records in the last good poll, by query.",
            ),
            (
                "Groups",
                [
                    Query(_by_query(own("groups")), "{{query}}"),
                    Query(_by_query(own("folded_groups")), "{{query}}, folded"),
                ],
                (
                    "Combinations of label values in the last good poll, and those of them that "
                    "are added up in `other`."
                ),
            ),
            (
                "Series",
                [Query(_by_query(own("series")), "{{query}}")],
                (
                    "Series of AI statistics that are served, by query: none where the data is too "
                    "old."
                ),
            ),
        )
    )


def _process() -> tuple[Panel, ...]:
    mine = f"and on (job, instance) {own('build_info', TARGET)}"
    return (
        lines(
            "Memory",
            [Query(f"process_resident_memory_bytes{{{TARGET}}} {mine}", "{{instance}}")],
            "Resident memory of the exporter.",
            unit="bytes",
            size=(8, 8),
        ),
        lines(
            "CPU",
            [
                Query(
                    f"rate(process_cpu_seconds_total{{{TARGET}}}[$__rate_interval]) {mine}",
                    "{{instance}}",
                )
            ],
            "Cores the exporter keeps busy; 100 % is one.",
            unit="percentunit",
            size=(8, 8),
        ),
        lines(
            "Duration of scrapes",
            [Query(f"scrape_duration_seconds{{{TARGET}}} {mine}", "{{instance}}")],
            "How long Prometheus's scrapes of the exporter take.",
            unit="s",
            size=(8, 8),
        ),
    )
