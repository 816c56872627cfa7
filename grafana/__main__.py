"""Write every dashboard to `grafana/dashboards`, or into the folder given."""

import sys
from pathlib import Path

from grafana import governance, health, overview, usage
from grafana.excuses import excuses
from grafana.frame import to_json

FOLDER = Path(__file__).parent / "dashboards"


def write(folder: Path) -> None:
    """Write one file for each dashboard, named after its uid, and what a linter need not say."""
    pages = (overview.page(), usage.page(), governance.page(), health.page())
    for page in pages:
        (folder / f"{page.uid}.json").write_text(to_json(page), encoding="utf-8")
    (folder / ".lint").write_text(excuses(pages), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
