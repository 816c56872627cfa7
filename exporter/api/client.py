"""Asks the Flashback API: signed in, within limits and in time. Knows no endpoint but sign-in.

A status other than 200 leaves as PollError with the reason that it stands for.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from exporter.api import faults
from exporter.api.auth import Authenticator, account
from exporter.api.body import MAX_JSON, json_object, limited
from exporter.api.exchange import Answer, Http, Observer, Transport
from exporter.api.failures import advice, failure, seconds_to_wait, words, words_in
from exporter.api.lanes import Lane
from exporter.api.notices import Notices
from exporter.api.pause import Pause
from exporter.api.redaction import Redactor
from exporter.api.tokens import Token
from exporter.clock import Clock
from exporter.config.api_section import Api
from exporter.errors import PollError, Reason, RefusedError

# Seconds for a renewal under way at the end; the process has five in all.
_LAST_PATIENCE = 3.5
_MAX_QUOTED = 200
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
        permits = asyncio.Semaphore(api.max_concurrent_requests)
        self.statistics = Lane(permits, Pause(clock))
        """The requests that the exporter is for; their pause holds for all."""
        self.account = Lane(asyncio.Semaphore(1), Pause(clock), before=self.statistics)
        """Requests about the account, one at a time: they hold up nothing else."""
        self.notices = Notices()
        """What the API says about the end of endpoints."""
        self._redactor = Redactor()
        self._auth = Authenticator(api, clock, self._sign_in, self._redactor)
        self._http = Http(api, clock, observe, self.quotable, transport)
        self._hide_proxy_password()
        # The token that statistics were given for last, and one that came because questions about
        # the account were refused, until it is good for something.
        self._accepted: Token | None = None
        self._renewed: Token | None = None

    @property
    def token_expires_at(self) -> float:
        """When the access token in use expires, in Unix seconds; 0 where that is not known."""
        return self._auth.expires_at

    @property
    def wait(self) -> float:
        """How many seconds the API still wants to be left alone, by its Retry-After."""
        return self.statistics.wait

    def take_over(self, before: "FlashbackClient") -> None:
        """Go on where another client is, which is used no more but for what it has begun.

        The same API is left alone as long as it asked for. The same account keeps its tokens, and
        a renewal that the other client has under way serves both.
        """
        if self._api.base_url != before._api.base_url:
            return
        self.statistics = replace(self.statistics, pause=before.statistics.pause)
        pause = before.account.pause
        self.account = replace(self.account, pause=pause, before=self.statistics)
        self.notices = before.notices
        if account(self._api) == account(before._api):
            self._redactor = before._redactor
            self._hide_proxy_password()
            self._auth = before._auth
            self._auth.carry_on(self._api, self._sign_in)
            self._accepted, self._renewed = before._accepted, before._renewed

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
        self,
        endpoint: str,
        parameters: Mapping[str, str],
        deadline: float,
        lane: Lane | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask an endpoint and hand out the body of its answer, decompressed, in small pieces.

        They have at most 64 KiB. The request and all reading of the body end before `deadline`
        (monotonic). A 401 brings one renewal of the token and one replay, but not where the token
        is known to be good. `lane` is `statistics` or `account`. Raises PollError.
        """
        lane = lane or self.statistics
        least = least_seconds(deadline - self._clock.monotonic())
        async with self._permit(lane, deadline):
            token = await self._signed_in(self._auth.token(deadline), deadline)
            seconds = self._seconds_until(deadline, least)
            async with self._get(lane, endpoint, parameters, token, seconds) as answer:
                if answer.status != 401 or not self._may_have_expired(token, lane):
                    yield await self._body(lane, answer, token)
                    return
            token = await self._signed_in(self._auth.renew(token, deadline), deadline)
            self._renewed = token if lane is self.account else self._renewed
            seconds = self._seconds_until(deadline, least)
            async with self._get(lane, endpoint, parameters, token, seconds) as answer:
                yield await self._body(lane, answer, token)

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
            self.statistics.check()
            seconds = self._api.timeout
            async with self._http.exchange("POST", endpoint, seconds, json=content) as response:
                pieces = limited(await self._body(self.statistics, response), MAX_JSON)
                answer = json_object(b"".join([piece async for piece in pieces]))
        except PollError as error:
            message = f"POST {endpoint}: {error}"
            if error.reason in _REFUSALS:
                raise RefusedError(message) from error
            raise PollError(error.reason, message, retryable=error.retryable) from error
        if answer.get("success") is False:
            raise RefusedError(f"POST {endpoint}: {self.quotable(words(answer))}")
        return answer

    @asynccontextmanager
    async def _permit(self, lane: Lane, deadline: float) -> AsyncIterator[None]:
        await self._in_time(lane.permits.acquire(), deadline, "other requests")
        try:
            yield
        finally:
            lane.permits.release()

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
        self,
        lane: Lane,
        endpoint: str,
        parameters: Mapping[str, str],
        token: Token,
        seconds: float,
    ) -> AsyncIterator[Answer]:
        lane.check()
        async with self._http.exchange(
            "GET", endpoint, seconds, token.value, params=parameters
        ) as answer:
            self.notices.heed(endpoint, answer)
            yield answer

    async def _body(
        self, lane: Lane, answer: Answer, token: Token | None = None
    ) -> AsyncIterator[bytes]:
        """Return the pieces of a 200's body. Raises PollError for every other status."""
        if answer.status != 200:
            raise await self._failure(lane, answer, token)
        if token is not None:
            self._auth.accepted(token)
            self._accepted = token if lane is self.statistics else self._accepted
            self._renewed = None if token == self._renewed else self._renewed
        return limited(answer.pieces(), self._api.max_response_size)

    async def _failure(self, lane: Lane, answer: Answer, token: Token | None) -> PollError:
        """Return what a status other than 200 means, and begin the pause that it asks for."""
        status = answer.status
        said = f"HTTP {status} {self.quotable(await words_in(answer, self._api.timeout))}".strip()
        if status == 407 and self._api.proxy_url:
            return faults.refused_by_proxy(said.removeprefix("HTTP "))
        wait = seconds_to_wait(answer, self._clock.time())
        said += advice(status, wait)
        if status in (401, 403) and token is not None:
            said += self._auth.doubt(token)
        if status == 401 and lane is self.account and token == self._accepted:
            status = 403  # the token is good: it is this question that is refused
        error = failure(status, said)
        if wait:
            lane.pause.begin(wait, error)
        return error

    def _may_have_expired(self, token: Token, lane: Lane) -> bool:
        """Whether a 401 may be mended by another token.

        About the account it may not where the statistics accept this one, nor where it was renewed
        for such a 401 already: each question that is refused would bring a sign-in.
        """
        return lane is self.statistics or token not in (self._accepted, self._renewed)


def least_seconds(seconds: float) -> float:
    """Return how long an attempt must still have to be begun, out of the seconds of a poll."""
    return min(1.0, 0.1 * seconds)
