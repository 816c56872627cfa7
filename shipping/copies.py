"""What is written once and stands elsewhere too: the version, the chart's rules and dashboards.

A chart cannot read what is not in its own folder.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from exporter import __version__

CHART = Path("config/helm")
FILES = CHART / "files"

_RULES = Path("config/prometheus/flashback.rules.yml")
_DASHBOARDS = Path("grafana/dashboards")
_VERSIONS = {
    CHART / "Chart.yaml": r'(?<=^version: ).+|(?<=^appVersion: ").+(?="$)',
    Path("Dockerfile"): r'(?<=org\.opencontainers\.image\.version=").*?(?=")',
}


def copies(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file that is not written by hand alone, from the root, with its content."""
    for file, place in _VERSIONS.items():
        yield file, re.sub(place, __version__, (root / file).read_text(), flags=re.MULTILINE)
    yield FILES / _RULES.name, (root / _RULES).read_text()
    for dashboard in sorted((root / _DASHBOARDS).glob("*.json")):
        yield FILES / "dashboards" / dashboard.name, _compact(dashboard.read_text())


def _compact(text: str) -> str:
    """Return JSON without blanks: what `kubectl apply` takes of a ConfigMap is limited."""
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False) + "\n"
