"""What stands around the panels: variables, links, annotations, rows, and a dashboard's JSON."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from grafana import names, promql
from grafana.looks import DATASOURCE, HEADINGS, ORANGE, TAG
from grafana.panels import Panel

DEFAULT = model.VariableOption(selected=True, text="default", value="default")
ALL = model.VariableOption(selected=True, text=["All"], value=["$__all"])


@dataclass(frozen=True, slots=True)
class Row:
    """A question and the panels that answer it; what few people ask is collapsed."""

    question: str
    panels: Sequence[Panel]
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    alerts: str
    """The alerts that are marked in its graphs: a selector."""
    variables: Sequence[dashboard.QueryVariable]
    time: str = "now-7d"
    kept_ids: Mapping[str, int] = field(default_factory=dict)
    """Numbers of panels by title, of those that had them before numbers followed titles."""


def one_query() -> list[dashboard.QueryVariable]:
    """Return the variables of a dashboard about AI statistics: one query, and its labels.

    It is one query, since queries overlap.
    """
    query = _variable("query", "Query", promql.own("flashback_up", promql.TARGET)).current(DEFAULT)
    query.description(
        "One query of the exporter's configuration. Queries overlap, so they are never added up."
    )
    labels = [_of_label(label, promql.LABELS[:place]) for place, label in enumerate(promql.LABELS)]
    return [*_targets(), query, *labels]


def _of_label(label: str, before: tuple[str, ...]) -> dashboard.QueryVariable:
    """Return the variable of a label, narrowed by those before it; IDs are chosen by name."""
    if label not in names.NAMES:
        selector = promql.counter("api_calls", labels=before)
        return _many(label, HEADINGS[label], selector, every=".*")
    values = f"query_result({names.choices(label, before)})"
    name = names.name_of(label)
    variable = _queried(label, HEADINGS[label], values)
    variable.regex(f'/{label}="(?<value>.*)",{name}="(?<text>.*)"}}/')
    return _with_all(variable, every=".*")


def all_queries() -> list[dashboard.QueryVariable]:
    """Return the variables of a dashboard about the exporter, where queries stand side by side."""
    return [
        *_targets(),
        _many("query", "Query", promql.own("flashback_up", promql.TARGET), every=".+"),
    ]


def to_json(page: Page) -> str:
    """Return a dashboard as JSON, always the same for the same page."""
    built = json.loads(json.dumps(_build(page), cls=JSONEncoder))
    for shown in (*built["annotations"]["list"], *built["links"]):
        del shown["placement"]  # the SDK would hide both in a menu
    return json.dumps(built, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _build(page: Page) -> model.Dashboard:
    frame = (
        dashboard.Dashboard(page.title).uid(page.uid).description(page.text).tags([TAG]).readonly()
    )
    frame.timezone("utc").time(page.time, "now").refresh("5m").tooltip(
        model.DashboardCursorSync.CROSSHAIR
    )
    frame.link(
        dashboard.DashboardLink("Flashback")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
        .include_vars(True)
    )
    frame.annotation(
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(ORANGE)
        .expr(page.alerts)
        .step("5m")
        .title_format("{{alertname}}")
        .tag_keys("severity,query,instance,repo_id,repo_ai_api_key_id,llm_model")
    )
    frame.with_variable(
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(DEFAULT)
    )
    for variable in page.variables:
        frame.with_variable(variable)
    for row in page.rows:
        head = dashboard.Row(row.question).id(_id(page, row.question))
        for panel in row.panels:
            panel.id(_id(page, panel.build().title or ""))
            if row.collapsed:
                head.with_panel(panel)
        frame.with_row(head)
        for panel in () if row.collapsed else row.panels:
            frame.with_panel(panel)
    return frame.build()


def _id(page: Page, title: str) -> int:
    """Return the number by which links and embedded panels know a panel: it follows its title."""
    return page.kept_ids.get(title) or 1000 + zlib.crc32(title.encode()) % 1_000_000


def _targets() -> list[dashboard.QueryVariable]:
    info = promql.own("build_info", "")
    narrowed = promql.own("build_info", 'job=~"$job"')
    instance = _many("instance", "Instance", narrowed, every=".+")
    instance.description(
        "Exporters that poll the same account are counted once; choose one of several accounts."
    )
    return [_many("job", "Job", info.removesuffix("{}"), every=".+"), instance]


def _many(name: str, label: str, selector: str, *, every: str) -> dashboard.QueryVariable:
    return _with_all(_variable(name, label, selector), every=every)


def _with_all(variable: dashboard.QueryVariable, *, every: str) -> dashboard.QueryVariable:
    return variable.multi(True).include_all(True).all_value(every).current(ALL)


def _variable(name: str, label: str, selector: str) -> dashboard.QueryVariable:
    return _queried(name, label, f"label_values({selector}, {name})")


def _queried(name: str, label: str, values: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(values)
        .definition(values)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
