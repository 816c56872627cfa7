"""The Helm chart: what Helm and Kubernetes say of it, and that the exporter takes what it makes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import charts
import pytest
import yaml
from charts import CHART, CRDS, ROOT, of_kind, pod, rendered, resources, workload
from programs import PATIENCE, tool

from exporter.api.secrets import read_secret
from exporter.cli import main
from exporter.config.load import load_config
from shipping.copies import FILES, copies

VALUES = Path(__file__).with_name("values")
GOOD = {path.name.partition(".")[0]: path for path in sorted(VALUES.glob("*.ok.yml"))}
BAD = {path.name.partition(".")[0]: path for path in sorted(VALUES.glob("*.bad.yml"))}
OPERATORS = {"ServiceMonitor", "PrometheusRule"}
RULES = ROOT / "config/prometheus/flashback.rules.yml"
WARNING = 2  # Helm's number for it


def values(name):
    """Return the values of a case."""
    return yaml.safe_load((GOOD | BAD)[name].read_text())


def made(name):
    """Return the resources that a good case makes."""
    return resources(values(name))


def configuration(found):
    """Return the exporter's configuration as text."""
    (text,) = [
        one["data"]["flashback-exporter.yml"]
        for one in of_kind(found, "ConfigMap")
        if "flashback-exporter.yml" in one["data"]
    ]
    return text


# What Helm and Kubernetes say


@pytest.mark.parametrize("name", GOOD)
def test_helm_has_nothing_to_say(name):
    """`helm lint` warns of nothing, whatever is switched on."""
    report = charts.helm().lint(str(CHART), values(name))
    assert [one for one in report["messages"] if one["severity"] >= WARNING] == []


@pytest.mark.parametrize("name", BAD)
def test_wrong_values_are_told(name):
    """Values that cannot work are refused, with what is wrong with them."""
    helm = charts.helm()
    with pytest.raises((helm.HelmValuesError, helm.HelmRenderError)) as caught:
        rendered(values(name))
    assert (VALUES / f"{name}.bad.txt").read_text().strip() in str(caught.value)


@pytest.mark.parametrize("which", [0, -1], ids=["oldest", "newest"])
@pytest.mark.parametrize("name", GOOD)
def test_kubernetes_takes_it(name, which):
    """Every built-in kind satisfies Kubernetes' own schemas, with no key that they do not know."""
    found = [one for one in made(name) if one["kind"] not in OPERATORS]
    schemas = pytest.importorskip("kubernetes_validate")
    version = schemas.utils.all_versions()[which]
    for one in found:
        assert schemas.validate(one, version, strict=True) in version
    oldest = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    assert oldest == f">={schemas.utils.all_versions()[0]}-0"


@pytest.mark.parametrize("name", ["everything", "web-config"])
def test_the_operator_takes_it(name):
    """The operator's kinds satisfy its definitions, with no key that they do not know."""
    found = [one for one in made(name) if one["kind"] in OPERATORS]
    assert found
    jsonschema = pytest.importorskip("jsonschema")
    for one in found:
        jsonschema.Draft202012Validator(charts.custom(one["kind"])).validate(one)


@pytest.mark.skipif(not CRDS.is_dir(), reason="needs the definitions of the operator's kinds")
@pytest.mark.parametrize("fault", [{"intervall": "1m"}, {"interval": 60}])
def test_the_operators_schema_finds_faults(fault):
    """A key that is not known, or a value of another type, would not pass."""
    (monitor,) = of_kind(made("everything"), "ServiceMonitor")
    monitor["spec"]["endpoints"][0] |= fault
    jsonschema = pytest.importorskip("jsonschema")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(charts.custom("ServiceMonitor")).validate(monitor)


@pytest.mark.parametrize("name", GOOD)
def test_resources_fit_together(name):
    """Names are different within a kind, and selectors, accounts and volumes are there."""
    found = made(name)
    names = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(set(names)) == len(names)
    labels = workload(found)["spec"]["template"]["metadata"]["labels"].items()
    (service,) = of_kind(found, "Service")
    selectors = [service["spec"]["selector"], workload(found)["spec"]["selector"]["matchLabels"]]
    selectors += [
        one["spec"]["podSelector"]["matchLabels"] for one in of_kind(found, "NetworkPolicy")
    ]
    for selector in selectors:
        assert selector.items() <= labels
    for monitor in of_kind(found, "ServiceMonitor"):
        chosen = monitor["spec"]["selector"]["matchLabels"].items()
        assert chosen <= service["metadata"]["labels"].items()
    inside = pod(found)
    account = inside["serviceAccountName"]
    assert account == "default" or ("ServiceAccount", account) in names
    volumes = {one["name"] for one in inside["volumes"]}
    claims = workload(found)["spec"].get("volumeClaimTemplates", [])
    volumes |= {one["metadata"]["name"] for one in claims}
    containers = [*inside["containers"], *inside.get("initContainers", [])]
    mounted = {one["name"] for container in containers for one in container["volumeMounts"]}
    assert mounted == volumes


@pytest.mark.parametrize("name", [name for name in GOOD if name != "own-sign-in"])
def test_pods_are_restricted(name):
    """Every container satisfies the restricted pod security standard, on a read-only root."""
    inside = pod(made(name))
    whole = inside["securityContext"]
    assert whole["runAsNonRoot"]
    assert whole["runAsUser"] > 0
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inside["automountServiceAccountToken"] is False
    for container in [*inside["containers"], *inside.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


# What the exporter says


@pytest.mark.parametrize("name", GOOD)
def test_the_exporter_takes_its_configuration(name, tmp_path, monkeypatch):
    """The ConfigMap, with what the Secret adds, is a configuration without a fault."""
    found = made(name)
    (container,) = pod(found)["containers"]
    for variable in container.get("env", ()):
        monkeypatch.setenv(variable["name"], variable.get("value", "a@example.com"))
    content = yaml.safe_load(configuration(found))
    file = tmp_path / "flashback-exporter.yml"
    file.write_text(configuration(found))
    config = load_config(file)
    assert [query.name for query in config.queries] == [
        query["name"] for query in content.get("queries", [{"name": "default"}])
    ]


def test_secrets_stand_in_secrets_alone():
    """A password in the values ends up in the Secret, as it is, and nowhere else."""
    for name in ("password", "bearer-token"):
        found = made(name)
        (secret,) = of_kind(found, "Secret")
        assert list(secret["stringData"].values()) == [values(name)["auth"]["value"]]
        others = [one for one in found if one is not secret]
        assert values(name)["auth"]["value"] not in str(others)


@pytest.mark.parametrize("name", GOOD)
def test_the_command_line_is_known(name, capsys):
    """The exporter knows every flag that its container is given."""
    (container,) = pod(made(name))["containers"]
    with pytest.raises(SystemExit) as ended:
        main([*container["args"], "--help"])
    assert ended.value.code == 0


@pytest.mark.parametrize("name", GOOD)
def test_probes_ask_what_can_be_asked(name):
    """Probes ask for health and readiness, and only connect where a web configuration may want a
    password.
    """
    (container,) = pod(made(name))["containers"]
    probes = [container["livenessProbe"], container["readinessProbe"]]
    (port,) = container["ports"]
    assert port["containerPort"] == 9877
    if values(name).get("webConfig"):
        assert [probe["tcpSocket"] for probe in probes] == 2 * [{"port": port["name"]}]
    else:
        paths = [probe["httpGet"] for probe in probes]
        expected = [{"path": path, "port": port["name"]} for path in ("/-/healthy", "/-/ready")]
        assert paths == expected


def test_the_web_configuration_is_whole(tmp_path):
    """web.yml in the Secret is what the values say."""
    (secret,) = of_kind(made("web-config"), "Secret")
    given = yaml.safe_load(secret["stringData"]["web.yml"])
    assert given == values("web-config")["webConfig"]["content"]


def test_the_state_is_on_a_volume():
    """With a volume it is a StatefulSet whose state and refresh token are on it."""
    found = made("refresh-token")
    assert workload(found)["kind"] == "StatefulSet"
    (container,) = pod(found)["containers"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "state"]
    config = yaml.safe_load(configuration(found))
    assert config["state"]["file"] == f"{mount['mountPath']}/state.db"
    assert config["api"]["refresh_token_file"] == f"{mount['mountPath']}/refresh-token"
    assert workload(made("defaults"))["kind"] == "Deployment"


def seed(secret, folder):
    """Run what the init container runs, on files of the test."""
    (container,) = pod(made("refresh-token"))["initContainers"]
    program, *paths = container["args"]
    assert container["command"] == ["python3", "-c"]
    assert len(paths) == 2
    subprocess.run([sys.executable, "-c", program, secret, folder], check=True, timeout=PATIENCE)


def test_a_refresh_token_is_seeded_once(tmp_path):
    """The Secret's token is put on the volume, private; a newer one there stays, until the Secret
    has another one.
    """
    secret, folder = tmp_path / "secret", tmp_path / "state"
    folder.mkdir()
    token = folder / "refresh-token"
    secret.write_text("first\n")
    seed(secret, folder)
    assert read_secret(token, "the refresh token") == "first"
    assert token.stat().st_mode & 0o777 == 0o600
    token.write_text("handed out by the API")
    seed(secret, folder)
    assert token.read_text() == "handed out by the API"
    secret.write_text("second\n")
    seed(secret, folder)
    assert read_secret(token, "the refresh token") == "second"
    assert "second" not in (folder / "refresh-token.seed").read_text()


# What Prometheus and Grafana are given


def test_the_rules_are_the_shipped_ones(tmp_path):
    """The PrometheusRule holds the shipped groups, and promtool is content with them."""
    (rule,) = of_kind(resources({"prometheusRule": {"enabled": True}}), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    run = subprocess.run(
        [tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", file],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_links_of_alerts_lead_where_the_values_say():
    """With addresses of one's own, no alert links to one that is shipped."""
    (rule,) = of_kind(made("everything"), "PrometheusRule")
    links = [
        rule["annotations"][kind]
        for group in rule["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
        for kind in ("dashboard", "runbook_url")
    ]
    assert links
    own = values("everything")["prometheusRule"]
    assert all(
        link.startswith((own["grafanaUrl"] + "/d/", own["runbookUrl"] + "#")) for link in links
    )


def test_the_exporters_own_label_endpoint_stays():
    """The operator's label of that name does not take its place, and pods are told by their
    names.
    """
    (monitor,) = of_kind(made("everything"), "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
    first = endpoint["relabelings"][0]
    assert first == {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}


def test_every_dashboard_is_there():
    """Each is in a ConfigMap that the sidecar finds, and small enough for `kubectl apply`."""
    found = of_kind(resources({"dashboards": {"enabled": True}}), "ConfigMap")
    boards = [one for one in found if "grafana_dashboard" in one["metadata"]["labels"]]
    given = {name: json.loads(text) for one in boards for name, text in one["data"].items()}
    shipped = (ROOT / "grafana/dashboards").glob("*.json")
    assert given == {file.name: json.loads(file.read_text()) for file in shipped}
    assert all(len(json.dumps(one)) < 262_144 for one in boards)


# What is a copy, and what describes itself


def test_copies_are_equal():
    """The version and the chart's copies are those of their sources, and no other file is there."""
    expected = dict(copies(ROOT))
    for file, content in expected.items():
        assert (ROOT / file).read_text() == content, "`make shipped` has to be run again"
    there = {path.relative_to(ROOT) for path in (ROOT / FILES).rglob("*.*") if path.is_file()}
    assert there - {FILES / "seed.py"} == expected.keys() & there


def test_every_value_is_described():
    """Each value, or the one that it stands beside, has a comment above it."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        key = re.match(r"( *)([A-Za-z]+):", line)
        if key and not line.endswith(":"):
            above = lines[number - 1]
            beside = re.match(rf"{key[1]}[A-Za-z]+: ", above)
            assert above.lstrip().startswith("#") or beside or above.endswith(":"), line


def test_the_schema_knows_every_value():
    """The schema has the keys of the values and no others."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(found, rules, where):
        if not rules.get("properties"):
            return
        assert rules["additionalProperties"] is False
        known = rules["properties"].keys() - {"global"}
        if where not in FREE:
            assert known == found.keys(), where
        for key in known & found.keys():
            if isinstance(found[key], dict):
                compare(found[key], rules["properties"][key], f"{where}.{key}")

    compare(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")


FREE = {".config", ".webConfig.content", ".resources"}
"""Values of which only what is given differs from the default."""
