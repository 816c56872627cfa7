"""Usage: who uses what, down to one repository, key, model, host, user or conversation."""

from collections.abc import Callable

from grafana import promql
from grafana.blocks import (
    AFTER_A_DAY,
    AFTER_AN_HOUR,
    BLUE,
    GREY,
    HEADINGS,
    PLURALS,
    PURPLE,
    TODAY,
    UTC_DAY,
    Column,
    Panel,
    Query,
    lines,
    listing,
    ranking,
)
from grafana.frame import Page, Row, one_query
from grafana.promql import last_hour, latency, per, same_time_yesterday, today, tokens, yesterday

_MEASURES = {
    "Calls": "api_calls",
    "Input tokens": "input_tokens",
    "Output tokens": "output_tokens",
    "LLM input tokens": "llm_input_tokens",
    "LLM output tokens": "llm_output_tokens",
    "Conversations": "active_conversations",
}

_DEMO = {"user_uuid": ", as the demo's query users does"}


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="flashback-usage",
        title="Flashback / Usage",
        text="Who uses what: click a name to narrow every panel to it. Today is the UTC day at "
        "the end of the time range. Numbers are those of one query; exporters that poll the same "
        "account count once.",
        rows=(
            Row("How does today compare?", _comparison()),
            Row("Who uses what today?", tuple(_breakdown(label) for label in promql.LABELS)),
            Row("Where do the tokens go?", _tokens()),
            Row("When is it used?", _hours()),
            Row("Which users and conversations?", _people(), collapsed=True),
        ),
        alerts=promql.firing("usage"),
        variables=one_query(),
    )


def _comparison() -> tuple[Panel, ...]:
    now, then = _each(today), _each(same_time_yesterday)
    table = listing(
        "Today against yesterday",
        {"measure": "Total"},
        (
            Column("Today so far", now, width=115),
            Column("Yesterday by now", then, width=130),
            Column(
                "Change", f"({now}) / (({then}) > 0) - 1", unit="percentunit", decimals=1, width=72
            ),
            Column("All of yesterday", _each(yesterday), width=120),
        ),
        "Totals of today, of yesterday by the same time of day, and of all of yesterday. A "
        f"conversation that used two models counts for both. {UTC_DAY}",
        sort="Today so far",
        size=(10, 8),
    )
    return (table, _against("Calls", "api_calls"), _against("Input tokens", "input_tokens"))


def _each(expr: Callable[[str], str]) -> str:
    return " or ".join(
        f'label_replace({expr(metric)}, "measure", "{title}", "", "")'
        for title, metric in _MEASURES.items()
    )


def _against(title: str, metric: str) -> Panel:
    return lines(
        f"{title} against the day before",
        [Query(today(metric), "That day"), Query(same_time_yesterday(metric), "The day before")],
        f"{title} since 00:00 UTC, and by the same time on the day before.",
        colors={"That day": BLUE, "The day before": GREY},
        dashed=("The day before",),
        no_value=AFTER_A_DAY,
        size=(7, 8),
    )


def _breakdown(label: str) -> Panel:
    return listing(
        PLURALS[label],
        {label: HEADINGS[label]},
        (
            Column("Input tokens", today("input_tokens", label), bar=BLUE, width=140),
            Column("Output", today("output_tokens", label), width=72),
            Column("Calls", today("api_calls", label), width=72),
            Column("Per call", per(tokens(label), today("api_calls", label)), width=80),
            Column("Latency", latency(label), unit="s", width=80),
        ),
        "Input and output tokens, calls, tokens a call, and mean latency weighted by calls. "
        f"{TODAY}",
        sort="Input tokens",
        links=True,
    )


def _tokens() -> tuple[Panel, ...]:
    ranked = (
        ("Input tokens a call", "input_tokens", BLUE),
        ("Output tokens a call", "output_tokens", PURPLE),
    )
    calls = today("api_calls", "llm_model")
    return (
        *(
            ranking(
                title,
                "llm_model",
                Column(
                    "Tokens a call", per(today(metric, "llm_model"), calls), bar=color, width=150
                ),
                f"Mean of today's calls, by model, as the gateway counts them. {UTC_DAY}",
            )
            for title, metric, color in ranked
        ),
        listing(
            "LLM against gateway tokens",
            {"llm_model": HEADINGS["llm_model"]},
            (
                Column("Gateway in", today("input_tokens", "llm_model"), width=95),
                Column("LLM in", today("llm_input_tokens", "llm_model"), width=80),
                Column(
                    "More in", _more("input", "llm_model"), unit="percentunit", decimals=1, width=80
                ),
                Column("Gateway out", today("output_tokens", "llm_model"), width=105),
                Column("LLM out", today("llm_output_tokens", "llm_model"), width=80),
                Column(
                    "More out",
                    _more("output", "llm_model"),
                    unit="percentunit",
                    decimals=1,
                    width=85,
                ),
            ),
            "Tokens as the gateway and as the LLM count them, and by how much the LLM counts "
            "more: what the gateway adds to a request, such as a system prompt, and differences "
            f"of tokenizers. {TODAY}",
            sort="LLM in",
            links=True,
            size=(12, 9),
        ),
    )


def _more(direction: str, by: str) -> str:
    return f"{per(today(f'llm_{direction}_tokens', by), today(f'{direction}_tokens', by))} - 1"


def _hours() -> tuple[Panel, ...]:
    exact = "as of the last good polls: a difference of totals, exact across 00:00 UTC."
    return (
        lines(
            "Calls in an hour",
            [Query(last_hour("api_calls"), "Calls")],
            f"Calls in the hour before each moment, {exact}",
            colors={"Calls": BLUE},
            no_value=AFTER_AN_HOUR,
        ),
        lines(
            "Tokens in an hour",
            [
                Query(last_hour("input_tokens"), "Input"),
                Query(last_hour("output_tokens"), "Output"),
                Query(last_hour("llm_input_tokens"), "LLM input"),
                Query(last_hour("llm_output_tokens"), "LLM output"),
            ],
            f"Tokens in the hour before each moment, as gateway and LLM count them, {exact}",
            colors={"Input": BLUE, "Output": PURPLE, "LLM input": BLUE, "LLM output": PURPLE},
            dashed=("LLM input", "LLM output"),
            no_value=AFTER_AN_HOUR,
        ),
    )


def _people() -> tuple[Panel, ...]:
    return tuple(
        ranking(
            PLURALS[label],
            label,
            Column("Calls", today("api_calls", label, also=f'{label}!=""'), width=200),
            f"The twenty with the most calls. {TODAY} Only where the labels of the query include "
            f"{label}.",
            no_value=(
                f"This query has no label {label}: name it in queries.labels{_DEMO.get(label, '')}"
            ),
            size=(12, 9),
        )
        for label in promql.PERSONAL
    )
