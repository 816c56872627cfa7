"""The rules that Prometheus loads: what promtool says, and whether alerts have all they need."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config/prometheus"
RULES = CONFIG / "flashback.rules.yml"
TESTS = sorted(Path(__file__).parent.glob("rules/*.yml"))
RUNBOOK = ROOT / "docs/runbook.md"
RUNBOOK_URL = "https://github.com/flashback-tech/flashback-exporter/blob/main/docs/runbook.md"
GRAFANA_URL = "http://localhost:3000"
DASHBOARDS = {
    "policy": {"flashback-governance"},
    "usage": {"flashback-usage", "flashback-overview"},
    "exporter": {"flashback-exporter"},
}
FRESH = "and on (job, instance, query) query:flashback_data:fresh == 1"
PATIENCE = 300  # seconds

GROUPS = yaml.safe_load(RULES.read_text())["groups"]
RECORDED = {
    rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule
}
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
CASES = [
    case
    for path in TESTS
    for test in yaml.safe_load(path.read_text())["tests"]
    for case in test.get("alert_rule_test", ())
]


def promtool(*arguments):
    """Run promtool; return its exit code and what it says."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("needs promtool on the PATH: install Prometheus")
    run = subprocess.run(
        [path, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
    )
    return run.returncode, run.stdout + run.stderr


def without_comments(expression):
    """Return a PromQL expression on one line, without its comments."""
    return " ".join(line.partition("#")[0].strip() for line in expression.splitlines())


def test_promtool_has_nothing_to_say_about_the_rules():
    """Every lint that promtool knows is content."""
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert code == 0, said


def test_promtool_has_nothing_to_say_about_the_configuration():
    """`promtool check config` is content and finds the rules beside the configuration."""
    code, said = promtool("check", "config", CONFIG / "prometheus.yml")
    assert code == 0, said
    assert "1 rule files found" in said


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_do_what_they_say(path):
    """Recorded numbers are exact, and alerts fire when they should,
    with the right labels and words, and only then.
    """
    code, said = promtool("test", "rules", path)
    assert code == 0, said


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_tested_both_ways(name):
    """Each alert is shown to fire, with its labels and every annotation, and to stay quiet."""
    fired = [
        alert for case in CASES if case["alertname"] == name for alert in case.get("exp_alerts", ())
    ]
    assert fired
    for alert in fired:
        assert alert["exp_labels"].keys() >= ALERTS[name]["labels"].keys()
        assert alert["exp_annotations"].keys() == ALERTS[name]["annotations"].keys()
    assert any(case["alertname"] == name and not case.get("exp_alerts") for case in CASES)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_where_and_how_bad(name):
    """Each has a severity, an area, a line, a description with its labels,
    its runbook section and its dashboard.
    """
    labels, annotations = ALERTS[name]["labels"], ALERTS[name]["annotations"]
    assert labels.keys() == {"severity", "area"}
    assert labels["severity"] in {"critical", "warning", "info"}
    assert annotations.keys() == {"summary", "description", "runbook_url", "dashboard"}
    assert "\n" not in annotations["summary"]
    assert name == "FlashbackExporterAbsent" or "$labels." in annotations["description"]
    assert annotations["runbook_url"] == f"{RUNBOOK_URL}#{name.lower()}"
    uid = re.match(rf"{re.escape(GRAFANA_URL)}/d/([a-z-]+)(\?|$)", annotations["dashboard"])[1]
    assert uid in DASHBOARDS[labels["area"]]


@pytest.mark.parametrize(
    "name", [name for name, rule in ALERTS.items() if rule["labels"]["area"] != "exporter"]
)
def test_policy_and_usage_alerts_need_fresh_data(name):
    """None of them fires from data that has not been renewed for a while."""
    assert without_comments(ALERTS[name]["expr"]).endswith(FRESH)


def test_runbook_has_a_section_for_each_alert_and_no_other():
    """Sections stand in the order of the rules, so that both can be read side by side."""
    assert re.findall(r"^##+ (.*)$", RUNBOOK.read_text(), re.MULTILINE) == list(ALERTS)


def test_runbook_has_the_numbers_of_the_rules():
    """The table at the top of the runbook names each alert's severity,
    thresholds and `for` as they are.
    """
    rows = dict(re.findall(r"^\| \[(\w+)\]\(#\w+\) \| (.*) \|$", RUNBOOK.read_text(), re.MULTILINE))
    assert list(rows) == list(ALERTS)
    for name, rule in ALERTS.items():
        severity, when, wait = rows[name].split(" | ")
        assert severity == rule["labels"]["severity"]
        assert wait == rule.get("for", "at once")
        for threshold in re.findall(r"[<>]=? ([\d.e]+).*# threshold", rule["expr"]):
            assert threshold in when.split(), f"{name}: {threshold}"


def test_runbook_says_when_data_is_fresh():
    """The two numbers that decide it are the runbook's, too."""
    polls, seconds = re.findall(r"(\d+).*# threshold", RECORDED["query:flashback_data:fresh"])
    intervals, minutes = {"2": "two", "3": "three", "4": "four"}[polls], int(seconds) / 60
    text = " ".join(RUNBOOK.read_text().split())
    assert (
        f"| no good poll for {intervals} intervals, and at least {minutes:g} minutes | 2m |" in text
    )
    assert (
        f"less than {intervals} poll intervals ago, or less than {minutes:g} minutes where" in text
    )


@pytest.mark.parametrize("other", ["alerts", "blocks", "severity"])
def test_every_count_is_measured_alike(other):
    """The six rules of the violations are those of alerts and of blocks; by severity,
    that label comes in beside.
    """

    def rules(count, keep):
        return {
            name: without_comments(expression).split()
            for name, expression in RECORDED.items()
            if re.search(rf":flashback_{count}:(sum|new15m)$", name) and keep(name)
        }

    violations = rules("policy_violations", lambda name: "severity" not in name)
    if other == "severity":
        found = {
            name.replace("_severity", ""): re.sub(
                r"_by_severity|_severity|severity, ", "", " ".join(words)
            ).split()
            for name, words in rules("policy_violations", lambda name: "severity" in name).items()
        }
    else:
        found = {
            name.replace(other, "policy_violations"): [
                word.replace(other, "policy_violations") for word in words
            ]
            for name, words in rules(other, lambda _: True).items()
        }
    assert len(violations) == 6
    assert found == violations


def test_the_commands_in_the_file_put_in_other_addresses(tmp_path):
    """The two `sed` commands at the top leave none of the shipped addresses in an alert,
    and themselves as they are.
    """
    copy = tmp_path / RULES.name
    shutil.copy(RULES, copy)
    commands = re.findall(r"sed -i '(.*)'", RULES.read_text())
    assert len(commands) == 2
    for command in commands:
        subprocess.run(["sed", "-i", command, copy], check=True)
    before, after = RULES.read_text().splitlines(), copy.read_text().splitlines()
    alerts = "".join(line for line in after if not line.startswith("#"))
    assert "localhost" not in alerts
    assert "github.com" not in alerts
    assert [line for line in after if line.startswith("#")] == [
        line for line in before if line.startswith("#")
    ]
