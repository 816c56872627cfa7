"""Joins with names, and estimates of cost, in the real PromQL, on what the exporter serves."""

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from clocks import FakeClock
from material import at_once, raw_record, text
from programs import tool

from exporter.clock import utc_day
from exporter.config.sections import Query
from exporter.output.formats import TEXT
from exporter.output.publication import Facts, Publication
from exporter.statistics.account import AccountState, Names, Repo
from exporter.statistics.groups import Grouping
from exporter.statistics.records import parse_record
from exporter.statistics.state import Outcome, QueryState

README = (Path(__file__).parents[2] / "README.md").read_text()
CALLS = 'flashback_ai_daily_api_calls{query="default", day="today"}'
INFO = {
    "repo_id": ("repo_name", "flashback_repo_info"),
    "ai_llm_id": ("ai_llm_name", "flashback_ai_llm_info"),
    "repo_ai_api_key_id": ("repo_ai_api_key_name", "flashback_repo_ai_api_key_info"),
}
HOSTILE = 'a "quoted" \\ name\nof two lines, }'
NAMES = Names(
    repos={"a": Repo(HOSTILE, "w"), "b": Repo("Twin", "w"), "c": Repo("Twin", "w")},
    workspaces={"w": "W"},
    llms={"a": "Big"},
    keys={"a": HOSTILE},
)

# Dollars for a million tokens in and out, as their providers list them.
LISTED = {
    ("openai", "gpt-4o"): ("2.50", "10"),
    ("openai", "gpt-4o-mini"): ("0.15", "0.60"),
    ("anthropic", "claude-sonnet-4-5"): ("3", "15"),
    ("anthropic", "claude-haiku-4-5"): ("1", "5"),
    ("google", "gemini-2.5-flash"): ("0.30", "2.50"),
}
TOKENS = {model: (10**6 * n, 10**5 * n + 1) for n, model in enumerate(LISTED, 1)}


async def served(query, names, *records):
    """Return the lines that an exporter serves which found these records."""
    clock = FakeClock()
    today = utc_day(clock.time())
    grouping = Grouping(query, (today, today - 1))
    for record in records:
        grouping.add(parse_record(record, grouping.window))
    facts = Facts({"default": QueryState(query, "", 300, 3600)}, AccountState(names))
    publication = await Publication.empty(clock, facts)
    now = clock.monotonic()
    outcome = Outcome(clock.time(), now, 1, {}, at_once(grouping.snapshot()))
    await publication.add("default", "", outcome)
    lines = text(publication.view.exposition.plain(TEXT)).splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.fixture
def evaluated(tmp_path):
    """Return a function that evaluates expressions in promtool over lines of exporters; the
    value of each has to be as wanted.
    """

    def evaluated(wanted, *exporters):
        series = []
        for number, lines in enumerate(exporters):
            for line in lines:
                labels, value = re.fullmatch(r"(.*)\} (\S+)", line).groups()
                series.append({"series": f'{labels},instance="{number}"}}', "values": value})
        questions = [
            {
                "expr": expression,
                "eval_time": "0m",
                "exp_samples": [{"labels": "{}", "value": value}],
            }
            for expression, value in wanted.items()
        ]
        test = {"interval": "1m", "input_series": series, "promql_expr_test": questions}
        path = tmp_path / "test.yml"
        path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}, width=10**6))
        command = [tool("promtool"), "test", "rules", path]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout

    return evaluated


def joined(expression, label):
    """Return an expression with a name joined to an ID, as the README does it."""
    name, info = INFO[label]
    best = f"topk by ({label}) (1, max by ({label}, {name}) ({info}))"
    return f"{expression} * on ({label}) group_left ({name}) {best}"


def test_the_join_is_the_readmes():
    """What is tested here is what the README says."""
    wanted = joined("", "repo_id").strip()
    assert wanted in README


def records(ids):
    """Return a record for each ID, which stands in all three fields."""
    return [
        raw_record(repoId=one, aiLlmId=one, repoAiApiKeyId=one, apiCalls=number)
        for number, one in enumerate(ids, 1)
    ]


@pytest.mark.parametrize("label", INFO)
async def test_a_join_loses_no_series(evaluated, label):
    """With IDs of every kind, named, unknown, odd, empty and folded, all series and calls are
    left after the join.
    """
    query = Query(labels=tuple(INFO), metrics=("api_calls",), counters=False, max_groups=9)
    ids = ["folded 1", "folded 2", "folded 3", None, HOSTILE, "unknown", *"abcdef"]
    lines = await served(query, NAMES, *records(ids))
    other, empty = (f'{CALLS[:-1]}, {label}="{value}"}}' for value in ("other", ""))
    wanted = {
        f"count({joined(CALLS, label)})": 10,
        f"sum({joined(CALLS, label)})": sum(range(1, len(ids) + 1)),
        f"sum({joined(other, label)})": 1 + 2 + 3,
        f"sum({joined(empty, label)})": 4,
    }
    evaluated(wanted, lines)


async def test_a_join_survives_a_rename_that_one_replica_has_not_seen(evaluated):
    """While two exporters name an ID differently, the join gives each series once."""
    query = Query(labels=("repo_id",), metrics=("api_calls",), counters=False)
    found = records(["a", "b"])
    old = await served(query, NAMES, *found)
    new = await served(query, Names(repos={"a": Repo("Renamed", "v")}), *found)
    once = f"max without (instance) ({CALLS})"
    wanted = {f"count({joined(once, 'repo_id')})": 2, f"sum({joined(once, 'repo_id')})": 3}
    evaluated(wanted, old, new)


async def test_the_estimate_of_a_day_is_the_reckoning_by_hand(evaluated):
    """Tokens times list prices for five models, to the last digit that a float holds; a model
    without a price is left out, and is found by its absence.
    """
    query = Query(labels=("llm_type", "llm_model"), counters=False)
    unpriced = raw_record(llmType="other", llmModel="our own", llmTokensIn=10**9)
    found = [
        raw_record(llmType=kind, llmModel=model, llmTokensIn=tokens[0], llmTokensOut=tokens[1])
        for (kind, model), tokens in TOKENS.items()
    ]
    lines = await served(query, Names(), unpriced, *found)

    def cost(direction):
        tokens = f'flashback_ai_daily_llm_{direction}_tokens{{query="default", day="today"}}'
        price = f'flashback_llm_price_dollars_per_token{{direction="{direction}"}}'
        dearest = f"max by (llm_type, llm_model) ({price})"
        return f"sum({tokens} * on (llm_type, llm_model) group_left () {dearest})"

    by_hand = sum(
        Fraction(price) * tokens / 10**6
        for model, prices in LISTED.items()
        for price, tokens in zip(prices, TOKENS[model], strict=True)
    )
    difference = f"abs({cost('input')} + {cost('output')} - {float(by_hand)!r}) < bool 1e-9"
    without = (
        'count(flashback_ai_daily_llm_input_tokens{day="today"}'
        " unless on (llm_type, llm_model) flashback_llm_price_dollars_per_token)"
    )
    evaluated({difference: 1, without: 1}, lines)
