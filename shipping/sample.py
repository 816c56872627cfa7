"""A sample of `/metrics`: two lines of each metric, as the demo serves them for one query."""

import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SAMPLE = Path("docs/metrics.txt")

_LINES = 2
_DEMO = [sys.executable, "-m", "exporter", "demo", "--web.listen-address=127.0.0.1:0"]
_PATIENCE = 30  # seconds
_TEXT = {"Accept": "text/plain"}
_OTHER_QUERY = re.compile(r'[{,]query="(?!default")')


def sample() -> str:
    """Run the demo until each of its queries has data, and return some of what it serves."""
    with subprocess.Popen(_DEMO, stderr=subprocess.PIPE, text=True) as demo:
        try:
            log = _read_until(demo, "first good poll", queries=2)
            (port,) = re.findall(r"msg=serving addresses=127\.0\.0\.1:(\d+)", log)
            request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=_TEXT)
            with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
                return "".join(_some_of(response.read().decode()))
        finally:
            demo.terminate()


def shape(text: str) -> list[str]:
    """Return what of a sample is the same every time: names, types, helps and names of labels."""
    labels = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')
    lines = [line if line[0] == "#" else labels.sub(r"\1", line) for line in text.splitlines()]
    return [line if line[0] == "#" else line.rpartition(" ")[0] for line in lines]


def _read_until(demo: subprocess.Popen[str], words: str, queries: int) -> str:
    read = ""
    for line in demo.stderr or ():
        read += line
        if read.count(words) == queries:
            break
    return read


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
