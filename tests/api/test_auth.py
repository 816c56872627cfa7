"""Staying signed in: tokens come, expire, are refused and rotate; secrets stay secret."""

import asyncio
import base64
import json
import logging
import shutil
import stat
import subprocess
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
from clocks import FakeClock
from servers import (
    BASE_URL,
    answer,
    connected,
    failure,
    fake_api,
    fetch,
    in_turn,
    jwt,
    poll,
    raw_server,
    signed_in,
    statistics,
    surroundings,
)

from exporter.api.auth import LOGIN, REFRESH, Authenticator
from exporter.api.client import FlashbackClient
from exporter.api.daily import DAILY
from exporter.api.redaction import Redactor
from exporter.api.tokens import Token
from exporter.config.api_section import Api
from exporter.config.sections import Config
from exporter.demo.simulator import EMAIL, PASSWORD
from exporter.errors import PollError, Reason

DEADLINE = 5  # real seconds, far more than anything below takes
ME = {"email": "me@example.com", "password": "secret"}
NOW = int(FakeClock().time())
ERROR_CODES = ["USER_NOT_FOUND", "INVALID_PASSWORD", "USER_INACTIVE", "NO_PASSWORD_SET"]


@pytest.fixture(autouse=True)
def logged():
    """Return a function that returns what was logged so far, at any level."""
    with surroundings() as lines:
        yield lines


class Account:
    """An API with sign-in: it hands out numbered tokens, and answers 401 to all but the latest."""

    def __init__(self, *, lifetime=3600):
        self.lifetime = lifetime
        self.issued = 0
        self.router = fake_api()
        self.daily = self.router["daily"].mock(side_effect=self._answer)
        self.login = self.router.post(LOGIN).mock(side_effect=lambda request: self.sign_in())
        self.refresh = self.router.post(REFRESH).mock(side_effect=self._refresh)
        self.valid = None
        self.spent = set()

    def sign_in(self):
        self.issued += 1
        self.valid = f"access-{self.issued}"
        return signed_in(
            self.valid, refreshToken=f"refresh-{self.issued}", expiresAt=NOW + self.lifetime
        )

    def forget(self):
        """Let the token in use be refused from now on."""
        self.valid = None

    def counts(self):
        return self.login.call_count, self.refresh.call_count, self.daily.call_count

    def _refresh(self, request):
        token = json.loads(request.content)["refreshToken"]
        if token != f"refresh-{self.issued}" or token in self.spent:
            return refused("INVALID_REFRESH_TOKEN")
        self.spent.add(token)
        return self.sign_in()

    def _answer(self, request):
        return answer(200 if request.headers["authorization"] == f"Bearer {self.valid}" else 401)


def refused(error_code="INVALID_PASSWORD"):
    return answer(401, {"success": False, "error_code": error_code})


def sent(route):
    return json.loads(route.calls.last.request.content)


@pytest.fixture
def account():
    return Account()


# --- signing in


async def test_the_first_question_signs_in(account, clock):
    """E-mail and password are sent once, and the token that comes back goes with every question."""
    async with connected(account.router, clock, login=ME) as client:
        assert await fetch(client, clock) == statistics()
        assert await fetch(client, clock) == statistics()
    assert account.counts() == (1, 0, 2)
    assert sent(account.login) == ME
    assert account.daily.calls.last.request.headers["authorization"] == "Bearer access-1"


async def test_a_token_that_expires_between_attempts_is_renewed(account, clock):
    """A 401 in the middle of a poll costs one refresh and one replay, and the poll is good."""
    async with connected(account.router, clock, login=ME) as client:
        await fetch(client, clock)
        account.forget()
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert account.counts() == (1, 1, 3)
    assert sent(account.refresh) == {"refreshToken": "refresh-1", "refresh_token": "refresh-1"}
    assert clock.sleeps == []


async def test_fifty_401s_bring_one_refresh(account, clock):
    """However many questions are answered 401 at once,
    they share one refresh and are replayed once each.
    """
    everybody = asyncio.Barrier(50)

    async def at_once(request):
        token = request.headers["authorization"]
        if token == "Bearer access-1" and account.login.call_count and asked_before:
            await everybody.wait()
            return answer(401)
        return answer()

    asked_before = False
    account.daily.mock(side_effect=at_once)
    async with (
        asyncio.timeout(DEADLINE),
        connected(account.router, clock, login=ME, max_concurrent_requests=50) as client,
    ):
        await fetch(client, clock)
        asked_before = True
        bodies = await asyncio.gather(*[fetch(client, clock) for _ in range(50)])
    assert bodies == [statistics()] * 50
    assert account.counts() == (1, 1, 1 + 2 * 50)


async def test_401s_that_come_late_use_the_token_that_is_there_already(account, clock):
    """A 401 to a token that was replaced meanwhile brings no second refresh."""
    async with connected(account.router, clock, login=ME) as client:
        await fetch(client, clock)
        account.forget()
        hold, asked = asyncio.Event(), asyncio.Event()

        async def late(request):
            if request.headers["authorization"] == "Bearer access-1" and not asked.is_set():
                asked.set()
                await hold.wait()
                return answer(401)
            return account._answer(request)

        account.daily.mock(side_effect=late)
        first = asyncio.create_task(fetch(client, clock))
        await asked.wait()
        await fetch(client, clock)
        hold.set()
        assert await first == statistics()
    assert account.counts()[:2] == (1, 1)


async def test_a_refused_refresh_token_leads_to_a_sign_in(account, clock):
    """Where the refresh token is refused, e-mail and password are used again."""
    async with connected(account.router, clock, login=ME) as client:
        await fetch(client, clock)
        account.forget()
        account.issued += 1
        assert await fetch(client, clock) == statistics()
    assert account.counts() == (2, 1, 3)


async def test_a_refused_refresh_token_without_login_needs_a_person(account, clock, tmp_path):
    """Without e-mail and password the poll fails as auth and says what to do;
    the API is not asked again at once.
    """
    file = tmp_path / "token"
    file.write_text("spent\n")
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        first = await poll(client, clock)
        clock.move(200)
        second = await poll(client, clock)
    assert (first.reason, second.reason) == (Reason.AUTH, Reason.AUTH)
    assert "api.refresh_token_file" in first.message
    assert account.counts() == (0, 1, 0)


async def test_a_new_refresh_token_from_a_person_is_used_at_once(account, clock, tmp_path):
    """A person replaces the refused token in the file, and the next poll signs in with it."""
    file = tmp_path / "token"
    file.write_text("spent\n")
    account.sign_in()
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        await failure(client, clock)
        file.write_text("refresh-1\n")
        assert await fetch(client, clock) == statistics()
    assert file.read_text().strip() == "refresh-2"


@pytest.mark.parametrize("error_code", ERROR_CODES)
@pytest.mark.parametrize("status", [401, 200], ids=["as 401", "as 200"])
async def test_a_refused_sign_in_is_not_repeated_for_minutes(clock, error_code, status):
    """The poll fails as auth, names the API's reason and is not retried;
    later polls wait for minutes to sign in.
    """
    api = fake_api()
    login = api.post(LOGIN).mock(
        side_effect=in_turn(
            answer(status, {"success": False, "error_code": error_code}), signed_in()
        )
    )
    async with connected(api, clock, login=ME) as client:
        first = await poll(client, clock)
        assert first.reason is Reason.AUTH
        assert error_code in first.message
        clock.move(60)
        second = await poll(client, clock)
        assert second.reason is Reason.AUTH
        assert error_code in second.message
        assert login.call_count == 1
        clock.move(3600)
        assert (await poll(client, clock)).reason is None
    assert login.call_count == 2
    assert clock.sleeps == []


async def test_a_token_that_no_header_can_carry_is_a_sign_in_that_failed(account, clock):
    """The message names the endpoint, and the next poll does not sign in again for another
    session.
    """
    account.login.mock(side_effect=lambda request: signed_in("töken"))
    async with connected(account.router, clock, login=ME) as client:
        messages = [str(await failure(client, clock)) for _ in range(2)]
    assert all(message.startswith(f"POST {LOGIN}: the bearer token holds") for message in messages)
    assert account.login.call_count == 1


async def test_a_changed_password_file_ends_the_pause(account, clock, tmp_path):
    """After a refused sign-in, a new password in the file is tried at once."""
    file = tmp_path / "password"
    file.write_text("wrong")
    account.login.mock(
        side_effect=lambda request: (
            account.sign_in() if b'"right"' in request.content else refused()
        )
    )
    async with connected(
        account.router, clock, login={"email": "me", "password_file": str(file)}
    ) as client:
        for _ in range(3):
            assert (await failure(client, clock)).reason is Reason.AUTH
        assert account.login.call_count == 1
        file.write_text("right\n")
        assert await fetch(client, clock) == statistics()
    assert account.login.call_count == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"", "empty"),
        (b" \n", "empty"),
        (b"a\nb", "line"),
        (b"\xff\xfe", "UTF-8"),
        (b"x" * 70_000, "large"),
    ],
    ids=["missing", "empty", "blank", "two lines", "not text", "huge"],
)
@pytest.mark.parametrize("kind", ["credentials_file", "password_file", "refresh_token_file"])
async def test_a_secret_file_that_holds_no_secret_fails_the_poll(
    clock, tmp_path, kind, content, words
):
    """A missing, empty or strange secret file fails the poll as auth, is named in the error,
    and nothing is sent.
    """
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    where = {
        "credentials_file": {"authorization": {kind: str(file)}},
        "password_file": {"login": {"email": "me", kind: str(file)}},
        "refresh_token_file": {kind: str(file)},
    }
    api = fake_api()
    async with connected(api, clock, **where[kind]) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.AUTH
    assert words in outcome.message
    assert str(file) in outcome.message
    assert not api.calls


@pytest.mark.parametrize(
    ("one", "reason", "requests"),
    [
        (answer(400, {"message": "no"}), Reason.AUTH, 1),
        (answer(403), Reason.AUTH, 1),
        (answer(404), Reason.AUTH, 1),
        (answer(429), Reason.RATE_LIMITED, 5),
        (answer(500), Reason.SERVER_ERROR, 5),
        (answer(501), Reason.SERVER_ERROR, 1),
        (answer(503, b"<html>"), Reason.SERVER_ERROR, 5),
        (answer(204), Reason.INVALID_RESPONSE, 1),
        (answer(302), Reason.INVALID_RESPONSE, 1),
        (answer(200, b""), Reason.INVALID_RESPONSE, 1),
        (answer(200, b"<html>"), Reason.INVALID_RESPONSE, 1),
        (answer(200, b"[]"), Reason.INVALID_RESPONSE, 1),
        (answer(200, b"[" * 100_000), Reason.INVALID_RESPONSE, 1),
        (answer(200, {"success": True}), Reason.AUTH, 1),
        (answer(200, {"success": True, "accessToken": None}), Reason.AUTH, 1),
        (answer(200, {"success": True, "accessToken": ""}), Reason.AUTH, 1),
        (answer(200, {"success": True, "accessToken": {"a": 1}}), Reason.AUTH, 1),
        (answer(200, b" " * 10_000_000), Reason.TOO_LARGE, 1),
        (httpx.ConnectError("no"), Reason.NETWORK, 5),
        (httpx.ReadTimeout("no"), Reason.TIMEOUT, 5),
    ],
    ids=lambda value: str(getattr(value, "status_code", value)),
)
async def test_a_sign_in_that_fails_in_another_way_has_its_own_reason(clock, one, reason, requests):
    """A sign-in that is not refused but fails is retried within the poll where that can help."""
    api = fake_api()
    login = api.post(LOGIN).mock(side_effect=in_turn(one))
    async with connected(api, clock, login=ME) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is reason
    assert login.call_count == requests
    assert not api["daily"].called


async def test_401_after_the_replay_is_auth(clock):
    """A second 401, to the new token, fails the poll as auth without any further attempt."""
    api = fake_api(answer(401))
    login = api.post(LOGIN).mock(side_effect=in_turn(signed_in("a"), signed_in("b")))
    async with connected(api, clock, login=ME) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.AUTH
    assert (login.call_count, api["daily"].call_count) == (2, 2)


async def test_403_is_auth_and_not_replayed(account, clock):
    """A 403 fails the poll as auth: another token would not help."""
    account.daily.mock(side_effect=in_turn(answer(403)))
    async with connected(account.router, clock, login=ME) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.AUTH
    assert account.counts() == (1, 0, 1)


@pytest.mark.parametrize(
    "token", ["line\nbreak", "re\rturn", "nul\0", "ünïcode", "\ud800", "tab\there", "snow☃"]
)
@pytest.mark.parametrize("source", ["sign-in", "file"])
async def test_a_token_that_http_cannot_carry_is_never_sent(clock, token, source, tmp_path):
    """A token with line breaks, control or non-ASCII characters fails as auth before it is sent."""
    api = fake_api()
    api.post(LOGIN).mock(side_effect=in_turn(signed_in(token)))
    file = tmp_path / "token"
    file.write_bytes(token.encode(errors="surrogatepass"))
    sign_in = (
        {"login": ME} if source == "sign-in" else {"authorization": {"credentials_file": file}}
    )
    async with connected(api, clock, **sign_in) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.AUTH
    assert token not in outcome.message
    assert not api["daily"].called


# --- bearer tokens from the configuration


async def test_a_rotated_credentials_file_is_picked_up(clock, tmp_path):
    """The bearer token is read for every question, so that a new one needs no restart."""
    file = tmp_path / "token"
    api = fake_api()
    async with connected(api, clock, authorization={"credentials_file": str(file)}) as client:
        for token in ("one", "\ufefftwo\r\n"):
            file.write_text(token, encoding="utf-8")
            await fetch(client, clock)
    seen = [call.request.headers["authorization"] for call in api["daily"].calls]
    assert seen == ["Bearer one", "Bearer two"]


async def test_a_credentials_file_rotated_during_the_question_is_replayed(clock, tmp_path):
    """A 401 is replayed with the new token where the file holds another one by then."""
    file = tmp_path / "token"
    file.write_text("old")
    api = fake_api()

    def rotate(request):
        file.write_text("new")
        return answer(200 if request.headers["authorization"] == "Bearer new" else 401)

    api["daily"].mock(side_effect=rotate)
    async with connected(api, clock, authorization={"credentials_file": str(file)}) as client:
        assert await fetch(client, clock) == statistics()
    assert api["daily"].call_count == 2


async def test_an_unchanged_bearer_token_is_not_replayed(clock):
    """A 401 to the only token there is fails as auth at once."""
    api = fake_api(answer(401))
    async with connected(api, clock, authorization={"credentials": "token"}) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.AUTH
    assert api["daily"].call_count == 1


async def test_the_expiry_of_a_bearer_token_is_known_where_it_is_a_jwt(clock):
    """The expiry of a configured JWT is its exp claim; of anything else it is unknown."""
    for token, expiry in (
        (jwt(exp=NOW + 99), NOW + 99),
        ("opaque", 0),
        ("a.b.c", 0),
        (jwt(exp="soon"), 0),
    ):
        async with connected(fake_api(), clock, authorization={"credentials": token}) as client:
            await fetch(client, clock)
            assert client.token_expires_at == expiry


# --- lifetimes


@pytest.mark.parametrize(
    ("token", "more", "expiry"),
    [
        ("a", {"expiresAt": NOW + 1800}, NOW + 1800),
        ("a", {"expiresAt": (NOW + 1800) * 1000}, NOW + 1800),
        ("a", {"expiresAt": NOW + 1800.5}, NOW + 1800.5),
        ("a", {"expiresAt": str(NOW + 1800)}, NOW + 1800),
        ("a", {"expiresAt": str((NOW + 1800) * 1000)}, NOW + 1800),
        ("a", {"expiresAt": "9" * 400}, NOW + 3600),
        (jwt(exp=str(NOW + 1800)), {}, NOW + 1800),
        (jwt(exp=NOW + 1800), {"expiresAt": NOW - 10}, NOW + 1800),
        (jwt(iat=NOW - 50_000, exp=NOW - 48_200), {"expiresAt": NOW - 60_000}, NOW - 48_200),
        ("a", {"expiresAt": NOW - 10}, NOW + 3600),
        ("a", {"expiresAt": NOW + 1}, NOW + 3600),
        (jwt(exp=NOW - 10), {"expiresAt": NOW - 10}, NOW + 3600),
        (jwt(exp=NOW + 1800), {}, NOW + 1800),
        (jwt(exp=NOW + 1800), {"expiresAt": None}, NOW + 1800),
        (jwt(exp=NOW + 1800), {"expiresAt": "soon"}, NOW + 1800),
        (jwt(exp=NOW + 1800), {"expiresAt": True}, NOW + 1800),
        (jwt(exp=NOW + 1800), {"expiresAt": -1}, NOW + 1800),
        (jwt(exp=NOW + 99), {"expiresAt": NOW + 1800}, NOW + 1800),
        ("a", {}, NOW + 3600),
        ("a.b.c", {}, NOW + 3600),
        ("..", {}, NOW + 3600),
        (jwt(exp=None), {}, NOW + 3600),
        (jwt(exp=[1]), {}, NOW + 3600),
        (jwt(exp=10**400), {}, NOW + 3600),
        ("a." + base64.b64encode(b"[1]").decode() + ".c", {}, NOW + 3600),
        ("a." + base64.b64encode(b"[" * 50_000).decode() + ".c", {}, NOW + 3600),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_the_expiry_of_a_token(clock, token, more, expiry):
    """expiresAt in seconds or milliseconds counts, then the JWT's exp, then an hour."""
    api = fake_api()
    api.post(LOGIN).mock(side_effect=in_turn(signed_in(token, **more)))
    async with connected(api, clock, login=ME) as client:
        await fetch(client, clock)
        assert client.token_expires_at == expiry


@pytest.mark.parametrize("jump", [0, 1e7, -1e7], ids=["right clock", "set forth", "set back"])
@pytest.mark.parametrize(("lifetime", "used"), [(3600, 3299), (600, 479), (60, 47)])
async def test_a_token_is_renewed_before_it_expires(clock, lifetime, used, jump):
    """A token is used for most of its life and renewed before its end,
    whatever happens to the wall clock.
    """
    account = Account(lifetime=lifetime)
    async with connected(account.router, clock, login=ME) as client:
        await fetch(client, clock)
        clock.wall += jump
        clock.move(used)
        await fetch(client, clock)
        assert account.counts() == (1, 0, 2)
        clock.move(lifetime - used - 1)
        await fetch(client, clock)
    assert account.counts() == (1, 1, 3)


async def test_a_wrong_clock_does_not_shorten_a_jwt(clock):
    """Where the token says when it was issued,
    its life is counted from there and not by the exporter's own clock.
    """
    clock.wall += 7200
    api = fake_api()
    token = jwt(iat=NOW, exp=NOW + 3600)
    login = api.post(LOGIN).mock(side_effect=in_turn(signed_in(token, expiresAt=NOW + 3600)))
    async with connected(api, clock, login=ME) as client:
        await fetch(client, clock)
        clock.move(3000)
        await fetch(client, clock)
        assert login.call_count == 1
        clock.move(500)
        await fetch(client, clock)
    assert login.call_count == 2


@pytest.mark.parametrize("left", [-100_000, -10, 0, 1, 20])
async def test_an_expiry_in_the_past_is_not_believed(clock, left):
    """A token that is new and has expired already, by a wrong clock here or there,
    is used for the usual hour.
    """
    api = fake_api()
    login = api.post(LOGIN).mock(side_effect=in_turn(signed_in("a", expiresAt=NOW + left)))
    async with connected(api, clock, login=ME) as client:
        for _ in range(3):
            await fetch(client, clock)
            clock.move(1000)
    assert login.call_count == 1


async def test_a_life_that_began_in_the_past_is_counted_by_its_own_dates(clock):
    """Where the API's clock is behind, iat and exp tell how long the token lives,
    although both are over here.
    """
    api = fake_api()
    token = jwt(iat=NOW - 7200, exp=NOW - 6600)
    login = api.post(LOGIN).mock(side_effect=in_turn(signed_in(token, expiresAt=NOW - 9000)))
    async with connected(api, clock, login=ME) as client:
        await fetch(client, clock)
        clock.move(479)
        await fetch(client, clock)
        assert login.call_count == 1
        clock.move(2)
        await fetch(client, clock)
    assert login.call_count == 2


async def test_a_refresh_may_call_its_token_in_another_way(account, clock):
    """The answer to a refresh has `token` beside `accessToken`: either is taken."""
    async with connected(account.router, clock, login=ME) as client:
        await fetch(client, clock)
        account.valid = "access-2"
        account.refresh.mock(
            side_effect=in_turn(answer(200, {"success": True, "token": "access-2"}))
        )
        assert await fetch(client, clock, 3) == statistics()
        account.valid = None
    assert account.login.call_count == 1


@pytest.mark.parametrize(
    "one", [answer(500), answer(429), refused(), answer(200, b"nonsense"), httpx.ConnectError("no")]
)
async def test_a_renewal_that_fails_does_no_harm_while_the_old_token_is_good(clock, one):
    """Until the old token expires it goes on being used; then the failure counts."""
    account = Account()
    async with connected(account.router, clock, login=ME) as client:
        await fetch(client, clock)
        account.login.mock(side_effect=in_turn(one))
        account.refresh.mock(side_effect=in_turn(one))
        clock.move(3400)
        assert (await poll(client, clock)).reason is None
        clock.move(200)
        assert (await poll(client, clock)).reason is not None
    assert account.daily.call_count == 2


async def test_a_refresh_needs_no_password(account, clock, tmp_path):
    """While the refresh token is good, a password file missing for a moment does no harm."""
    file = tmp_path / "password"
    file.write_text("secret")
    async with connected(
        account.router, clock, login={"email": "me", "password_file": str(file)}
    ) as client:
        await fetch(client, clock)
        file.unlink()
        account.forget()
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert account.counts()[:2] == (1, 1)


@pytest.fixture
def hung():
    """Return an event that a refresh waits for, and one that is set once it does."""
    return asyncio.Event(), asyncio.Event()


def hanging(account, hung):
    """Let the refreshes of an account wait."""
    go_on, asked = hung

    async def slow(request):
        asked.set()
        await go_on.wait()
        return account._refresh(request)

    account.refresh.mock(side_effect=slow)


async def test_a_renewal_that_hangs_fails_no_poll_whose_token_is_good(account, clock, hung):
    """While the refresh does not answer, polls go on with the old token,
    and the new one is used once it is there.
    """
    async with (
        asyncio.timeout(DEADLINE),
        connected(account.router, clock, login=ME, max_concurrent_requests=1) as client,
    ):
        await fetch(client, clock)
        hanging(account, hung)
        clock.move(3400)
        for _ in range(3):
            assert (await poll(client, clock, seconds=0.4)).reason is None
        assert hung[1].is_set()
        assert account.daily.call_count == 4
        hung[0].set()
        assert (await poll(client, clock)).reason is None
    assert account.counts()[:2] == (1, 1)
    assert account.daily.calls.last.request.headers["authorization"] == "Bearer access-2"


async def test_a_renewal_that_hangs_holds_up_polls_once(account, clock, hung):
    """A renewal that was waited for in vain is not waited for again:
    its time is counted from its own beginning.
    """
    async with (
        asyncio.timeout(DEADLINE),
        connected(account.router, clock, login=ME) as client,
    ):
        await fetch(client, clock)
        hanging(account, hung)
        clock.move(3400)
        assert (await poll(client, clock, seconds=0.2)).reason is None
        clock.move(5)
        assert (await poll(client, clock, seconds=1000)).reason is None
        hung[0].set()


async def test_a_renewal_that_hangs_is_waited_for_where_there_is_no_other_token(
    account, clock, hung
):
    """Once the old token has expired, the poll needs the new one and fails without it."""
    async with (
        asyncio.timeout(DEADLINE),
        connected(account.router, clock, login=ME) as client,
    ):
        await fetch(client, clock)
        hanging(account, hung)
        clock.move(3600)
        outcome = await poll(client, clock, seconds=0.2)
        assert outcome.reason is Reason.TIMEOUT
        assert outcome.message == "signing in took all the time of this poll"
        hung[0].set()
        assert (await poll(client, clock)).reason is None
    assert account.counts()[:2] == (1, 1)


# --- another client for the same account


@asynccontextmanager
async def reloaded(router, clock, before, after):
    """Hand out a client, and one that has taken over from it."""
    async with (
        connected(router, clock, **before) as old,
        connected(router, clock, **{**before, **after}) as new,
    ):
        yield old, new


@pytest.mark.parametrize(
    "after",
    [
        {"timeout": "20s"},
        {"login": {"email": ME["email"], "password": "another"}},
        {"max_response_size": "1MiB"},
        {"tls_config": {"insecure_skip_verify": True}},
    ],
    ids=["timeout", "password", "size", "TLS"],
)
async def test_a_client_for_the_same_account_keeps_the_tokens(account, clock, after):
    """Tokens belong to the account: another timeout or password is no reason to sign in again."""
    async with reloaded(account.router, clock, {"login": ME}, after) as (old, new):
        await fetch(old, clock)
        new.take_over(old)
        assert new.token_expires_at == old.token_expires_at
        await fetch(new, clock)
        assert account.counts() == (1, 0, 2)
        account.forget()
        await fetch(new, clock)
    assert account.counts() == (1, 1, 4)


@pytest.mark.parametrize(
    "after",
    [
        {"login": {"email": "you@example.com", "password": "secret"}},
        {"base_url": "https://b.example.com"},
    ],
    ids=["e-mail", "address"],
)
async def test_a_client_for_another_account_signs_in(account, clock, after):
    """Tokens of one account, or of one API, are never sent for another."""
    other = fake_api()
    other.post(LOGIN).mock(side_effect=in_turn(signed_in("access-of-another")))
    async with (
        connected(account.router, clock, login=ME) as old,
        connected(account.router, clock, **{"login": ME, **after}) as new,
    ):
        await fetch(old, clock)
        new.take_over(old)
        assert new.token_expires_at == 0
        if "base_url" not in after:
            await fetch(new, clock)
            assert account.counts()[0] == 2


async def test_another_refresh_token_file_is_another_account(account, clock, tmp_path):
    """A file with a refresh token may be anybody's: nothing is kept where another one is named."""
    for name in ("one", "two"):
        (tmp_path / name).write_text("refresh-1")
    account.sign_in()
    before, after = ({"refresh_token_file": str(tmp_path / name)} for name in ("one", "two"))
    async with reloaded(account.router, clock, before, after) as (old, new):
        await fetch(old, clock)
        new.take_over(old)
        assert (await failure(new, clock)).reason is Reason.AUTH
    assert account.refresh.call_count == 2


async def test_a_refresh_token_that_could_not_be_saved_outlives_its_client(
    account, clock, tmp_path
):
    """The one refresh token that is good is in memory alone: the next client goes on with it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "token"
    file.write_text("refresh-1")
    account.sign_in()
    before = {"refresh_token_file": str(file)}
    async with reloaded(account.router, clock, before, {"timeout": "20s"}) as (old, new):
        account.refresh.mock(side_effect=lambda request: _gone(folder) or account._refresh(request))
        await fetch(old, clock)
        new.take_over(old)
        await old.retire()
        account.forget()
        assert (await poll(new, clock)).reason is None
    assert account.counts()[:2] == (0, 2)


def _gone(folder):
    shutil.rmtree(folder, ignore_errors=True)


async def test_a_renewal_under_way_serves_the_next_client_too(account, clock, tmp_path, hung):
    """One refresh token is spent once, although a reload comes in between,
    and the old client waits for the answer.
    """
    file = tmp_path / "token"
    file.write_text("refresh-1")
    account.sign_in()
    hanging(account, hung)
    before = {"refresh_token_file": str(file)}
    async with (
        asyncio.timeout(DEADLINE),
        reloaded(account.router, clock, before, {"timeout": "20s"}) as (old, new),
    ):
        first = asyncio.create_task(fetch(old, clock))
        await hung[1].wait()
        new.take_over(old)
        first.cancel()
        retiring = asyncio.create_task(old.retire())
        second = asyncio.create_task(fetch(new, clock))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not retiring.done()
        hung[0].set()
        assert await second == statistics()
        await retiring
    assert account.refresh.call_count == 1
    assert file.read_text() == "refresh-2\n"


async def test_a_refusal_outlives_a_client(account, clock):
    """What the API has refused, the next client does not send again, except another password."""
    account.login.mock(side_effect=in_turn(refused()))
    after = {"timeout": "20s"}
    async with reloaded(account.router, clock, {"login": ME}, after) as (old, new):
        await failure(old, clock)
        new.take_over(old)
        assert "not tried again" in str(await failure(new, clock))
    assert account.login.call_count == 1


async def test_secrets_of_the_client_before_are_hidden_too(account, clock):
    """The next client hides what the one before has sent."""
    account.login.mock(
        side_effect=in_turn(signed_in("canary-access", refreshToken="canary-refresh"))
    )
    account.daily.mock(
        side_effect=in_turn(answer(), answer(403, {"message": "canary-access is no good"}))
    )
    after = {"timeout": "20s"}
    async with reloaded(account.router, clock, {"login": ME}, after) as (old, new):
        await fetch(old, clock)
        new.take_over(old)
        _hidden(str(await failure(new, clock)))


# --- refresh tokens that rotate


async def test_a_rotated_refresh_token_is_kept(account, clock, tmp_path):
    """Each new refresh token replaces the old one in the file,
    readable by its owner alone and with nothing beside.
    """
    file = tmp_path / "token"
    account.sign_in()
    file.write_text("refresh-1\n")
    file.chmod(0o644)
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        await fetch(client, clock)
        assert file.read_text() == "refresh-2\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        account.forget()
        await fetch(client, clock)
    assert file.read_text() == "refresh-3\n"
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


async def test_a_restart_goes_on_with_the_kept_refresh_token(account, clock, tmp_path):
    """A new process refreshes with what the one before has kept, and does not sign in."""
    file = tmp_path / "token"
    for _ in range(3):
        async with connected(
            account.router, clock, login=ME, refresh_token_file=str(file)
        ) as client:
            await fetch(client, clock)
    assert account.counts() == (1, 2, 3)


async def test_a_reader_never_sees_half_a_refresh_token(account, clock, tmp_path):
    """The file is replaced, not written over: who has it open goes on reading the old one."""
    file = tmp_path / "token"
    account.sign_in()
    file.write_text("refresh-1\n")
    with file.open() as before:
        async with connected(account.router, clock, refresh_token_file=str(file)) as client:
            await fetch(client, clock)
        assert before.read() == "refresh-1\n"


async def test_a_refresh_token_that_cannot_be_kept_is_still_used(account, clock, tmp_path, logged):
    """Where the file's folder is not there, the poll is good, the log says it,
    and the token works from memory.
    """
    file = tmp_path / "nowhere" / "token"
    async with connected(account.router, clock, login=ME, refresh_token_file=str(file)) as client:
        await fetch(client, clock)
        account.forget()
        assert (await poll(client, clock)).reason is None
    assert account.counts() == (1, 1, 3)
    lines = logged()
    assert "level=error" in lines
    assert str(file) in lines


async def test_a_refresh_token_file_that_cannot_even_be_looked_for_is_a_failure_of_auth(
    account, clock, tmp_path
):
    """A path that the system refuses to look up ends in words about that file, not as a crash."""
    file = tmp_path / ("x" * 300)
    async with connected(account.router, clock, login=ME, refresh_token_file=str(file)) as client:
        outcome = await poll(client, clock)
    assert outcome.reason in (None, Reason.AUTH)
    assert "internal error" not in outcome.message


async def test_an_empty_refresh_token_file_does_not_prevent_a_sign_in(account, clock, tmp_path):
    """An empty file, made to have its owner and mode right, is filled by the first sign-in."""
    file = tmp_path / "token"
    file.touch()
    async with connected(account.router, clock, login=ME, refresh_token_file=str(file)) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert file.read_text() == "refresh-1\n"


async def test_a_refresh_token_replaced_by_a_person_is_used(account, clock, tmp_path):
    """A refresh token that somebody puts into the file counts more than the one in memory."""
    file = tmp_path / "token"
    account.sign_in()
    file.write_text("refresh-1")
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        await fetch(client, clock)
        account.sign_in()
        file.write_text("refresh-3")
        assert await fetch(client, clock) == statistics()
    assert account.refresh.call_count == 2
    assert file.read_text() == "refresh-4\n"


@pytest.mark.parametrize("token", ["\ud800", "two\nlines", "nul\0"], ids=ascii)
async def test_a_refresh_token_that_makes_no_sense_does_not_break_later_sign_ins(
    clock, tmp_path, token
):
    """A refresh token that no file or request can carry is not kept; signing in again works."""
    file = tmp_path / "token"
    api = fake_api()
    api.post(LOGIN).mock(side_effect=in_turn(signed_in("a", refreshToken=token), signed_in("b")))
    api.post(REFRESH).mock(side_effect=in_turn(refused()))
    async with connected(api, clock, login=ME, refresh_token_file=str(file)) as client:
        first = await poll(client, clock)
        clock.move(3600)
        second = await poll(client, clock)
    assert "internal error" not in first.message + second.message
    assert second.reason is None


async def test_a_refresh_token_is_kept_even_if_the_answer_is_otherwise_useless(clock, tmp_path):
    """The old refresh token is spent once there is a new one,
    so the new one is kept whatever else is missing.
    """
    file = tmp_path / "token"
    file.write_text("old")
    api = fake_api()
    api.post(REFRESH).mock(
        side_effect=in_turn(answer(200, {"success": True, "refreshToken": "new"}))
    )
    async with connected(api, clock, refresh_token_file=str(file)) as client:
        await failure(client, clock)
    assert file.read_text() == "new\n"


async def test_the_loser_of_a_race_looks_into_the_file_again(account, clock, tmp_path):
    """Where another process has spent the token and saved the next one, that one is used:
    nobody has to help.
    """
    file = tmp_path / "token"
    file.write_text("refresh-1")
    for _ in range(2):
        account.sign_in()

    def lost(request):
        if b"refresh-1" in request.content:
            file.write_text("refresh-2\n")
        return account._refresh(request)

    account.refresh.mock(side_effect=lost)
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        assert await fetch(client, clock) == statistics()
    assert account.refresh.call_count == 2
    assert file.read_text() == "refresh-3\n"


async def test_the_loser_of_a_race_waits_a_moment_for_the_winner(account, tmp_path):
    """Two exporters that start together send the same token: the refusal comes before the other
    one's answer.
    """
    file = tmp_path / "token"
    file.write_text("refresh-1")

    class Race(FakeClock):
        async def sleep(self, seconds):
            await super().sleep(seconds)
            file.write_text("refresh-2")

    clock = Race()
    account.sign_in()
    account.spent.add("refresh-1")
    account.sign_in()
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        assert await fetch(client, clock) == statistics()
    assert account.refresh.call_count == 2
    assert len(clock.sleeps) == 1


async def test_the_winner_of_a_race_is_waited_for_once(account, clock, tmp_path):
    """Where nobody saves another token, the poll fails within seconds, and the next one at once."""
    file = tmp_path / "token"
    file.write_text("refresh-1")
    account.refresh.mock(side_effect=lambda request: refused())
    began = clock.monotonic()
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        assert (await failure(client, clock)).reason is Reason.AUTH
        waited = clock.monotonic() - began
        assert (await failure(client, clock)).reason is Reason.AUTH
    assert 0 < waited <= 3
    assert clock.monotonic() - began == waited
    assert account.refresh.call_count == 1


async def test_the_loser_of_a_race_looks_again_once(account, clock, tmp_path):
    """A file that changes each time does not keep the exporter busy."""
    file = tmp_path / "token"
    file.write_text("refused-0")
    tokens = iter(range(1, 100))

    def lost(request):
        file.write_text(f"refused-{next(tokens)}")
        return refused()

    account.refresh.mock(side_effect=lost)
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        assert (await failure(client, clock)).reason is Reason.AUTH
    assert account.refresh.call_count == 2


@pytest.mark.parametrize("alone", [True, False], ids=["refresh token alone", "beside a login"])
async def test_a_token_that_cannot_be_replaced_is_not_spent_in_silence(
    account, clock, tmp_path, logged, alone
):
    """Where the next refresh token cannot be saved the log says so before the only one is spent;
    polls go on.
    """
    file = tmp_path / "token"
    file.write_text("refresh-1")
    (tmp_path / "folder").mkdir()
    account.sign_in()
    seen = []

    def look(request):
        seen.append(logged())
        return account._refresh(request)

    account.refresh.mock(side_effect=look)
    async with connected(
        account.router, clock, refresh_token_file=str(file), **({} if alone else {"login": ME})
    ) as client:
        with unwritable(file):
            assert (await poll(client, clock)).reason is None
    warned = "cannot be saved" in seen[0]
    assert warned is alone
    assert "refresh token not saved" in logged()
    assert "refresh-" not in logged()


async def test_that_a_token_cannot_be_replaced_is_logged_once(account, clock, tmp_path, logged):
    """An API that cannot be reached does not make the log say the same at each attempt."""
    file = tmp_path / "token"
    file.write_text("refresh-1")
    account.refresh.mock(side_effect=httpx.ConnectError("no"))
    async with connected(account.router, clock, refresh_token_file=str(file)) as client:
        with unwritable(file):
            assert (await poll(client, clock)).reason is Reason.NETWORK
    assert account.refresh.call_count > 1
    assert logged().count("cannot be saved") == 1


@contextmanager
def unwritable(file):
    """Let a file be one that can be written neither by a rename nor in place."""
    if not shutil.which("chattr"):
        pytest.skip("needs chattr")
    attribute = subprocess.run(
        ["chattr", "+i", file, file.parent], capture_output=True, check=False
    )
    if attribute.returncode:
        pytest.skip("this system has no immutable files")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", file, file.parent], check=True)


async def test_a_refresh_token_is_saved_once_that_works(account, clock, tmp_path, logged):
    """A token that could not be saved is saved with the next poll after there is room for it."""
    folder = tmp_path / "folder"
    file = folder / "token"
    async with connected(account.router, clock, login=ME, refresh_token_file=str(file)) as client:
        await fetch(client, clock)
        folder.mkdir()
        await fetch(client, clock)
        assert file.read_text() == "refresh-1\n"
    assert "refresh token saved at last" in logged()


async def test_a_refresh_token_that_waits_to_be_saved_replaces_no_newer_one(
    account, clock, tmp_path
):
    """What somebody puts into the file meanwhile stays there and counts."""
    folder = tmp_path / "folder"
    file = folder / "token"
    async with connected(account.router, clock, login=ME, refresh_token_file=str(file)) as client:
        await fetch(client, clock)
        folder.mkdir()
        file.write_text("a person's")
        await fetch(client, clock)
    assert file.read_text() == "a person's"


@asynccontextmanager
async def refresh_under_way(account, clock, file):
    """Hand out a client whose poll waits for a refresh, that poll,
    and the event that lets the refresh go on.
    """
    account.sign_in()
    file.write_text("refresh-1")
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request):
        asked.set()
        await go_on.wait()
        return account.sign_in()

    account.refresh.mock(side_effect=slow)
    async with (
        asyncio.timeout(DEADLINE),
        connected(account.router, clock, refresh_token_file=str(file)) as client,
    ):
        task = asyncio.create_task(fetch(client, clock))
        await asked.wait()
        yield client, task, go_on


async def test_a_cancelled_caller_does_not_lose_a_rotated_token(account, clock, tmp_path):
    """A poll cancelled amid its refresh leaves the refresh to end and to be kept."""
    async with refresh_under_way(account, clock, tmp_path / "token") as (client, task, go_on):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await fetch(client, clock) == statistics()
    assert account.refresh.call_count == 1
    assert (tmp_path / "token").read_text() == "refresh-2\n"


async def test_closing_waits_for_a_refresh_under_way(account, clock, tmp_path):
    """The end of the exporter does not lose a refresh token that is just being replaced."""
    async with refresh_under_way(account, clock, tmp_path / "token") as (client, task, go_on):
        task.cancel()
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        go_on.set()
        await closing
        await asyncio.gather(task, return_exceptions=True)
    assert (tmp_path / "token").read_text() == "refresh-2\n"


async def test_the_simulator_rotates_and_refuses_as_documented(api, clock, tmp_path):
    """Against the simulator, over real HTTP: signing in, expiry after an hour, refresh,
    and refusal of all tokens.
    """
    file = tmp_path / "token"
    client = FlashbackClient(
        api.config(api={"refresh_token_file": str(file)}).api, clock, lambda *_: None
    )
    kept = []
    for upset in (lambda: None, lambda: clock.move(3600), api.simulator.forget_tokens):
        upset()
        assert (await poll(client, clock)).reason is None
        kept.append(file.read_text())
    api.simulator.forget_tokens(refresh_tokens=True)
    assert (await poll(client, clock)).reason is None
    await client.aclose()
    assert len({*kept, file.read_text()}) == 4


async def test_the_simulator_refuses_a_wrong_password(api, clock):
    """Against the simulator, a wrong password or e-mail fails as auth with the API's own reason."""
    for login, words in (
        ({"email": EMAIL, "password": "wrong"}, "INVALID_PASSWORD"),
        ({"email": "nobody", "password": PASSWORD}, "USER_NOT_FOUND"),
    ):
        client = FlashbackClient(api.config(api={"login": login}).api, clock, lambda *_: None)
        outcome = await poll(client, clock)
        await client.aclose()
        assert outcome.reason is Reason.AUTH
        assert words in outcome.message


# --- secrets stay secret

CANARY = "canary-\\'ü-7f3a"
TOKEN = "canary-token-7f3a"


def _hidden(*texts):
    for text in texts:
        assert "canary" not in text
        assert base64.b64encode(b"canary")[:6].decode() not in text


def _echoes(secret):
    """Return error answers that hold a secret in every way that an answer can."""
    return [
        {"success": False, "message": f"cannot accept {secret} from you"},
        {"success": False, "error_code": secret},
        {"success": False, "message": secret * 30},
        {"success": False, "message": {"received": [secret]}},
        {"success": False, "message": "x" * 190 + secret},
        [secret],
        secret,
    ]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
@pytest.mark.parametrize("number", range(7))
async def test_an_echoed_password_is_not_shown(clock, logged, status, number):
    """A password that the API sends back in an error is neither logged nor in the outcome."""
    api = fake_api()
    api.post(LOGIN).mock(side_effect=in_turn(answer(status, _echoes(CANARY)[number])))
    async with connected(api, clock, login={"email": "me", "password": CANARY}) as client:
        outcome = await poll(client, clock)
        again = await poll(client, clock)
    assert outcome.reason is not None
    _hidden(outcome.message, again.message, logged())


@pytest.mark.parametrize("status", [200, 400, 403, 500])
@pytest.mark.parametrize("number", range(7))
async def test_an_echoed_bearer_token_is_not_shown(clock, logged, status, number):
    """A bearer token that the API sends back in an error is neither logged nor in the outcome."""
    async with connected(
        fake_api(answer(status, _echoes(TOKEN)[number])),
        clock,
        authorization={"credentials": TOKEN},
    ) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is not None
    _hidden(outcome.message, logged())


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
@pytest.mark.parametrize("number", range(7))
async def test_an_echoed_refresh_token_is_not_shown(clock, logged, tmp_path, status, number):
    """A refresh token that the API sends back in an error is neither logged nor in the outcome."""
    (tmp_path / "token").write_text(TOKEN)
    api = fake_api()
    api.post(REFRESH).mock(side_effect=in_turn(answer(status, _echoes(TOKEN)[number])))
    async with connected(api, clock, refresh_token_file=str(tmp_path / "token")) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is not None
    _hidden(outcome.message, logged())


async def test_the_tokens_that_the_api_hands_out_are_not_shown(clock, logged):
    """Tokens from a sign-in are hidden when the API sends them back, the spent ones as well."""
    tokens = iter(range(100))

    def echo(request):
        said = request.headers["authorization"] + " canary-refresh-0 canary-refresh-1"
        return answer(401, {"message": said})

    def sign_in(request):
        number = next(tokens)
        return signed_in(f"canary-access-{number}", refreshToken=f"canary-refresh-{number}")

    api = fake_api()
    api["daily"].mock(side_effect=echo)
    api.post(LOGIN).mock(side_effect=sign_in)
    api.post(REFRESH).mock(side_effect=sign_in)
    async with connected(api, clock, login=ME) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.AUTH
    _hidden(outcome.message, logged())


@pytest.mark.parametrize("status", [407, 502])
@pytest.mark.parametrize("echo", ["password", "header"])
async def test_an_echoed_proxy_password_is_not_shown(clock, logged, status, echo):
    """A proxy that sends back its own password does not bring it into log or outcome."""
    header = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    said = json.dumps({"message": f"refused: {TOKEN if echo == 'password' else header}"}).encode()
    async with raw_server(
        f"HTTP/1.1 {status} No\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said
    ) as proxy:
        proxy_url = proxy.url.replace("//", f"//me:{TOKEN}@")
        async with connected(
            None, clock, base_url="http://127.0.0.1:1", proxy_url=proxy_url
        ) as client:
            outcome = await poll(client, clock)
    assert f"HTTP {status}" in outcome.message
    assert header not in outcome.message
    _hidden(outcome.message, logged())


@pytest.mark.parametrize("proxied", [True, False], ids=["proxy", "direct"])
async def test_no_secret_is_logged_when_connections_fail(clock, logged, proxied):
    """A host or proxy that cannot be reached brings no secret into log or outcome."""
    async with raw_server(b"") as server:
        gone = server.port
    more = {"proxy_url": f"http://me:{TOKEN}@127.0.0.1:{gone}"} if proxied else {}
    base_url = f"https://127.0.0.1:{gone}"
    async with connected(
        None, clock, base_url=base_url, login={"email": "me", "password": TOKEN}, **more
    ) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.NETWORK
    _hidden(outcome.message, logged())


async def test_no_secret_is_logged_when_all_goes_well(account, clock, logged, tmp_path):
    """Signing in, refreshing and polling bring no secret into the log,
    at debug level and from any library.
    """
    logging.getLogger("exporter").debug("the log works")
    login = {"email": "me", "password": TOKEN}
    account.login.mock(
        side_effect=in_turn(signed_in("canary-access", refreshToken="canary-refresh"))
    )
    account.refresh.mock(
        side_effect=in_turn(signed_in("canary-access-2", refreshToken="canary-refresh-2"))
    )
    account.daily.mock(side_effect=in_turn(answer(), answer(401), answer()))
    file = str(tmp_path / "token")
    async with connected(account.router, clock, login=login, refresh_token_file=file) as client:
        for _ in range(2):
            assert (await poll(client, clock)).reason is None
    lines = logged()
    assert "the log works" in lines
    _hidden(lines)


async def test_a_fault_inside_shows_no_secret(clock, logged):
    """The traceback of an unexpected error is logged without the values of variables."""
    api = fake_api(RuntimeError("nobody expects this"))
    async with connected(api, clock, authorization={"credentials": TOKEN}) as client:
        outcome = await poll(client, clock)
    lines = logged()
    assert "nobody expects this" in lines
    _hidden(outcome.message, lines)


def test_no_secret_is_in_any_representation(clock):
    """Neither repr nor str of settings, tokens and the authenticator show a secret."""
    api = {
        "base_url": BASE_URL,
        "login": {"email": "me", "password": TOKEN},
        "proxy_url": f"http://me:{TOKEN}@proxy.example.com",
    }
    config = Config.model_validate({"api": api})
    fixed = Api.model_validate({"base_url": BASE_URL, "authorization": {"credentials": TOKEN}})

    async def post(endpoint, content):
        return {}

    redactor = Redactor()
    redactor.remember("access token", TOKEN)
    for thing in (
        config,
        config.api,
        config.api.login,
        fixed,
        fixed.authorization,
        Token(TOKEN),
        Authenticator(fixed, clock, post, redactor),
        redactor,
    ):
        _hidden(repr(thing), str(thing))
    _hidden(config.model_dump_json(), fixed.model_dump_json())


async def test_the_errors_of_secret_files_do_not_show_their_content(clock, tmp_path):
    """A secret file with more than one line is reported without a line of it."""
    file = tmp_path / "token"
    file.write_text("canary\ncanary\n")
    async with connected(
        fake_api(), clock, authorization={"credentials_file": str(file)}
    ) as client:
        with pytest.raises(PollError) as caught:
            await fetch(client, clock)
    _hidden(str(caught.value).replace(str(file), ""))


async def test_a_password_goes_to_the_sign_in_alone(account, clock):
    """Questions carry the access token and neither password nor refresh token."""
    async with connected(account.router, clock, login=ME) as client:
        await fetch(client, clock)
    request = account.daily.calls.last.request
    assert request.url.path == DAILY
    everything = str(request.url) + str(request.headers.raw)
    assert "secret" not in everything
    assert "refresh-1" not in everything
