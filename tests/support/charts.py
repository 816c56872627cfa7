"""The Helm chart, rendered by Helm's own code, and what Kubernetes says of what comes out."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "config/helm"
CRDS = ROOT.parent / "shared/testdata/crds"
NAMESPACE = "monitoring"


def helm():
    """Return Helm's own code, which only CI installs."""
    return pytest.importorskip("helm_python", reason="needs Helm's code, which only CI installs")


def rendered(values, name="flashback-exporter"):
    """Return what the chart makes of values, by template."""
    with helm().Chart.load(str(CHART)) as chart:
        return chart.render(values, name=name, namespace=NAMESPACE)


def resources(values, name="flashback-exporter"):
    """Return the resources that the chart makes of values."""
    texts = [text for file, text in rendered(values, name).items() if file.endswith(".yaml")]
    found = [one for text in texts for one in yaml.safe_load_all(text)]
    return [one for one in found if one]


def of_kind(found, kind):
    """Return those of a kind."""
    return [one for one in found if one["kind"] == kind]


def workload(found):
    """Return the one Deployment or StatefulSet."""
    (one,) = [*of_kind(found, "Deployment"), *of_kind(found, "StatefulSet")]
    return one


def pod(found):
    """Return what a pod of the workload is made of."""
    return workload(found)["spec"]["template"]["spec"]


def custom(kind):
    """Return the schema of one of the operator's kinds, which takes no unknown key."""
    if not CRDS.is_dir():
        pytest.skip("needs the definitions of the Prometheus Operator's kinds")
    definition = yaml.safe_load((CRDS / f"{kind.lower()}s.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    return _closed(version["schema"]["openAPIV3Schema"])


def _closed(schema):
    """Return a schema in which objects have no other keys than those that it names."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        return {key: value for key, value in closed.items() if key != "type"}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
