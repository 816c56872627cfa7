"""Overview: what is wrong, how much there was, how today goes, day by day, and who is behind it."""

from collections.abc import Callable

from grafana import promql
from grafana.frame import Page, Row, one_query
from grafana.governance import violations_per_day
from grafana.looks import (
    AGE,
    BLUE,
    GREY,
    MODELS,
    NO_PRICE,
    ORANGE,
    PLURALS,
    PROVIDERS,
    PURPLE,
    RANGE,
    RULES,
)
from grafana.panels import Panel, Query, days, lines, means, number, trend
from grafana.promql import closed_days, each_step, increase, latency, open_days, per, recorded, some
from grafana.tables import Column, breakdown, listing
from grafana.usage import cost_per_day
from mixin.account import LEFT
from mixin.history import DURATION, MODEL_CALLS

_REPO_MODEL = ("repo_id", "llm_type", "llm_model")
_FILTERS = "Of the filters, repository, provider and model apply."

_MEASURES = {
    "Calls": "api_calls",
    "Input tokens": "input_tokens",
    "Output tokens": "output_tokens",
    "Conversations": "active_conversations",
    "Violations": "policy_violations",
    "Alerts": "alerts",
    "Blocks": "blocks",
}

_KEPT_IDS = {
    "Calls": 2,
    "Input tokens": 3,
    "Output tokens": 4,
    "Violations": 6,
    "Blocks": 7,
    "Mean latency": 8,
    "Age of data": 9,
    "Calls per day": 11,
    "Tokens per day": 12,
    "Violations per day": 13,
    "Models": 15,
    "Providers": 16,
    "Repositories": 17,
    "API keys": 18,
}


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="flashback-overview",
        title="Flashback / Overview",
        text="LLM traffic through the Flashback AI gateway in the chosen time range, today, day by "
        "day, and who is behind it. Numbers are those of one query; exporters that poll the same "
        "account count once.",
        rows=(
            Row("Is anything wrong?", _wrong()),
            Row("How much in this time range?", _totals()),
            Row("How is today going?", _today()),
            Row("Is it growing?", _growth()),
            Row("Who is behind it?", _who()),
            Row("When is it busy?", _when()),
        ),
        alerts=promql.firing("policy|usage"),
        variables=one_query(),
        kept_ids=_KEPT_IDS,
    )


def _wrong() -> tuple[Panel, ...]:
    labels = ("severity", "alertname", "repo_id", "repo_ai_api_key_id", "llm_model")
    every = "policy|usage|exporter"
    firing = promql.named_alerts(promql.firing_for(every, *labels), "repo_ai_api_key_id")
    keys = {
        "severity": "Severity",
        "alertname": "Alert",
        "repo_name": "Repository",
        "repo_ai_api_key_name": "API key",
        "llm_model": "Model",
        "repo_id": "Repository ID",
        "repo_ai_api_key_id": "API key ID",
    }
    return (
        number(
            "Firing alerts",
            f"count({promql.firing(every)}) or vector(0)",
            "Alerts that fire at the end of the time range: on policies, usage and the exporter. "
            "Needs the alerting rules.",
            thresholds=((None, "green"), (1, ORANGE)),
            size=(3, 6),
        ),
        number(
            "Age of data",
            f"max({recorded('query:flashback_data:age_seconds')})",
            "Time since the last good poll. Orange after 15 minutes, three polls at the default "
            f"interval; red after an hour, when the exporter stops serving what it has. {RULES}",
            unit="s",
            decimals=0,
            thresholds=AGE,
            no_value="No poll yet",
            size=(3, 6),
        ),
        listing(
            "What is firing",
            keys,
            (Column("For", firing, unit="s", width=110),),
            "Alerts that fire at the end of the time range, and since when their condition holds. "
            "Needs the alerting rules.",
            sort="For",
            hidden=("repo_id", "repo_ai_api_key_id"),
            no_value="Nothing is firing",
            size=(18, 6),
        ),
    )


def _totals() -> tuple[Panel, ...]:
    totals = (
        ("Calls", "api_calls", "Calls to the LLM API."),
        ("Input tokens", "input_tokens", "Input tokens as the gateway counts them."),
        ("Output tokens", "output_tokens", "Output tokens as the gateway counts them."),
        ("Violations", "policy_violations", "Policy violations found."),
        ("Blocks", "blocks", "Requests blocked by policies."),
    )
    calls, tokens_in, tokens_out, violations, blocks = (
        number(title, increase(metric), f"{text} {RANGE}") for title, metric, text in totals
    )
    return (
        calls,
        tokens_in,
        tokens_out,
        number(
            "Estimated cost",
            promql.cost(),
            "Dollars at list prices, an upper bound where input is cached. What a model has no "
            f"price for is missing: Usage names it. {RANGE}",
            unit="currencyUSD",
            no_value=NO_PRICE,
        ),
        violations,
        blocks,
        number(
            "Mean latency",
            latency(),
            f"Seconds a call took on average, weighted by calls. {RANGE}",
            unit="s",
        ),
        number(
            "Credits last for",
            f'min({LEFT}{{job=~"$job"}})',
            "How long the account's credits last at the rate of the last day. Absent where the "
            f"balance is not known or does not fall. {RULES}",
            unit="s",
            decimals=0,
            no_value=NO_PRICE,
        ),
    )


def _today() -> tuple[Panel, ...]:
    now = _each(promql.today, promql.day_cost("today"))
    then = _each(promql.same_time_yesterday, promql.day_cost("today", " offset 1d"))
    whole = _each(promql.yesterday, promql.day_cost("yesterday"))
    change = f"({now}) / (({then}) > 0) - 1"
    return (
        listing(
            "Today against yesterday",
            {"measure": "Total"},
            (
                Column("Today so far", now, width=140),
                Column("Yesterday by now", then, width=158),
                Column("Change", change, unit="percentunit", decimals=1),
                Column("All of yesterday", whole, width=145),
            ),
            "Totals of today, of yesterday by the same time of day, and of all of yesterday. A "
            "conversation that used two models counts for both. A day is a UTC day; at 00:00 UTC "
            "it begins again at 0.",
            sort="Today so far",
            size=(12, 11),
        ),
        _against("Calls today", "api_calls"),
        _against("Input tokens today", "input_tokens"),
    )


def _each(expr: Callable[[str], str], dollars: str) -> str:
    found = {title: expr(metric) for title, metric in _MEASURES.items()}
    found["Estimated cost, dollars"] = dollars
    return " or ".join(
        f'label_replace({one}, "measure", "{title}", "", "")' for title, one in found.items()
    )


def _against(title: str, metric: str) -> Panel:
    panel = lines(
        title,
        [
            Query(promql.today(metric), "Today"),
            Query(promql.same_time_yesterday(metric), "Yesterday"),
        ],
        "Since 00:00 UTC, and by the same time on the day before.",
        colors={"Today": BLUE, "Yesterday": GREY},
        dashed=("Yesterday",),
        size=(6, 11),
    )
    return panel.time_from("now/d")


def _growth() -> tuple[Panel, ...]:
    calls, tokens = (
        "repo_model:flashback_ai_daily_api_calls:sum",
        "repo_model:flashback_ai_daily_tokens:sum",
    )
    return (
        days(
            "Calls per day",
            [Query(closed_days(calls, "llm_type"), "{{llm_type}}")],
            open_days(calls),
            f"Calls to the LLM API, by provider. {_FILTERS}",
            colors=PROVIDERS,
            size=(6, 10),
        ),
        days(
            "Tokens per day",
            [Query(closed_days(tokens), "Tokens")],
            open_days(tokens),
            f"Input and output tokens as the gateway counts them. {_FILTERS}",
            colors={"Tokens": PURPLE},
            size=(6, 10),
        ),
        cost_per_day(size=(6, 10)),
        violations_per_day(size=(6, 10)),
    )


def _who() -> tuple[Panel, ...]:
    widths = {"repo_id": 6, "repo_ai_api_key_id": 8, "llm_model": 6, "llm_type": 4}
    return tuple(
        breakdown(
            PLURALS[label],
            label,
            (_calls(label),),
            f"Calls, the most first. {RANGE} A name leads to Usage.",
            sort="Calls",
            size=(width, 12),
        )
        for label, width in widths.items()
    )


def _calls(label: str) -> Column:
    calls = some(increase("api_calls", *promql.group_of(label)))
    return Column("Calls", calls, bar=BLUE, width=120, adds_up=True)


def _when() -> tuple[Panel, ...]:
    seconds, calls = (
        each_step(DURATION.format(part=part), "llm_model", labels=_REPO_MODEL)
        for part in ("sum", "count")
    )
    return (
        trend(
            "Calls over time",
            [Query(each_step(MODEL_CALLS, "llm_type", labels=_REPO_MODEL), "{{llm_type}}")],
            f"Calls by provider. {_FILTERS}",
            colors=PROVIDERS,
        ),
        means(
            "Mean latency over time",
            [Query(per(seconds, calls), "{{llm_model}}")],
            f"Seconds a call took on average, weighted by calls, by model. {_FILTERS} {RULES}",
            unit="s",
            colors=MODELS,
        ),
    )
