"""Writes all of it: `python -m shipping`."""

import shutil
from pathlib import Path

from shipping.copies import FILES, copies
from shipping.links import DATA, links, target
from shipping.manifests import manifests
from shipping.sample import SAMPLE, sample, shape

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Write the copies, then the manifests, which are made from them, the sample and the links."""
    shutil.rmtree(ROOT / FILES / "dashboards", ignore_errors=True)
    (ROOT / FILES / "dashboards").mkdir()
    for file, content in copies(ROOT):
        (ROOT / file).write_text(content, encoding="utf-8")
    for file, content in manifests(ROOT):
        (ROOT / file).write_text(content, encoding="utf-8")

    # Numbers differ each time, so only a sample that looks different is worth a change.
    served = sample()
    if shape(served) != shape((ROOT / SAMPLE).read_text()):
        (ROOT / SAMPLE).write_text(served, encoding="utf-8")

    shutil.rmtree(ROOT / DATA, ignore_errors=True)
    for link, file in links(ROOT):
        (ROOT / link).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / link).symlink_to(target(link, file))


if __name__ == "__main__":
    main()
