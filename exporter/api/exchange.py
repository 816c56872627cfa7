"""Sends a request over HTTP and hands out its answer, in time. Only this module imports httpx.

What httpx, ssl and asyncio raise ends here and leaves as PollError: timeouts as `timeout`, a
certificate or handshake that fails as `tls`, every other broken connection as `network`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from exporter import __version__
from exporter.api import faults
from exporter.api.body import PIECE, decompressed
from exporter.api.tls import ssl_context
from exporter.clock import Clock
from exporter.config.api_section import Api
from exporter.errors import PollError, Problem, Reason, TruncatedError, noting, refuse

Transport = httpx.AsyncBaseTransport

Observer = Callable[[str, str, float], None]
"""Called once per request with endpoint, status code (or `error`) and duration in seconds."""

_SHARE_TO_CONNECT = 0.45


class Answer:
    """The answer to a request, of which the body is still to be read."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection tells where the body ends."""
        return not self._response.headers.keys() & {"content-length", "transfer-encoding"}

    def header(self, name: str) -> str:
        """Return a header's value; nothing where there is none."""
        return str(self._response.headers.get(name, ""))

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the body, decompressed, in pieces of at most 64 KiB."""
        encoding = self.header("content-encoding").strip().lower()
        return decompressed(self._response.aiter_raw(PIECE), encoding)

    async def beginning(self, seconds: float) -> bytes:
        """Return the first piece of the body.

        It is empty where reading breaks, or takes longer than so many seconds.
        """
        with suppress(PollError, httpx.TransportError, TimeoutError):
            async with asyncio.timeout(seconds):
                return await anext(self.pieces(), b"")
        return b""


class Http:
    """The connections to the API, one for each request."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        observe: Observer,
        quotable: Callable[[str], str],
        transport: Transport | None,
    ) -> None:
        """Prepare, without connecting. Raises ConfigError.

        `quotable` makes what others say fit for a log.
        """
        self._clock = clock
        self._observe = observe
        self._quotable = quotable
        self._http = _client(api, transport)
        self._through_proxy = api.proxy_url is not None
        self._host = self._http.base_url.host + (" through the proxy" if api.proxy_url else "")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def exchange(
        self, method: str, endpoint: str, seconds: float, token: str = "", **content: Any
    ) -> AsyncIterator[Answer]:
        """Send one request, count it, and hand out its answer, all in time. Raises PollError."""
        progress = _Progress(seconds, self._host, through_proxy=self._through_proxy)
        started = self._clock.monotonic()
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(
                    method,
                    endpoint,
                    headers={"Authorization": f"Bearer {token}"} if token else {},
                    timeout=progress.patience,
                    extensions={"trace": progress.trace},
                    **content,
                ) as response,
            ):
                answer = Answer(response)
                progress.answered(answer)
                yield answer
        except (TimeoutError, httpx.TransportError, ssl.SSLError, TruncatedError) as error:
            # Without the cause, which may quote what the server sent.
            raise self._fault(error, progress) from None
        finally:
            self._observe(endpoint, progress.code, self._clock.monotonic() - started)

    def _fault(self, error: Exception, progress: "_Progress") -> PollError:
        match error:
            case TimeoutError() | httpx.TimeoutException():
                return PollError(Reason.TIMEOUT, progress.timed_out(error), retryable=True)
            case TruncatedError():
                return faults.broken_body(progress.peer) if progress.ends_with_connection else error
            case httpx.LocalProtocolError():
                return PollError(Reason.INVALID_RESPONSE, "the request cannot be sent as HTTP")
            case httpx.ProxyError():
                return faults.refused_by_proxy(self._quotable(str(error)))
            case httpx.RemoteProtocolError():
                return faults.broken_answer(error, progress.peer, begun=progress.code != "error")
            case _:
                return faults.broken_connection(error, progress.peer)


class _Progress:
    """How far one request has come, and how long it may take."""

    def __init__(self, seconds: float, host: str, *, through_proxy: bool) -> None:
        self._seconds = seconds
        self._host = host
        self.peer = "the proxy" if through_proxy else host  # who is to blame if it breaks now
        self._doing = "connecting"
        self.code = "error"
        self.ends_with_connection = False
        # httpcore leaves a connection open that is cancelled in its TLS handshake, so that TCP and
        # TLS must time out before the request as a whole.
        self._to_connect = seconds * _SHARE_TO_CONNECT
        self.patience = httpx.Timeout(seconds, connect=self._to_connect)

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of what httpcore does; a CONNECT to a proxy is still part of connecting."""
        if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            self._doing = "waiting for the answer"
            self.peer = self._host
        if event == "proxy.start_tls.started":  # the tunnel stands
            self.peer = self._host

    def answered(self, answer: Answer) -> None:
        """Take note of the head of the answer."""
        self.code = str(answer.status)
        self._doing = "reading the answer"
        self.ends_with_connection = answer.ends_with_connection

    def timed_out(self, error: Exception) -> str:
        """Return what took too long, and how long that was."""
        if isinstance(error, httpx.ConnectTimeout):
            limit = _rounded(self._to_connect)
            return f"no connection within {limit} s: timed out while connecting"
        limit = _rounded(self._seconds)
        return f"no complete answer within {limit} s: timed out while {self._doing}"


def _client(api: Api, transport: Transport | None) -> httpx.AsyncClient:
    """Return the HTTP client.

    Raises ConfigError with everything of the configuration that it cannot use.
    """
    problems: list[Problem] = []
    with noting(problems):
        context = ssl_context(api.tls_config)
    proxy = api.proxy_url.get_secret_value() if api.proxy_url else None
    for where, address in (("api.base_url", api.base_url), ("api.proxy_url", proxy)):
        if address is not None and not _is_usable(address):
            problems.append(Problem(where, "expected the name of a host that DNS can look up"))
    refuse(problems)
    return httpx.AsyncClient(
        base_url=api.base_url,
        transport=transport,
        verify=context,
        proxy=_proxy(proxy, context) if proxy else None,
        # A connection serves one request, so that what a server sends behind its answer is never
        # taken for the next one.
        limits=httpx.Limits(max_keepalive_connections=0),
        follow_redirects=False,
        event_hooks={"response": [_forget_redirect]},
        # No cookies are kept: they would pile up.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # Neither a proxy nor credentials that the configuration does not name.
        trust_env=False,
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Connection": "close",
            "User-Agent": f"flashback-exporter/{__version__}",
        },
    )


def _proxy(address: str, context: ssl.SSLContext) -> httpx.Proxy:
    """Return the proxy at an address; `tls_config` holds for it too, as in Prometheus."""
    url = httpx.URL(address)
    return httpx.Proxy(url, ssl_context=context if url.scheme == "https" else None)


def _is_usable(address: str) -> bool:
    try:
        # It is read for its errors: httpx decodes it only here.
        _ = httpx.URL(address).host
    except (httpx.InvalidURL, ValueError):
        return False
    return True


async def _forget_redirect(response: httpx.Response) -> None:
    """Keep httpx from reading where a redirect leads, which may be no address at all."""
    response.headers.pop("location", None)


def _rounded(seconds: float) -> str:
    return f"{round(seconds, 2):g}"
