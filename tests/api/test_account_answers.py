"""Answers about the account: read liberally, within bounds, and without their secrets."""

import asyncio
import gzip
import json
from decimal import Decimal

import pytest
from servers import OK, answer, connected, fake_api, in_turn, raw_server, surroundings

from exporter.api import account_answers
from exporter.api.credits import BALANCE, balance
from exporter.api.llms import LLMS, llms
from exporter.api.policies import POLICIES, policies
from exporter.api.profile import PROFILE, profile
from exporter.api.repositories import REPOSITORIES, Repositories, repositories
from exporter.api.workspaces import WORKSPACES, workspaces
from exporter.errors import PollError, Reason, TruncatedError
from exporter.statistics.account import Credits, Policy, Profile, Repo

SECRET = "sk-canary"
ASKED = {
    REPOSITORIES: repositories,
    WORKSPACES: workspaces,
    LLMS: llms,
    PROFILE: profile,
    BALANCE: balance,
    POLICIES: policies,
}


@pytest.fixture(autouse=True)
def logged():
    """Return a function that returns what was logged so far, at any level."""
    with surroundings() as lines:
        yield lines


async def said(endpoint, clock, *contents, headers=()):
    """Return what is made of these answers of an endpoint, and the requests that were sent."""
    api = fake_api()
    answers = [
        content if not isinstance(content, bytes | dict) else answer(200, content, headers)
        for content in contents
    ]
    api.get(endpoint, name="account").mock(side_effect=in_turn(*answers))
    async with connected(api, clock) as client:
        result = await ASKED[endpoint](client, clock.monotonic() + 60)
    return result, [dict(call.request.url.params) for call in api["account"].calls]


async def error_of(endpoint, clock, *contents, headers=()):
    """Return the error that these answers end with."""
    with pytest.raises(PollError) as caught:
        await said(endpoint, clock, *contents, headers=headers)
    return caught.value


def entries(name, *found, **more):
    """Return an answer that holds a list."""
    return {"success": True, name: list(found), **more}


# --- names


async def test_repositories_and_keys(clock):
    """A repository has a name and a workspace; its keys have names, deleted ones too."""
    repo = {
        "id": "r1",
        "name": "Shop",
        "workspaceId": "w1",
        "disabled": True,
        "aiApiKeys": [
            {"id": "k1", "name": "live", "repoId": "r1", "key": SECRET, "deletedAt": None},
            {"id": "k2", "name": "old", "key": SECRET, "deletedAt": "2026-01-01T00:00:00Z"},
        ],
    }
    result, requests = await said(REPOSITORIES, clock, entries("repos", repo, {"id": "r2"}))
    assert result.repos == {"r1": Repo("Shop", "w1"), "r2": Repo("", "")}
    assert result.keys == {"k1": "live", "k2": "old"}
    assert requests == [{}]
    assert SECRET not in repr(result)


@pytest.mark.parametrize(("endpoint", "name"), [(WORKSPACES, "workspaces"), (LLMS, "aiLlms")])
async def test_names(clock, endpoint, name):
    """Workspaces and LLM configurations have names; what is secret beside them stays unread."""
    one = {"id": "1", "name": "One", "orgId": "o", "key": SECRET}
    result, _ = await said(endpoint, clock, entries(name, one, {"id": "2", "name": None}))
    assert result == {"1": "One", "2": ""}


BROKEN = [None, 7, "text", [], {}, {"id": None}, {"id": ""}, {"id": {}}, {"id": True}, {"id": 1.5}]


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_entry_is_left_out_alone(clock, broken):
    """An entry without a usable ID is left out, be it a repository or a key."""
    keys = [broken, {"id": "k", "name": "n"}, broken]
    content = entries("repos", broken, {"id": "r", "name": "x", "aiApiKeys": keys}, broken)
    result, _ = await said(REPOSITORIES, clock, content)
    assert result == Repositories({"r": Repo("x", "")}, {"k": "n"})


async def test_entries_that_are_not_json_are_left_out(clock):
    """An entry that no parser takes is left out, and its neighbours stay."""
    content = (
        b'{"repos":[{"id":"a"},{"id":nope},{"id":"b","x":' + b"[" * 5000 + b"]" * 5000 + b"},"
        b'{"id":"c","name":"\xff\\ud800x"},{"id":"d","name":"\\ud83d\\ude00 \\\\ud800"}]}'
    )
    result, _ = await said(REPOSITORIES, clock, content)
    assert result.repos == {
        "a": Repo("", ""),
        "c": Repo("\ufffd\ufffdx", ""),
        "d": Repo("\U0001f600 \\ud800", ""),
    }


async def test_ids_and_names_become_label_values(clock):
    """Numbers become texts, and long ones are cut as those of the statistics are."""
    named = [{"id": 7, "name": 12}, {"id": "é" * 2000, "name": 'a"\\\n'}, {"id": 10**30}]
    result, _ = await said(LLMS, clock, entries("aiLlms", *named))
    assert result == {"7": "12", "é" * 512: 'a"\\\n'}


async def test_an_id_that_comes_twice_has_its_last_name(clock):
    """Duplicates are harmless, and so are two repositories of one name."""
    result, _ = await said(
        WORKSPACES,
        clock,
        entries("workspaces", *({"id": i, "name": n} for i, n in ("ax", "ay", "by"))),
    )
    assert result == {"a": "y", "b": "y"}


@pytest.mark.parametrize("content", [{}, {"success": True}, {"repos": None}, {"repos": {"id": 1}}])
async def test_a_list_that_is_missing_is_no_empty_list(clock, content):
    """Where there is no list at all, nothing is known."""
    error = await error_of(REPOSITORIES, clock, content)
    assert error.reason is Reason.INVALID_RESPONSE
    assert str(error) == "the answer holds no repos"


# --- who, credits


@pytest.mark.parametrize(
    ("role", "word"),
    [(0, "user"), (1, "billing"), ("2", "workspaces"), (0xFE, "administrators"), (0xFF, "owner"),
     (7, "7"), (None, ""), ("OWNER", "OWNER")],
)  # fmt: skip
async def test_roles_have_words(clock, role, word):
    """The account's role is told in a word, or as the number it is."""
    data = {"id": "u", "email": "me@example.com", "orgId": "o", "orgRole": role}
    result, _ = await said(PROFILE, clock, {"success": True, "data": data})
    assert result == Profile("o", word)


async def test_credits_are_exact(clock):
    """Money keeps every digit, from numbers and from texts, and may be negative."""
    content = (
        b'{"success":true,"data":{"creditBalance":"1234567890123456789.000001",'
        b'"dateBalance":"2026-11-24T00:00:00.000Z","realtimeBalance":-0.1,'
        b'"pendingConsumption":3,"breakdown":{"ai":0.30000000000000004,"storage":"2"}}}'
    )
    result, _ = await said(BALANCE, clock, content)
    assert result == Credits(
        Decimal("-0.1"),
        Decimal("1234567890123456789.000001"),
        1_795_478_400.0,
        {"ai": Decimal("0.30000000000000004"), "storage": Decimal(2)},
    )


@pytest.mark.parametrize(
    ("date", "seconds"),
    [("2026-11-24", 1_795_478_400), ("2026-11-24T01:00:00+01:00", 1_795_478_400),
     (1_795_478_400, 1_795_478_400), (1_795_478_400_000, 1_795_478_400),
     ("9999-12-31T23:59:59+01:00", 253_402_297_199), (None, None), ("yesterday", None),
     ("0001-01-01T00:00:00Z", None), (-1, None), (1e300, None), ({}, None), (True, None),
     ("", None)],
)  # fmt: skip
async def test_until_when_is_booked(clock, date, seconds):
    """The date of the balance comes in many forms; where it is none, it is not known."""
    result, _ = await said(BALANCE, clock, {"data": {"dateBalance": date}})
    assert result == Credits(booked_until=seconds)


@pytest.mark.parametrize("value", ["1e999999999", '"NaN"', '"-Infinity"', "null", "1e-99999999"])
async def test_money_that_no_number_can_show_is_not_known(clock, value):
    """Amounts that are none, or beyond what a sample can hold, are absent and never 0."""
    content = b'{"data":{"realtimeBalance":%s,"breakdown":null}}' % value.encode()
    result, _ = await said(BALANCE, clock, content)
    assert result == Credits()


@pytest.mark.parametrize("data", [None, [], "x", {"realtimeBalance": "x"}, {"breakdown": 3}])
async def test_a_balance_that_cannot_be_read_is_a_failure(clock, data):
    """Where the answer is something else than documented, that shows as a failure."""
    error = await error_of(BALANCE, clock, {"success": True, "data": data})
    assert error.reason is Reason.INVALID_RESPONSE


# --- policies


def entity(number, **more):
    """Return what the API says about one policy."""
    totals = {"violations": 6, "alerts": "5", "blocks": 1, "severityLow": 1.0, "severityHigh": 2}
    return {"entityId": f"p{number}", "entityName": f"Policy {number}", "totals": totals, **more}


async def test_policies(clock):
    """Counts may be texts; what is not said is absent, and a policy without a name has its ID."""
    page = entries("entities", entity(1), entity(2, entityName=None, totals={"violations": -1}))
    result, requests = await said(POLICIES, clock, {**page, "totalEntities": 2})
    assert result == {
        "p1": Policy("Policy 1", 6, 5, 1, {"low": 1, "high": 2}),
        "p2": Policy("p2"),
    }
    assert requests == [{"scope": "org", "window": "24h", "limit": "100", "offset": "0"}]


@pytest.mark.parametrize("total", [{"totalEntities": 250}, {}, {"totalEntities": None}])
async def test_all_pages_are_read(clock, total):
    """Pages are asked for until all entities are there, or no new one comes."""
    pages = [
        entries("entities", *map(entity, range(start, min(start + 100, 250))), **total)
        for start in (0, 100, 200, 300)
    ]
    result, requests = await said(POLICIES, clock, *pages)
    assert len(result) == 250
    offsets = [request["offset"] for request in requests]
    assert offsets[:3] == ["0", "100", "200"]
    assert len(offsets) == (3 if total.get("totalEntities") else 4)


async def test_smaller_pages_than_asked_for_lose_nothing(clock):
    """A server that sends fewer entities a page is asked for the next ones."""
    pages = [entries("entities", *map(entity, range(n, n + 10))) for n in (0, 10, 20)]
    result, requests = await said(POLICIES, clock, *pages)
    assert len(result) == 30
    assert [request["offset"] for request in requests] == ["0", "10", "20", "30"]


@pytest.mark.parametrize("more", [{}, {"totalEntities": 10**9}, {"totalEntities": "x"}])
async def test_pages_that_repeat_end(clock, more):
    """A server that always sends the same page is not asked for ever."""
    result, requests = await said(POLICIES, clock, entries("entities", entity(1), **more))
    assert len(result) == 1
    assert len(requests) == 2


async def test_pages_without_end_are_given_up(clock):
    """A server that always has something new is given up after some pages."""
    pages = [entries("entities", entity(number)) for number in range(200)]
    error = await error_of(POLICIES, clock, *pages)
    assert error.reason is Reason.TOO_LARGE


# --- hostile answers


@pytest.mark.parametrize("endpoint", ASKED)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.INVALID_RESPONSE),
        (b"<html>sk-canary</html>", Reason.INVALID_RESPONSE),
        (b'{"success": true', Reason.INVALID_RESPONSE),
        (b'["sk-canary"]', Reason.INVALID_RESPONSE),
        (b'{"data":' + b"[" * 200_000 + b"]" * 200_000 + b"}", None),
        (b'{"x":"' + b"sk-canary" * 100_000 + b'"}', None),
        (b'{"success":true}}', Reason.INVALID_RESPONSE),
    ],
    ids=["empty", "html", "cut", "list", "deep", "long", "more"],
)
async def test_an_answer_that_is_something_else_fails(clock, logged, endpoint, content, reason):
    """Whatever comes, it ends in an error that quotes nothing of it."""
    error = await error_of(endpoint, clock, content)
    assert error.reason in {reason or error.reason, Reason.INVALID_RESPONSE, Reason.TOO_LARGE}
    assert "canary" not in str(error) + logged()


@pytest.mark.parametrize("endpoint", ASKED)
async def test_a_gzip_bomb_costs_no_memory(clock, endpoint):
    """An answer that is small on the way and huge in truth is given up."""
    bomb = gzip.compress(b'{"repos":["' + b"\0" * (64 << 20))
    error = await error_of(endpoint, clock, bomb, headers={"Content-Encoding": "gzip"})
    assert error.reason in {Reason.TOO_LARGE, Reason.INVALID_RESPONSE}


async def test_too_many_entries_are_given_up(clock):
    """There is a bound for what is kept."""
    limit = account_answers.MAX_ENTRIES
    content = b'{"repos":[' + b'{"id":1},' * limit + b'{"id":2}]}'
    assert (await error_of(REPOSITORIES, clock, content)).reason is Reason.TOO_LARGE


async def test_success_false_is_a_failure_with_its_message(clock):
    """A 200 that says it failed is quoted by its message alone."""
    content = {"success": False, "message": "try later", "repos": [{"id": SECRET}]}
    error = await error_of(REPOSITORIES, clock, content)
    assert str(error) == "the API says success: false: try later"


async def test_a_large_account_is_read_in_small_steps(clock):
    """Others run while an answer with many repositories is read."""
    keys = [{"id": f"k{number}", "name": "n", "key": "x" * 60} for number in range(5)]
    content = json.dumps(entries("repos", *({"id": n, "aiApiKeys": keys} for n in range(2000))))
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    result, _ = await said(REPOSITORIES, clock, content.encode())
    counting.cancel()
    assert len(result.repos) == 2000
    assert turns > len(content) / 4096


async def test_a_cut_answer_says_so(clock):
    """An answer that ends too early is told from one that is no JSON."""
    error = await error_of(REPOSITORIES, clock, b'{"repos":[{"id":"a"},{"id":')
    assert isinstance(error, TruncatedError)


@pytest.mark.parametrize("ask", [repositories, balance])
async def test_an_answer_that_ends_with_its_connection_is_asked_for_again(clock, ask):
    """Where nothing says how long an answer is, one that is cut off is a broken connection."""
    async with (
        raw_server(OK + b"\r\n" + b'{"repos":[{"id":') as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        with pytest.raises(PollError) as caught:
            await ask(client, clock.monotonic() + 60)
    assert (caught.value.reason, caught.value.retryable) == (Reason.NETWORK, True)
