"""The real promtool and a real Prometheus against the real demo."""

import json
import re
import select
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import pytest

PROTOCOLS = ("PrometheusText0.0.4", "OpenMetricsText1.0.0")
PATIENCE = 30  # seconds
PAUSE = 0.1  # seconds that a process gets to fail while its answer is not there yet


def tool(name):
    """Return the path of one of Prometheus's tools."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name} on the PATH: install Prometheus")
    return path


@contextmanager
def process(*command, ready, stream="stderr"):
    """Run a command, wait for a line of its output that matches, and hand out process and match; end it by its id."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: subprocess.PIPE}
    with subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, text=False, **pipes) as running:
        try:
            yield running, _line(running, getattr(running, stream), re.compile(ready))
        finally:
            running.terminate()
            getattr(running, stream).read()
            assert running.wait(PATIENCE) in (0, -15)


def _line(running, pipe, wanted):
    seen = b""
    while (match := wanted.search(seen.decode(errors="replace"))) is None:
        ready, _, _ = select.select([pipe], [], [], PATIENCE)
        piece = pipe.read1() if ready else b""
        if not piece:
            raise AssertionError(f"{running.args[0]} did not get ready:\n{seen.decode(errors='replace')}")
        seen += piece
    return match


def get(url):
    """Return the body of a page on loopback."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as response:
        return response.read()


def eventually(running, asked):
    """Ask again and again until the answer is neither None nor an error, as long as the process lives."""
    for _ in range(int(PATIENCE / PAUSE)):
        try:
            answer = asked()
        except OSError:
            answer = None
        if answer is not None:
            return answer
        try:
            running.wait(PAUSE)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"{running.args[0]} has ended")
    raise AssertionError(f"nothing within {PATIENCE} s")


@pytest.fixture(scope="module")
def demo():
    """Run the demo until it has polled every query; return its address."""
    command = [sys.executable, "-m", "exporter", "demo", "--web.listen-address", "127.0.0.1:0", "--log.level", "error"]
    with process(*command, ready=r"http://(127\.0\.0\.1:\d+)/\n[^$]*Ctrl-C ends it\.", stream="stdout") as (run, match):
        eventually(run, lambda: get(f"http://{match[1]}/-/ready"))
        yield match[1]


@dataclass
class Prometheus:
    """A Prometheus that runs."""

    process: subprocess.Popen
    url: str

    def api(self, path):
        """Return what its HTTP API answers."""
        return json.loads(get(f"{self.url}/api/v1/{path}"))["data"]

    def query(self, expression):
        """Return labels and value of each series of an instant query; None where there is none."""
        found = self.api(f"query?query={quote(expression)}")["result"]
        return [(series["metric"], float(series["value"][1])) for series in found] or None

    def own(self, name):
        """Return one of its metrics about itself."""
        return float(re.search(rf"^{name} (\S+)$", get(f"{self.url}/metrics").decode(), re.MULTILINE)[1])


@pytest.fixture(scope="module")
def prometheus(demo, tmp_path_factory):
    """Run a Prometheus that scrapes the demo every second, once in each format; return it."""
    folder = tmp_path_factory.mktemp("prometheus")
    jobs = [
        {"job_name": protocol, "scrape_protocols": [protocol], "static_configs": [{"targets": [demo]}]}
        for protocol in PROTOCOLS
    ]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = (
        tool("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    )
    with process(*command, ready="Server is ready to receive web requests") as (run, _):
        yield Prometheus(run, f"http://{address}")


def without_repetition(exposition):
    """Keep a hundred samples of each metric: promtool's time grows with the square of their number."""
    counts = Counter()
    lines = []
    for line in exposition.splitlines(keepends=True):
        name = line.partition(b"{")[0]
        counts[name] += 1
        if counts[name] <= 100:
            lines.append(line)
    return b"".join(lines)


def test_promtool_finds_nothing_to_say(demo):
    """`promtool check metrics` is content with names, types, units and HELP texts of everything on /metrics."""
    exposition = without_repetition(get(f"http://{demo}/metrics"))
    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=exposition, capture_output=True, timeout=PATIENCE, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    assert b"flashback_ai_daily_api_calls{" in exposition


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prometheus_scrapes_it(prometheus, protocol):
    """In either format the target is up, without an error, and Prometheus has as many series as the exporter counts."""
    run = prometheus.process

    def target():
        targets = [found for found in prometheus.api("targets")["activeTargets"] if found["scrapePool"] == protocol]
        return targets[0] if targets and targets[0]["health"] != "unknown" else None

    assert eventually(run, target)["lastError"] == ""
    assert target()["health"] == "up"
    job = f'job="{protocol}"'
    eventually(run, lambda: prometheus.query(f"flashback_exporter_series{{{job}}} > 0"))
    difference = (
        f'count by (query) ({{__name__=~"flashback_ai_daily_.+",{job}}})'
        f" - on (query) flashback_exporter_series{{{job}}}"
    )
    assert sorted((labels["query"], more) for labels, more in prometheus.query(difference)) == [
        ("default", 0),
        ("users", 0),
    ]
    assert {value for _, value in prometheus.query(f"flashback_up{{{job}}}")} == {1}
    assert prometheus.query(f"scrape_samples_scraped{{{job}}} - scrape_samples_post_metric_relabeling")[0][1] == 0


def test_prometheus_drops_no_sample(prometheus):
    """Nothing was a duplicate, out of order or out of bounds, in several scrapes of both formats."""
    run = prometheus.process
    eventually(run, lambda: prometheus.query("min(count_over_time(up[1m])) >= 3"))
    for name in ("duplicate_timestamp", "out_of_order", "out_of_bounds"):
        assert prometheus.own(f"prometheus_target_scrapes_sample_{name}_total") == 0
    assert prometheus.own("prometheus_target_scrapes_exceeded_sample_limit_total") == 0
