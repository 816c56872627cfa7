"""The shipped dashboards: how they are built, what they ask, and that Prometheus has an answer."""

import json
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import dashboards
import programs
import pytest
import yaml
from dashboards import interpolated, panels, seconds, targets, variables
from expressions import drops, matchers, metrics, selectors, walk
from history.company import SIZES, SizedCompany
from names import COUNTERS, reading

from exporter.metrics import DAY_START, METRICS
from exporter.output.beside import BESIDE
from mixin.promql import REPLICA

UIDS = ["flashback-exporter", "flashback-governance", "flashback-overview", "flashback-usage"]
LABELS = ("repo_id", "ai_llm_id", "repo_ai_api_key_id", "llm_type", "llm_model", "host")
CHAIN = dict.fromkeys(UIDS, ("datasource", "job", "instance", "query", *LABELS))
CHAIN["flashback-exporter"] = ("datasource", "job", "instance", "query")
DAILY = {metric.name for metric in METRICS}
BY_SEVERITY = {metric.name for metric in METRICS if metric.split_by == "severity"}
POLL_INTERVAL = 300
UNNARROWED = {"ALERTS", "ALERTS_FOR_STATE"} | {metric.name for metric in BESIDE}
COMPARED = ("stat", "gauge", "bargauge", "table", "piechart")
RATES = ("rate", "irate", "increase")

END = 1_763_053_980  # 2025-11-13 17:13 UTC, minutes after a burst of violations in this company
SEED = 69
RANGES = ("1h", "24h", "7d", "30d")
MAY_BE_EMPTY = {
    ("flashback-usage", "Conversations/A"): "no query of the demo has the label conversation_uuid",
    **dict.fromkeys(
        [
            ("flashback-usage", "Calls by repository/B"),
            ("flashback-usage", "Tokens by API key/B"),
            ("flashback-governance", "Violations by API key/B"),
        ],
        "nobody is left beside the ten with the most",
    ),
}
"""Queries without data, and why. One that has data all the same must go."""
DAY = 86_400_000
BARS = "Calls per day"
CHOSEN = {"job": ".+", "instance": ".+", "query": "default", **dict.fromkeys(LABELS, ".*")}
EXCUSED = yaml.safe_load((dashboards.FOLDER / ".lint").read_text())["exclusions"]
"""What dashboard-linter is told to leave alone."""

DASHBOARDS = dashboards.load()
each = pytest.mark.parametrize("uid", UIDS)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Have a process of its own make a month of history; return its folder."""
    programs.tool("prometheus")
    folder = tmp_path_factory.mktemp("history")
    place = folder / "data", "--size", "small", "--end", str(END), "--seed", str(SEED)
    command = (sys.executable, "-m", "history", *place)
    support = Path(programs.__file__).parent
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=150, cwd=support)
    return folder


@pytest.fixture(scope="module")
def prometheus(history):
    """Run a Prometheus on the history; return it."""
    with programs.prometheus(history, "{}", "--storage.tsdb.retention.time=100y") as running:
        yield running


@pytest.fixture(scope="module")
def victoria_metrics(history, tmp_path_factory):
    """Run VictoriaMetrics on the same; return it."""
    folder = tmp_path_factory.mktemp("victoria")
    with programs.victoria_metrics(folder, history / "data") as running:
        yield running


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Return what there is to know about metrics and expressions."""
    with reading(tmp_path_factory.mktemp("names")) as known:
        yield known


def where(panel, target=None):
    """Name a panel, and a query of it, in a message."""
    return f"{panel['title']}/{target['refId']}" if target else panel["title"]


def trees(dashboard, names):
    """Yield every query of a dashboard with its panel and its tree."""
    for panel, target in targets(dashboard):
        yield panel, target, names.tree(target["expr"])


def rows(dashboard):
    """Return the rows of a dashboard."""
    return [panel for panel in dashboard["panels"] if panel["type"] == "row"]


def data_sources(node):
    """Yield every data source that is named anywhere."""
    if isinstance(node, dict):
        if "datasource" in node:
            yield node["datasource"]
        for value in node.values():
            yield from data_sources(value)
    elif isinstance(node, list):
        for value in node:
            yield from data_sources(value)


def frame(uid, dashboard):
    """Yield what is wrong with a dashboard as a whole."""
    wanted = {"uid": uid, "editable": False, "timezone": "utc"}
    yield from (
        f"{name} is {dashboard.get(name)!r}"
        for name, value in wanted.items()
        if dashboard.get(name) != value
    )
    if "flashback" not in dashboard["tags"]:
        yield "no tag flashback"
    yield from (
        f"no {name}"
        for name in ("title", "description", "refresh", "schemaVersion")
        if not dashboard.get(name)
    )
    if not any(
        link["type"] == "dashboards" and "flashback" in link["tags"] for link in dashboard["links"]
    ):
        yield "no link to the other dashboards"
    for link in dashboard["links"]:
        if not (link["includeVars"] and link["keepTime"]):
            yield f"link {link['title']!r} keeps not both time and variables"
    annotations = [
        one
        for one in dashboard["annotations"]["list"]
        if re.match(r"ALERTS\b", one.get("expr", ""))
    ]
    if not any(one["enable"] for one in annotations):
        yield "no annotation for alerts"
    numbers = Counter(panel["id"] for panel in [*rows(dashboard), *panels(dashboard)])
    yield from (f"id {number} {count} times" for number, count in numbers.items() if count > 1)


def sources(dashboard):
    """Yield what is wrong with how a dashboard finds its data source."""
    found = [
        variable for variable in variables(dashboard).values() if variable["type"] == "datasource"
    ]
    if [(one["name"], one["query"]) for one in found] != [("datasource", "prometheus")]:
        yield "not exactly one variable for a data source, named datasource, for Prometheus"
    for source in data_sources(dashboard):
        if not isinstance(source, dict) or source.get("uid") not in (
            "${datasource}",
            "$datasource",
        ):
            yield f"data source {source!r}"
    for kind, things in (
        ("panel", panels(dashboard)),
        ("annotation", dashboard["annotations"]["list"]),
        ("variable", [one for one in variables(dashboard).values() if one["type"] == "query"]),
    ):
        yield from (
            f"{kind} {one.get('title') or one['name']} has no data source"
            for one in things
            if "datasource" not in one
        )


def chain(uid, dashboard):
    """Yield what is wrong with the chain of variables."""
    found = variables(dashboard)
    if tuple(found) != CHAIN[uid]:
        yield f"variables {', '.join(found)}"
    before = []
    for name, variable in found.items():
        if variable["type"] != "query":
            continue
        query = (
            variable["query"]["query"] if isinstance(variable["query"], dict) else variable["query"]
        )
        yield from (
            f"{name} is not narrowed by {other}" for other in before if f"${other}" not in query
        )
        if variable.get("refresh") != 2:
            yield f"{name} is not read again when the time range changes"
        many = variable.get("includeAll") and variable.get("multi")
        wanted = ".*" if name in LABELS else ".+"
        if name != "query" and not many:
            yield f"{name}: not several can be chosen"
        if many and variable.get("allValue") != wanted:
            yield f"{name}: allValue is {variable.get('allValue')!r}, not {wanted!r}"
        before.append(name)


def texts(dashboard):
    """Yield which panels and rows lack what a reader needs."""
    for panel in panels(dashboard):
        if not panel.get("title"):
            yield f"panel {panel['id']} has no title"
        if not panel.get("description"):
            yield f"{where(panel)}: no description"
        if panel["type"] != "text":
            defaults = panel["fieldConfig"]["defaults"]
            yield from (
                f"{where(panel)}: no {name}"
                for name in ("unit", "noValue")
                if not defaults.get(name)
            )
            if not defaults.get("color", {}).get("mode"):
                yield f"{where(panel)}: no colour chosen"
            if not panel.get("targets"):
                yield f"{where(panel)}: no query"
    for row in rows(dashboard):
        if not row["title"].endswith("?"):
            yield f"row {row['title']!r} is not a question"


def instants(dashboard):
    """Yield which compared numbers are not instant queries, and which queries nobody sees."""
    for panel in panels(dashboard):
        if (
            panel["type"] in COMPARED
            and panel.get("options", {}).get("graphMode", "none") == "none"
        ):
            for target in panel["targets"]:
                if not target.get("instant") or target.get("range"):
                    yield f"{where(panel, target)}: compared, but not an instant query"
        yield from (
            f"{where(panel, one)}: hidden" for one in panel.get("targets", ()) if one.get("hide")
        )


def places(dashboard):
    """Yield which panels stand outside the grid or on one another."""
    taken = {}
    for panel in [*panels(dashboard), *rows(dashboard)]:
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            yield f"{where(panel)}: too wide"
        for place in (
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ):
            if taken.setdefault(place, panel["id"]) != panel["id"]:
                yield f"{where(panel)}: over panel {taken[place]}"
                break


def links(dashboard, every):
    """Yield which links of panels lead nowhere, or lose the time range or variables."""
    own = set(variables(dashboard))
    for panel in panels(dashboard):
        for url in re.findall(r'"url": "([^"]*)"', json.dumps(panel)):
            match = re.match(r"/d/([\w-]+)\?", url)
            if not match or match[1] not in every:
                yield f"{where(panel)}: leads nowhere: {url}"
                continue
            there = set(variables(every[match[1]]))
            kept = set(re.findall(r"\$\{(\w+):queryparam\}", url))
            given = set(re.findall(r"[?&]var-(\w+)=", url))
            if "${__url_time_range}" not in url:
                yield f"{where(panel)}: loses the time range: {url}"
            yield from (f"{where(panel)}: {name} is no variable here" for name in kept - own)
            yield from (f"{where(panel)}: {name} is no variable there" for name in given - there)
            yield from (f"{where(panel)}: loses {name}" for name in (own & there) - kept - given)


def days(dashboard, names):
    """Yield which queries could count the days of a total more than once, or say nothing of UTC."""
    for panel, target, tree in trees(dashboard, names):
        for selector, above in selectors(tree):
            if selector["name"] not in DAILY | {DAY_START.name}:
                continue
            fixed = matchers(selector).get("day", ("", ""))[0] == "="
            if not fixed and any(
                drops(node, "day") for node in above if node["type"] == "aggregation"
            ):
                yield f"{where(panel, target)}: adds up the days of {selector['name']}"
        if metrics(tree) & DAILY and "UTC" not in panel["description"]:
            yield f"{where(panel)}: its description does not say that days are UTC days"


def queries(dashboard, names):
    """Yield which selectors ignore the chosen target, query or labels, or add up queries."""
    known = set(variables(dashboard)) - {"datasource"}
    for panel, target, tree in trees(dashboard, names):
        for selector, above in selectors(tree):
            name, found = selector["name"], matchers(selector)
            if name not in names:
                continue  # which the check of names says
            has = names.labels_of(name)
            for label in sorted(
                known & (has & {"job", "instance", "query"} if name in UNNARROWED else has)
            ):
                of_statistics = name.startswith("flashback_ai_") or ":" in name
                if f"${label}" not in found.get(label, ("", ""))[1]:
                    yield f"{where(panel, target)}: {name} has no matcher for {label}"
                elif label == "query" and of_statistics and found[label][0] != "=":
                    adds = [
                        node
                        for node in above
                        if node["type"] == "aggregation" and node["op"] not in ("max", "min")
                    ]
                    if any(drops(node, "query") for node in adds):
                        yield f"{where(panel, target)}: adds up the queries of {name}"


def severities(dashboard, names):
    """Yield where violations by severity and all violations are added up,
    or drawn on top of one another.
    """
    drawn = {}
    for panel, target, tree in trees(dashboard, names):
        for node, _ in walk(tree):
            if node["type"] == "binaryExpr" and node["op"] in ("+", "or"):
                sides = [kinds(metrics(node["lhs"]), names), kinds(metrics(node["rhs"]), names)]
                if {"split", "plain"} <= sides[0] | sides[1]:
                    yield f"{where(panel, target)}: adds up violations and the same by severity"
        if any(
            matchers(selector).get("__name__", ("=",))[0] != "=" for selector, _ in selectors(tree)
        ):
            yield f"{where(panel, target)}: chooses metrics by a pattern"
        drawn.setdefault(panel["id"], (panel, set()))[1].update(kinds(metrics(tree), names))
    for panel, found in drawn.values():
        stacking = (
            panel["fieldConfig"]["defaults"]
            .get("custom", {})
            .get("stacking", {})
            .get("mode", "none")
        )
        if {"split", "plain"} <= found and stacking != "none":
            yield f"{where(panel)}: stacks violations and the same by severity"


def kinds(found, names):
    """Say whether metrics count violations by severity (`split`) or all of them (`plain`)."""
    of_violations = {name for name in found if "policy_violations" in name and name in names}
    split = {name for name in of_violations if "severity" in names.labels_of(name)}
    return {"split" for _ in split} | {"plain" for _ in of_violations - split}


def bars(dashboard, names):
    """Yield which bars for days do not stand on their own day, or are not of its end."""
    for panel, target, tree in trees(dashboard, names):
        drawn = panel["fieldConfig"]["defaults"].get("custom", {}).get("drawStyle")
        if (drawn == "bars") != (target.get("interval") == "1d") and "@ end()" not in target[
            "expr"
        ]:
            yield f"{where(panel, target)}: Min step 1d and bars belong together"
        for selector, above in selectors(tree) if drawn == "bars" else ():
            day = matchers(selector)["day"][1]
            inside = [node for node in above if node["type"] == "subquery"]
            if not (inside or selector.get("startOrEnd")):
                yield f"{where(panel, target)}: {selector['name']} of another moment"
            for node in inside:
                if (day, node["range"], node["offset"]) != ("yesterday", DAY, -2 * DAY):
                    yield f"{where(panel, target)}: not the end of a closed day"


def rates(dashboard, names):
    """Yield which rates are not those of a counter, or are taken over less than some polls."""
    for panel, target, tree in trees(dashboard, names):
        for node, _ in walk(tree):
            name = node.get("func", {}).get("name")
            if name in RATES:
                wrong = metrics(node) - COUNTERS
                yield from (
                    f"{where(panel, target)}: {name} of {one}, which is no counter" for one in wrong
                )
            elif name in ("delta", "idelta", "deriv", "predict_linear"):
                yield f"{where(panel, target)}: {name} extrapolates"
        least = seconds(target.get("interval", ""))
        if "$__rate_interval" in target["expr"] and least < POLL_INTERVAL:
            fault = "$__rate_interval with a Min step below the poll interval"
            yield f"{where(panel, target)}: {fault}"


def replicas(dashboard, names):
    """Yield which statistics are added up before what several exporters report counts once."""
    for panel, target, tree in trees(dashboard, names):
        for selector, above in selectors(tree):
            adds = [node for node in above if node.get("op") == "sum"]
            if not (adds and selector["name"].startswith("flashback_ai_")):
                continue
            around = above[above.index(adds[-1]) + 1 :]
            once = [node for node in around if node.get("op") == "max" and node["without"]]
            if not once or set(once[0]["grouping"]) != set(REPLICA.split(", ")):
                yield f"{where(panel, target)}: {selector['name']} counts more than once"
            elif any(node.get("func", {}).get("name") in RATES for node in above) and not any(
                node.get("func", {}).get("name") in RATES for node in around
            ):
                yield f"{where(panel, target)}: increase after max"


def linted(dashboard, names):
    """Yield what dashboard-linter would say, which looks for job and instance in every selector."""
    for name, label in (("job", "Job"), ("instance", "Instance")):
        variable = variables(dashboard)[name]
        wanted = (label, True, True, ".+", "query")
        given = tuple(
            variable.get(key) for key in ("label", "multi", "includeAll", "allValue", "type")
        )
        if given != wanted:
            yield f"variable {name}: {given}"
    for rule, label in (("target-job-rule", "job"), ("target-instance-rule", "instance")):
        lacking = {
            panel["title"]
            for panel, _, tree in trees(dashboard, names)
            for selector, _ in selectors(tree)
            if matchers(selector).get(label) != ("=~", f"${label}")
        }
        excused = {
            entry["panel"]
            for entry in EXCUSED[rule]["entries"]
            if entry["dashboard"] == dashboard["title"]
        }
        yield from (f"{title}: a selector without {label}" for title in lacking - excused)
        yield from (f"{title}: needs no excuse from {rule}" for title in excused - lacking)
        alone = {"ALERTS", "ALERTS_FOR_STATE"}
        for panel, target, tree in trees(dashboard, names):
            for selector, _ in selectors(tree):
                recorded = label == "instance" and ":" in selector["name"]
                if selector["name"] in alone or recorded:
                    continue
                if matchers(selector).get(label) != ("=~", f"${label}"):
                    yield f"{where(panel, target)}: {selector['name']} has no {label}"


def colours(dashboard, names):
    """Yield which severities have no fixed colour, and under None the colours that there are."""
    found = {}
    for panel, target, tree in trees(dashboard, names):
        if panel["type"] not in ("timeseries", "piechart", "bargauge") or "split" not in kinds(
            metrics(tree), names
        ):
            continue
        fixed = {
            override["matcher"]["options"]: part["value"]["fixedColor"]
            for override in panel["fieldConfig"]["overrides"]
            for part in override["properties"]
            if override["matcher"]["id"] == "byName" and part["id"] == "color"
        }
        for severity in ("low", "medium", "high"):
            colour = next((fixed[name] for name in fixed if name.lower() == severity), None)
            if colour is None:
                yield f"{where(panel, target)}: no colour for {severity}"
            elif found.setdefault(severity, colour) != colour:
                yield f"{where(panel, target)}: another colour for {severity}"


def answers(prometheus, dashboard, length, *, everything=True):
    """Yield what Prometheus has against a dashboard's queries, and which of them get no data."""
    uid, span = dashboard["uid"], seconds(length)
    choices = {}

    def choose(expression):
        pinned = {"query": "users"} if "user_uuid" in expression else {}
        key = tuple(pinned)
        if key not in choices:
            values, problems = dashboards.chosen(
                dashboard, prometheus, END - span, END, everything=everything, pinned=pinned
            )
            choices[key] = values
            yield from (problem for problem in problems if not (pinned and "no values" in problem))
        return choices[key]

    for annotation in dashboard["annotations"]["list"]:
        values = yield from choose(annotation["expr"])
        target = {"interval": annotation.get("step", ""), "expr": annotation["expr"]}
        said, found = ask(prometheus, {"gridPos": {"w": 24}}, target, span, values)
        yield from (f"annotation {annotation['name']}: {text}" for text in said)
        if not found and length == "30d":  # there need not be alerts on a quiet day
            yield f"annotation {annotation['name']}: no data"
    for panel, target in targets(dashboard):
        values = yield from choose(target["expr"])
        own = dashboards.span_of(panel, span, END)
        said, found = ask(prometheus, panel, target, own, values)
        yield from (f"{where(panel, target)}: {text}" for text in said)
        excused = (uid, where(panel, target)) in MAY_BE_EMPTY
        if everything and bool(found) == excused:
            fault = "has data, so needs no excuse" if found else "no data"
            yield f"{where(panel, target)}: {fault}"
        shown = {name for series in found for name in series["metric"]}
        for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", target.get("legendFormat") or ""):
            if found and label not in shown:
                yield f"{where(panel, target)}: the legend names {label}, which no series has"


def ask(prometheus, panel, target, span, values):
    """Ask one query as Grafana would and return objections and the series that have a number."""
    step = dashboards.step_of(panel, target, span)
    scrape = seconds(target.get("interval") or "") or dashboards.SCRAPE_INTERVAL
    expression = interpolated(target["expr"], values | dashboards.built_in(step, span, scrape))
    said = [f"{name} has no value" for name in dashboards.unresolved(expression)]
    if target.get("instant"):
        answer = dashboards.asked(prometheus, "query", query=expression, time=END)
    else:
        start, end = ((moment // step) * step for moment in (END - span, END))
        answer = dashboards.asked(
            prometheus, "query_range", query=expression, start=start, end=end, step=step
        )
    found = answer.get("data", {}).get("result", [])
    numbers = [
        series
        for series in found
        if any(
            not math.isnan(float(value)) for _, value in series.get("values") or [series["value"]]
        )
    ]
    return said + dashboards.objections(answer), numbers


def test_there_are_four():
    """Each file is a dashboard with the uid of its name, and there are exactly these four,
    with titles of their own.
    """
    assert sorted(DASHBOARDS) == UIDS
    assert len({dashboard["title"] for dashboard in DASHBOARDS.values()}) == 4


@each
def test_it_is_provisioned_not_edited(uid):
    """Uid, tags, UTC, refresh, links, annotations for alerts and ids are fixed;
    nobody edits it in Grafana.
    """
    assert list(frame(uid, DASHBOARDS[uid])) == []


@each
def test_no_data_source_is_hard_coded(uid):
    """Everything asks the data source that the one variable names."""
    assert list(sources(DASHBOARDS[uid])) == []


@each
def test_variables_are_chained(uid):
    """Each variable is narrowed by those before it; All keeps series that lack a label,
    but never lacks a target.
    """
    assert list(chain(uid, DASHBOARDS[uid])) == []


@each
def test_every_panel_explains_itself(uid):
    """Every panel has a title, a description, a unit, a text for no value and chosen colours;
    rows are questions.
    """
    assert list(texts(DASHBOARDS[uid])) == []


@each
def test_numbers_that_are_compared_are_of_one_moment(uid):
    """Numbers, bars side by side and tables are instant queries, and no query is hidden."""
    assert list(instants(DASHBOARDS[uid])) == []


@each
def test_panels_stand_side_by_side(uid):
    """No panel covers another or leaves the grid."""
    assert list(places(DASHBOARDS[uid])) == []


@each
def test_links_keep_time_and_variables(uid):
    """A link of a panel leads to a shipped dashboard and hands on the time
    range and every variable both have.
    """
    assert list(links(DASHBOARDS[uid], DASHBOARDS)) == []


@each
def test_no_day_counts_twice(uid, names):
    """Day totals are of one day, or grouped by day; their panels say that a day is a UTC day."""
    assert list(days(DASHBOARDS[uid], names)) == []


@each
def test_every_selector_is_narrowed(uid, names):
    """Every selector follows the variables of its labels, and no two queries are added up."""
    assert list(queries(DASHBOARDS[uid], names)) == []


@each
def test_no_severity_counts_twice(uid, names):
    """Violations by severity are neither added to nor stacked on all violations."""
    assert list(severities(DASHBOARDS[uid], names)) == []


@each
def test_bars_stand_on_their_own_day(uid, names):
    """A bar for a day is its final total or that so far, drawn at the day's midnight."""
    assert list(bars(DASHBOARDS[uid], names)) == []


@each
def test_rates_are_of_counters(uid, names):
    """Only counters have a rate, over a window of several polls."""
    assert list(rates(DASHBOARDS[uid], names)) == []


@each
def test_replicas_count_once(uid, names):
    """Sums are over what several exporters agree on, and increases are taken before that."""
    assert list(replicas(DASHBOARDS[uid], names)) == []


@each
def test_the_linter_of_the_field_is_content(uid, names):
    """Variables and matchers are as dashboard-linter wants them.

    Recorded series count instances once and have no such label; panels on ALERTS are excused.
    """
    assert list(linted(DASHBOARDS[uid], names)) == []


def test_severities_have_one_colour_each(names):
    """Low, medium and high look the same wherever they are drawn."""
    every = {
        "uid": "",
        "panels": [panel for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]],
    }
    assert list(colours(every, names)) == []


def test_the_history_is_what_prometheus_would_have_scraped(prometheus):
    """It has no gap of five minutes in a month, and shows the company's sums as last polled."""

    def now(expression):
        [series] = dashboards.asked(prometheus, "query", query=expression, time=END)["data"][
            "result"
        ]
        return float(series["value"][1])

    assert now("count_over_time(present_over_time(up[5m])[30d:1m])") == 30 * 24 * 60
    polled = now('flashback_exporter_last_success_timestamp_seconds{query="default"}')
    records = [*SizedCompany(SIZES["small"], SEED).records(END // 86_400, polled)]
    for metric, field in (("api_calls", "apiCalls"), ("policy_violations", "policyViolations")):
        shown = now(f'sum(flashback_ai_daily_{metric}{{query="default", day="today"}})')
        assert shown == sum(record[field] for record in records) > 0


def test_bars_of_closed_days_are_the_company_s_totals(prometheus):
    """Each closed day's bar is what the company did on it; only today has another one."""
    [panel] = [one for one in panels(DASHBOARDS["flashback-overview"]) if one["title"] == BARS]
    drawn = {}
    for target in panel["targets"]:
        _, found = ask(prometheus, panel, target, dashboards.span_of(panel, 0, END), CHOSEN)
        for series in found:
            for midnight, value in series["values"]:
                bars = drawn.setdefault(midnight // 86_400, {})
                bars.setdefault(target["refId"], []).append(float(value))
    today = END // 86_400
    company = SizedCompany(SIZES["small"], SEED)
    assert set(drawn) == set(range(today - 29, today + 1))
    assert set(drawn.pop(today)) == {"B"}
    for day, bars in drawn.items():
        records = company.records(day, (day + 1) * 86_400)
        assert bars.keys() == {"A"}
        assert sum(bars["A"]) == sum(record["apiCalls"] for record in records), day


@each
@pytest.mark.parametrize("length", RANGES)
def test_prometheus_answers_every_query(prometheus, uid, length):
    """Every query of panels, variables and annotations gives data, and no error or remark."""
    assert list(answers(prometheus, DASHBOARDS[uid], length)) == []


@each
def test_prometheus_answers_where_one_value_is_chosen(prometheus, uid):
    """With one value chosen in every variable, no query is wrong, though some may find nothing."""
    assert list(answers(prometheus, DASHBOARDS[uid], "24h", everything=False)) == []


def numbers(found):
    """Return the sum of each series' numbers by its labels."""
    return {
        tuple(sorted(series["metric"].items())): math.fsum(
            float(value)
            for _, value in series.get("values") or [series["value"]]
            if not math.isnan(float(value))
        )
        for series in found
    }


@each
@pytest.mark.parametrize("length", RANGES[1:])
def test_victoria_metrics_answers_alike(prometheus, victoria_metrics, uid, length):
    """It gives the same series, with nearly the same numbers: a rate is taken another way there."""
    dashboard, span = DASHBOARDS[uid], seconds(length)
    values, _ = dashboards.chosen(
        dashboard, prometheus, END - span, END, everything=True, pinned={}
    )
    others, problems = dashboards.chosen(
        dashboard, victoria_metrics, END - span, END, everything=True, pinned={}
    )
    assert (others, problems) == (values, [])
    for panel, target in targets(dashboard):
        own = dashboards.span_of(panel, span, END)
        said, found = ask(victoria_metrics, panel, target, own, values)
        _, wanted = ask(prometheus, panel, target, own, values)
        assert said == [], where(panel, target)
        alike = 0.25 if "rate(" in target["expr"] else 0.05
        assert numbers(found) == pytest.approx(numbers(wanted), rel=alike), where(panel, target)
