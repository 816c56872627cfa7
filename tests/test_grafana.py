"""The generator of the dashboards: what it writes is committed, looks orderly, and its expressions count right."""

import json
import re
import subprocess
from pathlib import Path

import dashboards
import pytest
import yaml
from programs import PATIENCE, tool

from exporter.metrics import DIMENSIONS
from grafana import promql
from grafana.__main__ import FOLDER, write

GRAFANA = FOLDER.parent
DASHBOARDS = dashboards.load()
PANELS = [(uid, panel) for uid, dashboard in DASHBOARDS.items() for panel in dashboards.panels(dashboard)]
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
    """Bars stand to the right of their midnight, in any relative time range: an hour would have none."""
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
                assert not re.search(r"sum(?! by \([\w, ]+\) \(max without| \(max without)", target["expr"])


def test_provisioning_matches_the_rest():
    """The data source knows the scrape interval and its Alertmanager; dashboards cannot be changed in the browser."""
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/flashback.yml").read_text(encoding="utf-8"))
    prometheus, alertmanager = sources["datasources"]
    scraped = yaml.safe_load((GRAFANA.parent / "config/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert (prometheus["type"], prometheus["isDefault"]) == ("prometheus", True)
    assert prometheus["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    assert prometheus["jsonData"]["alertmanagerUid"] == alertmanager["uid"]
    boards = yaml.safe_load((GRAFANA / "provisioning/dashboards/flashback.yml").read_text(encoding="utf-8"))
    (provider,) = boards["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)


def series(name, values, **labels):
    """Return the same hourly values from two replicas, as promtool takes them."""
    for instance in ("a", "b"):
        given = {"job": "j", "instance": instance, "query": "default", **labels}
        text = ",".join(f'{label}="{value}"' for label, value in given.items())
        yield {"series": f"flashback_ai_daily_{name}{{{text}}}", "values": " ".join(map(str, values))}


@pytest.fixture
def evaluated(tmp_path):
    """Return a function that checks what expressions give, each at its hour, for a company with two models.

    The first day has 10 calls an hour of `m1` and, from noon on, 20 of `m2`; the last 7 of `m1` came after its last
    poll. A sample of the full hour at which the day ends still has the first day's totals under `today`.
    """
    m1 = [10 * hour for hour in range(25)]
    m2 = [max(0, 20 * (hour - 12)) for hour in range(25)]
    inputs = [
        *series("api_calls", [*m1, 10, 20], day="today", llm_model="m1"),
        *series("api_calls", [*m2, 20, 40], day="today", llm_model="m2"),
        *series("api_calls", [0] * 25 + [247, 247], day="yesterday", llm_model="m1"),
        *series("api_calls", [0] * 25 + [240, 240], day="yesterday", llm_model="m2"),
        *series("latency_seconds", [1] * (HOURS + 1), day="today", llm_model="m1"),
        *series("latency_seconds", [4] * (HOURS + 1), day="today", llm_model="m2"),
        *series("start_timestamp_seconds", [0] * 25 + [86400] * 2, day="today"),
    ]

    def check(*cases):
        tests = [
            {
                "expr": re.sub(r'=~"\$\w+"', '=~".*"', expr).replace("$query", "default"),
                "eval_time": f"{hour}h",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
            }
            for hour, expr, samples in cases
        ]
        test = {"interval": "1h", "input_series": inputs, "promql_expr_test": tests}
        path = Path(tmp_path) / "expressions.yml"
        path.write_text(json.dumps({"tests": [test]}), encoding="utf-8")
        command = [tool("promtool"), "test", "rules", path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
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
    evaluated((18, promql.latency(), {"{}": 2.2}), (18, promql.latency("llm_model"), by_model(1, 4)))


def test_calls_of_the_last_hour(evaluated):
    """Within a day they are a difference of totals; around midnight, what yesterday still gained is part of them."""
    calls = promql.last_hour("api_calls", "llm_model")
    evaluated((18, calls, by_model(10, 20)), (25, calls, by_model(10 + 7, 20)))


def test_bars_of_days(evaluated):
    """At its midnight each day has its own highest total: a late sample at the next midnight is still the first's."""
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
