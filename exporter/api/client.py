"""Talks to the Flashback API: signed in, within limits and in time. The one module that imports httpx.

What httpx, ssl, zlib and asyncio raise ends here and leaves as PollError: timeouts as `timeout`, a certificate or
handshake that fails as `tls`, every other broken connection as `network`, an answer that cannot be used as
`invalid_response`, `too_large` or by its status code.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from exporter import __version__
from exporter.api import faults
from exporter.api.auth import Authenticator, account
from exporter.api.body import MAX_JSON, PIECE, decompressed, json_object, limited
from exporter.api.pause import Pause, retry_after
from exporter.api.redaction import Redactor
from exporter.api.tls import ssl_context
from exporter.api.tokens import Token
from exporter.clock import Clock
from exporter.config.sections import Api
from exporter.errors import ConfigError, PollError, Problem, Reason, RefusedError, TruncatedError

DAILY = "/aistats/daily"

_SHARE_TO_CONNECT = 0.45
_MESSAGE_PATIENCE = 2.0  # seconds for the body of an answer that is a failure anyway
_LAST_PATIENCE = 3.5  # for a renewal under way at the end; the process has five seconds in all
_LEAST_SECONDS = 1.0  # an attempt that has less is not begun,
_LEAST_SHARE = 0.1  # or less than this of a poll's time, where that is short
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
_REFUSALS = frozenset({Reason.AUTH, Reason.BAD_REQUEST, Reason.NOT_FOUND})

_T = TypeVar("_T")

Observer = Callable[[str, str, float], None]
"""Called once per request with endpoint, status code (or `error`) and duration in seconds."""


class FlashbackClient:
    """Asks the API: signed in, within limits, and not before the API wants to be asked again."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        observe: Observer,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare, without connecting. Raises ConfigError where a TLS file or an address cannot be used."""
        self._api = api
        self._clock = clock
        self._observe = observe
        self._permits = asyncio.Semaphore(api.max_concurrent_requests)
        self._pause = Pause(clock)
        self._redactor = Redactor()
        self._auth = Authenticator(api, clock, self._sign_in, self._redactor)
        self._http = _http(api, transport)
        self._host = self._http.base_url.host + (" through the proxy" if api.proxy_url else "")
        self._hide_proxy_password()

    @property
    def token_expires_at(self) -> float:
        """When the access token in use expires, in Unix seconds; 0 where that is not known."""
        return self._auth.expires_at

    @property
    def wait(self) -> float:
        """How many seconds the API still wants to be left alone, after an answer with Retry-After."""
        return self._pause.seconds

    def take_over(self, before: "FlashbackClient") -> None:
        """Go on where another client is, which is used no more but for what it has begun.

        The same API is left alone as long as it asked for; for the same account there are the same tokens, and a
        renewal that the other client has under way serves both.
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
        """Close all connections once a renewal under way has ended: the client after this one needs it."""
        await self._auth.settle()
        await self._http.aclose()

    async def aclose(self) -> None:
        """Close all connections; a renewal under way has a few seconds to end."""
        await self._auth.settle(_LAST_PATIENCE)
        self._auth.stop()
        await self._http.aclose()

    @asynccontextmanager
    async def daily_statistics(
        self, parameters: Mapping[str, str], deadline: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask for daily statistics and hand out the body of the answer in decompressed pieces of at most 64 KiB.

        The request and all reading of the body end before `deadline` (monotonic). A 401 brings one renewal of the
        token and one replay. Raises PollError.
        """
        least = min(_LEAST_SECONDS, _LEAST_SHARE * (deadline - self._clock.monotonic()))
        async with self._permit(deadline):
            token = await self._signed_in(self._auth.token(deadline), deadline)
            seconds = self._seconds_until(deadline, least)
            async with self._exchange("GET", DAILY, seconds, token, params=parameters) as response:
                if response.status_code != 401:
                    yield await self._body(response, token)
                    return
            token = await self._signed_in(self._auth.renew(token, deadline), deadline)
            seconds = self._seconds_until(deadline, least)
            async with self._exchange("GET", DAILY, seconds, token, params=parameters) as response:
                yield await self._body(response, token)

    def quotable(self, text: str) -> str:
        """Return a text that came from outside as it may stand in a log: printable, short and without secrets."""
        shown = self._redactor.redact(text)[:_MAX_QUOTED]
        return "".join(char if char.isprintable() else " " for char in shown)

    def _hide_proxy_password(self) -> None:
        proxy = urlsplit(self._api.proxy_url.get_secret_value() if self._api.proxy_url else "")
        self._redactor.remember("proxy password", unquote(proxy.password or ""))

    async def _sign_in(self, endpoint: str, content: Mapping[str, str]) -> Mapping[str, Any]:
        """Post JSON to an authentication endpoint; the `Post` of the authenticator."""
        try:
            async with self._exchange(
                "POST", endpoint, self._api.timeout, json=content
            ) as response:
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
    async def _exchange(
        self,
        method: str,
        endpoint: str,
        seconds: float,
        token: Token | None = None,
        **content: Any,
    ) -> AsyncIterator[httpx.Response]:
        """Send one request, hand out its answer, and end both in time. Counts it and translates what goes wrong."""
        self._pause.check()
        request = _Request(seconds)
        started = self._clock.monotonic()
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(
                    method,
                    endpoint,
                    headers={"Authorization": f"Bearer {token.value}"} if token else {},
                    timeout=request.patience,
                    extensions={"trace": request.trace},
                    **content,
                ) as response,
            ):
                request.answered(response)
                yield response
        except (TimeoutError, httpx.TransportError, ssl.SSLError, TruncatedError) as error:
            # Without the cause, which may quote what the server sent.
            raise self._fault(error, request) from None
        finally:
            self._observe(endpoint, request.code, self._clock.monotonic() - started)

    def _fault(self, error: Exception, request: "_Request") -> PollError:
        match error:
            case TimeoutError() | httpx.TimeoutException():
                return PollError(Reason.TIMEOUT, request.timed_out(error), retryable=True)
            case TruncatedError():
                return faults.broken_body(self._host) if request.ends_with_connection else error
            case httpx.LocalProtocolError():
                return PollError(Reason.INVALID_RESPONSE, "the request cannot be sent as HTTP")
            case httpx.ProxyError():
                return faults.refused_by_proxy(self.quotable(str(error)))
            case httpx.RemoteProtocolError():
                return faults.broken_answer(error, self._host, begun=request.code != "error")
            case _:
                return faults.broken_connection(error, self._host)

    async def _body(
        self, response: httpx.Response, token: Token | None = None
    ) -> AsyncIterator[bytes]:
        """Return the pieces of a 200's body. Raises PollError for every other status."""
        if response.status_code != 200:
            raise await self._failure(response, token)
        if token is not None:
            self._auth.accepted(token)
        return limited(_decompressed(response), self._api.max_response_size)

    async def _failure(self, response: httpx.Response, token: Token | None) -> PollError:
        """Return what a status other than 200 means, and leave the API alone where it asks for that."""
        status, said = response.status_code, await self._said(response)
        if status == 407 and self._api.proxy_url:
            return faults.refused_by_proxy(f"407 {said}".strip())
        hint = ""
        if 300 <= status < 400:
            hint = "; redirects are not followed, check api.base_url"
        if status in (401, 403) and token is not None:
            hint = self._auth.doubt(token)
        retryable = status in _RETRYABLE
        headers = response.headers
        wait = retry_after(
            headers.get("retry-after", ""), headers.get("date", ""), self._clock.time()
        )
        if retryable and wait:
            hint = f"; the API asked to wait {wait:.0f} s"
        message = f"HTTP {status} {said}".strip() + hint
        error = PollError(_reason(status), message, retryable=retryable)
        if retryable and wait:
            self._pause.begin(wait, error)
        return error

    async def _said(self, response: httpx.Response) -> str:
        """Return what the body of a failure says; nothing where it breaks or takes long: the status tells enough."""
        with suppress(PollError, httpx.TransportError, TimeoutError):
            async with asyncio.timeout(min(_MESSAGE_PATIENCE, self._api.timeout / 8)):
                return self._message(json_object(await anext(_decompressed(response), b"")))
        return ""

    def _message(self, answer: Mapping[str, Any]) -> str:
        """Return what the API says about a failure, fit for a log."""
        said = (answer.get(key) for key in ("error_code", "message"))
        return self.quotable(": ".join(text for text in said if isinstance(text, str) and text))


class _Request:
    """How far one request has come, and how long it may take."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._doing = "connecting"
        self.code = "error"
        self.ends_with_connection = False
        # httpcore leaves a connection open that is cancelled in its TLS handshake: TCP and TLS must time out before.
        self._to_connect = seconds * _SHARE_TO_CONNECT
        self.patience = httpx.Timeout(seconds, connect=self._to_connect)

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of what httpcore does; a CONNECT to a proxy is still part of connecting."""
        if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            self._doing = "waiting for the answer"

    def answered(self, response: httpx.Response) -> None:
        """Take note of the head of the answer."""
        self.code = str(response.status_code)
        self._doing = "reading the answer"
        self.ends_with_connection = not (
            response.headers.keys() & {"content-length", "transfer-encoding"}
        )

    def timed_out(self, error: Exception) -> str:
        """Return what took too long, and how long that was."""
        if isinstance(error, httpx.ConnectTimeout):
            return (
                f"no connection within {_rounded(self._to_connect)} s: timed out while connecting"
            )
        return (
            f"no complete answer within {_rounded(self._seconds)} s: timed out while {self._doing}"
        )


def _http(api: Api, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """Return the HTTP client. Raises ConfigError with everything of the configuration that it cannot use."""
    problems: list[Problem] = []
    try:
        context = ssl_context(api.tls_config)
    except ConfigError as error:
        problems += error.problems
    proxy = api.proxy_url.get_secret_value() if api.proxy_url else None
    for where, address in (("api.base_url", api.base_url), ("api.proxy_url", proxy)):
        if address is not None and not _is_usable(address):
            problems.append(Problem(where, "expected the name of a host that DNS can look up"))
    if problems:
        raise ConfigError(problems)
    return httpx.AsyncClient(
        base_url=api.base_url,
        transport=transport,
        verify=context,
        proxy=proxy,
        # A connection serves one request: what a server sends behind its answer is never taken for the next one's.
        limits=httpx.Limits(max_keepalive_connections=0),
        follow_redirects=False,
        event_hooks={"response": [_forget_redirect]},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none: they would pile up
        trust_env=False,  # neither a proxy nor credentials that the configuration does not name
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Connection": "close",
            "User-Agent": f"flashback-exporter/{__version__}",
        },
    )


def _is_usable(address: str) -> bool:
    try:
        _ = httpx.URL(address).host  # read for its errors: httpx decodes it here
    except (httpx.InvalidURL, ValueError):
        return False
    return True


async def _forget_redirect(response: httpx.Response) -> None:
    """Keep httpx from reading where a redirect leads, which may be no address at all."""
    response.headers.pop("location", None)


def _decompressed(response: httpx.Response) -> AsyncIterator[bytes]:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    return decompressed(response.aiter_raw(PIECE), encoding)


def _reason(status: int) -> Reason:
    if status >= 500:
        return Reason.SERVER_ERROR
    return _REASONS.get(status) or (
        Reason.BAD_REQUEST if status >= 400 else Reason.INVALID_RESPONSE
    )


def _rounded(seconds: float) -> str:
    return f"{round(seconds, 2):g}"
