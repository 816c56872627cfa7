"""Keeps the exporter signed in to one account.

How a token lives:

- A bearer token is *given* by the configuration. Its file is read each time; nothing renews it.
- Every other token is *issued*: for the refresh token, or for e-mail and password where there is
  no refresh token or the API refuses it. What it refuses is not sent again for some minutes.
- It is *handed out* until shortly before it expires.
- Then it is *renewed*, once for all who need it; a 401 renews it at once. Whoever has a token that
  is still good waits for the renewal for a little while only.
- The refresh token that comes with it takes the place of the spent one and must be *kept*. So
  nobody who waits for a renewal can cancel it, it goes on when another client takes over, and it is
  waited for at the end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from exporter.api.redaction import Redactor
from exporter.api.refresh_token import RefreshToken
from exporter.api.secrets import secret
from exporter.api.tokens import Token, access_token, given_token, issued_token
from exporter.clock import Clock
from exporter.config.api_section import Api, Authorization, Login
from exporter.errors import PollError, RefusedError

LOGIN = "/user/login"
REFRESH = "/user/refresh"

_SECONDS_AFTER_REFUSAL = 300.0
# How long a renewal may hold up those whose token is still good: seconds, and share of their time.
_PATIENCE = 5.0
_SHARE_OF_POLL = 0.25

_log = structlog.get_logger(__name__)

Post = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, Any]]]
"""Sends JSON to an endpoint and returns the JSON of a 200. Raises RefusedError, PollError."""


def account(api: Api) -> object:
    """Return what tells accounts apart: where it is equal, the tokens can be taken over."""
    return api.base_url, api.authorization is None, api.email, api.refresh_token_file


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A secret that the API refused, and until when (monotonic) it is not sent again."""

    secret: str = field(default="", repr=False)
    until: float = 0.0
    message: str = ""


class Authenticator:
    """Hands out an access token, renewed in time, with one renewal for all who need it at once."""

    def __init__(self, api: Api, clock: Clock, post: Post, redactor: Redactor) -> None:
        self._api = api
        self._clock = clock
        self._post = post
        self._redactor = redactor
        self._token: Token | None = None
        self._refresh_token = RefreshToken(api.refresh_token_file, redactor)
        self._renewal: asyncio.Task[Token] | None = None
        self._renewal_began = 0.0
        self._refusal = _Refusal()
        self._login_works = False

    @property
    def expires_at(self) -> float:
        """When the access token in use expires, in Unix seconds; 0 where that is not known."""
        return self._token.expires_at if self._token else 0.0

    def carry_on(self, api: Api, post: Post) -> None:
        """Go on with the settings and the HTTP of another client for the same account."""
        self._api = api
        self._post = post

    async def token(self, deadline: float) -> Token:
        """Return a token that is good for the next request. Raises PollError where none can be had.

        A token that is still good is returned well before `deadline` (monotonic), even if the
        renewal takes longer.
        """
        if self._api.authorization is not None:
            return self._given(self._api.authorization)

        self._refresh_token.save_again()
        now = self._clock.monotonic()
        token = self._token
        if token is None or now >= token.valid_until:
            return await self._join_renewal()
        if now >= token.renew_at:
            await self._wait_a_little(deadline - now)
        return self._token or token

    async def renew(self, refused: Token, deadline: float) -> Token:
        """Return another token than the one that a 401 refused. Raises PollError if there is none.

        `deadline` is that of `token`.
        """
        given = self._api.authorization
        if given is not None and self._given(given).value == refused.value:
            message = "the API refused the bearer token; it may have expired: they last an hour"
            raise RefusedError(message)
        if given is None and (self._token is refused or self._token is None):
            return await self._join_renewal()
        return await self.token(deadline)

    def accepted(self, token: Token) -> None:
        """Take note that the API gave a good answer to a token."""
        self._login_works = self._login_works or token.from_login

    def doubt(self, token: Token) -> str:
        """Return what may be wrong with a login whose token is refused; else nothing."""
        if self._login_works or not token.from_login:
            return ""
        return (
            "; no token of this login was ever accepted: an account with MFA needs"
            " api.refresh_token_file with a refresh token of a full session"
        )

    async def settle(self, seconds: float | None = None) -> None:
        """Let a renewal under way end: its answer alone replaces the refresh token it spends."""
        if self._renewal is not None:
            await asyncio.wait([self._renewal], timeout=seconds)
        self._refresh_token.save_again()

    def stop(self) -> None:
        """Give up a renewal under way."""
        if self._renewal is not None and not self._renewal.done():
            _log.warning("token renewal given up; a refresh token that it has spent is lost")
            self._renewal.cancel()

    def _given(self, given: Authorization) -> Token:
        value = secret(given.credentials, given.credentials_file, "api.authorization.credentials")
        if self._token is None or self._token.value != value:
            self._redactor.remember("access token", value)
            self._token = given_token(value)
        return self._token

    async def _join_renewal(self) -> Token:
        # Who waits may be cancelled; the renewal goes on, or the new refresh token would be lost.
        return await asyncio.shield(self._renewal_under_way())

    def _renewal_under_way(self) -> asyncio.Task[Token]:
        """Return the renewal under way, or begin one."""
        if self._renewal is None or self._renewal.done():
            self._renewal_began = self._clock.monotonic()
            self._renewal = asyncio.create_task(self._put_in_use(), name="token renewal")
            # asyncio complains of an error that nobody has asked for; here nobody may be waiting.
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._renewal

    async def _wait_a_little(self, seconds: float) -> None:
        """Wait for a renewal, out of the seconds that there are for a poll."""
        renewal = self._renewal_under_way()
        patience = self._renewal_began + _PATIENCE - self._clock.monotonic()
        patience = min(patience, seconds * _SHARE_OF_POLL)
        await asyncio.wait([renewal], timeout=max(0.0, patience))

    async def _put_in_use(self) -> Token:
        """Put a newly issued token in the place of the one in use, and return it."""
        try:
            self._token = await self._issue()
        except PollError as error:
            if self._token is not None and self._clock.monotonic() < self._token.valid_until:
                message = "access token not renewed, the old one is still valid"
                _log.warning(message, error=str(error))
            raise
        return self._token

    async def _issue(self) -> Token:
        """Return a new token, for the refresh token or else for e-mail and password."""
        login = self._api.login
        try:
            token = await self._by_refresh_token(needed=login is None)
        except RefusedError as refusal:
            if login is None:
                message = f"{refusal}; put a new one into api.refresh_token_file"
                raise RefusedError(message) from refusal
            _log.info("refresh token refused, signing in again", error=str(refusal))
            self._refresh_token.forget()
            token = None
        if token is not None:
            return token
        if login is None:
            raise RefusedError("there is no refresh token")
        return await self._by_login(login)

    async def _by_refresh_token(self, *, needed: bool) -> Token | None:
        """Return a token for the refresh token; None where there is none.

        If one is refused, another process may have spent it, and save the next one in the file.
        """
        current = self._refresh_token.current(needed=needed)
        if current is None:
            return None
        refused_before = self._refusal.secret == current
        try:
            return await self._spend(current)
        except RefusedError:
            # A login is the quicker way, and nobody waits twice for the same.
            patient = needed and not refused_before
            saved = await self._refresh_token.another(current, self._clock, patient=patient)
            if saved is None:
                raise
            return await self._spend(saved)

    async def _spend(self, refresh_token: str) -> Token:
        if self._api.login is None:
            self._refresh_token.warn_before_spending()
        content = {"refreshToken": refresh_token, "refresh_token": refresh_token}
        return await self._exchange(REFRESH, content, refresh_token)

    async def _by_login(self, login: Login) -> Token:
        password = secret(login.password, login.password_file, "api.login.password")
        self._redactor.remember("password", password)
        content = {"email": login.email, "password": password}
        return await self._exchange(LOGIN, content, password)

    async def _exchange(self, endpoint: str, content: Mapping[str, str], sent: str) -> Token:
        """Return the token for a secret, unless the API has refused that secret lately."""
        refusal = self._refusal
        if refusal.secret == sent and self._clock.monotonic() < refusal.until:
            hint = "not tried again for some minutes unless the secret changes"
            raise RefusedError(f"{refusal.message}; {hint}")
        try:
            return self._token_in(await self._post(endpoint, content), endpoint)
        except RefusedError as error:
            until = self._clock.monotonic() + _SECONDS_AFTER_REFUSAL
            self._refusal = _Refusal(sent, until, str(error))
            raise

    def _token_in(self, answer: Mapping[str, Any], endpoint: str) -> Token:
        """Return the access token of an answer; its refresh token is kept first, in any case."""
        self._refresh_token.keep(answer.get("refreshToken"))

        from_login = endpoint == LOGIN
        value = access_token(answer, endpoint, from_login=from_login)
        self._redactor.remember("access token", value)
        try:
            return issued_token(value, answer.get("expiresAt"), self._clock, from_login=from_login)
        except PollError as error:
            raise RefusedError(f"POST {endpoint}: {error}") from error
