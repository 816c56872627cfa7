"""What the simulator says about the account, and how it agrees with the statistics."""

from decimal import Decimal
from itertools import pairwise

import pytest
from clocks import FakeClock
from servers import surroundings

from exporter.api.client import FlashbackClient
from exporter.api.credits import BALANCE, balance
from exporter.api.llms import llms
from exporter.api.policies import policies
from exporter.api.profile import profile
from exporter.api.repositories import REPOSITORIES, repositories
from exporter.api.workspaces import workspaces
from exporter.clock import SECONDS_A_DAY, midnight, utc_day
from exporter.demo.company import Company
from exporter.demo.simulator import Fault
from exporter.errors import PollError
from exporter.statistics.account import Profile

MONDAY = 1_704_067_200  # 2024-01-01
HOUR = 3600
FIELDS = {
    "policyViolations": lambda policy: policy.violations,
    "numAlerts": lambda policy: policy.alerts,
    "numBlocks": lambda policy: policy.blocks,
    "numSeverityLow": lambda policy: policy.severities["low"],
    "numSeverityMedium": lambda policy: policy.severities["medium"],
    "numSeverityHigh": lambda policy: policy.severities["high"],
}


@pytest.fixture
async def client(clock, api):
    """Return a client that asks the simulator."""
    with surroundings():
        client = FlashbackClient(api.config().api, clock, lambda *_: None)
        yield client
        await client.aclose()


async def test_every_id_of_a_record_has_a_name(clock, client):
    """Repositories, keys and LLMs that the records name are named; a deleted key still is."""
    deadline = clock.monotonic() + 60
    said = await repositories(client, deadline)
    named_llms = await llms(client, deadline)
    named_workspaces = await workspaces(client, deadline)

    records = list(Company().records(utc_day(clock.time()), clock.time()))
    assert {record["repoId"] for record in records} == said.repos.keys()
    assert {record["repoAiApiKeyId"] for record in records} <= said.keys.keys()
    assert {record["aiLlmId"] for record in records} <= named_llms.keys()
    assert {repo.workspace_id for repo in said.repos.values()} == named_workspaces.keys()
    assert "production 2025" in said.keys.values()
    assert all(len(name) == 36 for name in (*said.repos, *said.keys, *named_llms))


async def test_the_account_is_an_owner(clock, client):
    """The made-up account sees the whole organisation."""
    who = await profile(client, clock.monotonic() + 60)
    assert who == Profile(Company().organisation.id, "owner")


@pytest.mark.parametrize("hours", [0, 0.5, 7, 8, 13, 24, 100, 167.9])
async def test_policies_agree_with_the_statistics(clock, client, hours):
    """The last 24 hours by policy add up to what the daily records say: today's, and yesterday's
    without what they said a day ago.
    """
    clock.wall = now = MONDAY + hours * HOUR
    today = utc_day(now)
    found = await policies(client, clock.monotonic() + 60)

    company = Company()
    for field, value in FIELDS.items():
        so_far = sum(record[field] for record in company.records(today, now))
        yesterday = sum(record[field] for record in company.records(today - 1, now))
        day_ago = sum(record[field] for record in company.records(today - 1, now - SECONDS_A_DAY))
        assert sum(map(value, found.values())) == so_far + yesterday - day_ago
    assert all(policy.violations for policy in found.values())


async def test_credits_fall_with_use_and_are_topped_up(clock, client):
    """The balance falls from hour to hour but on Monday at 08:00, and is never negative."""
    balances = []
    for hour in range(14 * 24):
        clock.wall = MONDAY + hour * HOUR + 1
        balances.append((await balance(client, clock.monotonic() + 60)).balance)
    steps = enumerate(pairwise(balances), 1)
    risen = [hour for hour, (one, two) in steps if two > one]
    assert risen == [8, 7 * 24 + 8]
    assert min(balances) > 0


@pytest.mark.parametrize("hours", [0, 5, 8, 12, 30])
async def test_what_is_booked_and_what_is_pending_make_the_balance(clock, client, hours):
    """All until the last midnight is booked; what was used since is pending, by category."""
    clock.wall = MONDAY + hours * HOUR
    found = await balance(client, clock.monotonic() + 60)
    assert found.booked_until == midnight(utc_day(clock.wall))
    assert abs(found.booked_balance - sum(found.pending.values()) - found.balance) < Decimal("1e-5")
    assert found.pending.keys() == {"ai", "storage"}


async def test_the_same_moment_gives_the_same_numbers(clock, api, client):
    """Whatever was asked before, the numbers of a moment are the same."""
    first = await balance(client, clock.monotonic() + 60), await policies(client, 2000)
    clock.wall += 5 * SECONDS_A_DAY
    await balance(client, clock.monotonic() + 60)
    clock.wall -= 5 * SECONDS_A_DAY
    assert first == (await balance(client, clock.monotonic() + 60), await policies(client, 2000))


async def test_account_endpoints_misbehave_on_request(clock, api, client):
    """Each endpoint can be told to fail; the others answer."""
    api.simulator.misbehave(Fault(status=404, body=b"{}"), endpoint=REPOSITORIES)
    with pytest.raises(PollError) as caught:
        await repositories(client, clock.monotonic() + 60)
    assert caught.value.status == 404
    assert await repositories(client, clock.monotonic() + 60)
    assert [endpoint for endpoint, _ in api.simulator.requests] == [REPOSITORIES, REPOSITORIES]


async def test_account_endpoints_want_a_token(clock, api, client):
    """Without a token that is good, nothing is told about the account."""
    await balance(client, clock.monotonic() + 60)
    api.simulator.forget_tokens(refresh_tokens=True)
    await balance(client, clock.monotonic() + 60)
    assert [endpoint for endpoint, _ in api.simulator.requests] == [BALANCE] * 3


def test_another_seed_is_another_company():
    """IDs belong to a seed."""
    first, again, other = (Company(seed).organisation for seed in (1, 1, 2))
    assert first.id == again.id != other.id
    assert first.repositories == again.repositories


def test_the_clock_of_the_tests_stands_on_a_monday():
    """The moments above are counted from a Monday."""
    assert FakeClock().time() - MONDAY == 12 * HOUR
