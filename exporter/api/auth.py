"""Keeps the exporter signed in: access tokens last an hour, refresh tokens are spent when used."""

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import structlog

from exporter.api.secrets import read_secret, secret, write_secret
from exporter.clock import MILLISECONDS_FROM, Clock
from exporter.config.sections import Api, Authorization
from exporter.errors import PollError, Reason, RefusedError

LOGIN = "/user/login"
REFRESH = "/user/refresh"

_DEFAULT_LIFETIME = 3600.0
_MARGIN = 300.0  # a token is renewed so many seconds before it expires, or after four fifths of a short life
_PAUSE_AFTER_REFUSAL = 300.0

_log = structlog.get_logger(__name__)

Post = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, Any]]]
"""Sends JSON to an endpoint and returns the JSON of a 200; RefusedError where the API refuses for good."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token: when it expires by the wall clock (0: unknown) and until when to use it by the monotonic one."""

    value: str = field(repr=False)
    expires_at: float = 0.0
    renew_at: float = float("inf")
    valid_until: float = float("inf")


class Authenticator:
    """Hands out an access token, renewed in time, with one renewal for all who need it at once."""

    def __init__(self, api: Api, clock: Clock, post: Post) -> None:
        self._api = api
        self._clock = clock
        self._post = post
        self._token: Token | None = None
        self._refresh_token: str | None = None
        self._seen_in_file: str | None = None
        self._renewal: asyncio.Task[Token] | None = None
        self._refusal: tuple[str, float, str] = ("", 0.0, "")
        self._secrets = _proxy_secrets(api)

    @property
    def expires_at(self) -> float:
        """When the access token in use expires, in Unix seconds; 0 where that is not known."""
        return self._token.expires_at if self._token else 0.0

    async def token(self) -> Token:
        """Return a token that is good for the next request. Raises PollError where none can be had."""
        if self._api.authorization is not None:
            return self._fixed(self._api.authorization)
        token = self._token
        if token is not None and self._clock.monotonic() < token.renew_at:
            return token
        try:
            return await self._renewed()
        except PollError as error:
            if token is None or self._clock.monotonic() >= token.valid_until:
                raise
            _log.warning("access token not renewed, the old one is still valid", error=str(error))
            return token

    async def renew(self, refused: Token) -> Token:
        """Return another token than the one that the API answered 401 to. Raises PollError where there is none."""
        if self._api.authorization is not None:
            if self._fixed(self._api.authorization).value == refused.value:
                raise RefusedError(
                    "the API refused the bearer token; it may have expired: they last an hour"
                )
        elif self._token is refused or self._token is None:
            return await self._renewed()
        return await self.token()

    def redact(self, text: str) -> str:
        """Return a text from outside without the secrets that were sent there, however it may quote them."""
        forms = [(form, name) for name, value in self._secrets.items() for form in _forms(value)]
        for form, name in sorted(forms, key=lambda item: -len(item[0])):
            text = text.replace(form, f"<{name}>")
        return text

    async def aclose(self) -> None:
        """Let a renewal under way end, for the refresh token that it spends is replaced by its answer alone."""
        if self._renewal is not None:
            await asyncio.wait([self._renewal], timeout=1)
            self._renewal.cancel()

    def _fixed(self, given: Authorization) -> Token:
        value = secret(given.credentials, given.credentials_file, "api.authorization.credentials")
        if self._token is None or self._token.value != value:
            self._token = Token(self._usable(value), _claims(value).get("exp", 0.0))
        return self._token

    async def _renewed(self) -> Token:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="token renewal")
            self._renewal.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # if nobody waits
        return await asyncio.shield(
            self._renewal
        )  # one caller's cancellation must not lose a rotated token

    async def _renew(self) -> Token:
        refresh_token = self._stored_refresh_token()
        login = self._api.login
        if refresh_token is not None:
            try:
                content = {"refreshToken": refresh_token, "refresh_token": refresh_token}
                return self._accepted(await self._ask(REFRESH, content, refresh_token))
            except RefusedError as error:
                if login is None:
                    raise RefusedError(
                        f"{error}; put a new one into api.refresh_token_file"
                    ) from None
                self._refresh_token = None
                _log.info("refresh token refused, signing in again", error=str(error))
        if login is None:
            raise RefusedError("there is no refresh token")
        password = secret(login.password, login.password_file, "api.login.password")
        self._remember("password", password)
        return self._accepted(
            await self._ask(LOGIN, {"email": login.email, "password": password}, password)
        )

    async def _ask(self, endpoint: str, content: Mapping[str, str], used: str) -> Mapping[str, Any]:
        """Post a secret, but not for some minutes after the API has refused just that one."""
        refused, until, message = self._refusal
        if refused == used and self._clock.monotonic() < until:
            raise RefusedError(
                f"{message}; not tried again for some minutes unless the secret changes"
            )
        try:
            return await self._post(endpoint, content)
        except RefusedError as error:
            self._refusal = (used, self._clock.monotonic() + _PAUSE_AFTER_REFUSAL, str(error))
            raise

    def _stored_refresh_token(self) -> str | None:
        """Return the refresh token in memory, or that of the file where somebody put another one into it."""
        path = self._api.refresh_token_file
        if path is None:
            return self._refresh_token
        try:
            stored = read_secret(path, "api.refresh_token_file")
        except PollError:
            if self._refresh_token is None and self._api.login is None:
                raise
            return self._refresh_token
        if stored != self._seen_in_file:
            self._refresh_token = self._seen_in_file = stored
            self._remember("refresh token", stored)
        return self._refresh_token

    def _accepted(self, answer: Mapping[str, Any]) -> Token:
        self._keep(answer.get("refreshToken"))
        value = answer.get("accessToken")
        if not isinstance(value, str) or not value:
            raise PollError(
                Reason.INVALID_RESPONSE, "the answer to the sign-in holds no accessToken"
            )
        claims = _claims(value)
        expires_at = _unix_seconds(answer.get("expiresAt")) or claims.get("exp", 0.0)
        now = self._clock.time()
        lifetime = expires_at - claims.get("iat", now)
        if lifetime <= 0:
            lifetime, expires_at = _DEFAULT_LIFETIME, expires_at or now + _DEFAULT_LIFETIME
        valid_until = self._clock.monotonic() + lifetime
        renew_at = valid_until - min(_MARGIN, lifetime / 5)
        self._token = Token(self._usable(value), expires_at, renew_at, valid_until)
        return self._token

    def _keep(self, refresh_token: object) -> None:
        if (
            not isinstance(refresh_token, str)
            or not refresh_token
            or not refresh_token.isprintable()
        ):
            return
        self._refresh_token = refresh_token
        self._remember("refresh token", refresh_token)
        path = self._api.refresh_token_file
        if path is not None:
            try:
                write_secret(path, refresh_token)
                self._seen_in_file = refresh_token
            except OSError as error:
                _log.error(
                    "refresh token not saved, a restart will need another",
                    path=str(path),
                    error=error.strerror,
                )

    def _usable(self, token: str) -> str:
        if not token.isascii() or not token.isprintable():
            raise PollError(Reason.AUTH, "the bearer token holds characters that HTTP cannot carry")
        self._remember("access token", token)
        return token

    def _remember(self, name: str, value: str) -> None:
        """Redact a secret from now on, and still the one that it replaces."""
        if value != self._secrets.get(name):
            self._secrets[f"last {name}"] = self._secrets.get(name, "")
            self._secrets[name] = value


def _proxy_secrets(api: Api) -> dict[str, str]:
    address = api.proxy_url.get_secret_value() if api.proxy_url else ""
    given, _, _ = address.partition("://")[2].rpartition("@")
    user, _, password = map(unquote, given.partition(":"))
    credentials = f"{user}:{password}" if password else ""
    return {
        "proxy credentials": base64.b64encode(credentials.encode()).decode(),
        "proxy password": password,
    }


def _forms(secret_value: str) -> set[str]:
    """Return the forms in which an answer may quote a secret."""
    quoted = {json.dumps(secret_value)[1:-1], json.dumps(secret_value, ensure_ascii=False)[1:-1]}
    return ({secret_value, repr(secret_value)[1:-1], quote(secret_value, safe="")} | quoted) - {""}


def _unix_seconds(value: object) -> float:
    """Return an instant whose unit the API does not document, in seconds; 0 where it is none."""
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
