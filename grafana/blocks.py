"""The building blocks of all dashboards: words, colours and panels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporter.errors import Reason
from exporter.statistics.records import Rejection
from grafana import promql

Panel = stat.Panel | table.Panel | timeseries.Panel
P = TypeVar("P", stat.Panel, table.Panel, timeseries.Panel)

DATASOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "flashback"
MIN_STEP, COUNTER_STEP = "5m", "15m"
"""Nothing changes more often than the API is polled, every 5 minutes by default.

Four steps make `$__rate_interval`, so a counter's rate is that of the last hour.
"""

BLUE, PURPLE, TEAL, GREEN, GREY, SAND = (
    "#5794F2",
    "#A780D6",
    "#37A2A6",
    "#56A64B",
    "#8E8E9C",
    "#C9A15D",
)
RED, ORANGE, YELLOW, PINK, BROWN, CYAN = (
    "#E02F44",
    "#FF9830",
    "#F2CC0C",
    "#F27DB4",
    "#96602C",
    "#4FC3E0",
)
ALERT_SEVERITIES = {"critical": RED, "warning": ORANGE, "info": BLUE}
SEVERITIES = {"low": YELLOW, "medium": ORANGE, "high": RED}
PROVIDERS = {"openai": BLUE, "anthropic": PURPLE, "google": TEAL, "aws": SAND, "other": GREY}
MODELS = {
    "gpt-4o": BLUE,
    "gpt-4o-mini": CYAN,
    "claude-sonnet-4-5": PURPLE,
    "claude-haiku-4-5": PINK,
    "gemini-2.5-pro": TEAL,
    "gemini-2.5-flash": "#7BD88F",
    "amazon.nova-pro-v1": SAND,
    "llama-3.3-70b": GREY,
}
"""The demo's models, each near its provider's colour; other models take Grafana's palette."""

REASONS: dict[str, str] = {
    Reason.AUTH: PURPLE,
    Reason.BAD_REQUEST: SAND,
    Reason.NOT_FOUND: GREY,
    Reason.RATE_LIMITED: YELLOW,
    Reason.SERVER_ERROR: ORANGE,
    Reason.TIMEOUT: RED,
    Reason.NETWORK: BLUE,
    Reason.TLS: PINK,
    Reason.INVALID_RESPONSE: BROWN,
    Reason.TOO_LARGE: CYAN,
}
REJECTIONS: dict[str, str] = {
    Rejection.NOT_AN_OBJECT: PURPLE,
    Rejection.MISSING_FIELD: ORANGE,
    Rejection.WRONG_TYPE: PINK,
    Rejection.NEGATIVE: BLUE,
    Rejection.NOT_FINITE: BROWN,
    Rejection.OUTSIDE_WINDOW: YELLOW,
    Rejection.MILLISECONDS: CYAN,
}
CODES = {
    "200": GREEN,
    "429": YELLOW,
    "500": PINK,
    "502": BROWN,
    "503": ORANGE,
    "504": PURPLE,
    "error": RED,
}
HEADINGS = {
    "repo_id": "Repository",
    "ai_llm_id": "LLM configuration",
    "repo_ai_api_key_id": "API key",
    "llm_type": "Provider",
    "llm_model": "Model",
    "host": "Host",
    "user_uuid": "User",
    "conversation_uuid": "Conversation",
}
"""Label to the words people see."""

PLURALS = {label: f"{heading}s" for label, heading in HEADINGS.items()} | {
    "repo_id": "Repositories"
}

AGE = ((None, "green"), (900, "orange"), (3600, "red"))
"""Three polls at the default interval, and the age from which data is no longer served."""

NEVER = ((None, "text"),)
"""Thresholds for numbers that are neither good nor bad."""

UTC_DAY = "A day is a UTC day; at 00:00 UTC it begins again at 0."
TODAY = f"Today's total so far, as of the last good poll. {UTC_DAY}"

NOTHING = "No data in this time range"
AFTER_AN_HOUR, AFTER_A_DAY = "After an hour", "After a day"

Thresholds = Sequence[tuple[float | None, str]]


class Query(NamedTuple):
    """One query of a panel and the name of what it draws."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of numbers in a table; `bar` draws them as bars of that colour."""

    title: str
    expr: str
    unit: str = "short"
    decimals: int | None = None
    bar: str = ""
    width: int | None = None
    mappings: tuple[model.ValueMap, ...] = ()
    thresholds: Thresholds = ()


def number(
    title: str,
    expr: str,
    text: str,
    *,
    unit: str = "short",
    decimals: int | None = None,
    thresholds: Thresholds = (),
    mappings: Sequence[model.ValueMap] = (),
    legend: str = "",
    no_value: str = "No data",
) -> stat.Panel:
    """Return one big number, or with a `legend` the name.

    It is coloured by thresholds only where some are given.
    """
    panel = (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .text(common.VizTextDisplayOptions().value_size(32))
        .color_mode(kinds.BigValueColorMode.VALUE)
        .text_mode(kinds.BigValueTextMode.NAME if legend else kinds.BigValueTextMode.VALUE)
        .mappings(list(mappings))
        .with_target(_query(expr, legend).instant())
    )
    by_threshold = dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)
    panel.color_scheme(by_threshold if thresholds else _fixed("text")).thresholds(
        _steps(thresholds or NEVER)
    )
    return _panel(panel, title, text, unit=unit, decimals=decimals, no_value=no_value, size=(3, 4))


def lines(
    title: str,
    queries: Sequence[Query],
    text: str,
    *,
    unit: str = "short",
    colors: Mapping[str, str] | None = None,
    stacked: bool = False,
    dashed: Iterable[str] = (),
    thresholds: Thresholds = (),
    min_step: str = MIN_STEP,
    no_value: str = NOTHING,
    size: tuple[int, int] = (12, 8),
) -> timeseries.Panel:
    """Return values over time; those named in `dashed` are what the others are compared with."""
    panel = _graph(queries, min_step, colors, stacked=stacked)
    alone = len(queries) == 1 and "{{" not in queries[0].legend
    panel.fill_opacity(30 if stacked else 10 if alone else 0).line_width(1).show_points(
        kinds.VisibilityMode.AUTO
    )
    for name in dashed:
        panel.override_by_name(name, [_set("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})])
    if thresholds:
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        )
        panel.thresholds(_steps(thresholds))
    return _panel(panel, title, text, unit=unit, no_value=no_value, size=size)


def days(
    title: str,
    queries: Sequence[Query],
    text: str,
    *,
    colors: Mapping[str, str],
    size: tuple[int, int] = (8, 8),
) -> timeseries.Panel:
    """Return one bar for each UTC day, standing on its own day: it begins at the day's midnight."""
    panel = _graph(queries, "1d", colors, stacked=True)
    panel.draw_style(kinds.GraphDrawStyle.BARS).bar_alignment(
        kinds.BarAlignment.AFTER
    ).bar_width_factor(0.8)
    panel.fill_opacity(80).line_width(0).time_from("30d")
    text = (
        f"{text} One bar for each UTC day, the last one so far: "
        "the last 30 days, or an absolute time range."
    )
    return _panel(panel, title, text, unit="short", no_value=NOTHING, size=size)


def violations_per_day() -> timeseries.Panel:
    """Return the bars of policy violations by severity, the same wherever they stand."""
    queries = [
        Query(promql.each_day("policy_violations_by_severity", also=f'severity="{name}"'), name)
        for name in SEVERITIES
    ]
    return days("Violations per day", queries, "Policy violations, by severity.", colors=SEVERITIES)


def listing(
    title: str,
    keys: Mapping[str, str],
    columns: Sequence[Column],
    text: str,
    *,
    sort: str,
    links: bool = False,
    no_value: str = "No data",
    size: tuple[int, int] = (12, 8),
) -> table.Panel:
    """Return a table: a row for each combination of `keys` (label to heading), sorted by a column.

    The largest value comes first.
    """
    panel = (
        table.Panel().cell_height(kinds.TableCellHeight.SM).show_header(True).field_min_max(True)
    )
    panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    for place, column in enumerate(columns):
        expr = promql.named(column.expr, *(label for label in keys if label in promql.LABELS))
        panel.with_target(_query(expr, place=place).instant().format(PromQueryFormat.TABLE))
        panel.override_by_name(column.title, _cell(column))
    values = (
        [f"Value #{_letter(place)}" for place in range(len(columns))]
        if len(columns) > 1
        else ["Value"]
    )
    names = {**keys, **dict(zip(values, (column.title for column in columns), strict=True))}
    if len(columns) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    order = {name: place for place, name in enumerate(names)}
    panel.with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names},
        )
    )
    for label, heading in keys.items():
        if links and label in promql.LABELS:
            panel.override_by_name(heading, [_set("links", [_usage_link(label)])])
        if label == "severity":
            words = _set("mappings", [_SEVERITY_COLORS])
            panel.override_by_name(heading, [words, *_text_colors(NEVER), _set("custom.width", 90)])
    panel.thresholds(_steps(NEVER)).color_scheme(_fixed("text"))
    return _panel(panel, title, text, unit="string", no_value=no_value, size=size)


def ranking(
    title: str,
    label: str,
    column: Column,
    text: str,
    *,
    no_value: str = "No data",
    size: tuple[int, int] = (6, 9),
) -> table.Panel:
    """Return the twenty largest values of a label, as bars; a name leads to Usage."""
    largest = replace(column, expr=f"topk(20, {column.expr})", bar=column.bar or BLUE)
    keys = {label: HEADINGS[label]}
    return listing(
        title, keys, (largest,), text, sort=column.title, links=True, no_value=no_value, size=size
    )


def mapping(values: Mapping[str, tuple[str, str]]) -> model.ValueMap:
    """Show words, each with a colour, instead of numbers."""
    return model.ValueMap(
        options={
            value: model.ValueMappingResult(text=text, color=color, index=place)
            for place, (value, (text, color)) in enumerate(values.items())
        }
    )


def _usage_link(label: str) -> dict[str, object]:
    """Return a link to Usage, narrowed to a cell's value; time and all other variables stay."""
    others = "&".join(
        f"${{{name}:queryparam}}"
        for name in ("datasource", "job", "instance", "query", *promql.LABELS)
        if name != label
    )
    chosen = f"var-{label}=${{__value.text:percentencode}}"
    url = f"/d/flashback-usage?${{__url_time_range}}&{others}&{chosen}"
    return {"title": "Show in Usage", "url": url}


def _panel(
    panel: P,
    title: str,
    text: str,
    *,
    unit: str,
    no_value: str,
    size: tuple[int, int],
    decimals: int | None = None,
) -> P:
    panel.title(title).description(text).datasource(DATASOURCE).unit(unit).no_value(no_value)
    panel.span(size[0]).height(size[1])
    return panel if decimals is None else panel.decimals(decimals)


def _graph(
    queries: Sequence[Query], min_step: str, colors: Mapping[str, str] | None, *, stacked: bool
) -> timeseries.Panel:
    panel = timeseries.Panel().min(0).thresholds(_steps(NEVER))
    panel.stacking(
        common.StackingConfig().mode(
            kinds.StackingMode.NORMAL if stacked else kinds.StackingMode.NONE
        )
    )
    panel.tooltip(
        common.VizTooltipOptions()
        .mode(kinds.TooltipDisplayMode.MULTI)
        .sort(kinds.SortOrder.DESCENDING)
    )
    legend = common.VizLegendOptions().show_legend(True).display_mode(kinds.LegendDisplayMode.LIST)
    panel.legend(legend.placement(kinds.LegendPlacement.BOTTOM).calcs([]))
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    for name, color in (colors or {}).items():
        panel.override_by_name(name, [_set("color", {"mode": "fixed", "fixedColor": color})])
    for place, (expr, name) in enumerate(queries):
        panel.with_target(_query(expr, name, place).interval(min_step).range())
    return panel


def _query(expr: str, legend: str = "", place: int = 0) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery().expr(expr).legend_format(legend or "__auto").ref_id(_letter(place))
    )


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _fixed(color: str) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(color)


def _steps(thresholds: Thresholds) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(value=value, color=color) for value, color in thresholds]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _cell(column: Column) -> list[model.DynamicConfigValue]:
    settings = [_set("noValue", "\N{EN DASH}"), _set("unit", column.unit)]
    if column.width is not None:
        settings.append(_set("custom.width", column.width))
    if column.decimals is not None:
        settings.append(_set("decimals", column.decimals))
    if column.bar:
        settings.append(
            _set(
                "custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
            )
        )
        settings.append(_set("color", {"mode": "fixed", "fixedColor": column.bar}))
        settings.append(_set("min", 0))
    if column.mappings:
        settings.append(_set("mappings", list(column.mappings)))
    if column.thresholds or column.mappings:
        settings += _text_colors(column.thresholds or NEVER)
    return settings


def _set(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)


def _text_colors(thresholds: Thresholds) -> list[model.DynamicConfigValue]:
    return [
        _set("custom.cellOptions", {"type": "color-text"}),
        _set("color", {"mode": "thresholds"}),
        _set("thresholds", _steps(thresholds).build()),
    ]


_SEVERITY_COLORS = mapping(
    {name: (name, color) for name, color in (ALERT_SEVERITIES | SEVERITIES).items()}
)
