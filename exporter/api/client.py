"""Talks to the Flashback API. The one module that imports httpx; its exceptions end here.

What httpx, ssl, zlib and asyncio raise leaves as PollError: timeouts as `timeout`, a certificate or handshake that
fails as `tls`, every other broken connection as `network`, an answer that cannot be used as `invalid_response`,
`too_large` or by its status code.
"""

import asyncio
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import httpx

from exporter import __version__
from exporter.api.auth import Authenticator, Token
from exporter.clock import Clock
from exporter.config.sections import Api, TlsConfig
from exporter.errors import ConfigError, PollError, Problem, Reason, RefusedError

DAILY = "/aistats/daily"

_PIECE = 64 * 1024
_SHARE_TO_CONNECT = 0.45
_MESSAGE_PATIENCE = 2.0  # seconds for the body of an answer that is a failure anyway
_MAX_ANSWER = 256 * 1024  # to a sign-in
_MAX_CAUSES = 10
_MAX_RETRY_AFTER = 86_400.0
_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
_REASONS = {
    400: Reason.BAD_REQUEST,
    401: Reason.AUTH,
    403: Reason.AUTH,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    429: Reason.RATE_LIMITED,
}

_T = TypeVar("_T")

Observer = Callable[[str, str, float], None]
"""Called once per request with endpoint, status code (or `error`) and duration in seconds."""


class FlashbackClient:
    """Asks the API for statistics: signed in, within limits, and not before the API wants to be asked again."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        observe: Observer,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare, without connecting. Raises ConfigError where a TLS file or the address cannot be used."""
        self._api = api
        self._clock = clock
        self._observe = observe
        self._permits = asyncio.Semaphore(api.max_concurrent_requests)
        self._not_before = 0.0
        self._asked_to_wait = (Reason.RATE_LIMITED, "")
        base_url = _url("api.base_url", api.base_url)
        proxy = _url("api.proxy_url", api.proxy_url.get_secret_value()) if api.proxy_url else None
        self._destination = base_url.host + (" through the proxy" if proxy else "")
        self._auth = Authenticator(api, clock, self._sign_in)
        self._http = httpx.AsyncClient(
            base_url=base_url,
            transport=transport,
            verify=_ssl_context(api.tls_config),
            proxy=proxy,
            follow_redirects=False,
            event_hooks={"response": [_forget_redirect]},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none: they would pile up
            trust_env=False,  # neither a proxy nor credentials that the configuration does not name
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": f"flashback-exporter/{__version__}",
            },
        )

    @property
    def token_expires_at(self) -> float:
        """When the access token in use expires, in Unix seconds; 0 where that is not known."""
        return self._auth.expires_at

    @property
    def wait(self) -> float:
        """How many seconds the API still wants to be left alone, after an answer with Retry-After."""
        return max(0.0, self._not_before - self._clock.monotonic())

    def heed(self, before: "FlashbackClient") -> None:
        """Leave the API alone as long as it asked the client before to, if it is the same API."""
        if self._api.base_url == before._api.base_url:
            self._not_before, self._asked_to_wait = before._not_before, before._asked_to_wait

    async def aclose(self) -> None:
        """Close all connections."""
        await self._auth.aclose()
        await self._http.aclose()

    @asynccontextmanager
    async def daily_statistics(
        self, parameters: Mapping[str, str], deadline: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask for daily statistics and hand out the body of the answer in decompressed pieces of at most 64 KiB.

        The request and all reading of the body end before `deadline` (monotonic). A 401 brings one renewal of the
        token and one replay. Raises PollError.
        """
        async with self._permit(deadline):
            token = await self._in_time(self._auth.token(), deadline)
            async with self._exchange("GET", DAILY, deadline, token, params=parameters) as response:
                if response.status_code != 401:
                    yield await self._body(response)
                    return
            token = await self._in_time(self._auth.renew(token), deadline)
            async with self._exchange("GET", DAILY, deadline, token, params=parameters) as response:
                yield await self._body(response)

    async def _sign_in(self, endpoint: str, content: Mapping[str, str]) -> Mapping[str, Any]:
        """Post JSON to an authentication endpoint; the `Post` of the authenticator."""
        async with self._exchange("POST", endpoint, float("inf"), json=content) as response:
            status = response.status_code
            try:
                body = await self._body(response)
            except PollError as error:
                if 400 <= status < 500 and not error.retryable:
                    raise RefusedError(f"sign-in at {endpoint}: {error}") from None
                raise
            answer = _json(b"".join([piece async for piece in self._limited(body, _MAX_ANSWER)]))
        if answer.get("success") is False:
            raise RefusedError(f"sign-in at {endpoint}: {self._message(answer)}")
        return answer

    @asynccontextmanager
    async def _permit(self, deadline: float) -> AsyncIterator[None]:
        await self._in_time(self._permits.acquire(), deadline)
        try:
            yield
        finally:
            self._permits.release()

    async def _in_time(self, waiting: Coroutine[Any, Any, _T], deadline: float) -> _T:
        """Return what is waited for: a turn, or a token that others may wait for too."""
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                return await waiting
        except TimeoutError:
            raise PollError(
                Reason.TIMEOUT, "sign-in or other requests took all the time of this poll"
            ) from None

    def _seconds_until(self, deadline: float) -> float:
        seconds = deadline - self._clock.monotonic()
        if seconds <= 0:
            raise PollError(Reason.TIMEOUT, "the time of this poll is over")
        return seconds

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        endpoint: str,
        deadline: float,
        token: Token | None = None,
        **content: Any,
    ) -> AsyncIterator[httpx.Response]:
        """Send one request, hand out its answer, and end both in time. Counts it and translates what goes wrong."""
        if self.wait:
            raise PollError(*self._asked_to_wait, retryable=True)
        headers = {"Authorization": f"Bearer {token.value}"} if token else {}
        seconds = min(self._api.timeout, self._seconds_until(deadline))
        # httpcore leaves a connection open that is cancelled in its TLS handshake: TCP and TLS must time out before.
        patience = httpx.Timeout(seconds, connect=seconds * _SHARE_TO_CONNECT)
        started = self._clock.monotonic()
        code = "error"
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(
                    method, endpoint, headers=headers, timeout=patience, **content
                ) as response,
            ):
                code = str(response.status_code)
                yield response
        except (TimeoutError, httpx.TimeoutException):
            raise PollError(
                Reason.TIMEOUT, f"no complete answer within {seconds:g} s", retryable=True
            ) from None
        except httpx.LocalProtocolError:
            raise PollError(Reason.INVALID_RESPONSE, "the request cannot be sent as HTTP") from None
        except (httpx.TransportError, ssl.SSLError) as error:
            raise _broken_connection(error, self._destination) from None
        finally:
            self._observe(endpoint, code, self._clock.monotonic() - started)

    async def _body(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Return the pieces of a 200's body. Raises PollError for every other status."""
        status = response.status_code
        if status == 200:
            return self._limited(_decompressed(response), self._api.max_response_size)
        reason = _REASONS.get(status) or (
            Reason.SERVER_ERROR
            if status >= 500
            else Reason.BAD_REQUEST
            if status >= 400
            else Reason.INVALID_RESPONSE
        )
        hint = "; redirects are not followed, check api.base_url" if 300 <= status < 400 else ""
        message = ""
        with suppress(
            PollError, httpx.TransportError, TimeoutError
        ):  # whatever its body, the status tells enough
            async with asyncio.timeout(min(_MESSAGE_PATIENCE, self._api.timeout / 8)):
                message = self._message(_json(await anext(_decompressed(response), b"")))
        error = PollError(
            reason, f"HTTP {status} {message}".strip() + hint, retryable=status in _RETRYABLE
        )
        if error.retryable and (seconds := _retry_after(response, self._clock.time())):
            self._not_before = max(self._not_before, self._clock.monotonic() + seconds)
            self._asked_to_wait = (reason, f"{error}, which asked to wait {seconds:.0f} s")
        raise error

    async def _limited(self, pieces: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > limit:
                raise PollError(Reason.TOO_LARGE, f"the answer is larger than {limit} bytes")
            yield piece
            await asyncio.sleep(0)  # a scrape may be waiting

    def _message(self, answer: Mapping[str, Any]) -> str:
        """Return what the API says about a failure, fit for a log: printable, short and without secrets."""
        said = (answer.get(key) for key in ("error_code", "message"))
        return self.quotable(": ".join(text for text in said if isinstance(text, str) and text))

    def quotable(self, text: str) -> str:
        """Return a text that came from the API as it may stand in a log: printable, short and without secrets."""
        return "".join(
            char if char.isprintable() else " " for char in self._auth.redact(text)[:200]
        )


def _json(content: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(content[:_MAX_ANSWER])
    except (ValueError, RecursionError):
        raise PollError(Reason.INVALID_RESPONSE, "the answer is not JSON") from None
    return answer if isinstance(answer, dict) else {}


def _decompressed(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return the body in pieces of at most 64 KiB, however well it was compressed."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return response.aiter_raw(_PIECE)
    if encoding in ("gzip", "x-gzip"):
        return _gunzipped(response.aiter_raw(_PIECE))
    raise PollError(
        Reason.INVALID_RESPONSE, "the answer has a Content-Encoding that was not asked for"
    )


async def _forget_redirect(response: httpx.Response) -> None:
    """Keep httpx from reading where a redirect leads, which may be no address at all."""
    response.headers.pop("location", None)


async def _gunzipped(compressed: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    decompressor = zlib.decompressobj(wbits=31)
    try:
        async for raw in compressed:
            data = raw
            while data or not decompressor.eof:
                if decompressor.eof:  # a gzip stream may consist of several members
                    decompressor = zlib.decompressobj(wbits=31)
                piece = decompressor.decompress(data, _PIECE)
                yield piece
                data = (
                    decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
                )
                if not data and len(piece) < _PIECE:
                    break
    except zlib.error:
        raise PollError(Reason.INVALID_RESPONSE, "the answer is not valid gzip") from None
    if not decompressor.eof:
        raise PollError(Reason.INVALID_RESPONSE, "the answer ends in the middle of its gzip stream")


def _retry_after(response: httpx.Response, now: float) -> float:
    """Return how long the answer asks to wait, in seconds; at most a day, 0 where it does not say or makes no sense."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), _MAX_RETRY_AFTER))
    moment = _http_date(value)
    here = (
        _http_date(response.headers.get("date", "")) or now
    )  # the server's own date is immune to a wrong clock here
    return min(max(0.0, moment - here), _MAX_RETRY_AFTER)


def _http_date(value: str) -> float:
    """Return an HTTP date in Unix seconds; 0 where it is none."""
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _broken_connection(error: Exception, host: str) -> PollError:
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return PollError(
                Reason.TLS, f"the certificate of {host} is not trusted: {cause.verify_message}"
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(
            cause, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return PollError(
                Reason.TLS, f"TLS with {host} failed: {cause.reason or 'handshake error'}"
            )
        if isinstance(cause, OSError) and cause.strerror:
            return PollError(
                Reason.NETWORK, f"cannot reach {host}: {cause.strerror}", retryable=True
            )
        cause = cause and (cause.__cause__ or cause.__context__)
    return PollError(
        Reason.NETWORK, f"the connection to {host} broke: {type(error).__name__}", retryable=True
    )


def _url(key: str, address: str) -> httpx.URL:
    """Return an address of the configuration; ConfigError where its host has no form that DNS knows."""
    try:
        url = httpx.URL(address)
        _ = url.host  # read for its errors: httpx decodes it here
    except (httpx.InvalidURL, ValueError):  # the cause would show a proxy's password
        raise ConfigError(
            [Problem(key, "expected the name of a host that DNS can look up")]
        ) from None
    return url


def _ssl_context(tls: TlsConfig) -> ssl.SSLContext:
    """Return what a connection goes by. The verdict on a certificate is that of Prometheus, on every Python.

    Python 3.13 began to refuse private authorities that leave out formalities of RFC 5280, such as a critical
    basicConstraints, and to trust an intermediate authority that stands in ca_file without its root.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if tls.cert_file:
            context.load_cert_chain(
                tls.cert_file, tls.key_file, password=""
            )  # never ask a terminal
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = (
            error.strerror
            if isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
            else "not PEM"
        )
        raise ConfigError(
            [Problem("api.tls_config", f"the files cannot be used: {what}")]
        ) from None
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
