"""What a bcrypt hash is made of, and in which forms it may be written."""

import re
from dataclasses import dataclass, field

_LEAST_HASH = 59  # bytes of a bcrypt hash
_SALT = 22
_COST = re.compile(rb"\+?\d\d?")


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A bcrypt hash: the `salt` that it was made with, and the `digest` that came out."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)


def parse_hash(text: bytes) -> PasswordHash:
    """Return a bcrypt hash, in whatever form Go's bcrypt takes it.

    Raises ValueError that says what was expected.
    """
    if len(text) < _LEAST_HASH or not text.startswith(b"$") or text[1:2] > b"2":
        raise ValueError("expected a bcrypt hash, such as $2y$10$ and 53 characters more")
    begin = 3 if text[2:3] == b"$" else 4
    cost = text[begin : begin + 2]
    if not _COST.fullmatch(cost) or not 4 <= int(cost) <= 31:
        raise ValueError("expected a bcrypt hash with a cost from 4 to 31")
    rest = text[begin + 3 :]
    return PasswordHash(b"$2b$%02d$%s" % (int(cost), rest[:_SALT]), rest[_SALT:])
