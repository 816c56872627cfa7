"""The generator of the rules: what is shipped is what it writes, and settings change it."""

import re
import subprocess

import pytest
import yaml
from programs import tool

from mixin.__main__ import FOLDER, main
from mixin.rules import files
from mixin.settings import DEFAULTS, SettingsError, load


def written(tmp_path, settings):
    """Return the rules that some settings make, by name, after promtool has looked at them."""
    own, folder = tmp_path / "own.yml", tmp_path / "rules"
    own.write_text(settings)
    folder.mkdir()
    assert main(["--settings", str(own), "--folder", str(folder)]) == 0
    found = sorted(folder.iterdir())
    subprocess.run([tool("promtool"), "check", "rules", *found], check=True, capture_output=True)
    return {
        rule.get("alert") or rule["record"]: rule
        for path in found
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    }


def test_what_is_shipped_is_what_it_writes():
    """The committed rules are exactly what `make rules` writes."""
    for name, text in files(load()).items():
        assert (FOLDER / name).read_text() == text


def test_thresholds_severities_and_addresses_are_settings(tmp_path):
    """A file with what is to change is enough."""
    rules = written(
        tmp_path,
        """
        grafana: https://grafana.example.com
        runbook: https://wiki.example.com/flashback
        alerts:
          FlashbackViolationBurst: {violations: 25, for: 5m, severity: critical}
          FlashbackKeyTokensAboveUsual: {tokens: 30000000}
        """,
    )
    burst = rules["FlashbackViolationBurst"]
    assert ">= 25\n" in burst["expr"]
    assert burst["for"] == "5m"
    assert burst["labels"]["severity"] == "critical"
    assert ">= 3e7\n" in rules["FlashbackKeyTokensAboveUsual"]["expr"]
    for rule in rules.values():
        annotations = rule.get("annotations", {"runbook_url": "", "dashboard": ""})
        assert "github.com" not in annotations["runbook_url"]
        assert "localhost" not in annotations["dashboard"]


def test_a_selector_narrows_every_metric_of_the_exporter(tmp_path):
    """With it no expression reads a scraped series without it."""
    scraped = r'(?<![\w:;"])(?:up|flashback_\w+)(?![\w:])'
    for name, rule in written(tmp_path, """selector: 'env="prod"'""").items():
        for after in re.split(scraped, rule["expr"])[1:]:
            assert after.startswith('{env="prod"'), name


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("grafna: x", "settings: no key grafna"),
        ("alerts: {FlashbackNone: {}}", "alerts: no key FlashbackNone"),
        ("alerts: {FlashbackCostHigh: {dolars: 3}}", "FlashbackCostHigh: no key dolars"),
        ("alerts: {FlashbackCostHigh: {severity: page}}", "severity must be one of critical"),
        ("[1, 2]", "expected keys and values"),
        ("a: [", "own.yml: "),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, capsys, settings, said):
    """A key that is not there, or a severity that is none, is named, and nothing is written."""
    own = tmp_path / "own.yml"
    own.write_text(settings)
    assert main(["--settings", str(own), "--folder", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [own]


def test_a_file_that_is_not_there_is_named(tmp_path):
    """The path stands in the error."""
    with pytest.raises(SettingsError, match=r"none\.yml"):
        load(tmp_path / "none.yml")


def test_every_setting_is_used(tmp_path):
    """Changing any threshold changes a file."""
    before = files(load())
    for name, settings in yaml.safe_load(DEFAULTS.read_text())["alerts"].items():
        for key in settings.keys() - {"severity"}:
            value = "7m" if key in {"for", "keep_firing_for"} else 77
            own = tmp_path / "own.yml"
            own.write_text(yaml.safe_dump({"alerts": {name: {key: value}}}))
            assert files(load(own)) != before, f"{name}: {key}"
