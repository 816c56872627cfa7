"""Access tokens: how long one is good, by what its answer and the token itself say."""

import base64
import binascii
import json
from dataclasses import dataclass, field

from exporter.clock import MILLISECONDS_FROM, Clock
from exporter.errors import PollError, Reason

_DEFAULT_LIFETIME = 3600.0
_LEAST_LIFETIME = (
    30.0  # a token that lives less is one whose expiry was misread, by a wrong clock for example
)
_MARGIN = 300.0  # a token is renewed so many seconds before it expires, or after four fifths of a short life


@dataclass(frozen=True, slots=True)
class Token:
    """An access token: when it expires by the wall clock (0: unknown) and until when to use it by the monotonic one.

    `from_login` is for one that e-mail and password brought, rather than a refresh token or the configuration.
    """

    value: str = field(repr=False)
    expires_at: float = 0.0
    renew_at: float = float("inf")
    valid_until: float = float("inf")
    from_login: bool = False


def given_token(value: str) -> Token:
    """Return a token that the configuration gives, which nothing can renew. Raises PollError `auth`."""
    return Token(_carried(value), _claims(value).get("exp", 0.0))


def issued_token(value: str, expires_at: object, clock: Clock, *, from_login: bool) -> Token:
    """Return a token that the API has just issued, with the `expiresAt` of its answer. Raises PollError `auth`.

    Its life is counted from when the API says that it began (`iat`), for the clock here may be wrong, to the first of
    `expiresAt` and the token's own `exp` that leaves it one; where none does, it is the usual hour.
    """
    claims = _claims(value)
    now = clock.time()
    began = claims.get("iat", now)
    ends = (_unix_seconds(expires_at), claims.get("exp", 0.0))
    end = next((end for end in ends if end - began >= _LEAST_LIFETIME), 0.0)
    lifetime = end - began if end else _DEFAULT_LIFETIME
    valid_until = clock.monotonic() + lifetime
    renew_at = valid_until - min(_MARGIN, lifetime / 5)
    return Token(_carried(value), end or now + _DEFAULT_LIFETIME, renew_at, valid_until, from_login)


def _carried(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise PollError(Reason.AUTH, "the bearer token holds characters that HTTP cannot carry")
    return value


def _unix_seconds(value: object) -> float:
    """Return an instant, whose unit the API does not document and which may be text, in seconds; 0 where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e16:
        return 0.0
    return value / 1000 if value > MILLISECONDS_FROM else float(value)


def _claims(token: str) -> dict[str, float]:
    """Return the instants in a JWT's unverified claims; nothing where it is no JWT."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return {
            name: _unix_seconds(claims[name])
            for name in ("iat", "exp")
            if _unix_seconds(claims.get(name))
        }
    except (IndexError, binascii.Error, ValueError, AttributeError, RecursionError):
        return {}
