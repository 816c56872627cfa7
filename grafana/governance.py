"""Governance: what policies found, raised and blocked, how serious, how new, and by whom."""

from grafana import promql
from grafana.blocks import (
    BLUE,
    HEADINGS,
    PLURALS,
    PURPLE,
    RED,
    TEAL,
    TODAY,
    UTC_DAY,
    Column,
    Panel,
    Query,
    days,
    lines,
    listing,
    number,
    violations_per_day,
)
from grafana.frame import Page, Row, one_query
from grafana.promql import each_day, per, recorded, today, total

GROUP = ("repo_id", "repo_ai_api_key_id", "llm_type", "llm_model")
"""The labels that the recording rules keep."""

NAMED = ("repo_id", "repo_ai_api_key_id", "llm_model")
"""Those of them that tables show: a model tells its provider."""

KINDS = {"Violations": "policy_violations", "Alerts": "alerts", "Blocks": "blocks"}
COLORS = {"Violations": BLUE, "Alerts": PURPLE, "Blocks": TEAL}
HIGH = 'severity="high"'
SOME = ((None, "text"), (1, RED))
RULES = "Needs the recording rules."
NEW = (
    "in the last 15 minutes, as of the last good polls; "
    "exact across 00:00 UTC, restarts and outages"
)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="flashback-governance",
        title="Flashback / Governance",
        text="What policies found, raised and blocked. Violations, alerts and blocks are three "
        "different things, never added up. Today is the UTC day at the end of the time range. "
        "Numbers are those of one query; exporters that poll the same account count once.",
        rows=(
            Row("What happened today?", _today()),
            Row("What is new?", _new()),
            Row("What is firing?", _firing()),
            Row("Is it getting worse?", _trend()),
            Row("Who is behind it today?", tuple(_offenders(label) for label in GROUP)),
        ),
        alerts=promql.firing("policy"),
        variables=one_query(),
    )


def _today() -> tuple[Panel, ...]:
    return (
        number("Violations", today("policy_violations"), f"Policy violations found. {TODAY}"),
        number(
            "High severity",
            today("policy_violations_by_severity", also=HIGH),
            f"Policy violations of high severity; red from the first. {TODAY}",
            thresholds=SOME,
        ),
        number("Alerts", today("alerts"), f"Alerts raised by policies. {TODAY}"),
        number("Blocks", today("blocks"), f"Requests blocked by policies. {TODAY}"),
        number(
            "Per 1,000 calls",
            per(today("policy_violations"), today("api_calls"), factor=1000),
            "Policy violations in a thousand calls. Today's so far, as of the last good poll. "
            f"{UTC_DAY}",
            decimals=2,
        ),
        *(
            number(
                f"New {kind.lower()}",
                _new_of_query(metric),
                f"{kind} {NEW}. Of the whole query: filters do not apply. {RULES}",
                no_value="Not known",
            )
            for kind, metric in KINDS.items()
        ),
    )


def _new() -> tuple[Panel, ...]:
    new = total(recorded("repo_key_model:flashback_policy_violations:new15m", GROUP), *NAMED)
    return (
        lines(
            "New in 15 minutes",
            [Query(_new_of_query(metric, "[$__interval]"), kind) for kind, metric in KINDS.items()],
            f"Violations, alerts and blocks {NEW}. In a long time range, the most in each step. "
            f"Of the whole query: filters do not apply. {RULES}",
            colors=COLORS,
            size=(10, 9),
        ),
        listing(
            "New violations by key and model",
            {label: HEADINGS[label] for label in NAMED},
            (Column("New", new, bar=BLUE, width=120),),
            f"Violations {NEW}. Where groups cannot be told apart, one row named `(none)` stands "
            f"for them. Of the filters, repository, key, provider and model apply. {RULES}",
            sort="New",
            links=True,
            no_value="Nothing new in 15 minutes",
            size=(14, 9),
        ),
    )


def _firing() -> tuple[Panel, ...]:
    shown = {"severity": "Severity", "alertname": "Alert"} | {
        label: HEADINGS[label] for label in NAMED
    }
    return (
        listing(
            "Firing policy alerts",
            shown,
            (Column("For", promql.firing_for("policy", *shown), unit="s", width=140),),
            "Policy alerts of this query that fire at the end of the time range, and since when "
            "their condition holds. Needs the alerting rules.",
            sort="For",
            links=True,
            no_value="No policy alert is firing",
            size=(24, 7),
        ),
    )


def _trend() -> tuple[Panel, ...]:
    ratio = per(each_day("policy_violations"), each_day("api_calls"), factor=1000)
    return (
        violations_per_day(),
        days(
            "Blocks per day",
            [Query(each_day("blocks"), "Blocks")],
            "Requests blocked by policies.",
            colors={"Blocks": COLORS["Blocks"]},
        ),
        days(
            "Violations per 1,000 calls",
            [Query(ratio, "Violations per 1,000 calls")],
            "Policy violations in a thousand calls of the day.",
            colors={"Violations per 1,000 calls": COLORS["Violations"]},
        ),
    )


def _offenders(label: str) -> Panel:
    violations = today("policy_violations", label)

    def of_offenders(expr: str) -> str:
        return f"({expr}) and on ({label}) ({violations} > 0)"

    high = today("policy_violations_by_severity", label, also=HIGH)
    ratio = per(violations, today("api_calls", label), factor=1000)
    return listing(
        PLURALS[label],
        {label: HEADINGS[label]},
        (
            Column("Violations", f"{violations} > 0", width=105),
            Column("High severity", of_offenders(high), width=110, thresholds=SOME),
            Column("Alerts", of_offenders(today("alerts", label)), width=70),
            Column("Blocks", of_offenders(today("blocks", label)), width=70),
            Column("Per 1,000 calls", of_offenders(ratio), decimals=1, width=120),
        ),
        "Policy violations, those of high severity, alerts, blocked requests, and violations in "
        f"a thousand calls. {TODAY} A name leads to Usage.",
        sort="Violations",
        links=True,
        no_value="No violations today",
    )


def _new_of_query(metric: str, most_of: str = "") -> str:
    new = recorded(f"query:flashback_{metric}:new15m")
    return total(f"max_over_time({new}{most_of})" if most_of else new)
