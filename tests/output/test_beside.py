"""What stands beside the statistics: a row for each ID that is shown, and never a made-up value."""

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from material import at_once, raw_record, text
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.config.price_list import OwnPrice
from exporter.config.sections import Query
from exporter.output.beside import BESIDE
from exporter.output.formats import TEXT
from exporter.output.publication import Facts, Publication
from exporter.prices.table import Prices
from exporter.statistics.account import (
    AccountState,
    Credits,
    Names,
    Policy,
    Profile,
    Reading,
    Repo,
)
from exporter.statistics.groups import Grouping
from exporter.statistics.records import parse_record
from exporter.statistics.state import Outcome, QueryState

REPO = "flashback_repo_info"
LLM = "flashback_ai_llm_info"
KEY = "flashback_repo_ai_api_key_info"
PRICE = "flashback_llm_price_dollars_per_token"
IDS = ("repo_id", "ai_llm_id", "repo_ai_api_key_id")
HOSTILE = 'a "quoted" \\ name\nof two lines, }'
NAMES = Names(
    repos={"r1": Repo("Shop", "w1"), "r2": Repo("", "w9"), "r3": Repo(HOSTILE, "")},
    workspaces={"w1": HOSTILE},
    llms={"l1": "Big"},
    keys={"k1": "live", "k2": "live"},
    profile=Profile("o", "owner"),
)


@dataclass
class Shown:
    """A publication, and what it serves."""

    publication: Publication
    clock: object

    async def add(self, name, *records):
        """Let a query's poll find these records."""
        state = self.publication.view.states[name]
        day = int(self.clock.time() // 86_400)
        grouping = Grouping(state.query, (day, day - 1))
        for record in records:
            grouping.add(parse_record(record, grouping.window))
        snapshot = at_once(grouping.snapshot())
        now = self.clock.monotonic()
        outcome = Outcome(self.clock.time(), now, 1, {}, snapshot)
        await self.publication.add(name, state.source, outcome)

    async def exposition(self):
        """Return all that is served."""
        return text((await self.publication.current()).exposition.plain(TEXT))

    async def samples(self):
        """Return the samples of what stands beside the statistics: values by labels, by name."""
        found = {metric.name: {} for metric in BESIDE}
        for family in parse_text(await self.exposition()):
            for name, labels, value, *_ in family.samples:
                if name in found:
                    row = tuple(labels.values())
                    assert row not in found[name]
                    found[name][row] = value
        return found


@pytest.fixture
def showing(clock):
    """Return a function that publishes for some queries, with what is known beside."""

    async def showing(*queries, account=None, prices=None):
        states = {query.name: QueryState(query, "source", 300, 3600) for query in queries}
        facts = Facts(states, account or AccountState(), prices or Prices())
        return Shown(await Publication.empty(clock, facts), clock)

    return showing


def reading(value, clock, seconds=3600):
    """Return what was just read, good for so many seconds."""
    return Reading(value, clock.monotonic() + seconds)


# Names


async def test_every_id_that_is_shown_has_a_row(showing):
    """IDs of several queries have one row each, with the name or, where none is known, the ID."""
    everything = Query(name="a", labels=IDS)
    repos = Query(name="b", labels=("host", "repo_id"))
    shown = await showing(everything, repos, account=AccountState(NAMES))
    await shown.add("a", raw_record(repoId="r1", aiLlmId="l1", repoAiApiKeyId="k1"))
    await shown.add("b", *(raw_record(repoId=repo) for repo in ("r1", "r2", "new")))
    samples = await shown.samples()
    assert samples[REPO] == {
        ("r1", "Shop", "w1", HOSTILE): 1,
        ("r2", "r2", "w9", ""): 1,
        ("new", "new", "", ""): 1,
    }
    assert samples[LLM] == {("l1", "Big"): 1}
    assert samples[KEY] == {("k1", "live"): 1}


async def test_other_and_the_empty_id_have_rows(showing):
    """So have the folded group and records without an ID, also where no name is known at all."""
    query = Query(name="a", labels=IDS, max_groups=1)
    shown = await showing(query)
    records = [raw_record(repoId=repo, apiCalls=calls) for repo, calls in (("x", 1), ("y", 2))]
    empty = raw_record(repoId=None, aiLlmId=None, repoAiApiKeyId=None, apiCalls=9)
    await shown.add("a", *records, empty)
    samples = await shown.samples()
    assert samples[REPO] == {("", "", "", ""): 1, ("other", "other", "", ""): 1}
    assert samples[LLM] == {("", ""): 1, ("other", "other"): 1}
    assert samples[KEY] == {("", ""): 1, ("other", "other"): 1}


async def test_a_query_without_the_label_brings_no_row(showing):
    """IDs that no query shows have no row, whatever is known of them."""
    shown = await showing(Query(name="a", labels=("host",)), account=AccountState(NAMES))
    await shown.add("a", raw_record())
    samples = await shown.samples()
    assert (samples[REPO], samples[LLM], samples[KEY]) == ({}, {}, {})


async def test_a_new_name_takes_the_place_of_the_old_one(showing):
    """After a rename there is one row, with the new name, and no poll is needed for it."""
    shown = await showing(Query(name="a", labels=IDS), account=AccountState(NAMES))
    await shown.add("a", raw_record(repoId="r1"))
    renamed = replace(NAMES, repos={"r1": Repo("Store", "w1")})
    await shown.publication.learn(AccountState(renamed))
    assert list((await shown.samples())[REPO]) == [("r1", "Store", "w1", HOSTILE)]


async def test_two_things_may_have_one_name(showing):
    """IDs with the same name keep a row each."""
    shown = await showing(Query(name="a", labels=IDS), account=AccountState(NAMES))
    await shown.add("a", *(raw_record(repoAiApiKeyId=key) for key in ("k1", "k2")))
    assert (await shown.samples())[KEY] == {("k1", "live"): 1, ("k2", "live"): 1}


async def test_names_that_need_it_are_escaped(showing):
    """Quotes, backslashes and line ends in a name come back as they were."""
    shown = await showing(Query(name="a", labels=IDS), account=AccountState(NAMES))
    await shown.add("a", raw_record(repoId="r3"))
    assert list((await shown.samples())[REPO]) == [("r3", HOSTILE, "", "")]


async def test_a_row_goes_with_its_id(showing, clock):
    """Once an ID is shown no more, its row is gone as well."""
    query = Query(name="a", labels=IDS, counters=False)
    shown = await showing(query, account=AccountState(NAMES))
    await shown.add("a", raw_record(repoId="r1"))
    await shown.add("a", raw_record(repoId="r2"))
    assert [row[0] for row in (await shown.samples())[REPO]] == ["r2"]
    clock.move(3601)
    assert (await shown.samples())[REPO] == {}


async def test_the_account_itself(showing):
    """Organisation and role are one row; before they are known there is none."""
    shown = await showing(Query())
    assert (await shown.samples())["flashback_account_info"] == {}
    await shown.publication.learn(AccountState(NAMES))
    assert (await shown.samples())["flashback_account_info"] == {("o", "owner"): 1}


# Credits and policies


async def test_what_the_api_does_not_say_is_absent(showing, clock):
    """Of credits only what is known has a sample; nothing is ever 0 for want of knowledge."""
    shown = await showing(Query())
    assert "flashback_credits" not in await shown.exposition()
    known = Credits(balance=Decimal("0.1"), pending={"ai": Decimal(2)})
    await shown.publication.learn(AccountState(credits=reading(known, clock)))
    samples = await shown.samples()
    assert samples["flashback_credits_balance"] == {(): 0.1}
    assert samples["flashback_credits_pending"] == {("ai",): 2}
    assert samples["flashback_credits_booked_balance"] == {}
    assert samples["flashback_credits_booked_until_timestamp_seconds"] == {}


async def test_policies_have_what_is_known(showing, clock):
    """Violations, alerts and blocks by policy, and violations by severity, where they are known."""
    policies = {
        "p1": Policy("Secrets", 3, 2, 0, {"low": 1, "high": 2}),
        "p2": Policy(HOSTILE, violations=0),
    }
    shown = await showing(Query(), account=AccountState(policies=reading(policies, clock)))
    await shown.publication.learn(AccountState(policies=reading(policies, clock)))
    samples = await shown.samples()
    last = "flashback_policy_last_24h_"
    assert samples[last + "violations"] == {("p1", "Secrets"): 3, ("p2", HOSTILE): 0}
    assert samples[last + "alerts"] == {("p1", "Secrets"): 2}
    assert samples[last + "blocks"] == {("p1", "Secrets"): 0}
    assert samples[last + "violations_by_severity"] == {
        ("p1", "Secrets", "low"): 1,
        ("p1", "Secrets", "high"): 2,
    }


async def test_credits_and_policies_vanish_with_age(showing, clock):
    """The next scrape after their time has none of them, also without any poll."""
    account = AccountState(
        credits=reading(Credits(Decimal(5)), clock, 60),
        policies=reading({"p": Policy("P", 1)}, clock, 120),
    )
    shown = await showing(Query())
    await shown.publication.learn(account)
    clock.move(60)
    assert (await shown.samples())["flashback_credits_balance"] == {(): 5}
    clock.move(1)
    samples = await shown.samples()
    assert samples["flashback_credits_balance"] == {}
    assert samples["flashback_policy_last_24h_violations"] == {("p", "P"): 1}
    clock.move(60)
    assert "flashback_policy" not in await shown.exposition()


# Prices

OWN = Prices([OwnPrice(llm_type="x", model="*", input=2, output=8)])
MODEL = ("llm_type", "llm_model")


async def test_models_that_are_shown_have_their_prices(showing):
    """Each pair of provider and model has two rows, whichever query shows it."""
    labels = Query(name="a", labels=MODEL), Query(name="b", labels=("llm_model", "llm_type"))
    shown = await showing(*labels, prices=OWN)
    await shown.add("a", raw_record(llmType="x", llmModel="m"))
    known, unknown = ("openai", "gpt-4o"), ("openai", "no-such-model")
    await shown.add("b", *(raw_record(llmType=kind, llmModel=m) for kind, m in (known, unknown)))
    prices = (await shown.samples())[PRICE]
    assert prices.keys() == {
        ("x", "m", "input"),
        ("x", "m", "output"),
        ("openai", "gpt-4o", "input"),
        ("openai", "gpt-4o", "output"),
    }
    assert (prices["x", "m", "input"], prices["x", "m", "output"]) == (2e-6, 8e-6)


@pytest.mark.parametrize("labels", [("llm_type",), ("llm_model",), ("host",)])
async def test_prices_need_both_labels(showing, labels):
    """A query that shows but one of provider and model brings no price."""
    shown = await showing(Query(name="a", labels=labels), prices=OWN)
    await shown.add("a", raw_record(llmType="x", llmModel="m"))
    assert (await shown.samples())[PRICE] == {}


async def test_what_is_folded_has_no_price(showing):
    """The group `other`, which adds up many models, is not priced, whatever fits the name."""
    any_other = Prices([OwnPrice(llm_type="other", model="*", input=1, output=1)])
    query = Query(name="a", labels=MODEL, max_groups=1)
    shown = await showing(query, prices=any_other)
    models = {"m": 9, "n": 1, "p": 1}
    await shown.add(
        "a", *(raw_record(llmType="other", llmModel=m, apiCalls=n) for m, n in models.items())
    )
    assert 'llm_type="other",llm_model="other"' in await shown.exposition()
    assert {row[1] for row in (await shown.samples())[PRICE]} == {"m"}


async def test_every_metric_is_declared_as_the_table_has_it(showing, clock):
    """Each row of the table is one metric: its HELP, its type, its labels in their order."""
    account = AccountState(
        NAMES,
        reading(Credits(Decimal(1), Decimal(2), 3.0, {"ai": Decimal(4)}), clock),
        reading({"p": Policy("P", 1, 1, 1, {"low": 1})}, clock),
    )
    shown = await showing(Query(name="a", labels=(*IDS, *MODEL)), prices=OWN)
    await shown.publication.learn(account)
    await shown.add("a", raw_record(llmType="x"))
    exposition = await shown.exposition()
    for metric in BESIDE:
        assert f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} gauge\n" in exposition
    families = {family.name: family for family in parse_text(exposition)}
    for metric in BESIDE:
        assert tuple(families[metric.name].samples[0].labels) == metric.labels
