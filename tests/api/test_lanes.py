"""Requests about the account beside those for statistics: neither kind pays for the other."""

import asyncio

import pytest
from servers import answer, connected, failure, fake_api, fetch, in_turn, signed_in, surroundings

from exporter.api.auth import LOGIN
from exporter.errors import PollError, Reason

REPOSITORIES = "/repo"
LOGIN_DATA = {"email": "me", "password": "secret"}


@pytest.fixture(autouse=True)
def logged():
    """Return a function that returns what was logged so far, at any level."""
    with surroundings() as lines:
        yield lines


def account_api(*about_account, daily=()):
    """Return routes that give these answers about the account, or good ones."""
    api = fake_api(*daily)
    answers = in_turn(*(about_account or (answer(content=b"{}"),)))
    api.get(REPOSITORIES, name="account").mock(side_effect=answers)
    tokens = in_turn(*(signed_in(token) for token in "abcdefgh"))
    api.post(LOGIN, name="login").mock(side_effect=tokens)
    return api


async def ask(client, clock, seconds=60):
    """Ask once about the account, and return the error that it ends with; None where it is good."""
    deadline = clock.monotonic() + seconds
    try:
        async with client.ask(REPOSITORIES, {}, deadline, client.account) as body:
            assert b"".join([piece async for piece in body])
    except PollError as error:
        return error
    return None


async def test_a_pause_of_the_account_holds_back_the_account_alone(clock):
    """A Retry-After about the account leaves the statistics alone, and holds for the account."""
    limited = answer(429, headers={"Retry-After": "600"})
    async with connected(api := account_api(limited), clock) as client:
        assert (await ask(client, clock)).reason is Reason.RATE_LIMITED
        assert (client.wait, client.account.wait) == (0, 600)
        await fetch(client, clock)
        error = await ask(client, clock)
    assert "no request for another 600 s" in str(error)
    assert error.retryable
    assert api["account"].call_count == 1


async def test_a_pause_of_the_statistics_holds_back_all(clock):
    """A Retry-After to the statistics holds back questions about the account too."""
    limited = answer(429, headers={"Retry-After": "600"})
    async with connected(api := account_api(daily=[limited, answer()]), clock) as client:
        await failure(client, clock)
        assert (client.wait, client.account.wait) == (600, 600)
        assert (await ask(client, clock)).reason is Reason.RATE_LIMITED
        assert not api["account"].called
        clock.move(601)
        assert await ask(client, clock) is None


async def test_the_next_client_heeds_both_pauses(clock):
    """A client that takes over leaves the account alone as long as the one before, and no more."""
    limited = answer(503, headers={"Retry-After": "600"})
    async with (
        connected(account_api(limited), clock) as old,
        connected(account_api(), clock) as new,
    ):
        await ask(old, clock)
        new.take_over(old)
        assert (new.wait, new.account.wait) == (0, 600)
        await ask(new, clock)
        await fetch(new, clock)


async def test_account_requests_run_one_at_a_time_beside_the_statistics(clock):
    """One request about the account runs at once, and none of them takes a permit of a poll."""
    api, under_way, most = account_api(), 0, 0
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        asked.set()
        await go_on.wait()
        under_way -= 1
        return answer(content=b"{}")

    api["account"].mock(side_effect=slow)
    async with connected(api, clock, max_concurrent_requests=1) as client:
        waiting = asyncio.gather(*[ask(client, clock) for _ in range(5)])
        await asked.wait()
        await fetch(client, clock)  # passes while one of them hangs
        go_on.set()
        assert await waiting == [None] * 5
    assert most == 1


async def test_a_401_to_a_good_token_renews_nothing(clock):
    """Where the statistics accept the token, a 401 about the account is a refusal of it."""
    async with connected(api := account_api(answer(401)), clock, login=LOGIN_DATA) as client:
        await fetch(client, clock)
        error = await ask(client, clock)
        await fetch(client, clock)
    assert (error.reason, error.status) == (Reason.AUTH, 403)
    assert "HTTP 401" in str(error)
    assert (api["login"].call_count, api["account"].call_count) == (1, 1)


async def test_a_401_to_an_expired_token_shares_the_renewal(clock):
    """Where all refuse a token, one renewal serves the account and the statistics."""

    def by_token(request):
        return answer(401 if request.headers["authorization"] == "Bearer a" else 200, b"{}")

    api = account_api()
    api["account"].mock(side_effect=by_token)
    api["daily"].mock(side_effect=by_token)
    async with connected(api, clock, login=LOGIN_DATA) as client:
        errors = await asyncio.gather(ask(client, clock), ask(client, clock), fetch(client, clock))
    assert errors == [None, None, b"{}"]
    assert api["login"].call_count == 2


async def test_an_account_that_is_always_refused_brings_one_renewal(clock):
    """Before statistics were given for a token, refusals bring one sign-in more, not one each."""
    async with connected(api := account_api(answer(401)), clock, login=LOGIN_DATA) as client:
        errors = [await ask(client, clock) for _ in range(5)]
    assert {(error.reason, error.status) for error in errors} == {(Reason.AUTH, 401)}
    assert api["login"].call_count == 2


async def test_a_token_that_expires_later_is_renewed_again(clock):
    """A token that was renewed for the account and then was good is renewed again one day."""
    about = [answer(401), *[answer(content=b"{}")] * 2, answer(401), answer(content=b"{}")]
    async with connected(api := account_api(*about), clock, login=LOGIN_DATA) as client:
        assert [await ask(client, clock) for _ in range(3)] == [None] * 3
    assert api["login"].call_count == 3


async def test_statistics_still_renew_a_token_that_they_accepted(clock):
    """A token that the statistics accepted, and then refuse, is renewed as ever."""
    api = account_api(daily=[answer(), answer(401), answer()])
    async with connected(api, clock, login=LOGIN_DATA) as client:
        await fetch(client, clock)
        await fetch(client, clock)
    assert api["login"].call_count == 2


@pytest.mark.parametrize("status", [400, 403, 404, 500, 429])
async def test_an_error_carries_the_status_of_its_answer(clock, status):
    """Whoever asked can tell a refusal from a failure."""
    async with connected(account_api(answer(status)), clock) as client:
        assert (await ask(client, clock)).status == status


async def test_a_refused_sign_in_is_no_status_of_the_endpoint(clock):
    """A 404 to a sign-in does not say that the endpoint is missing."""
    api = account_api()
    api["login"].mock(side_effect=in_turn(answer(404)))
    async with connected(api, clock, login=LOGIN_DATA) as client:
        assert (await ask(client, clock)).status == 0
