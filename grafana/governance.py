"""Governance: what policies found, raised and blocked, how serious, how unusual, and by whom."""

from dataclasses import replace

from grafana import names, past, promql
from grafana.firing import firing
from grafana.frame import Page, Row, one_query
from grafana.looks import (
    BLUE,
    PLURALS,
    RANGE,
    RED,
    RULES,
    SEVERITIES,
    TEAL,
    UNUSUAL,
)
from grafana.panels import MEANS, Panel, Query, by_top, days, number, trend
from grafana.past import closed_days, each_step, open_days
from grafana.promql import increase, per, some
from grafana.tables import Column, breakdown, listing
from mixin.history import MODEL_CALLS, VIOLATIONS
from mixin.policy import BLOCKED, FOUND, HIGH
from mixin.promql import REPO_KEY, REPO_MODEL

GROUP = ("repo_id", "repo_ai_api_key_id", "llm_model", "llm_type")
_SEVERE = 'severity="high"'
_SOME = ((None, "text"), (0.5, RED))
_FILTERS = "Of the filters, repository, provider and model apply."
_KEY_FILTERS = "Of the filters, repository and key apply."
_POLICY = "flashback_policy_last_24h_"

_KEPT_IDS = {
    "Violations": 2,
    "High severity": 3,
    "Alerts": 4,
    "Blocks": 5,
    "Per 1,000 calls": 6,
    "Firing policy alerts": 14,
    "Violations per day": 16,
    "Blocks per day": 17,
    "Violations per 1,000 calls": 18,
    "Repositories": 20,
    "API keys": 21,
    "Providers": 22,
    "Models": 23,
}


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="flashback-governance",
        title="Flashback / Governance",
        text="What policies found, raised and blocked in the chosen time range. Violations, alerts "
        "and blocks are three different things, never added up. Numbers are those of one query; "
        "exporters that poll the same account count once.",
        rows=(
            Row("What happened in this time range?", _totals()),
            Row("What is firing?", _firing()),
            Row("Is it getting worse?", _by_day()),
            Row("Who is behind it?", tuple(_offenders(label) for label in GROUP)),
            Row("When did it happen?", _when()),
            Row("Which policies?", _policies()),
        ),
        alerts=promql.firing("policy"),
        variables=one_query(),
        kept_ids=_KEPT_IDS,
    )


def violations_per_day(size: tuple[int, int]) -> Panel:
    """Return the bars of policy violations by severity, the same wherever they stand."""
    rule = "repo_model_severity:flashback_ai_daily_policy_violations:sum"
    closed = [
        Query(closed_days(rule, also=f', severity="{name}"'), name.capitalize())
        for name in SEVERITIES
    ]
    return days(
        "Violations per day",
        closed,
        open_days(rule),
        f"Policy violations, by severity. {_FILTERS}",
        colors={name.capitalize(): color for name, color in SEVERITIES.items()},
        size=size,
    )


def _totals() -> tuple[Panel, ...]:
    return (
        number("Violations", increase("policy_violations"), f"Policy violations found. {RANGE}"),
        number(
            "High severity",
            increase("policy_violations_by_severity", also=_SEVERE),
            f"Policy violations of high severity; red from the first. {RANGE}",
            thresholds=_SOME,
        ),
        number("Alerts", increase("alerts"), f"Alerts raised by policies. {RANGE}"),
        number("Blocks", increase("blocks"), f"Requests blocked by policies. {RANGE}"),
        number(
            "Per 1,000 calls",
            per(increase("policy_violations"), increase("api_calls"), factor=1000),
            f"Policy violations in a thousand calls. {RANGE}",
            decimals=2,
        ),
        number(
            "Times usual",
            _times_usual(),
            "Violations in the time range against those of the week before it, in as many hours. "
            f"Orange from twice, red from four times. {_KEY_FILTERS} {RULES}",
            decimals=1,
            thresholds=UNUSUAL,
            no_value="Not known",
            size=(9, 4),
        ),
    )


def _times_usual(*by: str) -> str:
    """Return how many times what came in the range is of what came in the week before it.

    Less than one in the range counts as one, so that the first is not called unusual.
    """
    now = past.mean_hour(FOUND, *by, labels=REPO_KEY)
    before = past.mean_hour(FOUND, *by, labels=REPO_KEY, over="1w", offset=" offset $__range")
    one = "3600 / $__range_s"
    return f"({now} > {one} / 2) / clamp_min({before}, {one})"


def _firing() -> tuple[Panel, ...]:
    return (
        firing(
            "Firing policy alerts",
            "policy",
            text="Policy alerts of this query",
            no_value="No policy alert is firing",
            size=(24, 6),
        ),
    )


def _by_day() -> tuple[Panel, ...]:
    blocks, calls = (
        f"repo_model:flashback_ai_daily_{metric}:sum" for metric in ("blocks", "api_calls")
    )
    title = "Violations per 1,000 calls"
    return (
        violations_per_day(size=(8, 10)),
        days(
            "Blocks per day",
            [Query(closed_days(blocks), "Blocks")],
            open_days(blocks),
            f"Requests blocked by policies. {_FILTERS}",
            colors={"Blocks": TEAL},
            size=(8, 10),
        ),
        days(
            title,
            [Query(per(closed_days(VIOLATIONS), closed_days(calls), factor=1000), "Violations")],
            per(f"({open_days(VIOLATIONS)})", f"({open_days(calls)})", factor=1000),
            f"Policy violations in a thousand calls of the day. {_FILTERS}",
            colors={"Violations": BLUE},
            calcs=MEANS,
            size=(8, 10),
        ),
    )


def _offenders(label: str) -> Panel:
    by = names.group_of(label)
    violations = some(increase("policy_violations", *by))
    high = some(increase("policy_violations_by_severity", *by, also=_SEVERE))
    columns = [
        _count("Violations", violations),
        replace(_count("High", high), thresholds=_SOME, width=100),
        _count("Blocks", some(increase("blocks", *by))),
    ]
    if label in REPO_KEY:
        usual = _times_usual(*by)
        columns.append(Column("Times usual", usual, decimals=1, thresholds=UNUSUAL))
    else:
        hours = past.mean_hour(MODEL_CALLS, *by, labels=REPO_MODEL)
        ratio = per(f"({violations})", f"{hours} * $__range_s / 3600", factor=1000)
        columns.append(Column("Per 1,000 calls", ratio, decimals=1))
    unusual = "Times usual compares with the week before, orange from twice, red from four times. "
    return breakdown(
        PLURALS[label],
        label,
        columns,
        "Policy violations, those of high severity, and blocked requests. "
        f"{RANGE} {unusual if label in REPO_KEY else ''}A name leads to Usage.",
        sort="Violations",
    )


def _count(title: str, expr: str) -> Column:
    return Column(title, expr, unit="locale", decimals=0, adds_up=True)


def _when() -> tuple[Panel, ...]:
    return (
        by_top(
            "Violations by API key",
            FOUND,
            "repo_ai_api_key_id",
            REPO_KEY,
            "Violations of the ten keys with the most in the time range, and of all others. "
            f"{_KEY_FILTERS}",
        ),
        *(
            trend(
                title,
                [Query(each_step(rule, labels=REPO_KEY), name)],
                f"{text} {_KEY_FILTERS}",
                colors={name: color},
                size=(12, 9),
            )
            for title, name, rule, text, color in (
                ("High severity over time", "High", HIGH, "Violations of high severity.", RED),
                ("Blocks over time", "Blocks", BLOCKED, "Requests blocked by policies.", TEAL),
            )
        ),
    )


def _policies() -> tuple[Panel, ...]:
    def of_policy(kind: str, also: str = "") -> str:
        selector = f"{_POLICY}{kind}{promql.matching(promql.TARGET, also)}"
        return f"max by (policy_id, policy_name) ({selector}) > 0"

    severe = of_policy("violations_by_severity", _SEVERE)
    return (
        listing(
            "Policies, last 24 hours",
            {"policy_name": "Policy", "policy_id": "Policy ID"},
            (
                Column("Violations", of_policy("violations"), bar=BLUE, width=240),
                Column("High", severe, thresholds=_SOME),
                Column("Alerts", of_policy("alerts")),
                Column("Blocks", of_policy("blocks")),
            ),
            "What each policy found in the 24 hours before the end of the time range, whatever its "
            "length: the whole account's, whatever the query and its filters.",
            sort="Violations",
            hidden=("policy_id",),
            no_value="Nothing found, or policies cannot be asked",
            size=(24, 8),
        ),
    )
