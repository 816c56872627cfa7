"""Tables: a row for each value of a label, sorted, with filters and a count of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana import looks, names, promql
from grafana.looks import HEADINGS, Thresholds, setting
from grafana.panels import dressed, letter, query


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
    adds_up: bool = False
    """Whether its sum stands below it."""


def listing(
    title: str,
    keys: Mapping[str, str],
    columns: Sequence[Column],
    text: str,
    *,
    sort: str,
    hidden: Sequence[str] = (),
    no_value: str = "No data",
    size: tuple[int, int] = (12, 9),
) -> table.Panel:
    """Return a table: a row for each combination of `keys` (label to heading), sorted by a column.

    The largest value comes first. Those keys that are `hidden` tell rows apart and serve links.
    """
    panel = (
        table.Panel().cell_height(kinds.TableCellHeight.SM).show_header(True).field_min_max(True)
    )
    panel.filterable(True).min_width(60)
    panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    for place, column in enumerate(columns):
        panel.with_target(query(column.expr, place=place).instant().format(PromQueryFormat.TABLE))
        panel.override_by_name(column.title, _cell(column, sorted_by=column.title == sort))
    for label, heading in keys.items():
        panel.override_by_name(heading, _key(label))
    _arrange(panel, keys, columns)
    for label in hidden:
        panel.override_by_name(keys[label], [setting(*one) for one in _HIDDEN.items()])
    if "severity" in keys:
        words = setting("mappings", [looks.SEVERITY_WORDS])
        look = [words, *_text_colors(looks.NEVER), setting("custom.width", 90)]
        panel.override_by_name(keys["severity"], look)
    _count_rows(panel, next(heading for label, heading in keys.items() if label not in hidden))
    panel.thresholds(looks.steps(looks.NEVER)).color_scheme(looks.fixed("text"))
    return dressed(panel, title, text, unit="string", no_value=no_value, size=size)


def breakdown(
    title: str,
    label: str,
    columns: Sequence[Column],
    text: str,
    *,
    sort: str,
    size: tuple[int, int] = (12, 10),
) -> table.Panel:
    """Return a row for each value of a label, by name, which leads to Usage.

    Where the query has no such label, the table says so instead of one nameless row.
    """
    exprs = (names.named(promql.has(column.expr, label), label) for column in columns)
    shown = [replace(column, expr=expr) for column, expr in zip(columns, exprs, strict=True)]
    group = tuple(reversed(names.group_of(label)))
    hidden = [one for one in group if one in names.NAMES]
    keys = {names.name_of(one): HEADINGS[one] for one in group}
    keys |= {one: f"{HEADINGS[one]} ID" for one in hidden}
    no_value = f"No data, or no label {label} in this query"
    return listing(title, keys, shown, text, sort=sort, hidden=hidden, no_value=no_value, size=size)


def _key(label: str) -> list[model.DynamicConfigValue]:
    """Return the settings of a column of names or IDs; what Usage can show alone leads there."""
    settings = [setting("noValue", _NOTHING), setting("custom.minWidth", 110)]
    of_name = {names.name_of(one): one for one in promql.LABELS}
    if label in of_name:
        settings.append(setting("links", [usage_link(of_name[label])]))
    return settings


def usage_link(label: str) -> dict[str, object]:
    """Return a link to Usage, narrowed to a row's value; time and all other variables stay."""
    others = "&".join(
        f"${{{name}:queryparam}}"
        for name in ("datasource", "job", "instance", "query", *promql.LABELS)
        if name != label
    )
    field = f'__data.fields["{HEADINGS[label]} ID"]' if label in names.NAMES else "__value.text"
    url = (
        f"/d/flashback-usage?${{__url_time_range}}&{others}&var-{label}=${{{field}:percentencode}}"
    )
    return {"title": "Show in Usage", "url": url}


def _arrange(panel: table.Panel, keys: Mapping[str, str], columns: Sequence[Column]) -> None:
    """Make one table of all queries, with headings, in order."""
    several = len(columns) > 1
    values = [f"Value #{letter(place)}" for place in range(len(columns))] if several else ["Value"]
    names = {**keys, **dict(zip(values, (column.title for column in columns), strict=True))}
    if several:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    options = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": names,
    }
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=options))


def _count_rows(panel: table.Panel, heading: str) -> None:
    """Show how many rows there are: in Grafana 11 by the table, since 12 by a column."""
    footer = common.TableFooterOptions().show(True).count_rows(True).reducer(["count"])
    panel.footer(footer)
    panel.override_by_name(heading, [setting("custom.footer", {"reducers": ["countAll"]})])


def _cell(column: Column, *, sorted_by: bool) -> list[model.DynamicConfigValue]:
    """Return a column's settings; its heading has a filter, and an arrow if it is sorted by."""
    width = column.width or 40 + 7 * len(column.title) + 18 * sorted_by
    settings = [setting("noValue", _NOTHING), setting("unit", column.unit)]
    settings.append(setting("custom.width", width))
    if column.adds_up:
        settings.append(setting("custom.footer", {"reducers": ["sum"]}))
    if column.decimals is not None:
        settings.append(setting("decimals", column.decimals))
    if column.bar:
        bar = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        settings.append(setting("custom.cellOptions", bar))
        settings.append(setting("color", {"mode": "fixed", "fixedColor": column.bar}))
        settings.append(setting("min", 0))
    if column.mappings:
        settings.append(setting("mappings", list(column.mappings)))
    if column.thresholds or column.mappings:
        settings += _text_colors(column.thresholds or looks.NEVER)
    return settings


def _text_colors(thresholds: Thresholds) -> list[model.DynamicConfigValue]:
    return [
        setting("custom.cellOptions", {"type": "color-text"}),
        setting("color", {"mode": "thresholds"}),
        setting("thresholds", looks.steps(thresholds).build()),
    ]


_NOTHING = "\N{EN DASH}"

_HIDDEN: dict[str, object] = {"custom.hidden": True, "custom.hideFrom": {"viz": True}}
"""Grafana knew the first until version 11 and knows the second since."""
