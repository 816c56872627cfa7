"""State files that can never be used: what `check` and a start say about them, and leave alone."""

import os
import sqlite3
from contextlib import closing

import pytest

from exporter.cli import BAD_CONFIGURATION, OK, main
from exporter.store.schema import APPLICATION_ID, FORMAT


def _database(path, *statements):
    with closing(sqlite3.connect(path)) as database:
        for statement in ("CREATE TABLE mine (id)", *statements):
            database.execute(statement)
            database.commit()


def _foreign(path):
    _database(path, "PRAGMA user_version = 1")


def _newer(path):
    _database(
        path, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {FORMAT + 1}"
    )


def _text(path):
    path.write_text("counters: 5\n")


def _loop(path):
    path.symlink_to(path)


def _device(path):
    path.symlink_to(os.devnull)


def _no_folder(path):
    path.parent.rmdir()


def _file_for_a_folder(path):
    path.parent.rmdir()
    path.parent.touch()


def _link_to_nowhere(path):
    path.symlink_to(path.parent / "missing" / "state.db")


CASES = [
    (os.mkdir, "it is a directory"),
    (os.mkfifo, "it is no regular file"),
    (_device, "it is no regular file"),
    (_text, "it is no state file"),
    (_foreign, "it is another program's database"),
    (_newer, "a newer exporter wrote it"),
    (_loop, "Too many levels of symbolic links"),
    (_no_folder, "its folder does not exist"),
    (_file_for_a_folder, "its folder does not exist"),
    (_link_to_nowhere, "its folder does not exist"),
]


@pytest.fixture
def run(tmp_path, state_file, capfd, restore_logging):
    """Return a function that runs a command with a state file and gives code, output and errors."""
    config = tmp_path / "exporter.yml"
    login = "login: {email: me@example.com, password: secret}"
    config.write_text(f"api: {{{login}}}\nstate: {{file: '{state_file}'}}\n")

    def run(*arguments):
        code = main([*arguments, "--config.file", str(config)])
        out, err = capfd.readouterr()
        return code, out, err.replace(f"{config}:2:9: ", "")

    return run


@pytest.mark.parametrize("command", [["check"], ["--web.listen-address=127.0.0.1:0"]], ids=str)
@pytest.mark.parametrize(("make", "reason"), CASES)
def test_a_file_that_cannot_be_used_is_a_bad_configuration(state_file, run, command, make, reason):
    """Exit code 2 and one line that names file and reason; the file stays as it was."""
    make(state_file)
    before = state_file.read_bytes() if state_file.is_file() else None
    code, _, err = run(*command)
    assert code == BAD_CONFIGURATION
    assert err.count("\n") == 1
    line = f"flashback-exporter: state.file: {state_file}: "
    assert err.startswith(line)
    assert err.removeprefix(line).rstrip() == reason
    if before is not None:
        assert state_file.read_bytes() == before
    assert not state_file.with_name("state.db-journal").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize(
    ("mode", "folder_mode", "reason"),
    [
        (0o400, 0o700, "it may not be read and written"),
        (0o600, 0o500, "its folder may not be written to"),
        (0o600, 0o600, "Permission denied"),
    ],
)
def test_a_file_without_permission_is_a_bad_configuration(
    state_file, run, mode, folder_mode, reason
):
    """`check` says so as well."""
    state_file.touch()
    state_file.chmod(mode)
    state_file.parent.chmod(folder_mode)
    for command in ("check", "--web.listen-address=127.0.0.1:0"):
        code, _, err = run(command)
        assert (code, err) == (
            BAD_CONFIGURATION,
            f"flashback-exporter: state.file: {state_file}: {reason}\n",
        )
    state_file.parent.chmod(0o700)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch()])
def test_a_missing_or_empty_file_is_fine(state_file, run, make):
    """It is new; `check` does not make it."""
    make(state_file)
    before = list(state_file.parent.iterdir())
    code, _, err = run("check")
    assert (code, err) == (OK, "")
    assert list(state_file.parent.iterdir()) == before
