"""What dashboard-linter need not say, by panel: its file `.lint` stands beside the dashboards."""

import re
from collections.abc import Iterable, Sequence

import yaml

from grafana.frame import Page

_REASONS = {
    "target-job-rule": "Prometheus's own ALERTS lack labels of targets where a rule drops them.",
    "target-instance-rule": "Recorded series count once what several instances report, and ALERTS "
    "may lack the label.",
}
_ALERTS = re.compile(r"\bALERTS\b")
_RECORDED = re.compile(r"\b[a-z_]+:[a-z_]+:\w+\{")


def excuses(pages: Iterable[Page]) -> str:
    """Return the linter's configuration: which panels break which rule for a reason."""
    found: dict[str, list[dict[str, str]]] = {rule: [] for rule in _REASONS}
    for page in pages:
        for title, exprs in _panels(page):
            entry = {"dashboard": page.title, "panel": title}
            on_alerts = any(map(_ALERTS.search, exprs))
            if on_alerts:
                found["target-job-rule"].append(entry)
            if on_alerts or any(map(_RECORDED.search, exprs)):
                found["target-instance-rule"].append(dict(entry))
    rules = {rule: {"reason": _REASONS[rule], "entries": found[rule]} for rule in _REASONS}
    return yaml.safe_dump({"exclusions": rules}, sort_keys=False, width=200)


def _panels(page: Page) -> Iterable[tuple[str, Sequence[str]]]:
    for row in page.rows:
        for panel in row.panels:
            built = panel.build()
            yield built.title or "", [getattr(target, "expr", "") for target in built.targets or ()]
