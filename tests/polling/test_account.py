"""Asking about the account: on timers of its own, whatever the API answers."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx
import pytest
import respx
from clocks import HandClock
from servers import BASE_URL, answer, connected, in_turn, surroundings

from exporter.api.client import FlashbackClient
from exporter.api.credits import BALANCE
from exporter.api.llms import LLMS
from exporter.api.policies import POLICIES
from exporter.api.profile import PROFILE
from exporter.api.repositories import REPOSITORIES
from exporter.api.workspaces import WORKSPACES
from exporter.config.sections import Account
from exporter.polling.account import ACCOUNT_ENDPOINTS, AccountPlan, AccountPoller
from exporter.statistics.account import AccountState, Credits, Names, Policy, Profile, Repo

HOUR, DAY = 3600, 86_400
GOOD = {
    REPOSITORIES: {"repos": [{"id": "r", "name": "Shop", "workspaceId": "w", "aiApiKeys": []}]},
    WORKSPACES: {"workspaces": [{"id": "w", "name": "Web"}]},
    LLMS: {"aiLlms": [{"id": "l", "name": "Big"}]},
    PROFILE: {"data": {"orgId": "o", "orgRole": 255}},
    BALANCE: {"data": {"realtimeBalance": 5}},
    POLICIES: {"entities": [{"entityId": "p", "totals": {}}], "totalEntities": 1},
}
NONE = {"names": {"interval": "0s"}, "credits": {"interval": "0s"}, "policies": {"interval": "0s"}}
CREDITS_ALONE = NONE | {"credits": {"interval": "5m"}}
NAMES_ALONE = NONE | {"names": {"interval": "1h"}}


@pytest.fixture(autouse=True)
def logged():
    """Return a function that returns what was logged so far, at any level."""
    with surroundings() as lines:
        yield lines


@pytest.fixture
def clock():
    """Return a clock that tests move, on which timers sleep."""
    return HandClock()


def account_api(**about):
    """Return routes that answer well, but for the endpoints named by their last word."""
    router = respx.MockRouter(base_url=BASE_URL, assert_all_called=False)
    for endpoint in ACCOUNT_ENDPOINTS:
        name = endpoint.rpartition("/")[2]
        answers = about.get(name, (answer(200, GOOD[endpoint]),))
        side_effect = answers if callable(answers) else in_turn(*answers)
        router.get(endpoint, name=name).mock(side_effect=side_effect)
    return router


class Watched:
    """A poller, its client, and every state that it published."""

    def __init__(self, client, clock):
        self.client = client
        self.clock = clock
        self.published = []
        self.poller = AccountPoller(self._publish, clock)
        self._news = asyncio.Condition()

    async def _publish(self, state):
        async with self._news:
            self.published.append(state)
            self._news.notify_all()

    def plan(self, account=None, source="a", client=None):
        """Return a plan with this configuration."""
        settings = Account.model_validate(account or {})
        return AccountPlan(settings, source, HOUR, client or self.client)

    async def state(self, fits):
        """Return the first state from now on that fits."""
        async with asyncio.timeout(15), self._news:
            await self._news.wait_for(lambda: fits(self.poller.state))
        return self.poller.state

    async def asleep(self, timers):
        """Wait until so many timers have had their turn."""
        await self.clock.asleep(timers)

    async def later(self, seconds, timers=1):
        """Let time pass in steps, as the timers look at the clock, and each turn end."""
        while seconds > 0:
            await self.asleep(timers)
            step = min(seconds, 30)
            self.clock.move(step)
            seconds -= step
        await self.asleep(timers)


@asynccontextmanager
async def watched(router, clock, account=None, **api):
    """Hand out a poller that has begun to ask."""
    async with connected(router, clock, **api) as client:
        watch = Watched(client, clock)
        watch.poller.start(watch.plan(account))
        try:
            yield watch
        finally:
            await watch.poller.stop()


async def test_everything_is_asked_at_the_start(clock):
    """Names, credits and policies are known soon after the start."""
    async with watched(account_api(), clock) as watch:
        state = await watch.state(lambda state: len(state.up) == 6)
    assert state.names == Names(
        {"r": Repo("Shop", "w")}, {"w": "Web"}, {"l": "Big"}, {}, Profile("o", "owner")
    )
    assert state.credits.value == Credits(Decimal(5))
    assert state.policies.value == {"p": Policy("p")}
    assert state.up == dict.fromkeys(ACCOUNT_ENDPOINTS, True)


async def test_each_timer_has_its_interval(clock):
    """Within an hour names are asked for once more, credits and policies twelve times."""
    async with watched(router := account_api(), clock) as watch:
        await watch.later(HOUR, timers=3)
    assert router["repo"].call_count == 2
    assert router["balance"].call_count == 13
    assert router["rules"].call_count == 13


async def test_replicas_ask_at_the_same_moments(clock):
    """Whenever they were started, two exporters ask at the same time from then on."""
    moments = []
    for late in (0, 77):
        clock = HandClock(1_704_110_400.0 + late)
        times = []

        def balance(request, times=times, clock=clock):
            times.append(clock.time())
            return answer(200, GOOD[BALANCE])

        async with watched(account_api(balance=balance), clock, CREDITS_ALONE) as watch:
            for _ in range(400):
                await watch.asleep(1)
                watch.clock.move(1)
        moments.append([time for time in times[1:] if time > 1_704_110_400.0 + 90])
    assert moments[0] == moments[1][: len(moments[0])]
    assert moments[0]


async def test_what_is_turned_off_is_not_asked(clock):
    """An interval of 0s asks for nothing."""
    async with watched(router := account_api(), clock, NONE) as watch:
        assert watch.poller.state == AccountState()
    assert not router.calls


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_an_endpoint_that_is_not_offered_is_asked_daily(clock, logged, status):
    """A refusal before any good answer is told in one line, and asked again on the next day."""
    router = account_api(balance=[answer(status, {"message": "not enabled"})])
    async with watched(router, clock, CREDITS_ALONE) as watch:
        state = await watch.state(lambda state: state.endpoints)
        assert (state.up, state.credits) == ({}, None)
        await watch.later(11 * HOUR)
        assert router["balance"].call_count == 1
        await watch.later(2 * HOUR)
        assert router["balance"].call_count == 2
        assert watch.poller.state.up == {}
    assert logged().count("not offered to this account") == 1
    assert f"HTTP {status} not enabled" in logged()


async def test_an_endpoint_that_is_offered_one_day_is_asked_as_ever(clock):
    """The daily question finds out that credits were enabled."""
    router = account_api(balance=[answer(400), answer(200, GOOD[BALANCE])])
    async with watched(router, clock, CREDITS_ALONE) as watch:
        await watch.later(12 * HOUR + 600)
        assert watch.poller.state.up == {BALANCE: True}
        await watch.later(HOUR)
    assert router["balance"].call_count > 10


async def test_an_endpoint_that_was_good_is_down_when_refused(clock, logged):
    """After a good answer a 404 is a failure; what was read stays for its time."""
    router = account_api(balance=[answer(200, GOOD[BALANCE]), answer(404)])
    async with watched(router, clock, CREDITS_ALONE) as watch:
        await watch.later(HOUR)
        state = watch.poller.state
        assert state.up == {BALANCE: False}
        assert router["balance"].call_count == 13
        assert state.credits.at(clock.monotonic() + 1) is None
        assert state.credits.at(clock.monotonic() - 300) == Credits(Decimal(5))
    assert logged().count("account request failed") == 1


async def test_a_failure_is_tried_again_and_told(clock, logged):
    """A server error is tried again within the turn, and down at the end of it."""
    router = account_api(balance=[answer(500)])
    async with watched(router, clock, CREDITS_ALONE) as watch:
        await watch.later(120)
        assert watch.poller.state.up == {BALANCE: False}
        assert router["balance"].call_count == 5
    assert "reason" not in watch.poller.state.endpoint(BALANCE).message
    assert watch.poller.state.endpoint(BALANCE).message.startswith("HTTP 500")


async def test_one_name_endpoint_that_fails_leaves_the_others_alone(clock):
    """Where one kind of names is missing, the others are known."""
    router = account_api(workspace=[answer(404)], llm=[httpx.ConnectError("no")])
    async with watched(router, clock, NAMES_ALONE) as watch:
        await watch.later(150)
        state = watch.poller.state
    assert state.up == {REPOSITORIES: True, LLMS: False, PROFILE: True}
    assert state.names.repo("r") == ("Shop", "w", "")


async def test_names_stay_when_the_api_fails(clock):
    """Names once known are known after failures and renames, and of what was deleted."""
    renamed = {"repos": [{"id": "r", "name": "Store"}, {"id": "r2", "name": "New"}]}
    answers = [answer(200, GOOD[REPOSITORIES]), answer(403), answer(200, renamed)]
    async with watched(
        account_api(repo=[*answers, answer(200, {"repos": []})]), clock, NAMES_ALONE
    ) as watch:
        await watch.later(HOUR)
        assert watch.poller.state.names.repo("r")[0] == "Shop"
        await watch.later(2 * HOUR)
        assert watch.poller.state.names.repo("r") == ("Store", "w", "Web")
        assert watch.poller.state.names.repo("r2")[0] == "New"


async def test_a_fault_of_the_exporter_ends_in_the_log(clock, logged):
    """Whatever is raised, the timers go on and the other endpoints are asked."""

    def fault(request):
        raise ZeroDivisionError

    async with watched(account_api(repo=fault), clock, NAMES_ALONE) as watch:
        await watch.later(HOUR)
        assert watch.poller.state.up == {
            REPOSITORIES: False,
            WORKSPACES: True,
            LLMS: True,
            PROFILE: True,
        }
    assert "ZeroDivisionError" in logged()


async def test_a_publisher_that_fails_ends_no_timer(clock, logged):
    """An error while publishing is logged, and the next turn comes."""

    async def publish(state):
        raise ZeroDivisionError

    async with connected(router := account_api(), clock) as client:
        watch = Watched(client, clock)
        watch.poller = AccountPoller(publish, clock)
        watch.poller.start(watch.plan(CREDITS_ALONE))
        await watch.later(700)
        await watch.poller.stop()
    assert router["balance"].call_count == 3
    assert "ZeroDivisionError" in logged()


async def test_a_hang_holds_up_nothing_but_the_account(clock):
    """An endpoint that never answers is given up after api.timeout; the next one is asked."""
    hung = asyncio.Event()

    async def hang(request):
        hung.set()
        await asyncio.Event().wait()

    router = account_api(repo=hang)
    async with watched(router, clock, NAMES_ALONE, timeout="50ms") as watch:
        await hung.wait()
        await watch.later(200)
        assert watch.poller.state.endpoint(REPOSITORIES).up is False
        assert "timed out" in watch.poller.state.endpoint(REPOSITORIES).message
        assert watch.poller.state.up[PROFILE]


async def test_stop_cancels_what_is_under_way(clock):
    """The end waits for no answer."""
    hung = asyncio.Event()

    async def hang(request):
        hung.set()
        await asyncio.Event().wait()

    async with watched(account_api(repo=hang, balance=hang), clock) as watch:
        await hung.wait()
        async with asyncio.timeout(5):
            await watch.poller.stop()


async def test_a_reload_asks_again_with_the_new_client(clock):
    """What was not offered is asked for at a reload, by the new client, and names stay."""
    first = account_api(balance=[answer(404)])
    second = account_api(repo=[answer(500)])
    async with watched(first, clock) as watch, connected(second, clock) as client:
        await watch.asleep(3)
        await watch.poller.replace(watch.plan(client=client))
        state = await watch.state(lambda state: state.up.get(BALANCE))
        assert state.names.repo("r") == ("Shop", "w", "Web")
        before = len(first.calls)
        await watch.later(HOUR, timers=3)
        assert len(first.calls) == before


async def test_a_reload_to_another_account_knows_nothing_of_the_first(clock):
    """Names and credits of one account are not shown for another."""
    async with (
        watched(account_api(), clock) as watch,
        connected(account_api(repo=[answer(404)], balance=[answer(404)]), clock) as client,
    ):
        await watch.asleep(3)
        await watch.poller.replace(watch.plan(source="b", client=client))
        assert watch.published[-1] == AccountState()
        state = await watch.state(lambda state: state.names.llms)
        assert (state.names.repos, state.credits) == ({}, None)


async def test_a_reload_that_turns_credits_off_forgets_them(clock):
    """Credits go with their endpoint, and names stay."""
    async with watched(account_api(), clock) as watch:
        await watch.asleep(3)
        await watch.poller.replace(watch.plan(NONE))
        state = watch.published[-1]
    assert (state.credits, state.policies, state.up) == (None, None, {})
    assert state.names.repo("r")[0] == "Shop"


async def test_names_known_before_the_start_are_used(clock):
    """Names from the state file count until the API says another."""
    async with connected(account_api(repo=[answer(500)]), clock) as client:
        watch = Watched(client, clock)
        watch.poller.start(watch.plan(NAMES_ALONE), Names(repos={"r": Repo("Old", "w")}))
        await watch.later(150)
        await watch.poller.stop()
    assert watch.poller.state.names.repo("r") == ("Old", "w", "Web")


async def test_a_clock_that_is_set_delays_no_turn_for_long(clock):
    """Where the wall clock jumps back by hours, the next turn comes soon all the same."""
    async with watched(router := account_api(), clock, CREDITS_ALONE) as watch:
        await watch.asleep(1)
        clock.wall -= 5 * HOUR
        await watch.later(60)
    assert router["balance"].call_count == 2


async def test_the_account_of_the_simulator(clock, api):
    """Over real HTTP, with sign-in and gzip, everything about the made-up account is found."""
    client = FlashbackClient(api.config().api, clock, lambda *_: None)
    watch = Watched(client, clock)
    watch.poller.start(watch.plan())
    state = await watch.state(lambda state: len(state.up) == len(ACCOUNT_ENDPOINTS))
    await watch.poller.stop()
    await client.aclose()
    assert set(state.up.values()) == {True}
    assert state.names.profile.role == "owner"
    assert len(state.names.repos) == 12
    assert state.credits.value.balance > 0
    assert state.policies.value
