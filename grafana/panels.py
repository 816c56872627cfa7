"""Panels: numbers, values over time, bars for days and for steps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from grafana import looks, names, past
from grafana.looks import Thresholds, setting

Panel = stat.Panel | table.Panel | timeseries.Panel
P = TypeVar("P", stat.Panel, table.Panel, timeseries.Panel)

TOTALS = ("lastNotNull", "max", "sum")
MEANS = ("lastNotNull", "max", "mean")
NOT_CLOSED = "Not closed yet"


class Query(NamedTuple):
    """One query of a panel and the name of what it draws."""

    expr: str
    legend: str = ""


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
    size: tuple[int, int] = (3, 4),
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
        .with_target(query(expr, legend).instant())
    )
    by_threshold = dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)
    panel.color_scheme(by_threshold if thresholds else looks.fixed("text"))
    panel.thresholds(looks.steps(thresholds or looks.NEVER))
    if decimals is not None:
        panel.decimals(decimals)
    return dressed(panel, title, text, unit=unit, no_value=no_value, size=size)


def lines(
    title: str,
    queries: Sequence[Query],
    text: str,
    *,
    unit: str = "short",
    colors: Mapping[str, str] | None = None,
    dashed: Iterable[str] = (),
    thresholds: Thresholds = (),
    min_step: str = looks.MIN_STEP,
    no_value: str = looks.NOTHING,
    size: tuple[int, int] = (12, 8),
) -> timeseries.Panel:
    """Return values over time; those named in `dashed` are what the others are compared with."""
    panel = _graph(queries, min_step, colors, MEANS)
    alone = len(queries) == 1 and "{{" not in queries[0].legend
    panel.fill_opacity(10 if alone else 0).line_width(1).show_points(kinds.VisibilityMode.AUTO)
    for name in dashed:
        panel.override_by_name(name, [setting("custom.lineStyle", _DASHES)])
    if thresholds:
        dashes = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(dashes).thresholds(looks.steps(thresholds))
    return dressed(panel, title, text, unit=unit, no_value=no_value, size=size)


def trend(
    title: str,
    queries: Sequence[Query],
    text: str,
    *,
    colors: Mapping[str, str] | None = None,
    size: tuple[int, int] = (12, 9),
) -> timeseries.Panel:
    """Return what came in each step: an hour in a day's range, a day in a month's."""
    panel = _stacked(queries, looks.HOUR, colors).max_data_points(looks.STEPS)
    panel.line_interpolation(kinds.LineInterpolation.STEP_BEFORE)
    panel.fill_opacity(70).line_width(0).show_points(kinds.VisibilityMode.NEVER)
    if size[0] > 12:
        _legend(panel, kinds.LegendPlacement.RIGHT, TOTALS)
    text = f"{text} A step is an hour, or more in a range of some days, and stands before its end."
    return dressed(panel, title, text, unit="short", no_value=looks.NO_RULES, size=size)


def means(
    title: str,
    queries: Sequence[Query],
    text: str,
    *,
    unit: str = "short",
    colors: Mapping[str, str] | None = None,
    size: tuple[int, int] = (12, 9),
) -> timeseries.Panel:
    """Return a line for the mean of each step, the same steps as those of a trend."""
    panel = _graph(queries, looks.HOUR, colors, MEANS).max_data_points(looks.STEPS)
    panel.fill_opacity(0).line_width(1).show_points(kinds.VisibilityMode.AUTO)
    return dressed(panel, title, text, unit=unit, no_value=looks.NO_RULES, size=size)


def days(
    title: str,
    closed: Sequence[Query],
    so_far: str,
    text: str,
    *,
    colors: Mapping[str, str],
    unit: str = "short",
    calcs: Sequence[str] = TOTALS,
    size: tuple[int, int] = (8, 9),
) -> timeseries.Panel:
    """Return one bar for each UTC day, standing on its own day: it begins at the day's midnight.

    `so_far` is what a day has that is not closed: a bar in outline.
    """
    panel = _stacked(closed, looks.DAY, colors).max_data_points(looks.MOMENTS)
    panel.with_target(query(so_far, NOT_CLOSED, len(closed)).interval(looks.MIN_STEP).range())
    _legend(panel, kinds.LegendPlacement.BOTTOM, calcs)
    panel.draw_style(kinds.GraphDrawStyle.BARS).bar_width_factor(0.8).fill_opacity(80)
    panel.line_width(0).bar_alignment(kinds.BarAlignment.AFTER).time_from("29d/d")
    outline = {"custom.fillOpacity": 8, "custom.lineWidth": 1, "color": _GREY}
    panel.override_by_name(NOT_CLOSED, [setting(*one) for one in outline.items()])
    text = (
        f"{text} One bar for each UTC day of the last 30, or of an absolute time range: its final "
        "total, corrections and late calls included. One in outline is of a day that is not "
        f"closed. {looks.RULES}"
    )
    return dressed(panel, title, text, unit=unit, no_value=looks.NO_RULES, size=size)


def dressed(
    panel: P, title: str, text: str, *, unit: str, no_value: str, size: tuple[int, int]
) -> P:
    """Give a panel what every panel has."""
    panel.title(title).description(text).datasource(looks.DATASOURCE).unit(unit)
    return panel.no_value(no_value).span(size[0]).height(size[1])


def query(expr: str, legend: str = "", place: int = 0) -> prometheus.Dataquery:
    """Return one query of a panel, the first, second and so on."""
    found = prometheus.Dataquery().expr(expr).legend_format(legend or "__auto")
    return found.ref_id(letter(place))


def letter(place: int) -> str:
    """Return what Grafana calls the first, second and so on query of a panel."""
    return chr(ord("A") + place)


def by_top(
    title: str, rule: str, label: str, labels: tuple[str, ...], text: str, *, width: int = 24
) -> Panel:
    """Return the trend of the ten with the most, by name, and of all others as one."""
    legend = (f"{{{{{names.name_of(one)}}}}}" for one in names.group_of(label))
    queries = [
        Query(past.each_step_of_top(rule, label, labels), " / ".join(legend)),
        Query(past.each_step_of_others(rule, label, labels), past.OTHERS),
    ]
    return trend(title, queries, text, colors={past.OTHERS: looks.GREY}, size=(width, 9))


def _stacked(
    queries: Sequence[Query], min_step: str, colors: Mapping[str, str] | None
) -> timeseries.Panel:
    panel = _graph(queries, min_step, colors, TOTALS)
    return panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))


def _legend(panel: timeseries.Panel, place: kinds.LegendPlacement, calcs: Sequence[str]) -> None:
    legend = common.VizLegendOptions().show_legend(True).display_mode(kinds.LegendDisplayMode.TABLE)
    panel.legend(legend.placement(place).calcs(list(calcs)))


def _graph(
    queries: Sequence[Query],
    min_step: str,
    colors: Mapping[str, str] | None,
    calcs: Sequence[str],
) -> timeseries.Panel:
    panel = timeseries.Panel().min(0).thresholds(looks.steps(looks.NEVER))
    tooltip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI)
    panel.tooltip(tooltip.sort(kinds.SortOrder.DESCENDING))
    _legend(panel, kinds.LegendPlacement.BOTTOM, calcs)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    for name, color in (colors or {}).items():
        panel.override_by_name(name, [setting("color", _fixed(color))])
    for place, (expr, name) in enumerate(queries):
        panel.with_target(query(expr, name, place).interval(min_step).range())
    return panel


def _fixed(color: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": color}


_DASHES = {"fill": "dash", "dash": [8, 6]}
_GREY = _fixed(looks.GREY)
