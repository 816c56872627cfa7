"""The Dockerfile, checked without an engine: what hadolint says, who runs, and what gets in."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import PATIENCE

from exporter import __version__

ROOT = Path(__file__).parents[2]
LINES = re.sub(r" \\\n\s*", " ", (ROOT / "Dockerfile").read_text()).splitlines()
LAST = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM ")) :]


def said(instruction, lines=LAST):
    """Return what stands behind each line of an instruction in the last stage."""
    return [
        line.removeprefix(f"{instruction} ") for line in lines if line.startswith(f"{instruction} ")
    ]


def test_hadolint_has_nothing_to_say():
    """The linter of Dockerfiles is content, without exceptions."""
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("needs hadolint, which only CI installs")
    run = subprocess.run(
        [hadolint, "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "")


def test_both_stages_have_the_same_base():
    """What is installed in one stage runs in the other."""
    bases = {base.split()[0] for base in said("FROM", LINES)}
    assert bases == {"python:3.13-slim"}


def test_nobody_runs_it():
    """It runs as a number that is not root's, without a shell, and ends at SIGTERM."""
    assert said("USER") == ["65534:65534"]
    assert [json.loads(line) for line in said("ENTRYPOINT")] == [["flashback-exporter"]]
    assert said("STOPSIGNAL") == ["SIGTERM"]


def test_the_state_is_on_a_volume():
    """The one folder that can be written to is a volume, for whatever user it runs as."""
    (folder,) = said("VOLUME")
    assert f"install --directory --mode=1777 {folder}" in " ".join(said("RUN"))


def test_labels_say_what_it_is():
    """The labels of the Open Container Initiative have version, licence and source."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', " ".join(LAST)))
    assert labels["version"] == __version__
    assert labels["title"] == "flashback-exporter"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["source"].endswith("/flashback-exporter")


def test_only_what_is_copied_is_sent():
    """`.dockerignore` lets through all that is copied, and nothing else; no secrets of webhooks."""
    everything, *let_through, secrets = (ROOT / ".dockerignore").read_text().split()
    copied = [name for line in said("COPY", LINES) for name in line.split()[:-1]]
    copied = [name for name in copied if not name.startswith(("/", "--"))]
    assert (everything, secrets) == ("*", "config/alertmanager/webhooks")
    assert sorted(let_through) == sorted(f"!{name}" for name in copied)
