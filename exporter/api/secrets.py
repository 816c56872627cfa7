"""Reads secret files when a secret is needed, and saves the refresh token in its own."""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from exporter.errors import PollError, Reason

_MAX_BYTES = 64 * 1024


def read_secret(path: Path, what: str) -> str:
    """Return a file's content without byte order mark and surrounding white space.

    Raises PollError `auth`, naming `what` and the path, where the file is missing, unreadable,
    empty or no secret.
    """
    try:
        # Opening a pipe would wait for its writer, and hold up everything.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PollError(Reason.AUTH, f"{what} {path} is no regular file")
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise PollError(Reason.AUTH, f"{what} {path} cannot be read: {why}") from error
    if len(content) > _MAX_BYTES:
        raise PollError(Reason.AUTH, f"{what} {path} is too large for a secret")
    return _checked(content, f"{what} {path}")


def secret(value: SecretStr | None, path: Path | None, what: str) -> str:
    """Return a secret that the configuration holds (`value`) or names a file for (`path`)."""
    if path is not None:
        return read_secret(path, what + "_file")
    text = value.get_secret_value() if value else ""
    return _checked(text.encode(errors="surrogateescape"), what)


def write_secret(path: Path, value: str) -> None:
    """Save a secret in a file, or in the file that a link leads to.

    The file is replaced by a rename, and is then readable by its owner alone. It is written in
    place, and keeps its mode, where a rename does not work (a single file mounted into a container,
    a folder that is read-only), would leave the spent secret under another name of the file, or
    would take the file from its owner. Raises OSError where neither way works.
    """
    target = _target(path)
    content = value.encode() + b"\n"
    first, second = _replace, _overwrite
    if _belongs_to_others(target):
        first, second = second, first
    try:
        first(target, content)
    except OSError:
        try:
            second(target, content)
        except OSError as error:
            raise OSError(error.errno, saving_fault(path) or error.strerror) from error


def saving_fault(path: Path) -> str:
    """Return why a secret can be saved in a file neither by a rename nor in place; else nothing.

    Looks without changing the file: for a moment there is an empty file beside it.
    """
    try:
        target = _target(path)
    except OSError as error:
        return str(error.strerror)
    in_place = _overwriting_fault(target)
    rename = _renaming_fault(target)
    if in_place == os.strerror(errno.EPERM):
        # Somebody made the file immutable, which forbids a rename too.
        rename = rename or in_place
    if not rename or not in_place:
        return ""
    if rename == in_place or not os.path.exists(target):  # noqa: PTH110 - Path.exists may raise
        return rename
    return f"neither by a rename in its folder ({rename}) nor in place ({in_place})"


def _target(path: Path) -> Path:
    """Return the regular file, existing or not, that a path leads to."""
    try:
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    except ValueError as error:
        raise OSError(errno.EINVAL, "not a path") from error
    if stat.S_ISDIR(mode):
        raise _error(errno.EISDIR)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "no regular file")
    return target


def _belongs_to_others(target: Path) -> bool:
    """Whether a file has other names too, or another owner, which a rename would leave behind."""
    try:
        now = target.stat()
    except FileNotFoundError:
        return False
    return now.st_nlink > 1 or now.st_uid != os.geteuid()


def _replace(target: Path, content: bytes) -> None:
    descriptor, temporary = _file_beside(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    # The secret is there; this only makes it survive a power cut.
    with suppress(OSError):
        _sync(target.parent)


def _file_beside(target: Path) -> tuple[int, str]:
    """Create a file in the same folder, for its owner alone; return descriptor and path."""
    return tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)


def _overwrite(target: Path, content: bytes) -> None:
    """Write over a file so that it holds one whole secret at every step.

    What surrounds the secret meanwhile is white space, which readers leave out.
    """
    descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
    try:
        size = os.fstat(descriptor).st_size
        room = b"\n" * (len(content) - size)
        # A full disk shows here, before the old secret is gone.
        _write_all(descriptor, room, size)
        _write_all(descriptor, content.ljust(size, b"\n"), 0)
        os.fsync(descriptor)
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    if os.pwrite(descriptor, content, offset) < len(content):
        raise _error(errno.ENOSPC)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _renaming_fault(target: Path) -> str:
    try:
        descriptor, temporary = _file_beside(target)
        os.close(descriptor)
        Path(temporary).unlink()
    except OSError as error:
        return str(error.strerror)
    if not target.exists():
        return ""
    if _is_mounted(target):
        return os.strerror(errno.EBUSY)
    return os.strerror(errno.EPERM) if _is_protected(target) else ""


def _overwriting_fault(target: Path) -> str:
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        return str(error.strerror)
    return ""


def _is_mounted(target: Path) -> bool:
    """Whether a file is a mount of its own, as a single file in a container is.

    Nothing can be renamed onto it.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return False
    for mount in mounts.splitlines():
        point = mount.split(b" ")[4].decode("unicode_escape")
        if point.encode("latin-1") == os.fsencode(target):
            return True
    return False


def _is_protected(target: Path) -> bool:
    """Whether a file belongs to somebody else in a folder such as /tmp.

    There, only owners replace their files.
    """
    file, folder = target.stat(), target.parent.stat()
    owned = os.geteuid() in (0, file.st_uid, folder.st_uid)
    return bool(folder.st_mode & stat.S_ISVTX) and not owned


def _checked(content: bytes, source: str) -> str:
    try:
        value = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        # Without the cause, which holds the secret.
        raise PollError(Reason.AUTH, f"{source} is not UTF-8 text") from None
    if not value:
        raise PollError(Reason.AUTH, f"{source} is empty")
    if not value.isprintable():
        raise PollError(Reason.AUTH, f"{source} holds more than one line, or control characters")
    return value
