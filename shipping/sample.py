"""A sample of `/metrics`: two lines of each metric, as the demo serves them for one query."""

import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from exporter.metrics import METRICS
from exporter.output.beside import BESIDE

SAMPLE = Path("docs/metrics.txt")

_LINES = 2
_DEMO = [sys.executable, "-m", "exporter", "demo", "--web.listen-address=127.0.0.1:0"]
_EVERYTHING = (METRICS[0].name + '{query="default"', *(beside.name for beside in BESIDE))
_LOOKS = 300
_PAUSE = 0.1  # seconds between two looks
_PATIENCE = 30  # seconds for one
_OTHER_QUERY = re.compile(r'[{,]query="(?!default")')


def sample() -> str:
    """Run the demo until it has all its data, and return some of what it serves then."""
    with subprocess.Popen(_DEMO, stderr=subprocess.PIPE, text=True) as demo:
        try:
            serving = re.compile(r"msg=serving addresses=127\.0\.0\.1:(\d+)")
            port = next(found[1] for line in demo.stderr or () if (found := serving.search(line)))
            return "".join(_some_of(_once_full(f"http://127.0.0.1:{port}/metrics")))
        finally:
            demo.terminate()


def shape(text: str) -> list[str]:
    """Return what of a sample is the same every time: names, types, helps and names of labels."""
    labels = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')
    lines = [line if line[0] == "#" else labels.sub(r"\1", line) for line in text.splitlines()]
    return [line if line[0] == "#" else line.rpartition(" ")[0] for line in lines]


def _once_full(url: str) -> str:
    for _ in range(_LOOKS):
        with urllib.request.urlopen(url, timeout=_PATIENCE) as response:
            text: str = response.read().decode()
        if all(f"\n{series}" in text for series in _EVERYTHING):
            return text
        time.sleep(_PAUSE)
    raise SystemExit("the demo did not get all its data")


def _some_of(text: str) -> Iterator[str]:
    """Yield the first lines of each metric."""
    seen: Counter[str] = Counter()
    for line in text.splitlines(keepends=True):
        if _OTHER_QUERY.search(line):
            continue
        name = re.split(r"[{ ]", line)[0]
        seen[name] += 1
        if name == "#" or seen[name] <= _LINES:
            yield line
