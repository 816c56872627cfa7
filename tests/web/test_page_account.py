"""The page's part about the account: what is known, what is not told and why."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from clocks import HandClock
from loopback import configuration, polled, running, served, until
from servers import statistics

from exporter.api.credits import BALANCE
from exporter.api.daily import DAILY
from exporter.api.llms import LLMS
from exporter.api.policies import POLICIES
from exporter.api.profile import PROFILE
from exporter.api.repositories import REPOSITORIES
from exporter.demo.company import Company
from exporter.demo.simulator import Fault, Simulator
from exporter.web.page import render_page

HOSTILE = "<img src=x onerror=alert(1)> & \"all\" 'that'"
ESCAPED = "&lt;img src=x onerror=alert(1)&gt; &amp; &quot;all&quot; &#x27;that&#x27;"
ALL_ANSWER = "all 6 answer"


@pytest.fixture
def clock():
    """Return a clock that moves by hand alone, also for those who sleep."""
    return HandClock()


@asynccontextmanager
async def exporting(clock, faults=(), **sections):
    """Run an exporter on a simulator with these faults; hand out it and the page's client."""
    simulator = Simulator(Company(), clock)
    for endpoint, fault in faults:
        simulator.misbehave(fault, endpoint=endpoint)
    async with (
        served(simulator.app) as (_, url),
        running(configuration(url, **sections), clock) as (exporter, client),
    ):
        await polled(client)
        yield exporter, client


async def page(client, text):
    """Return the page once it holds a text."""
    return (await until(client, "/", lambda response: text in response.text)).text


def answering(content):
    """Return a good answer with other content than the simulator's."""
    return Fault(body=json.dumps({"success": True, **content}).encode())


async def test_the_account_is_told(clock):
    """Role and organisation, balance, policies, how many names, and the age of prices."""
    async with exporting(clock) as (exporter, client):
        html = await page(client, ALL_ANSWER)
        account = exporter.status().account
    assert f"owner, organisation <code>{Company().organisation.id}</code>" in html
    assert f"<b>{account.credits.value.balance:,.2f}</b> left" in html
    assert "booked until 2024-01-01" in html
    assert "12 repositories" in html
    assert f"violations of {len(account.policies.value)} policies" in html
    assert "built-in list prices of 20" in html
    assert "partial" not in html


async def test_a_role_that_sees_a_part_is_told(clock):
    """Where the role does not see the whole organisation, numbers may be partial."""
    fault = answering({"data": {"orgId": HOSTILE, "orgRole": 2}})
    async with exporting(clock, [(PROFILE, fault)]) as (_, client):
        html = await page(client, ALL_ANSWER)
    assert "workspaces, organisation" in html
    assert "numbers may be partial" in html
    assert ESCAPED in html
    assert HOSTILE not in html


async def test_endpoints_that_tell_nothing_are_told_with_the_reason(clock):
    """Not offered, failing and turned off: each is named, with the API's words as they are."""
    refused = json.dumps({"success": False, "message": HOSTILE}).encode()
    faults = [
        (LLMS, Fault(status=404, body=refused)),
        (BALANCE, Fault(status=402, body=b"{}")),
    ]
    off = {"policies": {"interval": "0s"}}
    async with exporting(clock, faults, account=off) as (_, client):
        html = await until(
            client, "/", lambda r: "not offered" in r.text and '"fails">failing' in r.text
        )
    assert f"<code>{LLMS}</code> not offered to this account" in html.text
    assert f"HTTP 404 {ESCAPED}; asked again daily" in html.text
    assert f'<code>{BALANCE}</code> <b class="fails">failing</b><small>HTTP 402' in html.text
    assert f"<code>{POLICIES}</code> turned off in the configuration" in html.text
    assert HOSTILE not in html.text
    assert "1 query up" in html.text


async def test_names_stand_beside_the_ids_of_filters(clock):
    """A filter by an ID has its name beside it, escaped; one without a name stands alone."""
    known = Company().organisation.repositories[0]
    repos = [{"id": known.id, "name": HOSTILE}]
    queries = [{"name": "q", "filters": {"repo_id": [known.id, "no-such-id"]}}]
    fault = answering({"repos": repos})
    async with exporting(clock, [(REPOSITORIES, fault)], queries=queries) as (_, client):
        html = await page(client, "1 repository")
    assert f"<code>repo_id={known.id} <b>{ESCAPED}</b>, no-such-id</code>" in html
    assert HOSTILE not in html


async def test_credits_that_are_too_old_are_not_shown(clock):
    """Credits go with their age, as in the metrics; what failed is still told."""
    async with exporting(clock) as (_, client):
        assert "</b> left" in await page(client, ALL_ANSWER)
        clock.elapsed += 3601
        html = (await client.get("/")).text
    assert "</b> left" not in html
    assert "booked until" not in html


async def test_an_end_of_the_statistics_is_told(clock):
    """What the API says by Deprecation and Sunset stands on top of the page."""
    headers = {"Deprecation": "@1700000000", "Sunset": "Mon, 01 Jul 2024 00:00:00 GMT"}
    fault = Fault(headers=headers, body=statistics())
    async with exporting(clock, [(DAILY, fault)]) as (_, client):
        html = await page(client, ALL_ANSWER)
    assert (
        "The API says that /aistats/daily is deprecated since 2023-11-14 and ends on 2024-07-01."
        in html
    )


async def test_a_state_file_that_fails_is_told(clock):
    """Where the last write failed, the page says what a restart would mean."""
    async with exporting(clock) as (exporter, client):
        await page(client, ALL_ANSWER)
        status = exporter.status()
        broken = render_page(replace(status, state_is_failing=True), "/metrics", "")
        whole = render_page(status, "/metrics", "")
    assert "The state file cannot be written" in broken
    assert "The state file cannot be written" not in whole
