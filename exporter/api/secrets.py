"""Reads secret files when a secret is needed, and keeps the refresh token that the API hands out."""

import os
import stat
import tempfile
from pathlib import Path

from pydantic import SecretStr

from exporter.errors import PollError, Reason

_MAX_BYTES = 64 * 1024


def read_secret(path: Path, what: str) -> str:
    """Return a file's content without byte order mark and surrounding white space.

    Raises PollError `auth`, naming `what` and the path, where the file is missing, unreadable, empty or no secret.
    """
    try:
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK
        )  # a pipe must not hold up everything
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PollError(Reason.AUTH, f"{what} {path} is no regular file")
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise PollError(Reason.AUTH, f"{what} {path} cannot be read: {why}") from None
    if len(content) > _MAX_BYTES:
        raise PollError(Reason.AUTH, f"{what} {path} is too large for a secret")
    return _checked(content, f"{what} {path}")


def secret(value: SecretStr | None, path: Path | None, what: str) -> str:
    """Return a secret that the configuration holds itself (`value`) or names a file for (`path`)."""
    if path is not None:
        return read_secret(path, what + "_file")
    return _checked(
        value.get_secret_value().encode(errors="surrogateescape") if value else b"", what
    )


def write_secret(path: Path, value: str) -> None:
    """Replace a file's content at once, readable by its owner alone. Raises OSError and leaves the old file then."""
    descriptor, temporary = tempfile.mkstemp(
        prefix=f".{path.name}.", dir=path.parent
    )  # mode 0600 from birth
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _checked(content: bytes, source: str) -> str:
    try:
        value = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise PollError(Reason.AUTH, f"{source} is not UTF-8 text") from None
    if not value:
        raise PollError(Reason.AUTH, f"{source} is empty")
    if not value.isprintable():
        raise PollError(Reason.AUTH, f"{source} holds more than one line, or control characters")
    return value
