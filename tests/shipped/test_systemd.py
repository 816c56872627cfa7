"""The unit for systemd: what systemd-analyze says, and that the exporter takes what it is given."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from programs import PATIENCE

from exporter.cli import main

ROOT = Path(__file__).parents[2] / "config/systemd"
UNIT = ROOT / "flashback-exporter.service"
EXPOSURE = 1.3  # of 10; what is left is that it uses the network


def settings(name):
    """Return what the unit says of a setting, in its order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.fixture
def unit(tmp_path):
    """Return the unit with a program that is there, for systemd looks at it."""
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    return copy


def analyze(*arguments):
    """Run systemd-analyze; return its exit code and what it says."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    run = subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def test_systemd_has_nothing_to_say(unit):
    """Every setting is known and has a value that it can have."""
    assert analyze("verify", "--man=no", unit) == (0, "")


def test_it_can_do_little_harm(unit):
    """The sandbox is as narrow as systemd rates it."""
    limit = f"--threshold={EXPOSURE * 10:g}"
    code, said = analyze("security", "--offline=true", "--no-pager", limit, unit)
    assert code == 0, said


def test_its_environment_is_a_configuration(monkeypatch, tmp_path, capsys):
    """The variables of the unit and of its file, with a password, are all that the exporter
    needs.
    """
    (tmp_path / "password").write_text("made up\n")
    lines = [*(ROOT / "flashback-exporter.env").read_text().splitlines(), *settings("Environment")]
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            value = value.replace("%d", str(tmp_path)).replace("%S", str(tmp_path))
            monkeypatch.setenv(name, value)
    (tmp_path / "flashback-exporter").mkdir()
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "SUCCESS: the environment is a valid configuration\n"


def test_the_password_is_a_credential():
    """The password comes from systemd alone, and the state is in the folder that it makes."""
    (credential,) = settings("LoadCredential")
    (folder,) = settings("StateDirectory")
    given = dict(line.split("=") for line in settings("Environment"))
    assert given["FLASHBACK_PASSWORD_FILE"] == f"%d/{credential.partition(':')[0]}"
    assert given["FLASHBACK_STATE_FILE"] == f"%S/{folder}/state.db"


def test_a_bad_configuration_is_not_tried_again():
    """The exit code of a bad configuration ends it for good; any other failure is tried again."""
    assert settings("Restart") == ["on-failure"]
    assert settings("RestartPreventExitStatus") == ["2"]


def test_the_head_says_how_to_install_it():
    """Every file that the commands at the top name is one that the unit reads."""
    text = UNIT.read_text()
    named = set(re.findall(r"(?<=^#  ).*?(/etc/\S+[a-z])(?:\s|$)", text, re.MULTILINE))
    read = {settings("EnvironmentFile")[0][1:], settings("LoadCredential")[0].partition(":")[2]}
    assert read <= named
