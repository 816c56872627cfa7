"""Keeps the exporter signed in to one account.

How a token lives. A bearer token is *given* by the configuration, and nothing can be done about it but reading its
file again. Every other one is *issued*: for the refresh token, or for e-mail and password where there is none or the
API refuses it. It is handed out until shortly before it expires. Then it is *renewed*, once for all who need it, while
the old one stays good for those who cannot wait. A 401 renews it at once.

The refresh token that comes with a new token replaces the spent one and must be *kept*, whatever else happens. So a
renewal under way is never cancelled by those who wait for it, outlives the client that sends it, and is waited for at
the end. What the API refuses is not sent again for some minutes, unless it changes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from exporter.api.redaction import Redactor
from exporter.api.refresh_token import RefreshToken
from exporter.api.secrets import secret
from exporter.api.tokens import Token, given_token, issued_token
from exporter.clock import Clock
from exporter.config.sections import Api, Authorization, Login
from exporter.errors import PollError, Reason, RefusedError

LOGIN = "/user/login"
REFRESH = "/user/refresh"

_PAUSE_AFTER_REFUSAL = 300.0
_PATIENCE = 5.0  # seconds that a renewal may hold up those whose token is still good
_SHARE_OF_POLL = 0.25  # that it may take of the time they have

_LOOKS = 6  # into the file of a refresh token that was refused, for the next one
_BETWEEN_LOOKS = 0.5  # seconds

_log = structlog.get_logger(__name__)

Post = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, Any]]]
"""Sends JSON to an endpoint and returns the JSON of a 200; RefusedError where the API refuses for good."""


def account(api: Api) -> object:
    """Return what is equal for two configurations whose tokens belong to the same account, got in the same way."""
    email = api.login.email if api.login else None
    return api.base_url, api.authorization is None, email, api.refresh_token_file


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
        self._refusal: tuple[str, float, str] = ("", 0.0, "")
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

        A token that only has to be renewed soon is returned well before `deadline` (monotonic), whatever the renewal
        does.
        """
        if self._api.authorization is not None:
            return self._given(self._api.authorization)
        self._refresh_token.save_again()
        now, token = self._clock.monotonic(), self._token
        if token is None or now >= token.valid_until:
            return await self._renewed()
        if now < token.renew_at:
            return token
        await self._wait_a_little(self._renewing(), deadline - now)
        return self._token or token

    async def renew(self, refused: Token, deadline: float) -> Token:
        """Return another token than the one that the API answered 401 to. Raises PollError where there is none."""
        if self._api.authorization is not None:
            if self._given(self._api.authorization).value == refused.value:
                raise RefusedError(
                    "the API refused the bearer token; it may have expired: they last an hour"
                )
        elif self._token is refused or self._token is None:
            return await self._renewed()
        return await self.token(deadline)

    def accepted(self, token: Token) -> None:
        """Take note that the API gave a good answer to a token."""
        self._login_works = self._login_works or token.from_login

    def doubt(self, token: Token) -> str:
        """Return what may be wrong with a token that the API refuses; nothing where it is not special."""
        if self._login_works or not token.from_login:
            return ""
        return (
            "; no token of this login was ever accepted: an account with MFA needs"
            " api.refresh_token_file with a refresh token of a full session"
        )

    async def settle(self, seconds: float | None = None) -> None:
        """Let a renewal under way end: the refresh token that it spends is replaced by its answer alone."""
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

    async def _renewed(self) -> Token:
        # One caller's cancellation must not lose a rotated token.
        return await asyncio.shield(self._renewing())

    def _renewing(self) -> asyncio.Task[Token]:
        """Return the renewal under way, or begin one."""
        if self._renewal is None or self._renewal.done():
            self._renewal_began = self._clock.monotonic()
            self._renewal = asyncio.create_task(self._renew(), name="token renewal")
            # Its error is known then, even if nobody waits for it any more.
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._renewal

    async def _wait_a_little(self, renewal: asyncio.Task[Token], seconds: float) -> None:
        patience = self._renewal_began + _PATIENCE - self._clock.monotonic()
        patience = min(patience, seconds * _SHARE_OF_POLL)
        await asyncio.wait([renewal], timeout=max(0.0, patience))

    async def _renew(self) -> Token:
        try:
            self._token = await self._issued()
        except PollError as error:
            if self._token is not None and self._clock.monotonic() < self._token.valid_until:
                _log.warning(
                    "access token not renewed, the old one is still valid", error=str(error)
                )
            raise
        return self._token

    async def _issued(self) -> Token:
        """Return a new token, for the refresh token or else for e-mail and password."""
        login = self._api.login
        refusal: RefusedError | None = None
        tried: str | None = None
        for _ in range(2):  # another process may have spent the token and saved the next one
            candidate = self._refresh_token.current(needed=login is None)
            if candidate is None or candidate == tried:
                break
            tried = candidate
            known = self._is_refused(candidate)
            try:
                return await self._refreshed(candidate)
            except RefusedError as error:
                refusal = error
                if login is None and not known:
                    await self._wait_for_another(candidate)
        if login is not None:
            if refusal is not None:
                _log.info("refresh token refused, signing in again", error=str(refusal))
                self._refresh_token.forget()
            return await self._logged_in(login)
        if refusal is None:
            raise RefusedError("there is no refresh token")
        raise RefusedError(f"{refusal}; put a new one into api.refresh_token_file") from refusal

    async def _wait_for_another(self, refused: str) -> None:
        """Give a process that was faster with this refresh token a moment to save the one that it gets for it."""
        for _ in range(_LOOKS if self._api.refresh_token_file else 0):
            if self._refresh_token.current(needed=False) != refused:
                return
            await self._clock.sleep(_BETWEEN_LOOKS)

    async def _refreshed(self, refresh_token: str) -> Token:
        if self._api.login is None:
            self._refresh_token.warn_before_spending()
        content = {"refreshToken": refresh_token, "refresh_token": refresh_token}
        return await self._ask(REFRESH, content, refresh_token)

    async def _logged_in(self, login: Login) -> Token:
        password = secret(login.password, login.password_file, "api.login.password")
        self._redactor.remember("password", password)
        return await self._ask(LOGIN, {"email": login.email, "password": password}, password)

    async def _ask(self, endpoint: str, content: Mapping[str, str], used: str) -> Token:
        """Return the token for a secret; one that the API has refused is not sent again for some minutes."""
        if self._is_refused(used):
            _, _, message = self._refusal
            raise RefusedError(
                f"{message}; not tried again for some minutes unless the secret changes"
            )
        try:
            return self._taken(endpoint, await self._post(endpoint, content))
        except RefusedError as error:
            self._refusal = (used, self._clock.monotonic() + _PAUSE_AFTER_REFUSAL, str(error))
            raise

    def _is_refused(self, used: str) -> bool:
        """Whether the API has refused a secret so lately that it is not sent again."""
        refused, until, _ = self._refusal
        return refused == used and self._clock.monotonic() < until

    def _taken(self, endpoint: str, answer: Mapping[str, Any]) -> Token:
        """Return the access token of an answer, whose refresh token is kept first, whatever else it lacks."""
        self._refresh_token.keep(answer.get("refreshToken"))
        names = ("accessToken", "token")
        value = next((answer[name] for name in names if _is_text(answer.get(name))), "")
        if not value and endpoint == LOGIN:
            raise RefusedError(
                f"POST {LOGIN}: signed in, but no access token came: the e-mail address is not"
                " verified yet, or the account needs MFA (then use a refresh token of a full session)"
            )
        if not value:
            raise PollError(
                Reason.INVALID_RESPONSE, f"POST {endpoint}: no accessToken in the answer"
            )
        self._redactor.remember("access token", value)
        try:
            return issued_token(
                value, answer.get("expiresAt"), self._clock, from_login=endpoint == LOGIN
            )
        except PollError as error:
            raise RefusedError(f"POST {endpoint}: {error}") from error


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
