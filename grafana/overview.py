"""Overview: what is wrong, how much there was, how today goes, day by day, and who is behind it."""

from grafana import names, promql
from grafana.cost import cost_per_day
from grafana.firing import firing
from grafana.frame import Page, Row, one_query
from grafana.governance import violations_per_day
from grafana.looks import (
    AGE,
    BLUE,
    MODELS,
    NO_PRICE,
    ORANGE,
    PLURALS,
    PROVIDERS,
    PURPLE,
    RANGE,
    RULES,
)
from grafana.panels import Panel, Query, days, means, number, trend
from grafana.past import closed_days, each_step, open_days
from grafana.promql import increase, latency, per, recorded, some
from grafana.tables import Column, breakdown
from grafana.today import today_row
from mixin.account import LEFT
from mixin.history import DURATION, MODEL_CALLS

_REPO_MODEL = ("repo_id", "llm_type", "llm_model")
_FILTERS = "Of the filters, repository, provider and model apply."

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
            Row("How is today going?", today_row()),
            Row("Is it growing?", _growth()),
            Row("Who is behind it?", _who()),
            Row("When is it busy?", _when()),
        ),
        alerts=promql.firing("policy|usage"),
        variables=one_query(),
        kept_ids=_KEPT_IDS,
    )


def _wrong() -> tuple[Panel, ...]:
    every = "policy|usage|exporter"
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
        firing(
            "What is firing",
            every,
            "llm_model",
            text="Alerts on policies, usage and the exporter",
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
    calls = some(increase("api_calls", *names.group_of(label)))
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
