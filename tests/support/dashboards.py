"""Reads dashboards as Grafana does: panels, variables, steps, and what a query is when sent."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import programs

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"
SCRAPE_INTERVAL = 15  # seconds; what Grafana takes it to be unless the data source says otherwise
POINTS_A_COLUMN = 50  # of 24 columns: a screen of 1,200 pixels

Dashboard = dict[str, Any]
Panel = dict[str, Any]
Target = dict[str, Any]

_UNITS = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86_400,
    "w": 604_800,
    "M": 2_592_000,
    "y": 31_536_000,
}
_ROUND = (  # below so many seconds, the interval is so long: `roundInterval` of @grafana/data
    (1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60),
    (210, 120), (450, 300), (750, 600), (1050, 900), (1500, 1200), (2700, 1800),
    (5400, 3600), (9000, 7200), (16_200, 10_800), (32_400, 21_600), (86_400, 43_200),
    (604_800, 86_400),
)  # fmt: skip
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?:[.:][^}]*)?\}|\[\[(\w+)\]\]")
_QUERY_RESULT = re.compile(r"query_result\((.+)\)", re.DOTALL)
_LABEL_VALUES = re.compile(r"label_values\((?:(.+),\s*)?(\w+)\)", re.DOTALL)


def load() -> dict[str, Dashboard]:
    """Return the shipped dashboards by the names of their files."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: Dashboard) -> Iterator[Panel]:
    """Yield the panels of a dashboard, those of folded rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())


def targets(dashboard: Dashboard) -> Iterator[tuple[Panel, Target]]:
    """Yield every query with the panel that it stands in."""
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield panel, target


def variables(dashboard: Dashboard) -> dict[str, dict[str, Any]]:
    """Return the variables of a dashboard by name, in their order."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def seconds(duration: str) -> float:
    """Return a duration such as `5m` or `now-30d` in seconds."""
    return sum(
        float(count) * _UNITS[unit]
        for count, unit in re.findall(r"([\d.]+)(ms|[smhdwMy])", duration)
    )


def step_of(panel: Panel, target: Target, span: float) -> float:
    """Return the step of a query over so many seconds; a Min step replaces the scrape interval."""
    at_least = seconds(target.get("interval") or panel.get("interval") or "") or SCRAPE_INTERVAL
    points = panel.get("maxDataPoints") or panel["gridPos"]["w"] * POINTS_A_COLUMN
    step = next((interval for below, interval in _ROUND if span / points < below), 604_800)
    return max(step, at_least)


def built_in(step: float, span: float, scrape: float = SCRAPE_INTERVAL) -> dict[str, str]:
    """Return the values of Grafana's own variables."""
    return {
        "__interval": f"{step:.0f}s",
        "__interval_ms": f"{step * 1000:.0f}",
        "__rate_interval": f"{max(step + scrape, 4 * scrape):.0f}s",
        "__range": f"{span:.0f}s",
        "__range_s": f"{span:.0f}",
        "__range_ms": f"{span * 1000:.0f}",
    }


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Put in the values of variables; one that has none stays as it is."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2] or match[3], match[0]), text)


def unresolved(text: str) -> list[str]:
    """Return the variables that a text still names."""
    return [match[0] for match in _VARIABLE.finditer(text)]


def static(expression: str) -> str:
    """Return an expression in which only the durations are put in, so that it can be parsed."""
    return interpolated(expression, built_in(300, 86_400, 300))


def span_of(panel: Panel, span: float, end: float) -> float:
    """Return how many seconds before the end a panel begins; some have a range of their own."""
    own = panel.get("timeFrom")
    if not own:
        return span
    start = end - seconds(own)
    return end - (start // 86_400 * 86_400 if own.endswith("/d") else start)


def values_of(query: str) -> tuple[str, str]:
    """Return what a variable asks: an expression or a selector, and its label, if it names one."""
    asked_for = _QUERY_RESULT.fullmatch(query.strip())
    if asked_for:
        return asked_for[1], ""
    match = _LABEL_VALUES.fullmatch(query.strip())
    return (match[1] or "", match[2]) if match else ("", "")


def found_by(regex: str, result: list[dict[str, Any]]) -> dict[str, str]:
    """Return text by value, as Grafana's `query_result` and a variable's regex give them."""
    pattern = re.compile(regex.removeprefix("/").removesuffix("/").replace("(?<", "(?P<"))
    found = {}
    for series in result:
        labels = (f'{name}="{value}"' for name, value in series["metric"].items())
        match = pattern.search(f"{{{','.join(labels)}}} {series['value'][1]} 0")
        if match:
            found[match["value"]] = match["text"]
    return found


def one_of(variable: Mapping[str, Any], value: str) -> str:
    """Return what one chosen value becomes in a query:
    escaped for a regular expression where several can be chosen.
    """
    if variable.get("multi") or variable.get("includeAll"):
        return re.sub(r"([\\^$.*+?()\[\]{}|])", r"\\\\\1", value)
    return value.replace("\\", r"\\").replace('"', r"\"")


def asked(prometheus, path: str, **parameters: Any) -> dict[str, Any]:
    """Return the whole answer of Prometheus's HTTP API, whether good or bad."""
    address = f"{prometheus.url}/api/v1/{path}?{urlencode(parameters)}"
    try:
        return json.loads(programs.get(address))
    except OSError as error:  # its body says what is wrong
        read = getattr(error, "read", None)
        if read is None:
            raise
        return json.loads(read())


def objections(answer: Mapping[str, Any]) -> list[str]:
    """Return everything but data that an answer has to say."""
    return [
        *filter(None, [answer.get("error")]),
        *answer.get("warnings", ()),
        *answer.get("infos", ()),
    ]


def _asked_values(
    prometheus, expression: str, label: str, start: float, end: float
) -> dict[str, Any]:
    if not label:
        return asked(prometheus, "query", query=expression, time=end)
    parameters = {"start": start, "end": end}
    if expression:
        parameters["match[]"] = expression
    return asked(prometheus, f"label/{label}/values", **parameters)


def chosen(
    dashboard: Dashboard,
    prometheus,
    start: float,
    end: float,
    *,
    everything: bool,
    pinned: Mapping[str, str],
) -> tuple[dict[str, str], list[str]]:
    """Choose all or the first value of each variable, in turn, and say what went wrong."""
    values: dict[str, str] = {}
    problems = []
    for name, variable in variables(dashboard).items():
        if variable["type"] == "datasource":
            continue
        query = (
            variable["query"]["query"] if isinstance(variable["query"], dict) else variable["query"]
        )
        expression, label = values_of(query)
        problems += [
            f"variable {name}: {found} is not defined before"
            for found in unresolved(interpolated(expression, values))
        ]
        answer = _asked_values(prometheus, interpolated(expression, values), label, start, end)
        problems += [f"variable {name}: {said}" for said in objections(answer)]
        found = answer.get("data", [])
        if not label:
            found = list(found_by(variable["regex"], answer.get("data", {}).get("result", [])))
        if not found:
            problems.append(f"variable {name}: no values: {query}")
        present = variable.get("current", {}).get("value")
        if name in pinned:
            values[name] = pinned[name]
        elif everything and variable.get("includeAll") and present in ("$__all", ["$__all"]):
            values[name] = variable["allValue"]
        else:
            values[name] = one_of(variable, present if present in found else (found or [""])[0])
    return values, problems
