"""The generator of the dashboards: its output is committed and orderly, its expressions right."""

import json
import re
import subprocess
from pathlib import Path

import dashboards
import pytest
import yaml
from programs import PATIENCE, tool

from exporter.demo.company import Company
from exporter.errors import Reason
from exporter.metrics import DIMENSIONS
from exporter.statistics.records import Rejection
from grafana import blocks, promql
from grafana.__main__ import FOLDER, write

GRAFANA = FOLDER.parent
DASHBOARDS = dashboards.load()
PANELS = [
    (uid, panel) for uid, dashboard in DASHBOARDS.items() for panel in dashboards.panels(dashboard)
]
HOURS = 26


def test_regenerating_changes_nothing(tmp_path):
    """The committed dashboards are exactly what `python -m grafana` writes."""
    write(tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}


def test_every_label_has_a_variable_or_is_personal():
    """No dimension is forgotten."""
    assert {*promql.LABELS, *promql.PERSONAL} == set(DIMENSIONS)


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_panels_fill_the_width(uid):
    """Panels side by side have one height and leave no gap; rows and panels are numbered from 1."""
    items = [item for row in DASHBOARDS[uid]["panels"] for item in (row, *row.get("panels", ()))]
    assert [item["id"] for item in items] == list(range(1, len(items) + 1))
    lines = {}
    for item in items:
        lines.setdefault(item["gridPos"]["y"], []).append(item["gridPos"])
    for line in lines.values():
        assert sum(place["w"] for place in line) == 24
        assert len({place["h"] for place in line}) == 1


def test_texts_are_sentences():
    """Every description ends as a sentence does, and no two panels of a dashboard share a title."""
    assert all(panel["description"].endswith(".") for _, panel in PANELS)
    assert len({(uid, panel["title"]) for uid, panel in PANELS}) == len(PANELS)


def test_graphs_ask_no_more_often_than_the_exporter():
    """Every query of a graph has a Min step; that of numbers and tables needs none."""
    for _, panel in PANELS:
        steps = {target.get("interval", "") for target in panel["targets"]}
        assert steps <= ({"5m", "15m", "1d"} if panel["type"] == "timeseries" else {""})


def test_bars_of_days_begin_at_midnight_and_go_back_a_month():
    """Bars stand to the right of midnight, in any relative time range: an hour would have none."""
    for _, panel in PANELS:
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        drawn = (custom.get("drawStyle"), custom.get("barAlignment"), panel.get("timeFrom"))
        by_day = any(target.get("interval") == "1d" for target in panel["targets"])
        assert drawn == (("bars", 1, "30d") if by_day else (None, None, None))


def test_replicas_count_once_everywhere():
    """Every sum of AI statistics is one over what replicas agree on."""
    for _, panel in PANELS:
        for target in panel["targets"]:
            if "flashback_ai_daily_" in target["expr"]:
                assert not re.search(
                    r"sum(?! by \([\w, ]+\) \(max without| \(max without)", target["expr"]
                )


def test_provisioning_matches_the_rest():
    """The data source knows the scrape interval and its Alertmanager;
    dashboards cannot be changed in the browser.
    """
    sources = yaml.safe_load(
        (GRAFANA / "provisioning/datasources/flashback.yml").read_text(encoding="utf-8")
    )
    prometheus, alertmanager = sources["datasources"]
    scraped = yaml.safe_load(
        (GRAFANA.parent / "config/prometheus/prometheus.yml").read_text(encoding="utf-8")
    )
    assert (prometheus["type"], prometheus["isDefault"]) == ("prometheus", True)
    assert prometheus["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    assert prometheus["jsonData"]["alertmanagerUid"] == alertmanager["uid"]
    boards = yaml.safe_load(
        (GRAFANA / "provisioning/dashboards/flashback.yml").read_text(encoding="utf-8")
    )
    (provider,) = boards["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)


def overrides(panel, name):
    """Return the settings of one column or line by their names."""
    parts = [
        part
        for one in panel["fieldConfig"]["overrides"]
        for part in one["properties"]
        if one["matcher"] == {"id": "byName", "options": name}
    ]
    return {part["id"]: part["value"] for part in parts}


def tables():
    """Yield every table with its place, and the names of its columns by what the queries return."""
    for uid, panel in PANELS:
        if panel["type"] == "table":
            (organized,) = (
                step["options"] for step in panel["transformations"] if step["id"] == "organize"
            )
            yield f"{uid}: {panel['title']}", panel, organized["renameByName"]


def test_tables_are_sorted_by_a_column_they_show():
    """A column that there is not would leave the rows in no order, and say nothing."""
    for place, panel, names in tables():
        assert [one["displayName"] in names.values() for one in panel["options"]["sortBy"]] == [
            True
        ], place


def test_queries_of_a_table_become_one():
    """Without merge, a table shows its first query alone."""
    for place, panel, _ in tables():
        steps = [step["id"] for step in panel["transformations"]]
        assert steps == (["merge"] if len(panel["targets"]) > 1 else []) + ["organize"], place


def test_names_lead_to_usage():
    """Every column of a label with a variable leads to Usage; names are escaped for the address."""
    for place, panel, names in tables():
        for label in set(promql.LABELS) & set(names):
            links = overrides(panel, names[label]).get("links", ())
            assert [link["url"].startswith("/d/flashback-usage?") for link in links] == [True], (
                place
            )
            assert links[0]["url"].endswith(f"&var-{label}=${{__value.text:percentencode}}"), place


def test_columns_of_numbers_have_a_unit():
    """Names stay as they are, even those that look like numbers;
    an empty cell has not the text of an empty table.
    """
    for place, panel, names in tables():
        assert panel["fieldConfig"]["defaults"]["unit"] == "string", place
        for column, name in names.items():
            given = overrides(panel, name)
            number = column.startswith("Value")
            assert ("unit" in given, given.get("noValue")) == (
                number,
                "\N{EN DASH}" if number else None,
            ), place


def test_severities_in_tables_have_the_colours_of_the_graphs():
    """Red is critical or high, orange warning or medium."""
    (column,) = (
        overrides(panel, names["severity"]) for _, panel, names in tables() if "severity" in names
    )
    (mapping,) = column["mappings"]
    colors = {name: shown["color"] for name, shown in mapping["options"].items()}
    assert colors == {
        "critical": "#E02F44",
        "warning": "#FF9830",
        "info": "#5794F2",
        "high": "#E02F44",
        "medium": "#FF9830",
        "low": "#F2CC0C",
    }


def test_lines_of_known_names_differ_in_colour():
    """Models of the demo, reasons and codes can be told apart, and no failure is green."""
    models = {record["llmModel"] for record in Company().records(20_000, 20_001 * 86_400)}
    assert [set(one) for one in (blocks.MODELS, blocks.REASONS, blocks.REJECTIONS)] == [
        models,
        set(Reason),
        set(Rejection),
    ]
    for colors in (
        blocks.MODELS,
        blocks.REASONS,
        blocks.REJECTIONS,
        blocks.CODES,
        blocks.PROVIDERS,
    ):
        assert len(set(colors.values())) == len(colors)
    assert blocks.GREEN not in {*blocks.REASONS.values(), *blocks.REJECTIONS.values()}


def test_alerts_in_graphs_show_labels_they_have():
    """A text would show the name of a label that an alert has not; tags leave it out."""
    for dashboard in DASHBOARDS.values():
        for annotation in dashboard["annotations"]["list"]:
            assert not annotation.get("textFormat")
            assert set(annotation["tagKeys"].split(",")) >= {"severity", "query", "repo_id"}


def series(name, values, *, instances=("a", "b"), **labels):
    """Return the same hourly values from some replicas, as promtool takes them."""
    for instance in instances:
        given = {"job": "j", "instance": instance, "query": "default", **labels}
        text = ",".join(f'{label}="{value}"' for label, value in given.items())
        yield {
            "series": f"flashback_ai_daily_{name}{{{text}}}",
            "values": " ".join(map(str, values)),
        }


@pytest.fixture
def evaluated(tmp_path):
    """Return a function that checks what expressions give, each at its hour,
    for a company with two models.

    The first day has 10 calls an hour of `m1` and, from noon on, 20 of `m2`; the last 7 of `m1`
    came after its last poll. A sample of the full hour at which the day ends still has the first
    day's totals under `today`.
    """
    m1 = [10 * hour for hour in range(25)]
    m2 = [max(0, 20 * (hour - 12)) for hour in range(25)]
    company = [
        *series("api_calls", [*m1, 10, 20], day="today", llm_model="m1"),
        *series("api_calls", [*m2, 20, 40], day="today", llm_model="m2"),
        *series("api_calls", [0] * 25 + [247, 247], day="yesterday", llm_model="m1"),
        *series("api_calls", [0] * 25 + [240, 240], day="yesterday", llm_model="m2"),
        *series("input_tokens", [1000 * calls for calls in m1], day="today", llm_model="m1"),
        *series("output_tokens", [200 * calls for calls in m1], day="today", llm_model="m1"),
        *series(
            "policy_violations", [hour // 2 for hour in range(25)], day="today", llm_model="m1"
        ),
        *series("latency_seconds", [1] * (HOURS + 1), day="today", llm_model="m1"),
        *series("latency_seconds", [4] * (HOURS + 1), day="today", llm_model="m2"),
        *series("start_timestamp_seconds", [0] * 25 + [86400] * 2, day="today"),
    ]

    def check(*cases, inputs=tuple(company)):
        tests = [
            {
                "expr": re.sub(r'=~"\$\w+"', '=~".*"', expr).replace("$query", "default"),
                "eval_time": f"{hour}h",
                "exp_samples": [
                    {"labels": labels, "value": value} for labels, value in samples.items()
                ],
            }
            for hour, expr, samples in cases
        ]
        test = {"interval": "1h", "input_series": inputs, "promql_expr_test": tests}
        path = Path(tmp_path) / "expressions.yml"
        path.write_text(json.dumps({"tests": [test]}), encoding="utf-8")
        command = [tool("promtool"), "test", "rules", path]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return check


def by_model(m1, m2):
    """Return the samples of the two models."""
    return {'{llm_model="m1"}': m1, '{llm_model="m2"}': m2}


def test_today_and_yesterday(evaluated):
    """Totals count replicas once; yesterday at the same time is what today was a day ago."""
    evaluated(
        (26, promql.today("api_calls", "llm_model"), by_model(20, 40)),
        (26, promql.yesterday("api_calls"), {"{}": 487}),
        (26, promql.same_time_yesterday("api_calls"), {"{}": 20}),
    )


def test_latency_is_weighted_by_calls(evaluated):
    """At 18:00 there are 180 calls of one second and 120 of four."""
    evaluated(
        (18, promql.latency(), {"{}": 2.2}), (18, promql.latency("llm_model"), by_model(1, 4))
    )


def test_calls_of_the_last_hour(evaluated):
    """Within a day they are a difference of totals; around midnight,
    what yesterday still gained is part of them.
    """
    calls = promql.last_hour("api_calls", "llm_model")
    evaluated((18, calls, by_model(10, 20)), (25, calls, by_model(10 + 7, 20)))


@pytest.mark.parametrize(
    ("left", "came"),
    [(36, 36), (49, 36), (48, 48)],
    ids=["redeployed", "second replica", "redeployed at midnight"],
)
def test_a_new_exporter_adds_no_day(evaluated, left, came):
    """One that starts brings all of yesterday with it; none of that is of the last hour."""
    day = [10 * hour for hour in range(24)]
    shown = {"a": (day + day + [0], 0, left), "b": (day + day + [0], came, 49)}
    inputs = []
    for instance, (today, first, last) in shown.items():
        yesterday, start = [0] * 24 + [247] * 24 + [233], [0] * 24 + [86_400] * 24 + [172_800]
        for name, values, labels in (
            ("api_calls", today, {"day": "today"}),
            ("api_calls", yesterday, {"day": "yesterday"}),
            ("start_timestamp_seconds", start, {"day": "today"}),
        ):
            seen = [value if first <= hour < last else "_" for hour, value in enumerate(values)]
            inputs += series(name, seen, instances=(instance,), **labels)
    calls = promql.last_hour("api_calls")
    evaluated(
        *((hour, calls, {"{}": 10}) for hour in (30, 35, 36, 37)),
        (24, calls, {"{}": 17}),
        (48, calls, {"{}": 3}),
        inputs=inputs,
    )


def test_ratios_and_sums(evaluated):
    """At 18:00 there are 300 calls, 9 violations, 180,000 input and 36,000 output tokens."""
    violations = promql.per(
        promql.today("policy_violations"), promql.today("api_calls"), factor=1000
    )
    evaluated(
        (18, violations, {"{}": 30}),
        (
            18,
            promql.per(promql.today("policy_violations"), promql.today("api_calls")),
            {"{}": 0.03},
        ),
        (18, promql.tokens(), {"{}": 216_000}),
        (
            18,
            promql.per(promql.tokens("llm_model"), promql.today("api_calls", "llm_model")),
            {'{llm_model="m1"}': 1200},
        ),
        (0, promql.per(promql.today("policy_violations"), promql.today("api_calls")), {}),
    )


def test_rates_are_per_hour(evaluated):
    """A counter that gains 12 an hour shows 12."""
    counted = [{"series": 'c_total{job="j", instance="a"}', "values": "0+12x20"}]
    evaluated(
        (18, promql.hourly("c_total").replace("$__rate_interval", "4h"), {"{}": 12}), inputs=counted
    )


def test_bars_of_days(evaluated):
    """At its midnight each day has its own highest total:
    a late sample at the next midnight is still the first's.
    """
    calls = promql.each_day("api_calls", "llm_model")
    evaluated(
        (0, calls, by_model(240, 240)),
        (24, calls, by_model(20, 40)),
        (26, promql.today("api_calls"), {"{}": 60}),
    )


def test_labels_that_are_missing_have_a_name(evaluated):
    """A query without a label shows as one row."""
    calls = promql.named(promql.today("api_calls", "repo_id"), "repo_id")
    evaluated((26, calls, {'{repo_id="(none)"}': 60}))
