"""Both ways: every name in dashboards and rules exists, every metric is used or excused."""

import json
import re

import dashboards
import pytest
from dashboards import panels, targets, variables
from expressions import metrics, unknown_labels
from names import COUNTERS, OF_TARGETS, reading, rules

from exporter.metrics import DAY_START, METRICS
from exporter.output.beside import BESIDE
from exporter.output.own_metrics import OWN_METRICS

UNUSED = {
    "flashback_ai_daily_latency_seconds": "its summary gives the mean of any time range",
}
"""Metrics of the exporter that are neither charted nor alerted on, and why."""

DASHBOARDS = dashboards.load()
OWN_COLUMNS = {"Time", "Value"}


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Return what there is to know about metrics and expressions."""
    with reading(tmp_path_factory.mktemp("names")) as known:
        yield known


def expressions(every):
    """Yield every expression with where it stands."""
    for uid, dashboard in every.items():
        for panel, target in targets(dashboard):
            yield f"{uid}: {panel['title']}/{target['refId']}", target["expr"]
        for annotation in dashboard["annotations"]["list"]:
            yield f"{uid}: annotation {annotation['name']}", annotation["expr"]
        for name, variable in variables(dashboard).items():
            if variable["type"] == "query":
                query = (
                    variable["query"]["query"]
                    if isinstance(variable["query"], dict)
                    else variable["query"]
                )
                asked_for, label = dashboards.values_of(query)
                expression = f"count by ({label}) ({asked_for})" if label else asked_for
                yield f"{uid}: variable {name}", expression


def in_rules(shipped):
    """Yield the expression of every rule with its name."""
    for rule in shipped:
        yield rule.get("alert") or rule["record"], rule["expr"]


def strange(found, names):
    """Yield which metrics and labels do not exist."""
    for place, expression in found:
        tree = names.tree(expression)
        missing = sorted(name for name in metrics(tree) if name not in names)
        yield from (f"{place}: no metric {name}" for name in missing)
        if not missing:
            yield from (
                f"{place}: {problem}"
                for problem in unknown_labels(tree, names.labels_of, OF_TARGETS)
            )


def strange_columns(every, names):
    """Yield which labels legends, links and tables of dashboards name without having them."""
    for uid, dashboard in every.items():
        for panel in panels(dashboard):
            found = [names.labels(target["expr"]) for target in panel.get("targets", ())]
            has = frozenset().union(*found)
            for target, own in zip(panel.get("targets", ()), found, strict=True):
                for label in (
                    set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target.get("legendFormat") or "")) - own
                ):
                    place = f"{uid}: {panel['title']}/{target['refId']}"
                    yield f"{place}: the legend's {label} is no label"
            for label in set(re.findall(r"\$\{__field\.labels\.(\w+)", json.dumps(panel))) - has:
                yield f"{uid}: {panel['title']}: the link's {label} is no label"
            columns = (
                has
                | OWN_COLUMNS
                | {f"Value #{target['refId']}" for target in panel.get("targets", ())}
            )
            for step in panel.get("transformations", ()):
                if step["id"] == "organize":
                    named = {
                        name
                        for part in step["options"].values()
                        if isinstance(part, dict)
                        for name in part
                    }
                    yield from (
                        f"{uid}: {panel['title']}: no column {name}" for name in named - columns
                    )
                elif step["id"] in ("joinByField", "groupBy"):
                    fields = step["options"].get("fields", {})
                    named = {step["options"].get("byField"), *fields} - {None}
                    yield from (
                        f"{uid}: {panel['title']}: no column {name}" for name in named - columns
                    )


def strange_cells(every):
    """Yield which settings of a table are for a column that it has not,
    or hand on another label than the column's.
    """
    for uid, dashboard in every.items():
        for panel in (panel for panel in panels(dashboard) if panel["type"] == "table"):
            shown = {}
            for step in panel.get("transformations", ()):
                shown |= {new: old for old, new in step["options"].get("renameByName", {}).items()}
            for override in panel["fieldConfig"]["overrides"]:
                name = override["matcher"]["options"]
                if override["matcher"]["id"] == "byName" and name not in shown:
                    yield f"{uid}: {panel['title']}: no column {name}"
                for label in re.findall(r"var-(\w+)=\$\{__value", json.dumps(override)):
                    if shown.get(name) != label:
                        yield f"{uid}: {panel['title']}: the link of {name} hands it on as {label}"


def strange_templates(shipped, every, names):
    """Yield which labels, dashboards and variables the texts of
    alerts name without there being any.
    """
    for rule in shipped:
        texts = {**rule.get("annotations", {}), **rule.get("labels", {})}
        has = names.labels(rule["expr"]) | frozenset(rule.get("labels", {})) | OF_TARGETS
        for kind, text in texts.items():
            for label in set(re.findall(r"\$labels\.(\w+)", text)) - has:
                yield f"{rule['alert']}: {kind}: no label {label}"
        link = texts.get("dashboard", "/d/")
        uid = re.search(r"/d/([\w-]*)", link)[1] if "/d/" in link else ""
        if "alert" in rule and uid not in every:
            yield f"{rule['alert']}: no dashboard {uid!r}"
        for name in re.findall(r"[?&]var-(\w+)=", link):
            if uid in every and name not in variables(every[uid]):
                yield f"{rule['alert']}: {uid} has no variable {name}"


def unused(found, excused, names):
    """Yield which metrics of the exporter are neither used nor excused, and which are both."""
    used = set().union(*(metrics(names.tree(expression)) for _, expression in found))
    used |= {name.removesuffix(part) for name in used for part in ("_bucket", "_sum", "_count")}
    every = {metric.name for metric in METRICS} | {DAY_START.name} | set(OWN_METRICS)
    every |= {metric.name for metric in BESIDE}
    every |= {name for name in COUNTERS if name.startswith("flashback_ai_")}
    yield from (f"{name} is not used" for name in sorted(every - used - excused.keys()))
    yield from (f"{name} needs no excuse" for name in sorted(excused.keys() & used))
    yield from (f"{name} does not exist" for name in sorted(excused.keys() - every))


def test_every_name_in_dashboards_exists(names):
    """Panels, variables and annotations name metrics that there are, by labels that these have."""
    assert list(strange(expressions(DASHBOARDS), names)) == []


def test_every_name_in_rules_exists(names):
    """Recording and alerting rules name metrics that there are, by labels that these have."""
    assert list(strange(in_rules(rules()), names)) == []


def test_every_label_in_legends_links_and_tables_exists(names):
    """Legends, links and columns are made of labels that the panel's own queries return."""
    assert list(strange_columns(DASHBOARDS, names)) == []
    assert list(strange_cells(DASHBOARDS)) == []


def test_every_label_dashboard_and_variable_in_alerts_exists(names):
    """Texts of alerts fill in labels that they have, and link to dashboards by their variables."""
    assert (
        list(strange_templates([rule for rule in rules() if "alert" in rule], DASHBOARDS, names))
        == []
    )


def test_every_metric_is_used_or_excused(names):
    """Every metric of the exporter is charted, alerted on, or excused by name and reason."""
    assert list(unused([*expressions(DASHBOARDS), *in_rules(rules())], UNUSED, names)) == []
