"""The rules that Prometheus loads: what promtool says, and whether alerts have all they need."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mixin.settings import load

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config/prometheus"
RULES = CONFIG / "flashback.rules.yml"
MESSAGES = CONFIG / "messages.rules.yml"
TESTS = sorted(Path(__file__).parent.glob("rules/*.yml"))
RUNBOOK = ROOT / "docs/runbook.md"
RUNBOOK_URL = "https://github.com/flashback-tech/flashback-exporter/blob/main/docs/runbook.md"
GRAFANA_URL = "http://localhost:3000"
RANGE = r"\?from=\{\{[^}]+\}\}&to=\{\{[^}]+\}\}"
DASHBOARDS = {
    "policy": {"flashback-governance"},
    "usage": {"flashback-usage", "flashback-overview"},
    "exporter": {"flashback-exporter"},
}
REPLICA = "instance, pod, container, endpoint, service, node, replica, prometheus_replica"
PATIENCE = 300  # seconds

GROUPS = [
    group for path in (RULES, MESSAGES) for group in yaml.safe_load(path.read_text())["groups"]
]
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


def test_promtool_has_nothing_to_say_about_the_rules():
    """Every lint that promtool knows is content."""
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES, MESSAGES)
    assert code == 0, said


def test_promtool_has_nothing_to_say_about_the_configuration():
    """`promtool check config` is content and finds the rules beside the configuration."""
    code, said = promtool("check", "config", CONFIG / "prometheus.yml")
    assert code == 0, said
    assert "2 rule files found" in said


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
    """Each has a severity, an area, a line, a description, its runbook section and its dashboard,
    at the time of the event.
    """
    labels, annotations = ALERTS[name]["labels"], ALERTS[name]["annotations"]
    assert labels.keys() == {"severity", "area"}
    assert labels["severity"] in {"critical", "warning", "info"}
    assert annotations.keys() == {"summary", "description", "runbook_url", "dashboard"}
    assert name == "FlashbackExporterAbsent" or "$labels." in annotations["description"]
    assert annotations["runbook_url"] == f"{RUNBOOK_URL}#{name.lower()}"
    link = re.match(rf"{re.escape(GRAFANA_URL)}/d/([a-z-]+){RANGE}", annotations["dashboard"])
    assert link[1] in DASHBOARDS[labels["area"]]


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_that_names_an_id_says_its_name(name):
    """Where a repository or a key is named, its name is asked for, in texts and never in labels."""
    annotations = ALERTS[name]["annotations"]
    for text in (annotations["summary"], annotations["description"]):
        if "$repo" in text:
            assert "flashback_repo_info" in text
        if "$key" in text:
            assert "flashback_repo_ai_api_key_info" in text
        assert "$labels.repo_id" not in text or "$repo" in text
        assert "$labels.repo_ai_api_key_id" not in text or "$key" in text
    assert "_info" not in ALERTS[name]["expr"] or name == "FlashbackAccountsMixed"


def test_the_file_is_small():
    """It can be read in one go: at most 20 recording rules, in fewer than 400 lines."""
    assert len(RECORDED) <= 20
    assert len(RULES.read_text().splitlines()) < 400
    for name in RECORDED:
        assert re.fullmatch(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", name)


def test_labels_of_targets_live_on():
    """Nothing is added up by a list of labels to keep, which would lose an account's own ones."""
    for expression in (*RECORDED.values(), *(rule["expr"] for rule in ALERTS.values())):
        assert not re.search(r"\bby \(", expression)
        assert not re.search(r"\bon \([a-z]", expression)


def test_increases_are_taken_before_the_maximum():
    """What several exporters report is counted once, and a restart of one is no increase."""
    for name, expression in RECORDED.items():
        if name.endswith("increase1h") and "increase(" in expression:
            assert re.search(rf"max without \({REPLICA}\) \(\s+increase\(", expression)
            assert "instance:flashback_data:counted1h" in expression
        assert not re.search(r"increase\((?!flashback)", expression)


def test_runbook_has_a_section_for_each_alert_and_no_other():
    """Sections stand in the order of the rules, so that both can be read side by side."""
    assert re.findall(r"^##+ (.*)$", RUNBOOK.read_text(), re.MULTILINE) == list(ALERTS)


def test_runbook_has_the_numbers_of_the_settings():
    """The table at the top of the runbook names each alert's severity, thresholds and waits."""
    rows = dict(re.findall(r"^\| \[(\w+)\]\(#\w+\) \| (.*) \|$", RUNBOOK.read_text(), re.MULTILINE))
    assert list(rows) == list(ALERTS)
    for name, settings in load().alerts.items():
        severity, when, wait = rows[name].split(" | ")
        assert severity == settings["severity"]
        assert wait == settings.get("for", "at once")
        numbers = {number.replace(",", "") for number in re.findall(r"[\d.,]*\d", when)}
        for key in settings.keys() - {"severity", "for", "keep_firing_for"}:
            assert f"{settings[key]:g}" in numbers or str(settings[key]) in numbers, name
