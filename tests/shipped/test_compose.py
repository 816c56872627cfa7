"""compose.yaml, checked without Docker: what it mounts, publishes, pins, waits for and asks."""

import json
import re
import subprocess
from pathlib import Path

import programs
import pytest
import yaml
from programs import PATIENCE, tool

from exporter.cli import main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
IMAGES = {name: service["image"] for name, service in SERVICES.items() if "image" in service}
DEFAULTS = {"FLASHBACK_COMMAND": "demo", "GRAFANA_PASSWORD": "admin"}


def mounts():
    """Yield service, source, target and mode of every volume."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            yield name, source, target, mode


def inside(service, path):
    """Return where a path in a container is in the repository."""
    for name, source, target, _ in mounts():
        if name == service and source.startswith("./") and path.startswith(f"{target}/"):
            return ROOT / source / path.removeprefix(f"{target}/")
    raise AssertionError(f"{service} does not mount {path}")


def options(service):
    """Return the flags of a service."""
    flags = [flag.removeprefix("--").partition("=") for flag in SERVICES[service]["command"]]
    return {name: value for name, _, value in flags}


def environment():
    """Return what .env.example sets."""
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_what_is_mounted_exists():
    """Folders of the repository are there and mounted read-only;
    every other volume is named and declared.
    """
    folders = [(source, mode) for _, source, _, mode in mounts() if source.startswith("./")]
    assert folders
    for source, mode in folders:
        assert (ROOT / source).is_dir()
        assert mode == ["ro"]
    named = [source for _, source, _, _ in mounts() if not source.startswith("./")]
    assert sorted(named) == sorted(COMPOSE["volumes"])


def test_images_are_pinned():
    """Each service but the exporter, which is built here, uses an image with a full version."""
    assert SERVICES.keys() - IMAGES.keys() == {"exporter"}
    assert SERVICES["exporter"]["build"] == "."
    for image in IMAGES.values():
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", image)


def test_only_this_machine_reaches_the_ports():
    """Every published port is one of loopback, the same inside and outside."""
    published = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(published) == len(SERVICES)
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)
    assert not any("network_mode" in service for service in SERVICES.values())


def test_every_service_is_checked_and_comes_back():
    """Each has a health check by a command without a shell, and a restart policy; who waits,
    waits for healthy ones.
    """
    for service in SERVICES.values():
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"
        for name, dependency in service.get("depends_on", {}).items():
            assert name in SERVICES
            assert dependency == {"condition": "service_healthy"}


def test_configuration_files_are_where_the_flags_say():
    """The files that flags and settings name are in the folders that are mounted."""
    for service in ("prometheus", "alertmanager"):
        assert inside(service, options(service)["config.file"]).is_file()
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert json.loads(inside("grafana", home).read_text())["uid"] == "flashback-overview"


def test_services_know_one_another():
    """Prometheus scrapes the exporter and sends to Alertmanager by names and ports of services."""
    config = yaml.safe_load(inside("prometheus", options("prometheus")["config.file"]).read_text())
    targets = [config["scrape_configs"][0], config["alerting"]["alertmanagers"][0]]
    assert [target["static_configs"][0]["targets"] for target in targets] == [
        ["exporter:9877"],
        ["alertmanager:9093"],
    ]
    assert SERVICES["exporter"]["ports"] == ["127.0.0.1:9877:9877"]
    for name, port in (("alertmanager", 9093), ("prometheus", 9090), ("grafana", 3000)):
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert f"http://127.0.0.1:{port}/" in f"{SERVICES[name]['healthcheck']['test'][-1]}/"


def test_environment_is_described():
    """.env.example names the variables of compose.yaml and no others, at their defaults."""
    interpolated = dict(re.findall(r"\$\{(\w+):?-(\w*)\}", TEXT))
    assert interpolated == DEFAULTS
    assert len(re.findall(r"\$", TEXT)) == len(interpolated)
    described = re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    passed_on = [entry for entry in SERVICES["exporter"]["environment"] if "=" not in entry]
    assert sorted(described) == sorted([*interpolated, *passed_on])
    example = environment()
    assert {name: example[name] for name in DEFAULTS} == DEFAULTS


def test_the_example_runs_the_demo():
    """Copied unchanged it starts the demo, as without it, and no account stands in its way."""
    example = environment()
    assert example.pop("FLASHBACK_COMMAND") == "demo"
    assert not any(example[name] for name in SERVICES["exporter"]["environment"] if name in example)


def test_servers_can_be_reloaded():
    """Prometheus takes a reload over HTTP, as Alertmanager always does; the commands are there."""
    assert "web.enable-lifecycle" in options("prometheus")
    for port in (9090, 9093):
        assert f"curl -X POST http://localhost:{port}/-/reload" in TEXT


def test_the_exporter_keeps_its_state_in_a_volume():
    """Counters go on after a restart: the state file is in a folder that outlives the container."""
    exporter = SERVICES["exporter"]
    (path,) = [
        entry.partition("=")[2]
        for entry in exporter["environment"]
        if entry.startswith("FLASHBACK_STATE_FILE=")
    ]
    (volume,) = exporter["volumes"]
    assert volume.split(":") == ["exporter", str(Path(path).parent)]
    assert f"VOLUME {Path(path).parent}\n" in (ROOT / "Dockerfile").read_text()


def test_exporter_takes_the_environment(monkeypatch, capsys):
    """With e-mail and password in .env.example, the exporter's configuration is complete."""
    for name, value in environment().items():
        if name in SERVICES["exporter"]["environment"]:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLASHBACK_EMAIL", "metrics@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", "made up")
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "SUCCESS: the environment is a valid configuration\n"


def test_the_exporter_is_checked_as_in_its_image():
    """The health check of the exporter is the image's own, only more often."""
    (command,) = re.findall(
        r"^HEALTHCHECK .*CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert SERVICES["exporter"]["healthcheck"]["test"] == ["CMD", *json.loads(command)]


def checked(service, port, url):
    """Run the health check of a service against an address, and return whether it is content."""
    command = [
        part.replace(f"http://127.0.0.1:{port}", url)
        for part in SERVICES[service]["healthcheck"]["test"][1:]
    ]
    return (
        subprocess.run(
            [tool(command[0]), *command[1:]], capture_output=True, timeout=PATIENCE, check=False
        ).returncode
        == 0
    )


@pytest.mark.parametrize(("service", "port"), [("prometheus", 9090), ("alertmanager", 9093)])
def test_health_checks_tell_healthy_from_gone(service, port, tmp_path):
    """The check is content while the real server runs, and not when it has gone."""
    start = {"prometheus": programs.prometheus, "alertmanager": programs.alertmanager}[service]
    silent = tmp_path / "alertmanager.yml"
    silent.write_text("{route: {receiver: nobody}, receivers: [{name: nobody}]}")
    config = {"prometheus": "{}", "alertmanager": silent}[service]
    with start(tmp_path, config) as running:
        assert checked(service, port, running.url)
    assert not checked(service, port, running.url)
