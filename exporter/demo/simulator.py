"""A Flashback API on loopback: sign-in, refresh with rotation, daily statistics and the account.

It misbehaves on request.
"""

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from exporter.api.auth import LOGIN, REFRESH
from exporter.api.daily import DAILY
from exporter.clock import Clock, utc_day
from exporter.demo.account_answers import AccountAnswers, Answer
from exporter.demo.company import Company, RawRecord
from exporter.steps import in_runs, one_a_step

TOKEN_LIFETIME = 3600
EMAIL, PASSWORD = "demo@example.com", "made-up-password"

_DAYS_WITHOUT_START = 30
_ANY_OF = ("repoId", "aiLlmId", "repoAiApiKeyId")
_ALL_OF = {
    "hosts": "host",
    "llmType": "llmType",
    "llmModel": "llmModel",
    "userUuid": "userUuid",
    "conversationUuid": "conversationUuid",
}


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer that goes wrong. Without a `body` the usual one is sent; times are in seconds."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0
    seconds_a_byte: float = 0


class Simulator:
    """The API as documented, over a made-up company. `app` is its ASGI application."""

    def __init__(self, company: Company, clock: Clock) -> None:
        """Begin with nobody signed in."""
        self._company = company
        self._clock = clock
        self._access: dict[str, float] = {}
        self._refresh: set[str] = set()
        self._issued = 0
        self._faults: dict[str, deque[Fault]] = {}
        self.requests: deque[tuple[str, dict[str, str]]] = deque(maxlen=1000)
        """The latest requests: endpoint and query parameters."""
        routes = [
            Route(LOGIN, self._login, methods=["POST"]),
            Route(REFRESH, self._refreshed, methods=["POST"]),
            Route(DAILY, self._signed_in_only(self._daily)),
        ]
        account = AccountAnswers(company, clock, EMAIL).by_endpoint
        for endpoint, answer in account.items():
            routes.append(Route(endpoint, self._signed_in_only(_in_json(answer))))
        self.app = Starlette(
            routes=routes, middleware=[Middleware(GZipMiddleware, minimum_size=500)]
        )

    def misbehave(self, *faults: Fault, endpoint: str = DAILY) -> None:
        """Answer the next requests to an endpoint with these faults, one each."""
        self._faults.setdefault(endpoint, deque()).extend(faults)

    def forget_tokens(self, *, refresh_tokens: bool = False) -> None:
        """Let every access token, and on request every refresh token, be refused from now on."""
        self._access.clear()
        if refresh_tokens:
            self._refresh.clear()

    async def _login(self, request: Request) -> Response:
        if fault := await self._fault(request):
            return fault
        content = await request.json()
        if content.get("email") != EMAIL:
            return JSONResponse({"success": False, "error_code": "USER_NOT_FOUND"}, 401)
        if content.get("password") != PASSWORD:
            return JSONResponse({"success": False, "error_code": "INVALID_PASSWORD"}, 401)
        return self._signed_in()

    async def _refreshed(self, request: Request) -> Response:
        if fault := await self._fault(request):
            return fault
        content = await request.json()
        token = content.get("refreshToken") or content.get("refresh_token")
        if token not in self._refresh:
            return JSONResponse({"success": False, "error_code": "INVALID_REFRESH_TOKEN"}, 401)
        self._refresh.discard(token)
        return self._signed_in()

    def _signed_in(self) -> Response:
        now = int(self._clock.time())
        self._issued += 1
        claims: dict[str, Any] = {
            "sub": EMAIL,
            "iat": now,
            "exp": now + TOKEN_LIFETIME,
            "jti": self._issued,
        }
        access = ".".join(_base64(part) for part in ({"alg": "none"}, claims)) + ".c2ltdWxhdG9y"
        refresh = f"refresh-{self._issued}"
        self._access = {token: end for token, end in self._access.items() if end > now}
        self._access[access] = claims["exp"]
        self._refresh.add(refresh)
        return JSONResponse(
            {
                "success": True,
                "accessToken": access,
                "refreshToken": refresh,
                "tokenId": str(self._issued),
                "expiresAt": claims["exp"],
                "user": {
                    "id": "demo",
                    "email": EMAIL,
                    "name": "Demo",
                    "orgId": self._company.organisation.id,
                },
            }
        )

    def _signed_in_only(self, answer: Handler) -> Handler:
        """Return a handler that answers as another one does, to those who have a token."""

        async def respond(request: Request) -> Response:
            self.requests.append((request.url.path, dict(request.query_params)))
            if fault := await self._fault(request):
                return fault
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if self._access.get(token, 0) <= self._clock.time():
                return JSONResponse({"success": False, "error_code": "TOKEN_EXPIRED"}, 401)
            return await answer(request)

        return respond

    async def _daily(self, request: Request) -> Response:
        today = utc_day(self._clock.time())
        try:
            end = _day(request.query_params.get("endDate"), today)
            start = _day(request.query_params.get("startDate"), end - _DAYS_WITHOUT_START)
        except ValueError:
            return JSONResponse({"success": False, "message": "Invalid date"}, 400)
        if start > end:
            message = "startDate must not be after endDate"
            return JSONResponse({"success": False, "message": message}, 400)
        filters = _filters(request.query_params)
        days = range(max(start, today - 400), min(end, today) + 1)
        return StreamingResponse(self._body(days, filters), media_type="application/json")

    async def _body(self, days: range, filters: Mapping[str, set[str]]) -> AsyncIterator[str]:
        now = self._clock.time()
        found = (
            json.dumps(record)
            for day in days
            for record in self._company.records(day, now)
            if _matches(record, filters)
        )
        yield '{"success": true, "data": ['
        separator = ""
        async for run in one_a_step(in_runs(found)):
            yield separator + ",".join(run)
            separator = ","
        yield "]}"

    async def _fault(self, request: Request) -> Response | None:
        """Return the next planned fault as a response, once its delay is over."""
        faults = self._faults.get(request.url.path)
        if not faults:
            return None
        fault = faults.popleft()
        await asyncio.sleep(fault.delay)
        if fault.body is None and fault.status == 200:
            return None
        body = b'{"success": false, "message": "as requested"}'
        if fault.body is not None:
            body = fault.body
        headers = {"Content-Type": "application/json", **fault.headers}
        return StreamingResponse(_dripping(body, fault.seconds_a_byte), fault.status, headers)


def _in_json(answer: Answer) -> Handler:
    async def respond(request: Request) -> Response:
        return JSONResponse(await answer(request.query_params))

    return respond


async def _dripping(body: bytes, seconds_a_byte: float) -> AsyncIterator[bytes]:
    if not seconds_a_byte:
        yield body
        return
    for byte in body:
        yield bytes([byte])
        await asyncio.sleep(seconds_a_byte)


def _filters(parameters: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the values that each filter lets through; the API writes types in small letters."""
    given = {name: value for name, value in parameters.items() if value}
    if "llmType" in given:
        given["llmType"] = given["llmType"].lower()
    return {name: set(value.split(",")) for name, value in given.items()}


def _matches(record: RawRecord, filters: Mapping[str, set[str]]) -> bool:
    """Filter as documented: OR between repository, LLM and key, AND with everything else."""
    any_of = [record[name] in filters[name] for name in _ANY_OF if name in filters]
    all_of = [
        str(record[field]) in filters[name] for name, field in _ALL_OF.items() if name in filters
    ]
    return (not any_of or any(any_of)) and all(all_of)


def _day(instant: str | None, default: int) -> int:
    return utc_day(datetime.fromisoformat(instant).timestamp()) if instant else default


def _base64(content: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
