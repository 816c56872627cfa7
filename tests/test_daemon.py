"""A reload: what is kept of data and tokens, by what the configuration says before and after."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from clocks import HandClock, calm_interval
from loopback import Gate, served
from material import text

from exporter.config.sections import Config, Query
from exporter.daemon import Exporter
from exporter.demo.company import Company
from exporter.demo.simulator import EMAIL, PASSWORD, Fault, Simulator
from exporter.output.formats import TEXT
from exporter.plans import question

PATIENCE = 15  # real seconds
QUERY = {"name": "one", "labels": ["llm_type"], "metrics": ["api_calls"]}
CALLS = "flashback_ai_daily_api_calls"
CALM = calm_interval()


@pytest.fixture
def clock():
    """Return a clock that moves by hand alone, also for those who sleep."""
    return HandClock()


class Daemon:
    """An exporter whose configuration can be changed."""

    def __init__(self, gate, exporter):
        self.gate = gate
        self.exporter = exporter
        self.simulator = gate.simulator

    async def reload(self, query=QUERY, api=(), **sections):
        """Go on with another configuration; return what is shown before a poll has ended in it."""
        self.gate.close()
        self.next = configured(self.gate.url, query, api, **sections)
        await self.exporter.reload()
        return await self.shown()

    async def shown(self):
        """Return the sample lines of the query that are served."""
        plain = text((await self.exporter.publication.current()).exposition.plain(TEXT))
        return [line for line in plain.splitlines() if '{query="' in line]

    async def polled(self, polls):
        """Let all polls go on and wait until there were so many."""
        self.gate.open()
        async with asyncio.timeout(PATIENCE):
            while self.exporter.status().states["one"].polls < polls:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0)


def configured(url, query=QUERY, api=(), **sections):
    """Return a configuration for a simulator at that address."""
    login = {"email": EMAIL, "password": PASSWORD}
    section = {"base_url": url, "login": login, **dict(api)}
    poll = {"interval": CALM, **sections.pop("poll", {})}
    return Config.model_validate({"api": section, "poll": poll, "queries": [query], **sections})


async def signed_in(url):
    """Return the answer to a sign-in."""
    async with httpx.AsyncClient(base_url=url) as client:
        login = {"email": EMAIL, "password": PASSWORD}
        return (await client.post("/user/login", json=login)).json()


def bearer_token(token):
    """Return what the configuration says about the API where it holds a token itself."""
    return {"login": None, "authorization": {"credentials": token}}


@asynccontextmanager
async def daemon(clock, *, bearer=False):
    """Run an exporter, without a web server, on a simulator, until its first poll is good.

    It signs in with a password, or with a bearer token in the configuration.
    """
    simulator = Simulator(Company(), clock)
    gate = Gate(simulator.app)
    async with served(gate) as (_, gate.url):
        gate.simulator = simulator
        api = bearer_token((await signed_in(gate.url))["accessToken"]) if bearer else {}
        config = configured(gate.url, api=api)
        one = Daemon(gate, None)
        one.exporter = await Exporter.create(config, lambda: one.next, clock)
        one.exporter.start()
        try:
            await one.polled(1)
            yield one
        finally:
            gate.open()
            await one.exporter.stop()


@pytest.mark.parametrize(
    "api",
    [
        {"login": {"email": EMAIL, "password": "changed"}},
        {"timeout": "20s"},
        {"max_concurrent_requests": 7},
        {"refresh_token_file": "/nowhere/token"},
    ],
    ids=["password", "timeout", "requests", "refresh token"],
)
async def test_data_belongs_to_the_question_and_not_to_the_secret(clock, api):
    """Another secret or way to ask drops nothing: what was known is shown on, and then polled."""
    async with daemon(clock) as one:
        before = await one.shown()
        assert before
        assert await one.reload(api=api) == before
        assert one.exporter.status().states["one"].up(clock.monotonic())


async def test_another_bearer_token_drops_no_data(clock):
    """A token in the configuration itself may be replaced by the next one."""
    async with daemon(clock, bearer=True) as one:
        before = await one.shown()
        assert before
        assert await one.reload(api=bearer_token("the next one")) == before


@pytest.mark.parametrize(
    ("query", "api"),
    [
        ({**QUERY, "labels": ["llm_model"]}, {}),
        ({**QUERY, "filters": {"llm_type": ["openai"]}}, {}),
        (QUERY, {"login": {"email": "you@example.com", "password": PASSWORD}}),
        (QUERY, {"base_url": "http://127.0.0.1:1"}),
    ],
    ids=["labels", "filters", "e-mail", "address"],
)
async def test_another_question_begins_anew(clock, query, api):
    """No answer to one question is ever shown for another, nor one account's for another's."""
    async with daemon(clock) as one:
        assert await one.reload(query, api) == []


async def test_a_poll_that_outlives_its_question_is_left_out(clock):
    """Where reloads ask something else and then the same again, all begins anew: a poll that was
    under way all the time belongs to what was before.
    """
    async with daemon(clock) as one:
        await one.gate.arrival()
        await one.reload(poll={"days": 5})
        await one.gate.arrival()
        await one.reload({**QUERY, "labels": ["llm_model"]}, poll={"days": 5})
        assert await one.reload(poll={"days": 5}) == []
        polls = one.exporter.status().states["one"].polls

        one.gate.let_one_pass()
        await one.gate.arrival()
        assert await one.shown() == []
        assert one.exporter.status().states["one"].polls == polls
        await one.polled(polls + 1)
        counters = [line for line in await one.shown() if "api_calls_total" in line]
        assert counters
        assert all(line.endswith(" 0") for line in counters)


async def test_metrics_that_a_reload_adds_are_shown_at_once(clock):
    """Data holds every metric: a reload that names more or fewer shows them without a poll."""
    async with daemon(clock) as one:
        before = await one.shown()
        metrics = ["api_calls", "input_tokens"]
        more = await one.reload({**QUERY, "metrics": metrics})
        assert any(line.startswith("flashback_ai_daily_input_tokens") for line in more)
        assert set(before) < set(more)
        fewer = await one.reload({**QUERY, "metrics": metrics[1:]})
        assert not any(line.startswith(CALLS) for line in fewer)


@pytest.mark.parametrize("days", [1, 5])
async def test_other_days_are_polled_and_the_known_ones_shown_meanwhile(clock, days):
    """A reload that changes poll.days shows what is known until the poll that follows it."""
    async with daemon(clock) as one:
        before = await one.shown()
        assert await one.reload(poll={"days": days}) == before
        await one.polled(2)
        after = await one.shown()
    assert sum("start_timestamp" in line for line in after) == days


async def test_fewer_groups_are_shown_after_the_next_poll(clock):
    """A reload that lowers max_groups holds from the next poll on,
    also for groups that were shown before.
    """
    async with daemon(clock) as one:
        before = await one.shown()
        assert await one.reload({**QUERY, "max_groups": 1}) == before
        await one.polled(2)
        after = await one.shown()
        shown = {line for line in after if line.startswith(CALLS) and 'day="today"' in line}
        assert len(shown) == 2
        assert any('llm_type="other"' in line for line in shown)


async def test_a_reload_that_changes_the_client_signs_in_no_second_time(clock):
    """Tokens outlive the client, so that a refresh token in memory alone is not lost."""
    async with daemon(clock) as one:
        one.simulator.misbehave(Fault(status=500), endpoint="/user/login")
        await one.reload(api={"timeout": "20s"})
        await one.polled(2)
        assert one.exporter.status().states["one"].last.reason is None


ONLY_SHOWN = {"name", "interval", "metrics", "counters", "max_groups"}


def test_every_option_of_a_query_is_of_its_question_or_only_of_what_is_shown():
    """Counters go on while a question stays. So an option that changes what is asked must be in
    the question; one that only changes what is shown of the answer is listed here.
    """
    config = Config.model_validate(
        {"api": {"authorization": {"credentials": "x"}}, "queries": [QUERY]}
    )
    asked = json.loads(question(config, config.queries[0])).keys() - {"base_url", "email"}
    assert asked | ONLY_SHOWN == Query.model_fields.keys()
    assert not asked & ONLY_SHOWN
