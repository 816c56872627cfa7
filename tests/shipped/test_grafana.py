"""The generator of the dashboards: its output is committed and orderly, its expressions right."""

import json
import re
import subprocess
from pathlib import Path

import dashboards
import pytest
import yaml
from programs import PATIENCE, tool

from exporter.demo.organisation import MODELS
from exporter.errors import Reason
from exporter.metrics import DIMENSIONS
from exporter.statistics.records import Rejection
from grafana import looks, past, promql
from grafana import names as of_ids
from grafana.__main__ import FOLDER, write

GRAFANA = FOLDER.parent
DASHBOARDS = dashboards.load()
PANELS = [
    (uid, panel) for uid, dashboard in DASHBOARDS.items() for panel in dashboards.panels(dashboard)
]


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
    """Panels side by side have one height and leave no gap."""
    items = [item for row in DASHBOARDS[uid]["panels"] for item in (row, *row.get("panels", ()))]
    lines = {}
    for item in items:
        lines.setdefault(item["gridPos"]["y"], []).append(item["gridPos"])
    for line in lines.values():
        assert sum(place["w"] for place in line) == 24
        assert len({place["h"] for place in line}) == 1


@pytest.mark.parametrize(
    ("uid", "title", "number"),
    [
        ("flashback-overview", "Violations per day", 13),
        ("flashback-usage", "Repositories", 6),
        ("flashback-governance", "High severity", 3),
        ("flashback-exporter", "Queries", 11),
    ],
)
def test_panels_keep_their_numbers(uid, title, number):
    """Links to one panel, and panels that others embed, go on."""
    assert number in [panel["id"] for at, panel in PANELS if (at, panel["title"]) == (uid, title)]


def test_texts_are_sentences():
    """Every description ends as a sentence does, and no two panels of a dashboard share a title."""
    assert all(panel["description"].endswith(".") for _, panel in PANELS)
    assert len({(uid, panel["title"]) for uid, panel in PANELS}) == len(PANELS)


def test_graphs_ask_no_more_often_than_the_exporter():
    """Every query of a graph has a Min step; that of numbers and tables needs none."""
    for _, panel in PANELS:
        steps = {target.get("interval", "") for target in panel["targets"]}
        assert steps <= ({"5m", "15m", "1h", "1d"} if panel["type"] == "timeseries" else {""})


def test_bars_of_days_begin_at_midnight_and_go_back_a_month():
    """The first of thirty bars is whole, in any relative time range: an hour would have none."""
    for _, panel in PANELS:
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        if custom.get("drawStyle") == "bars":
            assert (custom["barAlignment"], panel["timeFrom"]) == (1, "29d/d"), panel["title"]


def test_legends_say_last_and_most_and_how_much_in_all():
    """Where a total makes no sense, they have the mean."""
    for _, panel in PANELS:
        if panel["type"] == "timeseries":
            calcs = panel["options"]["legend"]["calcs"]
            assert calcs[:2] == ["lastNotNull", "max"], panel["title"]
            assert calcs[2] in ("sum", "mean"), panel["title"]


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
    """A value leads to Usage by its ID, which the table holds, though it shows a name."""
    for place, panel, names in tables():
        for label in set(promql.LABELS) & set(names):
            (link,) = overrides(panel, names[of_ids.name_of(label)])["links"]
            assert link["url"].startswith("/d/flashback-usage?"), place
            field = "__value.text"
            if label in of_ids.NAMES:
                field = f'__data.fields["{names[label]}"]'
                assert overrides(panel, names[label])["custom.hidden"], place
            assert link["url"].endswith(f"&var-{label}=${{{field}:percentencode}}"), place


def test_tables_count_their_rows_and_can_be_filtered():
    """Five hundred rows are no less useful than five."""
    for place, panel, names in tables():
        assert panel["fieldConfig"]["defaults"]["custom"]["filterable"], place
        (organized,) = (step for step in panel["transformations"] if step["id"] == "organize")
        places = organized["options"]["indexByName"]
        first = names[min(places, key=places.__getitem__)]
        assert overrides(panel, first)["custom.footer"] == {"reducers": ["countAll"]}, place
        assert panel["options"]["footer"]["countRows"], place


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
                "\N{EN DASH}",
            ), place


def test_severities_in_tables_have_the_colours_of_the_graphs():
    """Red is critical or high, orange warning or medium."""
    column = next(
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
    models = {model for _, model, *_ in MODELS}
    assert [set(one) for one in (looks.MODELS, looks.REASONS, looks.REJECTIONS)] == [
        models,
        set(Reason),
        set(Rejection),
    ]
    for colors in (
        looks.MODELS,
        looks.REASONS,
        looks.REJECTIONS,
        looks.CODES,
        looks.PROVIDERS,
    ):
        assert len(set(colors.values())) == len(colors)
    assert looks.GREEN not in {*looks.REASONS.values(), *looks.REJECTIONS.values()}


def test_alerts_in_graphs_show_labels_they_have():
    """A text would show the name of a label that an alert has not; tags leave it out."""
    for dashboard in DASHBOARDS.values():
        for annotation in dashboard["annotations"]["list"]:
            assert not annotation.get("textFormat")
            assert set(annotation["tagKeys"].split(",")) >= {"severity", "query", "repo_id"}


def series(name, values, *, instances=("a", "b"), **labels):
    """Return the same hourly values from some replicas, as promtool takes them."""
    for instance in instances:
        given = {"job": "j", "instance": instance, **labels}
        text = ",".join(f'{label}="{value}"' for label, value in given.items())
        yield {"series": f"{name}{{{text}}}", "values": " ".join(map(str, values))}


def recorded(rule, values, **labels):
    """Return hourly values of a recorded series."""
    return series(rule, values, instances=("",), query="default", **labels)


@pytest.fixture
def evaluated(tmp_path):
    """Return a function that checks what expressions give, each at its hour, over some hours."""

    def check(inputs, *cases, hours=4):
        tests = [
            {
                "expr": filled(expr, hours),
                "eval_time": f"{hour}h",
                "exp_samples": [
                    {"labels": labels, "value": value} for labels, value in samples.items()
                ],
            }
            for hour, expr, samples in cases
        ]
        test = {"interval": "1h", "input_series": list(inputs), "promql_expr_test": tests}
        path = Path(tmp_path) / "expressions.yml"
        path.write_text(json.dumps({"tests": [test]}), encoding="utf-8")
        command = [tool("promtool"), "test", "rules", path]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return check


def filled(expr, hours):
    """Return an expression as Grafana sends it, with everything chosen."""
    everything = re.sub(r'=~"\$\w+"', '=~".*"', expr).replace("$query", "default")
    built_in = dashboards.built_in(3600, hours * 3600)
    return dashboards.interpolated(everything, built_in)


def counted(metric, an_hour, *, until=26, **labels):
    """Return a counter of two replicas that gains so much an hour; one restarts at hour 13."""
    a = [hour * an_hour for hour in range(until)]
    b = [hour * an_hour for hour in range(13)] + [hour * an_hour for hour in range(until - 13)]
    for instance, values in (("a", a), ("b", b)):
        name = f"flashback_ai_{metric}"
        yield from series(name, values, instances=(instance,), query="default", **labels)


def model(llm_model):
    """Return the labels of a model."""
    return {"llm_type": "openai", "llm_model": llm_model}


def test_increases_count_replicas_once(evaluated):
    """What came in a range is that of one replica, though the other one began anew."""
    calls = [*counted("api_calls_total", 10, llm_model="m1")]
    calls += counted("api_calls_total", 30, llm_model="m2")
    by_model = {'{llm_model="m1"}': 40, '{llm_model="m2"}': 120}
    evaluated(
        calls,
        (18, promql.increase("api_calls"), {"{}": 160}),
        (18, promql.increase("api_calls", "llm_model"), by_model),
        (14, promql.increase("api_calls"), {"{}": 160}),
    )


def test_latency_is_weighted_by_calls(evaluated):
    """A hundred calls of one second and fifty of four take two on average."""
    calls = [
        *counted("call_duration_seconds_sum", 100, llm_model="m1"),
        *counted("call_duration_seconds_count", 100, llm_model="m1"),
        *counted("call_duration_seconds_sum", 200, llm_model="m2"),
        *counted("call_duration_seconds_count", 50, llm_model="m2"),
    ]
    evaluated(calls, (12, promql.latency(), {"{}": 2}))


def priced(llm_model, side, dollars):
    """Return the price of a model's tokens."""
    price = "flashback_llm_price_dollars_per_token"
    return series(price, [dollars] * 26, direction=side, **model(llm_model))


def test_cost_is_that_of_models_with_a_price(evaluated):
    """Tokens times prices, by what one likes; nothing where no price is known."""
    tokens = [
        *counted("llm_input_tokens_total", 1000, repo_id="r1", **model("m1")),
        *counted("llm_output_tokens_total", 100, repo_id="r1", **model("m1")),
        *counted("llm_input_tokens_total", 7000, repo_id="r2", **model("m2")),
        *counted("llm_output_tokens_total", 700, repo_id="r2", **model("m2")),
    ]
    prices = [*priced("m1", "input", 0.001), *priced("m1", "output", 0.01)]
    evaluated(
        [*tokens, *prices],
        (12, promql.cost(), {"{}": 8}),
        (12, promql.cost("repo_id"), {'{repo_id="r1"}': 8}),
        (12, promql.unpriced(), {'{llm_type="openai", llm_model="m2"}': 30_800}),
    )
    evaluated(tokens, (12, promql.cost(), {}))


def test_each_id_has_one_name(evaluated):
    """Its present one, or the last it had; what has no such label has no name, and is kept."""
    info = [
        *series("flashback_repo_info", [1] * 6 + ["stale"], repo_id="r1", repo_name="old"),
        *series("flashback_repo_info", ["_"] * 6 + [1] * 20, repo_id="r1", repo_name="new"),
        *series("flashback_repo_info", [1] * 9 + ["stale"], repo_id="r2", repo_name="gone"),
    ]
    calls = [
        *counted("api_calls_total", 1, repo_id="r1"),
        *counted("api_calls_total", 2, repo_id="r2"),
        *counted("api_calls_total", 3),
    ]
    names = {'{repo_id="r1", repo_name="new"}': 8, '{repo_id="r2", repo_name="gone"}': 16}
    named = of_ids.named(promql.increase("api_calls", "repo_id"), "repo_id")
    evaluated([*info, *calls], (12, named, {**names, "{}": 24}), hours=8)


def test_nothing_where_the_query_has_no_such_label(evaluated):
    """A label that no group has gives no nameless row; one that some have keeps the others."""
    calls = promql.has(promql.increase("api_calls", "host"), "host")
    without = [*counted("api_calls_total", 5)]
    evaluated(without, (12, calls, {}))
    evaluated(
        [*without, *counted("api_calls_total", 1, host="h")],
        (12, calls, {"{}": 20, '{host="h"}': 4}),
    )


def test_today_begins_at_midnight(evaluated):
    """A sample of the full hour at which a day ends is of the day before."""
    start = "flashback_ai_daily_start_timestamp_seconds"
    calls = [10 * hour for hour in range(25)] + [7, 14]
    inputs = [
        *series("flashback_ai_daily_api_calls", calls, query="default", day="today"),
        *series("flashback_ai_daily_api_calls", [240] * 27, query="default", day="yesterday"),
        *series(start, [0] * 25 + [86_400] * 2, query="default", day="today"),
    ]
    evaluated(
        inputs,
        (24, promql.today("api_calls"), {}),
        (26, promql.today("api_calls"), {"{}": 14}),
        (26, promql.same_time_yesterday("api_calls"), {"{}": 20}),
        (26, promql.yesterday("api_calls"), {"{}": 240}),
    )


def test_trends_add_up_to_what_came(evaluated):
    """A step of an hour shows what came in it; the top and the others are all."""
    rule = "repo:flashback_ai_api_calls:increase1h"
    inputs = [one for n in range(1, 13) for one in recorded(rule, [n] * 26, repo_id=f"r{n}")]
    info = [
        one
        for n in range(1, 13)
        for one in series("flashback_repo_info", [1] * 26, repo_id=f"r{n}", repo_name=f"n{n}")
    ]
    top = {f'{{repo_id="r{n}", repo_name="n{n}"}}': n for n in range(3, 13)}
    evaluated(
        [*inputs, *info],
        (12, past.each_step(rule, labels=("repo_id",)), {"{}": 78}),
        (12, past.each_step_of_top(rule, "repo_id", ("repo_id",)), top),
        (12, past.each_step_of_others(rule, "repo_id", ("repo_id",)), {"{}": 3}),
    )


def test_rates_are_per_hour(evaluated):
    """A counter that gains 12 an hour shows 12."""
    calls = promql.rate("api_calls").replace("$__rate_interval", "4h")
    evaluated(counted("api_calls_total", 12), (12, calls, {"{}": 12}))


def test_alerts_keep_ids_that_are_not_known(evaluated):
    """An alert's repository and key have names where they are known, and stay where not."""
    info = [
        *series("flashback_repo_info", [1] * 6, repo_id="r1", repo_name="checkout"),
        *series(
            "flashback_repo_ai_api_key_info",
            [1] * 6,
            repo_ai_api_key_id="k1",
            repo_ai_api_key_name="ci",
        ),
    ]
    alerts = [
        *series("A", [1] * 6, instances=("a",), repo_id="r1", repo_ai_api_key_id="k1"),
        *series("A", [2] * 6, instances=("a",), repo_id="r9", repo_ai_api_key_id="k9"),
    ]
    named = of_ids.named_alerts("max by (repo_id, repo_ai_api_key_id) (A)", "repo_ai_api_key_id")
    known = 'repo_id="r1", repo_name="checkout", repo_ai_api_key_id="k1", repo_ai_api_key_name="ci"'
    unknown = '{repo_id="r9", repo_ai_api_key_id="k9"}'
    evaluated([*info, *alerts], (4, named, {f"{{{known}}}": 1, unknown: 2}))
