"""Usage: who uses what and what it costs, down to one repository, key, model, host or user."""

from grafana import names, past, promql
from grafana.cost import cost_row, credits_row
from grafana.frame import Page, Row, one_query
from grafana.looks import (
    BLUE,
    NO_PRICE,
    PLURALS,
    PURPLE,
    RANGE,
    RULES,
)
from grafana.panels import Panel, Query, by_top, lines, number, trend
from grafana.past import each_step
from grafana.promql import cost, increase, latency, per, rate, some
from grafana.tables import Column, breakdown
from mixin.history import CALLS, KEY_TOKENS, MODEL_TOKENS
from mixin.promql import MODEL, REPO_KEY, REPO_MODEL

_KEPT_IDS = {
    "Repositories": 6,
    "LLM configurations": 7,
    "API keys": 8,
    "Providers": 9,
    "Models": 10,
    "Hosts": 11,
    "LLM against gateway tokens": 15,
    "Users": 20,
    "Conversations": 21,
}

_DEMO = " In the demo, the query users has them."


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="flashback-usage",
        title="Flashback / Usage",
        text="Who uses what in the chosen time range, and what it costs by estimate: click a name "
        "to narrow every panel to it. Numbers are those of one query; exporters that poll the same "
        "account count once.",
        rows=(
            Row("How much in this time range?", _totals()),
            Row("Who uses what?", tuple(_breakdown(label) for label in promql.LABELS)),
            Row("What does it cost, by estimate?", cost_row()),
            Row("How much is left?", credits_row()),
            Row("When is it used?", _trends()),
            Row("Where do the tokens go?", _tokens(), collapsed=True),
            Row("What of a close look, with every filter?", _close(), collapsed=True),
            Row("Which users and conversations?", _people(), collapsed=True),
        ),
        alerts=promql.firing("usage"),
        variables=one_query(),
        kept_ids=_KEPT_IDS,
    )


def _totals() -> tuple[Panel, ...]:
    gateway, llm = "as the gateway counts them", "as the LLM counts them"
    totals = (
        ("Calls", "api_calls", "Calls to the LLM API."),
        ("Input tokens", "input_tokens", f"Input tokens {gateway}."),
        ("Output tokens", "output_tokens", f"Output tokens {gateway}."),
        ("LLM tokens in", "llm_input_tokens", f"Input tokens {llm}."),
        ("LLM tokens out", "llm_output_tokens", f"Output tokens {llm}."),
    )
    return (
        *(number(title, increase(metric), f"{text} {RANGE}") for title, metric, text in totals),
        number(
            "Mean latency",
            latency(),
            f"Seconds a call took on average, weighted by calls. {RANGE}",
            unit="s",
            size=(4, 4),
        ),
        number(
            "Estimated cost",
            cost(),
            f"Dollars at list prices; what has no price is missing. {RANGE}",
            unit="currencyUSD",
            no_value=NO_PRICE,
            size=(5, 4),
        ),
    )


def _breakdown(label: str) -> Panel:
    by = names.group_of(label)
    columns = [
        Column("Calls", some(increase("api_calls", *by)), width=120, adds_up=True),
        Column(
            "Input tokens", some(increase("input_tokens", *by)), bar=BLUE, width=160, adds_up=True
        ),
        Column("Output", some(increase("output_tokens", *by)), width=120, adds_up=True),
    ]
    text = f"Calls, input and output tokens as the gateway counts them. {RANGE}"
    if label in REPO_MODEL:
        columns.append(Column("Latency", past.latency_of_hours(label), unit="s"))
        text += f" Mean latency is weighted by calls. {RULES}"
    return breakdown(PLURALS[label], label, columns, text, sort="Input tokens")


def _tokens() -> tuple[Panel, ...]:
    label = "llm_model"
    return (
        breakdown(
            "LLM against gateway tokens",
            label,
            (
                Column("Gateway in", some(increase("input_tokens", label))),
                Column("LLM in", some(increase("llm_input_tokens", label))),
                Column("More in", _more("input", label), unit="percentunit", decimals=1),
                Column("Gateway out", some(increase("output_tokens", label))),
                Column("LLM out", some(increase("llm_output_tokens", label))),
                Column("More out", _more("output", label), unit="percentunit", decimals=1),
            ),
            "Tokens as the gateway and as the LLM count them, and by how much the LLM counts "
            "more: what the gateway adds to a request, such as a system prompt, and differences "
            f"of tokenizers. {RANGE}",
            sort="LLM in",
            size=(24, 9),
        ),
    )


def _more(direction: str, by: str) -> str:
    llm, gateway = increase(f"llm_{direction}_tokens", by), increase(f"{direction}_tokens", by)
    return f"{per(llm, gateway)} - 1"


def _trends() -> tuple[Panel, ...]:
    models = each_step(MODEL_TOKENS, "llm_model", labels=("repo_id", *MODEL))
    return (
        by_top(
            "Calls by repository",
            CALLS,
            "repo_id",
            ("repo_id",),
            "Calls of the ten repositories with the most in the time range, and of all others. Of "
            "the filters, repository applies.",
        ),
        by_top(
            "Tokens by API key",
            KEY_TOKENS,
            "repo_ai_api_key_id",
            REPO_KEY,
            "Input and output tokens of the ten keys with the most in the time range, and of all "
            "others. Of the filters, repository and key apply.",
        ),
        trend(
            "Tokens by model",
            [Query(models, "{{llm_model}}")],
            "Input and output tokens by model. Of the filters, repository, provider and model "
            "apply.",
            size=(24, 9),
        ),
    )


def _close() -> tuple[Panel, ...]:
    text = "for ranges up to some days; of all that the filters leave."
    return (
        lines(
            "Calls an hour",
            [Query(rate("api_calls"), "Calls")],
            f"Calls an hour at each moment, {text}",
            colors={"Calls": BLUE},
        ),
        lines(
            "Tokens an hour",
            [
                Query(rate("input_tokens"), "Input"),
                Query(rate("output_tokens"), "Output"),
                Query(rate("llm_input_tokens"), "LLM input"),
                Query(rate("llm_output_tokens"), "LLM output"),
            ],
            f"Tokens an hour at each moment, as gateway and LLM count them, {text}",
            colors={"Input": BLUE, "Output": PURPLE, "LLM input": BLUE, "LLM output": PURPLE},
            dashed=("LLM input", "LLM output"),
        ),
    )


def _people() -> tuple[Panel, ...]:
    return tuple(
        breakdown(
            PLURALS[label],
            label,
            (Column("Calls", some(increase("api_calls", label)), bar=BLUE, width=200),),
            f"Calls. {RANGE} Only where the labels of the query include {label}.{_DEMO}",
            sort="Calls",
        )
        for label in promql.PERSONAL
    )
