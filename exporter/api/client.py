"""Asks the Flashback API: signed in, within limits and in time. Knows no endpoint but sign-in.

A status other than 200 leaves as PollError with the reason that it stands for.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from exporter.api import faults
from exporter.api.auth import Authenticator, account
from exporter.api.body import MAX_JSON, json_object, limited
from exporter.api.exchange import Answer, Http, Observer, Transport
from exporter.api.pause import Pause, retry_after
from exporter.api.redaction import Redactor
from exporter.api.tokens import Token
from exporter.clock import Clock
from exporter.config.sections import Api
from exporter.errors import PollError, Reason, RefusedError

# Seconds for the body of an answer that is a failure anyway.
_MESSAGE_PATIENCE = 2.0
# Seconds for a renewal under way at the end; the process has five in all.
_LAST_PATIENCE = 3.5
_MAX_QUOTED = 200
_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
_REASONS = {
    400: Reason.BAD_REQUEST,
    401: Reason.AUTH,
    403: Reason.AUTH,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    429: Reason.RATE_LIMITED,
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSALS = frozenset({Reason.AUTH, Reason.BAD_REQUEST, Reason.NOT_FOUND})

_T = TypeVar("_T")


class FlashbackClient:
    """Asks the API: signed in, within limits, and not before the API wants to be asked again."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        observe: Observer,
        transport: Transport | None = None,
    ) -> None:
        """Prepare, without connecting.

        Raises ConfigError where a TLS file or an address cannot be used.
        """
        self._api = api
        self._clock = clock
        self._permits = asyncio.Semaphore(api.max_concurrent_requests)
        self._pause = Pause(clock)
        self._redactor = Redactor()
        self._auth = Authenticator(api, clock, self._sign_in, self._redactor)
        self._http = Http(api, clock, observe, self.quotable, transport)
        self._hide_proxy_password()

    @property
    def token_expires_at(self) -> float:
        """When the access token in use expires, in Unix seconds; 0 where that is not known."""
        return self._auth.expires_at

    @property
    def wait(self) -> float:
        """How many seconds the API still wants to be left alone, by its Retry-After."""
        return self._pause.seconds

    def take_over(self, before: "FlashbackClient") -> None:
        """Go on where another client is, which is used no more but for what it has begun.

        The same API is left alone as long as it asked for. The same account keeps its tokens, and
        a renewal that the other client has under way serves both.
        """
        if self._api.base_url != before._api.base_url:
            return
        self._pause = before._pause
        if account(self._api) == account(before._api):
            self._redactor = before._redactor
            self._hide_proxy_password()
            self._auth = before._auth
            self._auth.carry_on(self._api, self._sign_in)

    async def retire(self) -> None:
        """Close all connections once a renewal under way has ended: the next client needs it."""
        await self._auth.settle()
        await self._http.aclose()

    async def aclose(self) -> None:
        """Close all connections; a renewal under way has a few seconds to end."""
        await self._auth.settle(_LAST_PATIENCE)
        self._auth.stop()
        await self._http.aclose()

    @asynccontextmanager
    async def ask(
        self, endpoint: str, parameters: Mapping[str, str], deadline: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask an endpoint and hand out the body of its answer, decompressed, in small pieces.

        They have at most 64 KiB. The request and all reading of the body end before `deadline`
        (monotonic). A 401 brings one renewal of the token and one replay. Raises PollError.
        """
        least = least_seconds(deadline - self._clock.monotonic())
        async with self._permit(deadline):
            token = await self._signed_in(self._auth.token(deadline), deadline)
            seconds = self._seconds_until(deadline, least)
            async with self._get(endpoint, parameters, token, seconds) as answer:
                if answer.status != 401:
                    yield await self._body(answer, token)
                    return
            token = await self._signed_in(self._auth.renew(token, deadline), deadline)
            seconds = self._seconds_until(deadline, least)
            async with self._get(endpoint, parameters, token, seconds) as answer:
                yield await self._body(answer, token)

    def quotable(self, text: str) -> str:
        """Return a text from outside as it may stand in a log: printable, short, no secrets."""
        shown = self._redactor.redact(text)[:_MAX_QUOTED]
        return "".join(char if char.isprintable() else " " for char in shown)

    def _hide_proxy_password(self) -> None:
        if self._api.proxy_url is not None:
            proxy = urlsplit(self._api.proxy_url.get_secret_value())
            self._redactor.remember("proxy password", unquote(proxy.password or ""))

    async def _sign_in(self, endpoint: str, content: Mapping[str, str]) -> Mapping[str, Any]:
        """Post JSON to an authentication endpoint; the `Post` of the authenticator."""
        try:
            self._pause.check()
            seconds = self._api.timeout
            async with self._http.exchange("POST", endpoint, seconds, json=content) as response:
                pieces = limited(await self._body(response), MAX_JSON)
                answer = json_object(b"".join([piece async for piece in pieces]))
        except PollError as error:
            message = f"POST {endpoint}: {error}"
            if error.reason in _REFUSALS:
                raise RefusedError(message) from error
            raise PollError(error.reason, message, retryable=error.retryable) from error
        if answer.get("success") is False:
            raise RefusedError(f"POST {endpoint}: {self._message(answer)}")
        return answer

    @asynccontextmanager
    async def _permit(self, deadline: float) -> AsyncIterator[None]:
        await self._in_time(self._permits.acquire(), deadline, "other requests")
        try:
            yield
        finally:
            self._permits.release()

    async def _signed_in(self, waiting: Coroutine[Any, Any, Token], deadline: float) -> Token:
        return await self._in_time(waiting, deadline, "signing in")

    async def _in_time(self, waiting: Coroutine[Any, Any, _T], deadline: float, what: str) -> _T:
        """Return what is waited for: a turn, or a token that others may wait for too."""
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                return await waiting
        except TimeoutError as error:
            message = f"{what} took all the time of this poll"
            raise PollError(Reason.TIMEOUT, message) from error

    def _seconds_until(self, deadline: float, least: float) -> float:
        """Return how long a request may take. Raises PollError where that is less than `least`."""
        seconds = deadline - self._clock.monotonic()
        if seconds <= 0 or seconds < least:
            raise PollError(Reason.TIMEOUT, "the time of this poll is over")
        return min(self._api.timeout, seconds)

    @asynccontextmanager
    async def _get(
        self, endpoint: str, parameters: Mapping[str, str], token: Token, seconds: float
    ) -> AsyncIterator[Answer]:
        self._pause.check()
        async with self._http.exchange(
            "GET", endpoint, seconds, token.value, params=parameters
        ) as answer:
            yield answer

    async def _body(self, answer: Answer, token: Token | None = None) -> AsyncIterator[bytes]:
        """Return the pieces of a 200's body. Raises PollError for every other status."""
        if answer.status != 200:
            raise await self._failure(answer, token)
        if token is not None:
            self._auth.accepted(token)
        return limited(answer.pieces(), self._api.max_response_size)

    async def _failure(self, answer: Answer, token: Token | None) -> PollError:
        """Return what a status other than 200 means, and begin the pause that it asks for."""
        status, said = answer.status, await self._said(answer)
        if status == 407 and self._api.proxy_url:
            return faults.refused_by_proxy(f"407 {said}".strip())
        wait = 0.0
        if status in _RETRYABLE:
            value, date = answer.header("retry-after"), answer.header("date")
            wait = retry_after(value, date, self._clock.time())
        hint = self._hint(status, wait, token)
        message = f"HTTP {status} {said}".strip() + hint
        error = PollError(_reason(status), message, retryable=status in _RETRYABLE)
        if wait:
            self._pause.begin(wait, error)
        return error

    def _hint(self, status: int, wait: float, token: Token | None) -> str:
        if wait:
            return f"; the API asked to wait {wait:.0f} s"
        if status in _REDIRECTS:
            return "; redirects are not followed, check api.base_url"
        if status in (401, 403) and token is not None:
            return self._auth.doubt(token)
        return ""

    async def _said(self, answer: Answer) -> str:
        """Return what the body of a failure says; nothing where it breaks or takes long."""
        content = await answer.beginning(min(_MESSAGE_PATIENCE, self._api.timeout / 8))
        with suppress(PollError):
            return self._message(json_object(content))
        return ""

    def _message(self, answer: Mapping[str, Any]) -> str:
        """Return what the API says about a failure, fit for a log."""
        said = (answer.get(key) for key in ("error_code", "message"))
        texts = [text for text in said if isinstance(text, str) and text]
        return self.quotable(": ".join(texts))


def least_seconds(seconds: float) -> float:
    """Return how long an attempt must still have to be begun, out of the seconds of a poll."""
    return min(1.0, 0.1 * seconds)


def _reason(status: int) -> Reason:
    if status >= 500:
        return Reason.SERVER_ERROR
    if status < 400:
        return Reason.INVALID_RESPONSE
    return _REASONS.get(status, Reason.BAD_REQUEST)
