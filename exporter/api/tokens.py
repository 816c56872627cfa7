"""Access tokens: how long one is good, by what its answer and the token itself say."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.clock import MILLISECONDS_FROM, Clock
from exporter.errors import PollError, Reason, RefusedError

_DEFAULT_LIFETIME = 3600.0

# No token is issued for less. An expiry that says so was misread, because of a wrong clock say.
_LEAST_LIFETIME = 30.0

# How long before its expiry a token is renewed; a short-lived one, after four fifths of its life.
_SECONDS_BEFORE_EXPIRY = 300.0


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long it is good.

    `expires_at` is when by the wall clock, 0 where that is not known; `renew_at` and `valid_until`
    go by the monotonic one. `from_login` is for a token that e-mail and password brought.
    """

    value: str = field(repr=False)
    expires_at: float = 0.0
    renew_at: float = float("inf")
    valid_until: float = float("inf")
    from_login: bool = False


def given_token(value: str) -> Token:
    """Return a token of the configuration, which nothing can renew. Raises PollError `auth`."""
    return Token(_sendable(value), _claims(value).get("exp", 0.0))


def access_token(answer: Mapping[str, Any], endpoint: str, *, from_login: bool) -> str:
    """Return the access token in the answer of a sign-in. Raises PollError if there is none."""
    for name in ("accessToken", "token"):
        value = answer.get(name)
        if isinstance(value, str) and value:
            return value
    if from_login:
        raise RefusedError(
            f"POST {endpoint}: signed in, but no access token came: the e-mail address is not"
            " verified yet, or the account needs MFA (then use a refresh token of a full session)"
        )
    raise PollError(Reason.INVALID_RESPONSE, f"POST {endpoint}: no accessToken in the answer")


def issued_token(value: str, expires_at: object, clock: Clock, *, from_login: bool) -> Token:
    """Return a token that the API has just issued. Raises PollError `auth`.

    `expires_at` is what the answer says. The token lives from its own `iat`, for the clock here may
    be wrong, until `expires_at` or its own `exp`: the first that makes sense, else for an hour.
    """
    claims = _claims(value)
    now = clock.time()
    began = claims.get("iat", now)
    lifetime, end = _DEFAULT_LIFETIME, now + _DEFAULT_LIFETIME
    for stated in (_unix_seconds(expires_at), claims.get("exp", 0.0)):
        if stated - began >= _LEAST_LIFETIME:
            lifetime, end = stated - began, stated
            break

    valid_until = clock.monotonic() + lifetime
    return Token(
        _sendable(value),
        expires_at=end,
        renew_at=valid_until - min(_SECONDS_BEFORE_EXPIRY, lifetime / 5),
        valid_until=valid_until,
        from_login=from_login,
    )


def _sendable(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise PollError(Reason.AUTH, "the bearer token holds characters that HTTP cannot carry")
    return value


def _unix_seconds(value: object) -> float:
    """Return an instant in seconds; 0 where it is none.

    The API documents no unit: it may come in seconds or milliseconds, and as text.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    if not 0 < value < 1e16:
        return 0.0
    return value / 1000 if value > MILLISECONDS_FROM else float(value)


def _claims(token: str) -> dict[str, float]:
    """Return the instants in a JWT's unverified claims; nothing where it is no JWT."""
    try:
        payload = token.split(".")[1]
        padding = "=" * (-len(payload) % 4)
        claims = json.loads(base64.urlsafe_b64decode(payload + padding))
        instants = {name: _unix_seconds(claims.get(name)) for name in ("iat", "exp")}
    except (IndexError, binascii.Error, ValueError, AttributeError, RecursionError):
        return {}
    return {name: instant for name, instant in instants.items() if instant}
