"""Writes all of it: `python -m shipping`, in the root of the project."""

import shutil
from pathlib import Path

from shipping.links import DATA, links, target

ROOT = Path(__file__).parent.parent

shutil.rmtree(ROOT / DATA, ignore_errors=True)
for link, file in links(ROOT):
    (ROOT / link).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / link).symlink_to(target(link, file))
