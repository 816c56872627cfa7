"""Manifests for those who use no Helm: the chart with its defaults, rendered by Helm's own code."""

import re
from collections.abc import Iterator
from pathlib import Path

import helm_python

from shipping.copies import CHART

MANIFESTS = Path("config/kubernetes")

_HEAD = "# Made by `make shipped` from the chart in ../helm with its defaults.\n"
_OF_HELM = re.compile(r"^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)


def manifests(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each manifest, from the root, with its content: a file for each kind."""
    with helm_python.Chart.load(str(root / CHART)) as chart:
        rendered = chart.render({}, name="flashback-exporter", namespace="default")
    for template, content in rendered.items():
        kind = re.search(r"^kind: (\w+)$", content, re.MULTILINE)
        if kind and template.endswith(".yaml"):
            text = _OF_HELM.sub("", content).strip()
            yield MANIFESTS / f"{kind[1].lower()}.yaml", f"{_HEAD}{text}\n"
