"""Secret files: read when a secret is needed, written when the API hands out a refresh token."""

import os
import resource
import shutil
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from exporter.api.secrets import read_secret, saving_fault, secret, write_secret
from exporter.errors import PollError, Reason

CANARY = "canary-7f3a"  # stands for a secret: no message may ever show it


@pytest.fixture
def path(tmp_path):
    """Return where a secret may be."""
    return tmp_path / "secret"


def refusal(path):
    """Return what is said about a file that is no secret."""
    with pytest.raises(PollError) as caught:
        read_secret(path, "api.login.password_file")
    assert caught.value.reason is Reason.AUTH
    assert not caught.value.retryable
    assert CANARY not in str(caught.value)
    assert str(caught.value).startswith(f"api.login.password_file {path} ")
    return str(caught.value).removeprefix(f"api.login.password_file {path} ")


@pytest.mark.parametrize(
    "content",
    [
        b"pass word\xc3\xa9",
        b"pass word\xc3\xa9\n",
        b"pass word\xc3\xa9\r\n",
        b"\n pass word\xc3\xa9\t\n\n",
        b"\xef\xbb\xbfpass word\xc3\xa9",
        b"\xef\xbb\xbfpass word\xc3\xa9\r\n",
    ],
    ids=[
        "bare",
        "newline",
        "windows newline",
        "white space around",
        "byte order mark",
        "as an editor on windows",
    ],
)
def test_a_secret_is_the_text_of_its_file(content, path):
    """A secret is a file's text without byte order mark and the white space around it;
    spaces inside stay.
    """
    path.write_bytes(content)
    assert read_secret(path, "the file") == "pass wordé"


def test_a_secret_file_is_read_each_time(path):
    """A rotated secret is picked up at the next reading."""
    path.write_text("old")
    assert read_secret(path, "the file") == "old"
    path.write_text("new")
    assert read_secret(path, "the file") == "new"


def test_a_missing_file_is_named(path):
    """A file that is not there is reported with the key, the path and the reason."""
    assert refusal(path) == "cannot be read: No such file or directory"


def test_a_folder_is_no_secret(tmp_path):
    """A folder in place of the file is reported the same way."""
    assert refusal(tmp_path) == "cannot be read: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_named(path):
    """A file that may not be read is reported the same way."""
    path.write_text(CANARY)
    path.chmod(0)
    assert refusal(path) == "cannot be read: Permission denied"


@pytest.mark.parametrize("content", [b"", b"\n", b" \t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_no_secret(content, path):
    """A file with nothing but white space is refused: no request goes out with an empty secret."""
    path.write_bytes(content)
    assert refusal(path) == "is empty"


@pytest.mark.parametrize("between", ["\n", "\r\n", "\r", "\t", "\0", "\x1b", "\u2028"])
def test_a_secret_is_one_line_of_text(between, path):
    """A file with a second line or control characters, which could add a header, is refused."""
    path.write_bytes(f"{CANARY}{between}{CANARY}".encode())
    assert refusal(path) == "holds more than one line, or control characters"


def test_a_secret_is_utf_8(path):
    """A file in another encoding is refused."""
    path.write_bytes(CANARY.encode() + b"\xff")
    assert refusal(path) == "is not UTF-8 text"


def test_a_secret_may_have_64_kib(path):
    """A secret of the largest size is read whole."""
    path.write_text("x" * 65536)
    assert read_secret(path, "the file") == "x" * 65536


def test_a_larger_file_is_no_secret(path):
    """One byte more is refused."""
    path.write_text("x" * 65537)
    assert refusal(path) == "is too large for a secret"


def test_a_file_without_end_is_no_secret(path):
    """A device that never ends costs neither time nor memory."""
    path.symlink_to("/dev/zero")
    assert refusal(path) == "is no regular file"


def test_a_pipe_is_no_secret(path):
    """A pipe that nobody writes to does not hold up the process."""
    os.mkfifo(path)
    assert refusal(path) == "is no regular file"


def test_a_secret_may_stand_in_the_configuration(path):
    """A secret is given in place, in a file, or not at all, which is reported by its key."""
    path.write_text("from the file\n")
    assert secret(SecretStr("in place\n"), None, "api.login.password") == "in place"
    assert secret(None, path, "api.login.password") == "from the file"
    for nothing in (None, SecretStr(""), SecretStr(" ")):
        with pytest.raises(PollError, match=r"^api\.login\.password is empty$"):
            secret(nothing, None, "api.login.password")


def test_a_secret_in_place_is_one_line_too():
    """What goes for files goes for secrets in place, and they are not shown either."""
    with pytest.raises(
        PollError, match="holds more than one line, or control characters"
    ) as caught:
        secret(SecretStr(f"{CANARY}\nX-Header: y"), None, "api.authorization.credentials")
    assert CANARY not in str(caught.value)


def test_a_secret_in_place_that_is_no_text_is_refused():
    """A secret with a lone surrogate, which no encoding can carry, is refused, not a crash."""
    with pytest.raises(PollError):
        secret(SecretStr("canary\udcff"), None, "api.login.password")


def test_a_written_secret_is_read_back(path):
    """What is written is what is read."""
    write_secret(path, "refresh-é")
    assert read_secret(path, "the file") == "refresh-é"


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_a_written_secret_is_for_its_owner_alone(mask, path):
    """The file is readable by its owner alone, whatever it was before and whatever the umask is."""
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(mask)
    try:
        write_secret(path, "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_is_replaced_at_once(path):
    """Whoever has the old file open reads the old secret whole: it is replaced, not rewritten."""
    path.write_text("old\n")
    with path.open() as reader:
        write_secret(path, "a much longer new one")
        assert reader.read() == "old\n"
    assert path.read_text() == "a much longer new one\n"


def test_nothing_is_left_behind(path):
    """The folder holds the secret and nothing else afterwards."""
    write_secret(path, "one")
    write_secret(path, "two")
    assert list(path.parent.iterdir()) == [path]


def test_the_old_secret_stays_where_writing_fails(path):
    """A secret that cannot be written, here for a character that UTF-8 has not,
    leaves the old file and no other.
    """
    path.write_text("old\n")
    with pytest.raises(UnicodeEncodeError):
        write_secret(path, "new\udcff")
    assert path.read_text() == "old\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_is_not_replaced(path):
    """Where the last step fails, the error is that of the system and nothing is left behind."""
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="Is a directory"):
        write_secret(path, "new")
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_folder_is_an_error_of_the_system(tmp_path):
    """Where there is no such folder, the caller learns it."""
    with pytest.raises(FileNotFoundError):
        write_secret(tmp_path / "missing" / "secret", "new")


# --- where a file cannot simply be replaced


@contextmanager
def mounted(source, path, *options):
    """Mount a single file, as containers do."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount")
    for arguments in (["--bind", source, path], ["-o", f"remount,bind,{','.join(options)}", path]):
        if subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode:
            pytest.skip("this system does not let root mount")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@contextmanager
def somebody():
    """Do without root's rights meanwhile."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def folder():
    """Return a folder that belongs to `somebody`, where everybody can reach it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(folder, 65_534, 65_534)
        yield folder
        folder.chmod(0o755)


def test_a_single_file_that_is_mounted_is_written_in_place(path, tmp_path):
    """Nothing can be renamed onto a file that is mounted by itself:
    it is written over and keeps its mode.
    """
    outside = tmp_path / "outside"
    outside.write_text("a much longer old token\n")
    outside.chmod(0o640)
    path.touch()
    with mounted(outside, path, "rw"):
        assert saving_fault(path) == ""
        write_secret(path, "new")
        assert read_secret(path, "the file") == "new"
        write_secret(path, "one that is longer again")
    assert outside.read_text() == "one that is longer again\n"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640
    assert sorted(tmp_path.iterdir()) == [outside, path]


def test_a_single_file_that_is_mounted_read_only_cannot_be_saved(path, tmp_path):
    """Where neither way works, both reasons are told, before and after trying; nothing changes."""
    outside = tmp_path / "outside"
    outside.write_text("old\n")
    path.touch()
    why = (
        "neither by a rename in its folder (Device or resource busy) "
        "nor in place (Read-only file system)"
    )
    with mounted(outside, path, "ro"):
        assert saving_fault(path) == why
        with pytest.raises(OSError, match="Read-only") as caught:
            write_secret(path, "new")
    assert caught.value.strerror == why
    assert outside.read_text() == "old\n"
    assert sorted(tmp_path.iterdir()) == [outside, path]


def test_a_folder_that_is_mounted_read_only_cannot_be_saved_in(tmp_path):
    """A folder of secrets as Kubernetes mounts it says that it is read-only."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "token").write_text("old\n")
    with mounted(outside, inside, "ro"):
        assert saving_fault(inside / "token") == "Read-only file system"
        assert saving_fault(inside / "not yet there") == "Read-only file system"


def test_a_folder_that_cannot_be_written_to_needs_no_rename(folder):
    """A file that may be written, in a folder that may not, is written in place."""
    path = folder / "token"
    with somebody():
        path.write_text("old token\n")
        path.chmod(0o640)
        folder.chmod(0o555)
        assert saving_fault(path) == ""
        write_secret(path, "new")
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_that_cannot_be_written_to_needs_no_writing_in_place(folder):
    """A file that may not be written, in a folder that may, is replaced."""
    path = folder / "token"
    with somebody():
        path.write_text("old\n")
        path.chmod(0o400)
        assert saving_fault(path) == ""
        write_secret(path, "new")
        assert path.read_text() == "new\n"


def test_a_file_and_folder_that_cannot_be_written_to_are_a_fault(folder):
    """Where nothing may be written the fault says so, and for a file that is not there yet too."""
    path = folder / "token"
    with somebody():
        path.write_text("old\n")
        path.chmod(0o400)
        folder.chmod(0o555)
        assert saving_fault(path) == "Permission denied"
        assert saving_fault(folder / "not yet there") == "Permission denied"
        with pytest.raises(PermissionError):
            write_secret(path, "new")
        assert path.read_text() == "old\n"


def test_a_file_of_somebody_else_in_a_shared_folder_is_a_fault(folder):
    """In a folder such as /tmp nobody replaces another's file."""
    path = folder / "token"
    path.write_text("old\n")
    if path.stat().st_uid != 0:
        pytest.skip("only root owns files that somebody else cannot write to")
    os.chown(folder, 0, 0)
    folder.chmod(0o1777)
    with somebody():
        why = saving_fault(path)
    assert why == (
        "neither by a rename in its folder (Operation not permitted) "
        "nor in place (Permission denied)"
    )


def test_looking_for_a_fault_changes_nothing(path):
    """The file keeps its content and its time, and nothing stands beside it."""
    path.write_text("old\n")
    os.utime(path, (1, 1))
    assert saving_fault(path) == ""
    assert saving_fault(path.parent / "not yet there") == ""
    assert (path.read_text(), path.stat().st_mtime) == ("old\n", 1)
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_file_is_a_fault(tmp_path):
    """A folder, a missing one, a device and a name too long are told before anything is spent."""
    assert saving_fault(tmp_path) == "Is a directory"
    assert saving_fault(tmp_path / "missing" / "token") == "No such file or directory"
    assert saving_fault(Path("/dev/null")) == "no regular file"
    assert saving_fault(tmp_path / ("x" * 300)) == "File name too long"


def test_a_device_is_never_replaced(path):
    """Where the name leads to something else than a file, that stays what it is."""
    os.mkfifo(path)
    with pytest.raises(OSError, match="no regular file"):
        write_secret(path, "new")
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("exists", [True, False], ids=["to a file", "to nothing yet"])
def test_a_link_is_followed(path, tmp_path, exists):
    """A link stays a link: what it leads to is replaced, in the folder where that is."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if exists:
        (elsewhere / "token").write_text("old\n")
    path.symlink_to("elsewhere/token")
    assert saving_fault(path) == ""
    write_secret(path, "new")
    assert path.is_symlink()
    assert [file.name for file in elsewhere.iterdir()] == ["token"]
    assert (elsewhere / "token").read_text() == "new\n"


def test_all_names_of_a_file_get_the_new_secret(path, tmp_path):
    """A file with several names is written in place, so that none keeps the spent secret."""
    path.write_text("old\n")
    (tmp_path / "other").hardlink_to(path)
    write_secret(path, "new")
    assert (tmp_path / "other").read_text() == "new\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_stays_with_its_owner(path):
    """A file that belongs to another user is written in place: he must still be able to read it."""
    path.write_text("old\n")
    path.chmod(0o600)
    os.chown(path, 12_345, 12_345)
    write_secret(path, "new")
    assert (path.read_text(), path.stat().st_uid) == ("new\n", 12_345)


@pytest.mark.parametrize("new", ["short", "exactly 16 signs", "longer than the old one was"])
def test_a_file_that_is_written_in_place_holds_one_secret_at_every_step(
    path, tmp_path, monkeypatch, new
):
    """Whoever reads between two steps, or after a crash there, finds the old secret or the new one,
    whole.
    """
    path.write_text("an old token\n\n\n\n")
    (tmp_path / "other").hardlink_to(path)
    found = []

    def watched(step):
        def wrapped(*arguments):
            result = step(*arguments)
            found.append(read_secret(path, "the file"))
            return result

        return wrapped

    for name in ("pwrite", "ftruncate", "fsync"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    write_secret(path, new)
    assert set(found) == {"an old token", new}
    assert path.read_text() == f"{new}\n"


def test_a_full_disk_leaves_the_old_secret(path):
    """Where there is no room for a longer secret, the old one is still there."""
    path.write_text("old\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_secret(path, "a longer one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text().strip() == "old"
    assert list(path.parent.iterdir()) == [path]
