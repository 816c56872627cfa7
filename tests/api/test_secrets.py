"""Secret files: read when a secret is needed, written when the API hands out a new refresh token."""

import os
import stat

import pytest
from pydantic import SecretStr

from exporter.api.secrets import read_secret, secret, write_secret
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
    """A secret is a file's text without byte order mark and the white space around it; spaces inside stay."""
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
    """A file with a second line or control characters, which could add a header to a request, is refused."""
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
    """The file is readable by its owner alone, whatever it was before and whatever the umask says."""
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(mask)
    try:
        write_secret(path, "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_is_replaced_at_once(path):
    """Whoever has the old file open goes on reading the old secret whole: the file is replaced, not rewritten."""
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
    """A secret that cannot be written, here for a character that UTF-8 has not, leaves the old file and no other."""
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
