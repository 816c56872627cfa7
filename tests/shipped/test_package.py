"""Wheel and source distribution: what is in them, and that pip alone installs both."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from programs import PATIENCE

from exporter import __version__
from shipping.links import DATA, links, target

ROOT = Path(__file__).parents[2]
FILES = dict(links(ROOT))
KINDS = ["*.whl", "*.tar.gz"]


def run(*command, cwd=ROOT, **environment):
    """Run a command without a network and return what it says."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={
            **os.environ,
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build both, the wheel from the source distribution, and return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


def test_the_links_are_whole():
    """Every file that a package installs beside the code is linked, and no link leads nowhere."""
    found = {path.relative_to(ROOT) for path in (ROOT / DATA).rglob("*") if not path.is_dir()}
    assert found == FILES.keys(), "`make shipped` has to be run again"
    for link, file in FILES.items():
        assert str((ROOT / link).readlink()) == target(link, file)
        assert (ROOT / link).is_file()


def test_both_carry_the_version(built):
    """There is one of each, named after the version."""
    name = f"flashback_exporter-{__version__}"
    assert {path.name for path in built.iterdir()} == {
        f"{name}.tar.gz",
        f"{name}-py3-none-any.whl",
    }


def test_the_wheel_has_the_package_alone(built):
    """It installs the package `exporter` and what is shared, and no tests."""
    (wheel,) = built.glob("*.whl")
    tops = {Path(name).parts[0] for name in zipfile.ZipFile(wheel).namelist()}
    info = f"flashback_exporter-{__version__}"
    assert tops == {"exporter", f"{info}.dist-info", f"{info}.data"}


def test_the_source_has_what_users_need(built):
    """It has the configuration, the dashboards and the documents, and no tests and no secrets."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {"/".join(Path(name).parts[1:]) for name in source.getnames()}
    for wanted in ("config", "grafana/dashboards"):
        files = {path for path in (ROOT / wanted).rglob("*") if path.is_file()}
        expected = {str(path.relative_to(ROOT)) for path in files}
        assert {name for name in expected if "/webhooks/" not in name} <= names
    assert {"README.md", "CHANGELOG.md", "LICENSE", "docs/runbook.md"} <= names
    assert not any(name.startswith(("tests", "bench", ".")) for name in names)
    assert not any("/webhooks/" in name for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_pip_installs_it_from_the_file(built, kind, tmp_path):
    """pip needs the file alone; the command runs, and the files are where the README says."""
    (file,) = built.glob(kind)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    run(*pip, "--ignore-installed", "--prefix", tmp_path, file, cwd=tmp_path)
    (packages,) = tmp_path.glob("lib/python*/site-packages")
    command = tmp_path / "bin/flashback-exporter"
    said = run(command, "--version", cwd=tmp_path, PYTHONPATH=str(packages))
    assert said == f"flashback-exporter {__version__}\n"
    for link, source in FILES.items():
        installed = tmp_path / link.relative_to(DATA)
        assert installed.read_bytes() == (ROOT / source).read_bytes()
