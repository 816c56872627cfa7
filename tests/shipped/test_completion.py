"""Completion for bash: it offers every command, flag and choice of the command line."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from programs import PATIENCE

from exporter import log
from exporter.cli import main

SCRIPT = Path(__file__).parents[2] / "config/completion/flashback-exporter.bash"
ASKING = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_flashback_exporter
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(*words, cwd=None):
    """Return what is offered for the last word of a command line."""
    run = subprocess.run(
        ["bash", "-c", ASKING, "bash", SCRIPT, "flashback-exporter", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
        cwd=cwd or os.curdir,
    )
    assert run.stderr == ""
    return set(run.stdout.split())


def helped(capsys, *command):
    """Return the flags that `--help` names."""
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    return set(re.findall(r"--[a-z][a-z.-]+", capsys.readouterr().out.split("options:")[1]))


@pytest.mark.parametrize("command", [[], ["check"], ["demo"]])
def test_every_flag_is_offered(command, capsys):
    """What `--help` names is offered, and no other flag: for the daemon and for each command."""
    flags = {word for word in offered(*command, "") if word.startswith("-")}
    assert flags == helped(capsys, *command)


def test_commands_are_offered():
    """Commands are offered before there is one, by their beginning too."""
    assert {word for word in offered("") if not word.startswith("-")} == {"check", "demo"}
    assert offered("ch") == {"check"}


@pytest.mark.parametrize("cut", [(), ("=",)])
def test_choices_are_offered(cut):
    """Levels and formats of the log are offered behind a blank and behind an equals sign."""
    assert offered("--log.format", *cut, "") == set(log.FORMATS)
    assert offered("check", "--log.level", *cut, "") == set(log.LEVELS)
    assert offered("--log.level", *cut, "w") == {"warn"}


def test_files_are_offered(tmp_path):
    """Files are offered where one is wanted."""
    (tmp_path / "web.yml").touch()
    assert offered("--web.config.file", "=", "w", cwd=tmp_path) == {"web.yml"}
    assert offered("--web.listen-address", "", cwd=tmp_path) == set()
