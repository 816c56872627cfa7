"""What a poll does when the API, or what stands before it, does not do what it should."""

import asyncio
import json
import random

import pytest
from servers import (
    OK,
    answer,
    connected,
    fake_api,
    in_turn,
    poll,
    raw_server,
    record,
    signed_in,
    silence,
    statistics,
    surroundings,
    then,
)

from exporter.api.auth import LOGIN
from exporter.config.sections import Query
from exporter.errors import Reason
from exporter.metrics import OPTIONAL_FIELDS
from exporter.polling.poll import ATTEMPTS
from exporter.statistics.records import Rejection
from exporter.statistics.state import QueryState

HTML = b"<html><body><h1>This is not the API</h1></body></html>"


@pytest.fixture(autouse=True)
def logged():
    """Return a function that returns what was logged so far, at any level."""
    with surroundings() as lines:
        yield lines


DEADLINE = 2  # real seconds, far more than anything below takes

STATUSES = [
    (204, Reason.INVALID_RESPONSE, False),
    (206, Reason.INVALID_RESPONSE, False),
    (301, Reason.INVALID_RESPONSE, False),
    (302, Reason.INVALID_RESPONSE, False),
    (304, Reason.INVALID_RESPONSE, False),
    (307, Reason.INVALID_RESPONSE, False),
    (308, Reason.INVALID_RESPONSE, False),
    (400, Reason.BAD_REQUEST, False),
    (401, Reason.AUTH, False),
    (403, Reason.AUTH, False),
    (404, Reason.NOT_FOUND, False),
    (405, Reason.BAD_REQUEST, False),
    (407, Reason.BAD_REQUEST, False),
    (408, Reason.TIMEOUT, True),
    (413, Reason.BAD_REQUEST, False),
    (414, Reason.BAD_REQUEST, False),
    (418, Reason.BAD_REQUEST, False),
    (429, Reason.RATE_LIMITED, True),
    (500, Reason.SERVER_ERROR, True),
    (501, Reason.SERVER_ERROR, False),
    (502, Reason.SERVER_ERROR, True),
    (503, Reason.SERVER_ERROR, True),
    (504, Reason.SERVER_ERROR, True),
    (520, Reason.SERVER_ERROR, False),
]


@pytest.mark.parametrize(("status", "reason", "retried"), STATUSES)
async def test_each_status_has_its_reason_and_is_retried_or_not(clock, status, reason, retried):
    """Each status is a failure of its own reason, tried again only where that can help."""
    content = b"" if status in (204, 304) else HTML
    api = fake_api(
        answer(status, content, headers={"Content-Type": "text/html", "Location": "/elsewhere"})
    )
    async with connected(api, clock) as client:
        outcome = await poll(client, clock)
    assert (outcome.snapshot, outcome.reason) == (None, reason)
    assert api["daily"].call_count == (ATTEMPTS if retried else 1)
    assert "<" not in outcome.message


@pytest.mark.parametrize("status", [400, 404, 418, 500])
async def test_what_the_api_says_about_a_failure_is_passed_on(clock, status):
    """The message of an error in JSON stands in the outcome,
    on one line and not longer than it is of use.
    """
    said = {"success": False, "message": "user\nnot \x1b[31mfound\u202e" + "!" * 1000}
    async with connected(fake_api(answer(status, said)), clock) as client:
        outcome = await poll(client, clock)
    assert f"HTTP {status}" in outcome.message
    assert "user not" in outcome.message
    assert outcome.message.isprintable()
    assert len(outcome.message) < 300


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"7",
        b"null",
        b'{"message": 7}',
        b'{"message": null}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"message": "\\ud800"}',
    ],
    ids=lambda content: repr(content[:20]),
)
async def test_an_error_whose_body_makes_no_sense_keeps_its_reason(clock, content):
    """A status counts whatever its body is."""
    async with connected(fake_api(answer(404, content)), clock) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.NOT_FOUND
    assert outcome.message.isprintable()


@pytest.mark.parametrize(
    ("location"),
    [
        "https://[bad",
        "http://",
        "//",
        "https://exa mple.com:port/",
        "mailto:somebody",
        "\x7f",
        "https://\xfc.example",
    ],
)
async def test_a_redirect_to_nowhere_is_a_redirect(clock, location):
    """A redirect whose Location is no address is like any other: not followed, not retried."""
    api = fake_api(answer(302, HTML, headers={"Location": location.encode("latin-1")}))
    async with connected(api, clock) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.INVALID_RESPONSE
    assert api["daily"].call_count == 1
    assert "redirect" in outcome.message


@pytest.mark.parametrize(
    ("status", "reason", "requests"),
    [
        ("403 Forbidden", Reason.AUTH, 1),
        ("404 Not Found", Reason.NOT_FOUND, 1),
        ("429 Slow", Reason.RATE_LIMITED, 5),
    ],
)
@pytest.mark.parametrize("body", ["cut off", "never ending"])
async def test_a_broken_error_body_does_not_hide_the_status(clock, status, reason, requests, body):
    """An error whose body breaks off or never comes keeps the reason of its
    status and is retried by that alone.
    """
    start = f"HTTP/1.1 {status}\r\nContent-Length: 100\r\n\r\n{{".encode()
    async with (
        raw_server(start if body == "cut off" else then(start, silence)) as server,
        connected(None, clock, base_url=server.url, timeout="1s") as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is reason
    assert len(server.requests) == requests


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_failure_that_passes_is_survived_within_the_poll(clock, status):
    """Where a retry succeeds, the poll is good and holds the data."""
    api = fake_api(answer(status), answer(status), answer())
    async with connected(api, clock) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert outcome.snapshot.records == 1
    assert api["daily"].call_count == 3
    assert len(clock.sleeps) == 2


async def test_backoff_grows_and_is_jittered_and_bounded(clock):
    """The waits between attempts are random, from limits that double,
    and no poll waits the same as another.
    """
    random.seed(1)
    waits = []
    async with connected(fake_api(answer(503)), clock) as client:
        for _ in range(40):
            clock.sleeps.clear()
            await poll(client, clock)
            waits.append(tuple(clock.sleeps))
    assert len(set(waits)) == 40
    highest = [max(nth) for nth in zip(*waits, strict=True)]
    assert len(highest) == ATTEMPTS - 1
    assert highest == sorted(highest)
    for number, wait in enumerate(highest):
        assert 0.5 * 2**number < wait <= min(30, 2**number)


async def test_attempts_begin_before_the_end_of_the_poll_alone(clock):
    """No attempt begins once the poll's time is over,
    and none is waited for that could not begin in time.
    """
    started, began = clock.monotonic(), []

    def slow(request):
        began.append(clock.monotonic() - started)
        clock.move(20)
        return answer(503)

    api = fake_api()
    api["daily"].mock(side_effect=slow)
    async with connected(api, clock) as client:
        await poll(client, clock, seconds=50)
    assert len(began) == 3
    assert max(began) < 50
    assert clock.monotonic() - started < 50 + 20


async def test_no_time_no_request(clock):
    """A poll that has no time at all ends without a request."""
    api = fake_api()
    async with connected(api, clock) as client:
        outcome = await poll(client, clock, seconds=0)
    assert outcome.reason is Reason.TIMEOUT
    assert not api["daily"].called


async def test_a_silent_api_cannot_hold_a_poll_beyond_its_end(clock):
    """The poll's end holds although a single request were allowed to take longer."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(b"", silence)) as server,
        connected(None, clock, base_url=server.url, timeout="1h") as client,
    ):
        outcome = await poll(client, clock, seconds=0.1)
    assert outcome.reason is Reason.TIMEOUT


async def test_a_silent_sign_in_cannot_hold_a_poll_beyond_its_end(clock):
    """The poll's end holds for the sign-in before the question, too."""
    login = {"email": "me", "password": "secret"}
    over = asyncio.Event()

    async def silence_until_over(*_):
        await over.wait()

    async with (
        raw_server(then(b"", silence_until_over)) as server,
        connected(None, clock, base_url=server.url, login=login, timeout="1h") as client,
    ):
        async with asyncio.timeout(DEADLINE):
            outcome = await poll(client, clock, seconds=0.1)
        over.set()
    assert outcome.reason is Reason.TIMEOUT


async def test_no_question_after_a_sign_in_that_took_all_the_time(clock):
    """Where the sign-in ends after the poll does, the question is not asked any more."""
    api = fake_api()

    def slow(request):
        clock.move(61)
        return signed_in()

    api.post(LOGIN).mock(side_effect=slow)
    async with connected(api, clock, login={"email": "me", "password": "secret"}) as client:
        outcome = await poll(client, clock, seconds=60)
    assert outcome.reason is Reason.TIMEOUT
    assert not api["daily"].called


async def test_a_query_waiting_for_its_turn_gives_up_at_the_end_of_its_poll(clock):
    """A query that waits for others to finish fails as a timeout when its own time is over."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(b"", silence)) as server,
        connected(
            None, clock, base_url=server.url, max_concurrent_requests=1, timeout="1h"
        ) as client,
    ):
        first = asyncio.create_task(poll(client, clock))
        await server.asked.wait()
        outcome = await poll(client, clock, seconds=0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert outcome.reason is Reason.TIMEOUT
    assert len(server.requests) == 1


# --- Retry-After


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 7 "}, 7),
        ({"Retry-After": "0007"}, 7),
        ({"Retry-After": "0000000000120"}, 120),
        ({"Retry-After": "0" * 5000 + "9"}, 9),
        ({"Retry-After": "Mon, 01 Jan 2024 12:00:09 GMT"}, 9),
        ({"Retry-After": "Monday, 01-Jan-24 12:00:09 GMT"}, 9),
        ({"Retry-After": "Mon Jan  1 12:00:09 2024"}, 9),
        (
            {
                "Retry-After": "Mon, 01 Jan 2024 13:00:09 GMT",
                "Date": "Mon, 01 Jan 2024 13:00:00 GMT",
            },
            9,
        ),
        (
            {
                "Retry-After": "Mon, 01 Jan 2024 11:00:09 GMT",
                "Date": "Mon, 01 Jan 2024 11:00:00 GMT",
            },
            9,
        ),
        ({"Retry-After": "Mon, 01 Jan 2024 12:00:09 GMT", "Date": "yesterday"}, 9),
        (
            {
                "Retry-After": "Mon, 01 Jan 2024 12:00:09 GMT",
                "Date": "Mon, 01 Jan 2024 11:00:00 GMT",
            },
            9,
        ),
        (
            {
                "Retry-After": "Mon, 01 Jan 2024 12:00:09 GMT",
                "Date": "Sun, 31 Dec 2023 12:00:00 GMT",
            },
            9,
        ),
        (
            {
                "Retry-After": "Mon, 01 Jan 2024 12:00:39 GMT",
                "Date": "Mon, 01 Jan 2024 11:59:30 GMT",
            },
            69,
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_waited_for(clock, status, headers, seconds):
    """The next attempt comes when the API said, in seconds or as a date,
    by the API's own clock where it shows it.
    """
    api = fake_api(answer(status, headers=headers), answer())
    async with connected(api, clock) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert clock.sleeps == [seconds]


async def test_retry_after_without_a_zone_means_utc(clock, monkeypatch):
    """A date in the old form that names no zone is in UTC, wherever the exporter runs."""
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        api = fake_api(answer(429, headers={"Retry-After": "Mon Jan  1 12:00:09 2024"}), answer())
        async with connected(api, clock) as client:
            await poll(client, clock, seconds=100_000)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert clock.sleeps == [9]


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 01 Jan 2024 11:59:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "0",
        "-7",
        "1.5",
        "soon",
        "",
        "\u0667",
        "1, 2",
        "Mon, 99 Foo 2024 12:00:09 GMT",
        "Mon, 01 Jan 99999999 12:00:09 GMT",
        "nan",
        "inf",
    ],
)
async def test_a_retry_after_that_makes_no_sense_is_not_there(clock, value):
    """A Retry-After in the past, negative or without meaning leaves the usual backoff."""
    api = fake_api(answer(429, headers={"Retry-After": value.encode()}), answer())
    async with connected(api, clock) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert len(clock.sleeps) == 1
    assert 0 <= clock.sleeps[0] <= 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("Mon, 01 Jan 2024 12:02:00 GMT", 120), ("99999999999", 86_400)],
)
async def test_retry_after_beyond_the_end_of_the_poll_stops_every_request(clock, value, seconds):
    """The poll fails at once, no query asks before that moment, and afterwards they ask again."""
    api = fake_api(answer(429, headers={"Retry-After": value}), answer())
    async with connected(api, clock) as client:
        first = await poll(client, clock, seconds=60)
        second = await poll(client, clock, seconds=60, name="second")
        assert (first.reason, second.reason) == (Reason.RATE_LIMITED, Reason.RATE_LIMITED)
        assert clock.sleeps == []
        clock.move(seconds - 61)
        third = await poll(client, clock, seconds=60)
        assert third.reason is Reason.RATE_LIMITED
        assert api["daily"].call_count == 1
        clock.move(61)
        assert (await poll(client, clock, seconds=60)).reason is None
    assert api["daily"].call_count == 2


async def test_a_poll_that_is_told_to_wait_says_so(clock):
    """The poll that was told to wait says for how long, and later ones how much is left."""
    api = fake_api(answer(429, {"message": "slow down"}, headers={"Retry-After": "120"}))
    async with connected(api, clock) as client:
        first = await poll(client, clock, seconds=60)
        clock.move(85)
        second = await poll(client, clock, seconds=10)
    told = "HTTP 429 slow down; the API asked to wait 120 s"
    assert first.message == told
    assert second.message == f"no request for another 35 s: {told}"


async def test_no_attempt_begins_without_time_for_it(clock):
    """An attempt that would have less than a second, or a tenth of a short poll, is not begun."""
    for seconds, wait, attempts in ((60, 58.5, 2), (60, 59.5, 1), (5, 4.4, 2), (5, 4.6, 1)):
        api = fake_api(answer(503, headers={"Retry-After": "1"}), answer(503))
        began = clock.monotonic()

        def slow(request, api=api, wait=wait):
            clock.move(wait - 1)
            return answer(503, headers={"Retry-After": "1"})

        api["daily"].mock(side_effect=slow)
        async with connected(api, clock) as client:
            await poll(client, clock, seconds=seconds)
        assert api["daily"].call_count == attempts, (seconds, wait)
        assert clock.monotonic() - began <= 2 * seconds


async def test_no_replay_begins_without_time_for_it(clock):
    """A question is not asked again after a renewal that has left no time for it."""
    api = fake_api(answer(401))

    def slow(request):
        clock.move(29.75)
        return signed_in()

    api.post(LOGIN).mock(side_effect=slow)
    async with connected(api, clock, login={"email": "me", "password": "secret"}) as client:
        outcome = await poll(client, clock, seconds=60)
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.message == "the time of this poll is over"
    assert api["daily"].call_count == 1


async def test_a_poll_that_reaches_past_the_moment_waits_for_it(clock):
    """A later poll whose end lies behind the moment the API named waits for it and then asks."""
    api = fake_api(answer(503, headers={"Retry-After": "120"}), answer())
    async with connected(api, clock) as client:
        assert (await poll(client, clock, seconds=60)).reason is Reason.SERVER_ERROR
        clock.move(90)
        assert (await poll(client, clock, seconds=60)).reason is None
    assert clock.sleeps == [30]
    assert api["daily"].call_count == 2


async def test_retry_after_stops_sign_ins_too(clock):
    """While the API wants to be left alone, an expired token is not renewed either."""
    api = fake_api(answer(429, headers={"Retry-After": "7200"}), answer())
    login = api.post(LOGIN).mock(side_effect=in_turn(signed_in(), signed_in("b")))
    async with connected(api, clock, login={"email": "me", "password": "secret"}) as client:
        await poll(client, clock, seconds=60)
        clock.move(7199)
        outcome = await poll(client, clock, seconds=1)
        assert outcome.reason is Reason.RATE_LIMITED
        assert (login.call_count, api["daily"].call_count) == (1, 1)
        clock.move(1)
        assert (await poll(client, clock, seconds=60)).reason is None
    assert (login.call_count, api["daily"].call_count) == (2, 2)


async def test_retry_after_of_a_sign_in_stops_everything(clock):
    """A sign-in that is told to wait is not repeated before, and nothing is asked."""
    api = fake_api()
    login = api.post(LOGIN).mock(
        side_effect=in_turn(answer(429, headers={"Retry-After": "120"}), signed_in())
    )
    async with connected(api, clock, login={"email": "me", "password": "secret"}) as client:
        for _ in range(2):
            assert (await poll(client, clock, seconds=60)).reason is Reason.RATE_LIMITED
        assert (login.call_count, api["daily"].call_count) == (1, 0)
        clock.move(120)
        assert (await poll(client, clock, seconds=60)).reason is None


async def test_retry_after_of_a_renewal_stops_the_question_behind_it(clock):
    """Where the renewal of a token that is still good is told to wait, the question waits, too."""
    api = fake_api()
    login = api.post(LOGIN).mock(
        side_effect=in_turn(signed_in(), answer(429, headers={"Retry-After": "120"}))
    )
    async with connected(api, clock, login={"email": "me", "password": "secret"}) as client:
        await poll(client, clock)
        clock.move(3400)
        outcome = await poll(client, clock, seconds=60)
    assert login.call_count == 2
    assert api["daily"].call_count == 1
    assert outcome.reason is Reason.RATE_LIMITED


async def test_retry_after_stops_queries_that_wait_for_their_turn(clock):
    """A query that was waiting for its turn when the API asked for a pause does not ask either."""
    api = fake_api()
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def refuse(request):
        asked.set()
        await go_on.wait()
        return answer(429, headers={"Retry-After": "120"})

    api["daily"].mock(side_effect=refuse)
    async with connected(api, clock, max_concurrent_requests=1) as client:
        first = asyncio.create_task(poll(client, clock, seconds=60))
        await asked.wait()
        second = asyncio.create_task(poll(client, clock, seconds=60, name="second"))
        for _ in range(20):
            await asyncio.sleep(0)
        go_on.set()
        outcomes = await asyncio.gather(first, second)
    assert [outcome.reason for outcome in outcomes] == [Reason.RATE_LIMITED] * 2
    assert api["daily"].call_count == 1


async def test_retry_after_stops_the_replay_after_a_401(clock):
    """Where the API asks for a pause while one question is being answered 401,
    that one is not repeated before.
    """
    api = fake_api(answer(401), answer())
    tokens = iter("ab")
    api.post(LOGIN).mock(side_effect=lambda request: signed_in(next(tokens)))
    asked, go_on = asyncio.Event(), asyncio.Event()
    answers = iter([401, 429])

    async def daily(request):
        status = next(answers)
        if status == 401:
            asked.set()
            await go_on.wait()
        return answer(status, headers={"Retry-After": "120"} if status == 429 else {})

    api["daily"].mock(side_effect=daily)
    async with connected(api, clock, login={"email": "me", "password": "secret"}) as client:
        first = asyncio.create_task(poll(client, clock, seconds=60))
        await asked.wait()
        second = await poll(client, clock, seconds=60, name="second")
        go_on.set()
        assert (await first).reason is Reason.RATE_LIMITED
    assert second.reason is Reason.RATE_LIMITED
    assert api["daily"].call_count == 2


# --- bodies


def _nested(depth, inside):
    return inside.replace("X", "[" * depth + "]" * depth).encode()


BROKEN_BODIES = {
    "nothing": b"",
    "white space": b" \n",
    "HTML": HTML,
    "not JSON": b"OK",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"data"',
    "an empty object": b"{}",
    "no data": b'{"success": true}',
    "data null": b'{"success": true, "data": null}',
    "data an object": b'{"success": true, "data": {"a": 1}}',
    "data a text": b'{"success": true, "data": "[]"}',
    "data a number": b'{"success": true, "data": 7}',
    "data twice": b'{"success": true, "data": [], "data": []}',
    "failed, then data": b'{"success": false, "data": []}',
    "data, then failed": b'{"data": [], "success": false}',
    "failed after records": statistics().replace(b"true", b"false"),
    "success null": b'{"success": null, "data": []}',
    "success a text": b'{"success": "false", "data": []}',
    "cut off in a key": b'{"success": true, "da',
    "cut off in a list": b'{"success": true, "data": [',
    "cut off in a record": statistics()[:-20],
    "cut off at the end": statistics()[:-1],
    "cut off in a character": '{"success": true, "data": ["ü'.encode()[:-1],
    "single quotes": b"{'success': true, 'data': []}",
    "a comma too many": b'{"success": true, "data": [{},]}',
    "a comma at the end": b'{"success": true, "data": [],}',
    "no comma": b'{"success": true "data": []}',
    "no colon": b'{"success" true, "data": []}',
    "trailing garbage": statistics() + b"garbage",
    "trailing bracket": statistics() + b"}",
    "two documents": statistics() + b"\n" + statistics(),
    "zero bytes": b"\0" * 1000,
    "UTF-16": statistics().decode().encode("utf-16"),
    "deep in data": _nested(10_000, '{"success": true, "data": [X]}'),
    "deeper in data": _nested(100_000, '{"success": true, "data": [X]}'),
    "deep beside data": _nested(10_000, '{"success": true, "x": X, "data": []}'),
    "deeper beside data": _nested(100_000, '{"success": true, "x": X, "data": []}'),
    "deep": b"[" * 100_000,
    "deep objects": b'{"data": [' + b'{"a":' * 100_000,
}


@pytest.mark.parametrize("content", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
async def test_an_answer_that_cannot_be_used_fails_the_poll(clock, content):
    """An answer that is not whole and good JSON fails the poll as invalid_response,
    and is not asked for again.
    """
    api = fake_api(answer(200, content))
    async with connected(api, clock) as client:
        outcome = await poll(client, clock)
    assert (outcome.snapshot, outcome.reason) == (None, Reason.INVALID_RESPONSE)
    assert "internal error" not in outcome.message
    assert api["daily"].call_count == 1


@pytest.mark.parametrize(
    "template",
    ['{"success": false, "message": "%s"}', '{"message": "%s", "data": [], "success": false}'],
)
async def test_a_failure_under_200_is_explained(clock, template):
    """The API's own words about a failure that it sends as a 200 stand in the outcome."""
    async with connected(
        fake_api(answer(200, (template % "quota is gone").encode())), clock
    ) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.INVALID_RESPONSE
    assert "quota is gone" in outcome.message


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + statistics(),
        b" \n" + statistics() + b"\n",
        statistics().replace(b'"success": true, ', b""),
        statistics().replace(b'"success": true', b'"success": true, "meta": {"page": [1]}'),
        b'{"data": [], "success": true, "message": "fine"}',
    ],
    ids=["byte order mark", "white space around", "no success", "unknown members", "success last"],
)
async def test_an_unusual_but_good_answer_is_taken(clock, content):
    """What is said in another way than documented, but is clear, is taken."""
    async with connected(fake_api(answer(200, content)), clock) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert outcome.snapshot is not None


async def test_a_retried_attempt_leaves_nothing_of_the_one_before(clock):
    """Records of an attempt that broke off are not in the result, nor its rejections counted."""
    bad, incomplete = record(apiCalls=-1), record(host=None)
    body = statistics(*[bad] * 300, *[incomplete] * 500)
    async with (
        raw_server(
            OK + b"Content-Length: 9999999\r\n\r\n" + body[:-1],
            OK + b"Connection: close\r\n\r\n" + statistics(bad, incomplete),
        ) as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert outcome.snapshot.records == 1
    assert outcome.rejected == {Rejection.NEGATIVE: 1}
    assert outcome.incomplete == {"host": 1}


# --- bookkeeping


async def test_records_left_out_are_counted_by_reason(clock):
    """Each record that fails validation is counted by reason; the others make a good poll."""
    no_calls = record()
    del no_calls["apiCalls"]
    records = [
        record(),
        7,
        "text",
        no_calls,
        record(apiCalls="many"),
        record(tokensIn="a lot"),
        record(apiCalls=-1),
        record(timestamp=0),
        record(timestamp=1_704_067_200_000),
    ]
    async with connected(fake_api(answer(200, statistics(*records))), clock) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert outcome.snapshot.records == 1
    assert outcome.rejected == {
        Rejection.NOT_AN_OBJECT: 2,
        Rejection.MISSING_FIELD: 1,
        Rejection.WRONG_TYPE: 2,
        Rejection.NEGATIVE: 1,
        Rejection.OUTSIDE_WINDOW: 1,
        Rejection.MILLISECONDS: 1,
    }


async def test_valid_records_that_lack_something_are_counted_by_field(clock, logged):
    """Each field that a valid record lacks is counted, and told in one line for debugging at most;
    others are not.
    """
    absent = record()
    del absent["userUuid"], absent["latency_ms"]
    records = [
        record(),
        absent,
        *[record(conversationUuid=None, userUuid=None)] * 50,
        record(conversationUuid=None, apiCalls=-1),
    ]
    async with connected(fake_api(answer(200, statistics(*records))), clock) as client:
        outcome = await poll(client, clock)
    assert outcome.snapshot.records == 52
    assert outcome.incomplete == {"userUuid": 51, "conversationUuid": 50, "latency_ms": 1}
    assert outcome.rejected == {Rejection.NEGATIVE: 1}
    (line,) = [line for line in logged().splitlines() if "lacked" in line]
    assert "level=debug" in line
    state = QueryState(Query(), None, 300, 3600).after(outcome).after(outcome)
    assert {field: count for field, count in state.incomplete.items() if count} == {
        "userUuid": 102,
        "conversationUuid": 100,
        "latency_ms": 2,
    }
    assert state.incomplete.keys() == set(OPTIONAL_FIELDS)


async def test_an_answer_in_which_every_record_fails_is_a_failed_poll(clock):
    """Where no record is valid, the poll fails as invalid_response, is not retried,
    and still counts the records.
    """
    api = fake_api(answer(200, statistics(record(apiCalls=-1), record(apiCalls=-2))))
    async with connected(api, clock) as client:
        outcome = await poll(client, clock)
    assert (outcome.snapshot, outcome.reason) == (None, Reason.INVALID_RESPONSE)
    assert outcome.rejected == {Rejection.NEGATIVE: 2}
    assert api["daily"].call_count == 1


async def test_an_empty_list_is_a_good_poll(clock):
    """No records at all is an answer like any other."""
    async with connected(fake_api(answer(200, b'{"success": true, "data": []}')), clock) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert outcome.snapshot.records == 0
    assert outcome.snapshot.groups == {}


async def test_values_of_rejected_records_are_not_logged(clock, logged):
    """The log names reason and field of a few records left out, never a value."""
    records = [record(), *[record(apiCalls=f"canary-{number}") for number in range(50)]]
    async with connected(fake_api(answer(200, statistics(*records))), clock) as client:
        await poll(client, clock)
    lines = logged()
    assert "apiCalls" in lines
    assert "canary" not in lines
    assert lines.count("apiCalls") < 10


async def test_an_internal_error_is_a_failed_poll(clock, logged):
    """Whatever goes wrong inside ends as a failed poll, and the next one is a new chance."""
    api = fake_api(RuntimeError("nobody expects this"), answer())
    async with connected(api, clock) as client:
        first = await poll(client, clock)
        second = await poll(client, clock)
    assert (first.snapshot, first.reason) == (None, Reason.INVALID_RESPONSE)
    assert "nobody expects this" in logged()
    assert second.reason is None


async def test_a_cancelled_poll_ends_at_once(clock):
    """A poll that is cancelled does not turn that into an outcome."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(b"", silence)) as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        task = asyncio.create_task(poll(client, clock))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_cancelled_poll_gives_its_turn_back(clock):
    """After a poll was cancelled mid-request, another one may ask."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(b"", silence), OK + b"Connection: close\r\n\r\n" + statistics()) as server,
        connected(None, clock, base_url=server.url, max_concurrent_requests=1) as client,
    ):
        task = asyncio.create_task(poll(client, clock))
        await server.asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await poll(client, clock)).reason is None


async def test_an_outcome_says_when_and_how_long(clock):
    """An outcome carries the moment of its end and the seconds that it took, waits included."""
    api = fake_api(answer(429, headers={"Retry-After": "7"}), answer())
    async with connected(api, clock) as client:
        outcome = await poll(client, clock)
    assert outcome.duration == 7
    assert outcome.finished_at == clock.time()
    assert outcome.finished == clock.monotonic()


async def test_a_failed_poll_leaves_the_last_good_data_alone(clock):
    """A query keeps its data through failures, counts each by reason,
    and is up again with the next good poll.
    """
    api = fake_api(answer(), answer(404), answer(200, b"nonsense"), answer(404), answer())
    state = QueryState(Query(), None, 300, 3600)
    ups = []
    async with connected(api, clock) as client:
        for _ in range(5):
            state = state.after(await poll(client, clock))
            ups.append(state.up(clock.monotonic()))
            assert state.snapshot(clock.monotonic()).records == 1
    assert ups == [True, False, False, False, True]
    assert state.polls == 5
    assert {reason: count for reason, count in state.failures.items() if count} == {
        Reason.NOT_FOUND: 2,
        Reason.INVALID_RESPONSE: 1,
    }


async def test_data_that_is_too_old_is_not_shown(clock):
    """Once the last good data is older than max_data_age there is none to show."""
    api = fake_api(answer(), answer(404))
    async with connected(api, clock) as client:
        state = QueryState(Query(), None, 300, 3600).after(await poll(client, clock))
        clock.move(3600)
        assert state.after(await poll(client, clock)).snapshot(clock.monotonic()) is not None
        clock.move(1)
    assert state.snapshot(clock.monotonic()) is None
    assert not state.up(clock.monotonic())


async def test_the_window_ends_with_today(clock):
    """A poll asks for whole UTC days up to today, with both ends as the API writes them."""
    api = fake_api()
    async with connected(api, clock) as client:
        await poll(client, clock)
    asked = dict(api["daily"].calls.last.request.url.params)
    assert asked == {"startDate": "2023-12-31T00:00:00.000Z", "endDate": "2024-01-01T23:59:59.999Z"}


async def test_numbers_beyond_any_float_leave_only_their_record_out(clock):
    """A number of thousands of digits costs its own record and nothing else."""
    huge = json.dumps(record(apiCalls=7)).replace('"apiCalls": 7', f'"apiCalls": {"9" * 10_000}')
    content = (
        b'{"success": true, "data": ['
        + json.dumps(record()).encode()
        + b","
        + huge.encode()
        + b"]}"
    )
    async with connected(fake_api(answer(200, content)), clock) as client:
        outcome = await poll(client, clock)
    assert outcome.snapshot.records == 1
    assert outcome.rejected == {Rejection.NOT_FINITE: 1}


@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b'{"timestamp":1}'])
async def test_a_flood_of_tiny_records_gives_others_their_turn(value, clock):
    """Thousands of records in one piece are read and refused in small steps, whatever they are."""
    content = b'{"success":true,"data":[' + b",".join([value] * 30_000) + b"]}"
    async with connected(fake_api(answer(200, content)), clock) as client:
        polling = asyncio.ensure_future(poll(client, clock))
        turns = 0
        while not polling.done():
            await asyncio.sleep(0)
            turns += 1
    assert polling.result().reason is Reason.INVALID_RESPONSE
    assert turns > 30_000 / 512
