"""Manifests for those who use no Helm: they are what the chart makes, and kustomize builds them."""

import shutil
import subprocess

import charts
import pytest
import yaml
from charts import ROOT
from programs import PATIENCE

FOLDER = ROOT / "config/kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def test_manifests_are_the_charts():
    """Each file is what the chart with its defaults makes now, and there is no other."""
    charts.helm()
    from shipping.manifests import manifests

    expected = dict(manifests(ROOT))
    for file, content in expected.items():
        assert (ROOT / file).read_text() == content, "`make shipped` has to be run again"
    there = {file.name for file in FOLDER.iterdir()} - {"kustomization.yaml"}
    assert there == {file.name for file in expected} == set(KUSTOMIZATION["resources"])


def test_no_word_of_helm_is_left():
    """What is applied without Helm does not say that Helm looks after it."""
    for name in KUSTOMIZATION["resources"]:
        labels = yaml.safe_load((FOLDER / name).read_text())["metadata"]["labels"]
        assert labels.keys() == {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/version",
        }


def test_kustomize_builds_them():
    """kustomize makes of the folder exactly the resources in it."""
    kustomize = shutil.which("kustomize")
    if kustomize is None:
        pytest.skip("needs kustomize on the PATH")
    run = subprocess.run(
        [kustomize, "build", FOLDER],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    built = {one["kind"]: one for one in yaml.safe_load_all(run.stdout)}
    files = [yaml.safe_load((FOLDER / name).read_text()) for name in KUSTOMIZATION["resources"]]
    assert built == {one["kind"]: one for one in files}
