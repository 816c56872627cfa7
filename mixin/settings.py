"""What people may change about the rules: settings.yml beside this file, and one of theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEFAULTS = Path(__file__).parent / "settings.yml"
SEVERITIES = ("critical", "warning", "info")


class SettingsError(Exception):
    """Settings that cannot be used; the message names the key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings by which one file of rules is written."""

    selector: str
    grafana: str
    runbook: str
    alertmanager_job: str
    alerts: Mapping[str, Mapping[str, Any]]

    def threshold(self, alert: str, name: str) -> str:
        """Return a threshold of an alert as it is written into an expression."""
        value = self.alerts[alert][name]
        return f"{value:g}" if value < 1e5 else f"{value:e}".replace(".000000e+0", "e")


def load(path: Path | None = None) -> Settings:
    """Return the defaults, changed by what a file says.

    Raises SettingsError for a file that cannot be read and for keys and severities unknown here.
    """
    settings = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    for key, value in (_read(path) if path else {}).items():
        if key == "alerts":
            settings[key] = _merged(settings[key], value)
        else:
            _known(key, settings, "settings")
            settings[key] = value
    return Settings(**settings)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: expected keys and values")
    return found


def _merged(
    alerts: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    merged = dict(alerts)
    for name, change in changes.items():
        _known(name, alerts, "alerts")
        for key in change:
            _known(key, {*alerts[name], "for", "keep_firing_for"}, name)
        merged[name] = {**alerts[name], **change}
        if merged[name]["severity"] not in SEVERITIES:
            raise SettingsError(f"{name}: severity must be one of {', '.join(SEVERITIES)}")
    return merged


def _known(key: str, keys: Mapping[str, Any] | set[str], place: str) -> None:
    if key not in keys:
        raise SettingsError(f"{place}: no key {key}; there are {', '.join(sorted(keys))}")
