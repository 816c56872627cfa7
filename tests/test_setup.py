"""The lock holds all that its packages need, on every Python; no command installs anything else."""

import re
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from programs import PATIENCE, tool

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
ASKED = {
    "requirements.txt": [*PROJECT["project"]["dependencies"], *GROUPS["build"]],
    "requirements-dev.txt": [*PROJECT["project"]["dependencies"], *GROUPS["build"], *GROUPS["dev"]],
    "requirements-ci.txt": GROUPS["ci"],
}

LOCK = "install --no-deps --require-hashes --requirement requirements.txt"
BUILD = "install --no-deps --no-build-isolation"


def applies(requirement: Requirement, python: str, extra: str = "") -> bool:
    """Tell whether a requirement holds on this platform with a version of Python and an extra."""
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.2",
        "extra": extra,
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


def locked(name: str, python: str = "") -> dict[str, Requirement]:
    """Return what a lock pins, by name; for one version of Python where one is given."""
    lines = re.findall(r"^[a-z].*?(?= \\$)", (ROOT / name).read_text(), re.MULTILINE)
    pins = [Requirement(line) for line in lines]
    return {canonicalize_name(pin.name): pin for pin in pins if not python or applies(pin, python)}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("name", ASKED)
def test_the_lock_has_all_that_it_asks_for(name, python):
    """Every requirement of every package, with the extras asked for, is pinned and met."""
    if name == "requirements-ci.txt":
        pytest.importorskip("helm_python", reason="needs what only CI installs")
    pins = locked(name, python)
    todo = [Requirement(line) for line in ASKED[name]]
    seen = set()
    while todo:
        wanted = todo.pop()
        key = canonicalize_name(wanted.name)
        assert key in pins, f"{wanted} is not in {name}"
        (pin,) = pins[key].specifier
        assert wanted.specifier.contains(pin.version, prereleases=True), (
            f"{name} has {pins[key]}, not {wanted}"
        )
        # pip before 23.3 takes a pin without the extra for another package than the one asked for
        assert wanted.extras <= pins[key].extras, f"{name} has {pins[key]}, not {wanted}"
        for extra in {"", *wanted.extras}:
            if (key, extra) not in seen:
                seen.add((key, extra))
                asked = map(Requirement, distribution(key).requires or ())
                todo += [
                    requirement for requirement in asked if applies(requirement, python, extra)
                ]
    assert {key for key, _ in seen} == pins.keys(), "nothing is pinned that nobody asks for"


def test_the_lock_is_whole():
    """Every pin has hashes, what runs is the same for development, what CI adds fits to it,
    and no address of an index is in the files.
    """
    running, development, more = map(locked, ASKED)
    assert {key: development[key] for key in running} == running
    for key in more.keys() & development.keys():
        assert more[key].specifier == development[key].specifier
    for name in ASKED:
        text = (ROOT / name).read_text()
        entries = re.findall(
            r"^[a-z].* \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", text, re.MULTILINE
        )
        assert len(entries) == len(locked(name))
        assert not re.search(r"://|^-", text, re.MULTILINE)


def test_the_build_backend_is_pinned():
    """What builds the package is in the lock too, so that no build fetches it."""
    assert GROUPS["build"] == PROJECT["build-system"]["requires"]


def commands(name: str) -> str:
    """Return the commands that a file gives, those of the Makefile as make would run them."""
    if name != "Makefile":
        return (ROOT / name).read_text()
    dry = [tool("make"), "--always-make", "--dry-run", ".venv/installed"]
    return subprocess.run(
        dry, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("README.md", [LOCK, f"{BUILD} .", "check"]),
        ("Dockerfile", [LOCK, f"{BUILD} .", "check"]),
        (
            "Makefile",
            [LOCK, f"{BUILD} --editable .", "check", LOCK.replace(".txt", "-dev.txt"), "check"],
        ),
    ],
)
def test_installs_take_the_lock_alone(name, expected):
    """Packages come from the lock with their hashes, the exporter is built without isolation;
    then pip checks.
    """
    said = re.findall(r"(?:/bin/|-m )pip(?: --\S+)* ((?:install|check)[^\\\n]*)", commands(name))
    assert [
        re.sub(r" --(quiet|no-cache-dir|no-compile)", "", line).strip() for line in said
    ] == expected
