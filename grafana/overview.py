"""Overview: today at a glance, the trend per day, and who is behind it."""

from grafana import promql
from grafana.blocks import (
    AFTER_AN_HOUR,
    AGE,
    BLUE,
    MODELS,
    PLURALS,
    PROVIDERS,
    PURPLE,
    TODAY,
    UTC_DAY,
    Column,
    Panel,
    Query,
    days,
    lines,
    number,
    ranking,
    violations_per_day,
)
from grafana.frame import Page, Row, one_query
from grafana.promql import each_day, last_hour, latency, named, recorded, today


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="flashback-overview",
        title="Flashback / Overview",
        text="LLM traffic through the Flashback AI gateway: today, day by day, and who is behind "
        "it. Today is the UTC day at the end of the time range. Numbers are those of one query; "
        "exporters that poll the same account count once.",
        rows=(
            Row("How much today?", _today()),
            Row("Is it growing?", _growth()),
            Row("Who is behind it today?", _who()),
            Row("When is it busy?", _when()),
        ),
        alerts=promql.firing("policy|usage"),
        variables=one_query(),
    )


def _today() -> tuple[Panel, ...]:
    totals = (
        ("Calls", "api_calls", "Calls to the LLM API."),
        ("Input tokens", "input_tokens", "Input tokens as the gateway counts them."),
        ("Output tokens", "output_tokens", "Output tokens as the gateway counts them."),
        (
            "Conversations",
            "active_conversations",
            "Active conversations; one that used two models counts for both.",
        ),
        ("Violations", "policy_violations", "Policy violations found."),
        ("Blocks", "blocks", "Requests blocked by policies."),
    )
    return (
        *(number(title, today(metric), f"{text} {TODAY}") for title, metric, text in totals),
        number(
            "Mean latency",
            latency(),
            "Seconds a call took on average, weighted by calls. Today's so far, as of the last "
            f"good poll. {UTC_DAY}",
            unit="s",
        ),
        number(
            "Age of data",
            f"max({recorded('query:flashback_data:age_seconds')})",
            "Time since the last good poll. Orange after 15 minutes, three polls at the default "
            "interval; red after an hour, when the exporter stops serving what it has. Needs the "
            "recording rules.",
            unit="s",
            decimals=0,
            thresholds=AGE,
            no_value="No poll yet",
        ),
    )


def _growth() -> tuple[Panel, ...]:
    return (
        days(
            "Calls per day",
            [Query(named(each_day("api_calls", "llm_type"), "llm_type"), "{{llm_type}}")],
            "Calls to the LLM API, by provider.",
            colors=PROVIDERS,
        ),
        days(
            "Tokens per day",
            [Query(each_day("input_tokens"), "Input"), Query(each_day("output_tokens"), "Output")],
            "Input and output tokens as the gateway counts them.",
            colors={"Input": BLUE, "Output": PURPLE},
        ),
        violations_per_day(),
    )


def _who() -> tuple[Panel, ...]:
    return tuple(
        ranking(
            PLURALS[label],
            label,
            Column("Calls", today("api_calls", label)),
            f"The twenty with the most calls. {TODAY} A name leads to Usage.",
            size=(12, 8),
        )
        for label in ("llm_model", "llm_type", "repo_id", "repo_ai_api_key_id")
    )


def _when() -> tuple[Panel, ...]:
    hour = recorded("model:flashback_latency_seconds:mean1h", ("llm_type", "llm_model"))
    return (
        lines(
            "Calls in an hour",
            [Query(named(last_hour("api_calls", "llm_type"), "llm_type"), "{{llm_type}}")],
            "Calls in the hour before each moment, by provider, as of the last good polls: a "
            "difference of totals, exact across 00:00 UTC. A provider that is new shows after an "
            "hour.",
            colors=PROVIDERS,
            stacked=True,
            no_value=AFTER_AN_HOUR,
        ),
        lines(
            "Mean latency in an hour",
            [Query(named(f"max by (llm_type, llm_model) ({hour})", "llm_model"), "{{llm_model}}")],
            "Seconds a call took on average, weighted by calls, over the hour before each "
            "moment, by model; exact across 00:00 UTC. Of the filters, provider and model apply. "
            "Needs the recording rules.",
            unit="s",
            colors=MODELS,
            no_value=AFTER_AN_HOUR,
        ),
    )
