"""Exporter health: does it run, is its data fresh, what does the API answer, what does it cost."""

from grafana import promql
from grafana.frame import Page, Row, all_queries
from grafana.looks import (
    AGE,
    GREEN,
    NEVER,
    ORANGE,
    RED,
    mapping,
)
from grafana.panels import Panel, Query, lines, number
from grafana.polls import polls_row
from grafana.promql import TARGET, own, recorded
from grafana.tables import Column, listing

UP = mapping({"0": ("Down", RED), "1": ("Up", GREEN)})
OK = mapping({"0": ("Failed", RED), "1": ("OK", GREEN)})
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
            Row("Do polls fail?", polls_row()),
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
