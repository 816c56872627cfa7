"""Today so far, against yesterday by the same time."""

from collections.abc import Callable

from grafana import promql
from grafana.looks import BLUE, GREY
from grafana.panels import Panel, Query, lines
from grafana.tables import Column, listing

_MEASURES = {
    "Calls": "api_calls",
    "Input tokens": "input_tokens",
    "Output tokens": "output_tokens",
    "Conversations": "active_conversations",
    "Violations": "policy_violations",
    "Alerts": "alerts",
    "Blocks": "blocks",
}


def today_row() -> tuple[Panel, ...]:
    """Return the totals of today with their change, and how two of them came."""
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
