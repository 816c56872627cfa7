"""The real promtool and a real Prometheus against the real demo."""

import json
import subprocess
import sys
from collections import Counter

import programs
import pytest
from programs import PATIENCE, get, process, tool

PROTOCOLS = ("PrometheusText0.0.4", "OpenMetricsText1.0.0")


@pytest.fixture(scope="module")
def demo():
    """Run the demo until it has polled every query; return its address."""
    command = [
        sys.executable,
        "-m",
        "exporter",
        "demo",
        "--web.listen-address",
        "127.0.0.1:0",
        "--log.level",
        "error",
    ]
    with process(
        *command, ready=r"http://(127\.0\.0\.1:\d+)/\n[^$]*Ctrl-C ends it\.", stream="stdout"
    ) as (run, match):
        run.eventually(lambda: get(f"http://{match[1]}/-/ready"))
        yield match[1]


@pytest.fixture(scope="module")
def prometheus(demo, tmp_path_factory):
    """Run a Prometheus that scrapes the demo every second, once in each format; return it."""
    folder = tmp_path_factory.mktemp("prometheus")
    jobs = [
        {
            "job_name": protocol,
            "scrape_protocols": [protocol],
            "static_configs": [{"targets": [demo]}],
        }
        for protocol in PROTOCOLS
    ]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
    with programs.prometheus(folder, json.dumps(config)) as running:  # JSON is YAML
        yield running


def without_repetition(exposition):
    """Keep a hundred samples of each metric: promtool's time grows with their number's square."""
    counts = Counter()
    lines = []
    for line in exposition.splitlines(keepends=True):
        name = line.partition(b"{")[0]
        counts[name] += 1
        if counts[name] <= 100:
            lines.append(line)
    return b"".join(lines)


def test_promtool_finds_nothing_to_say(demo):
    """`promtool check metrics` accepts names, types, units and HELP texts of all on /metrics."""
    exposition = without_repetition(get(f"http://{demo}/metrics"))
    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"],
        input=exposition,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    assert b"flashback_ai_daily_api_calls{" in exposition


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prometheus_scrapes_it(prometheus, protocol):
    """In either format the target is up, without an error,
    and Prometheus has as many series as the exporter counts.
    """

    def target():
        targets = [
            found
            for found in prometheus.api("targets")["activeTargets"]
            if found["scrapePool"] == protocol
        ]
        return targets[0] if targets and targets[0]["health"] != "unknown" else None

    assert prometheus.eventually(target)["lastError"] == ""
    assert target()["health"] == "up"
    job = f'job="{protocol}"'
    prometheus.eventually(lambda: prometheus.query(f"flashback_exporter_series{{{job}}} > 0"))
    difference = (
        f'count by (query) ({{__name__=~"flashback_ai_.+",{job}}})'
        f" - on (query) flashback_exporter_series{{{job}}}"
    )
    assert sorted((labels["query"], more) for labels, more in prometheus.query(difference)) == [
        ("default", 0),
        ("users", 0),
    ]
    assert {value for _, value in prometheus.query(f"flashback_up{{{job}}}")} == {1}
    assert (
        prometheus.query(
            f"scrape_samples_scraped{{{job}}} - scrape_samples_post_metric_relabeling"
        )[0][1]
        == 0
    )


def test_prometheus_drops_no_sample(prometheus):
    """Nothing was a duplicate, out of order or out of bounds, in some scrapes of both formats."""
    prometheus.eventually(lambda: prometheus.query("min(count_over_time(up[1m])) >= 3"))
    for name in ("duplicate_timestamp", "out_of_order", "out_of_bounds"):
        assert prometheus.own(f"prometheus_target_scrapes_sample_{name}_total") == 0
    assert prometheus.own("prometheus_target_scrapes_exceeded_sample_limit_total") == 0
