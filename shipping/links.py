"""The folder `data`, from which a wheel takes the files that it installs beside the code.

It holds links, so that each file is where the README says and in the wheel as well.
"""

import os
from collections.abc import Iterator
from pathlib import Path

DATA = Path("data")

_SHARE = DATA / "share/flashback-exporter"
_COMPLETION = DATA / "share/bash-completion/completions/flashback-exporter"
_FOLDERS = {
    "config": "*.yml",
    "config/prometheus": "*.yml",
    "config/alertmanager": "*.yml",
    "config/alertmanager/templates": "*.tmpl",
    "config/systemd": "*",
    "grafana/dashboards": "*.json",
}


def links(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each link with the file that it stands for, both from the root of the project."""
    yield _COMPLETION, Path("config/completion/flashback-exporter.bash")
    for folder, pattern in _FOLDERS.items():
        for file in sorted((root / folder).glob(pattern)):
            where = Path(folder).relative_to(Path(folder).parts[0])
            yield _SHARE / where / file.name, Path(folder) / file.name


def target(link: Path, file: Path) -> str:
    """Return what a link says: the way to its file, from the folder that the link is in."""
    return os.path.relpath(file, link.parent)
