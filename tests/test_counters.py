"""Counters as /metrics shows them, from an account's answers to both formats of a scrape."""

import pytest
from clocks import HandClock
from ledger import account, driven
from material import DAY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.check import check_live
from exporter.metrics import METRICS

OPENMETRICS = "application/openmetrics-text"
CALLS = "flashback_ai_api_calls_total"


@pytest.fixture
async def books():
    """Serve an account whose numbers a test writes."""
    async with account(HandClock()) as one:
        yield one


async def samples(driver, name=CALLS):
    """Return a metric's values by repository (and severity), after both formats agreed on them."""
    families = parse_text(await driver.scrape())
    found = [sample for family in families for sample in family.samples if sample.name == name]
    others = parse_openmetrics(await driver.scrape(OPENMETRICS))
    assert found == [one for family in others for one in family.samples if one.name == name]
    return {
        tuple(label for key, label in one.labels.items() if key != "query"): one.value
        for one in found
    }


async def calls(driver):
    """Return the counters of calls by repository."""
    return {labels[0]: value for labels, value in (await samples(driver)).items()}


async def test_both_formats_name_and_type_a_counter_as_they_should(books):
    """A counter's TYPE bears `_total` in the text format and not in OpenMetrics; the mean's is a
    summary in both; and what days do not add up has none.
    """
    books.ledger.enter(DAY, "a", apiCalls=3, latency_ms=1500)
    async with driven(books) as driver:
        text, openmetrics = await driver.scrape(), await driver.scrape(OPENMETRICS)
    in_text = {family.name: family for family in parse_text(text)}
    in_openmetrics = {family.name: family for family in parse_openmetrics(openmetrics)}
    for metric in METRICS:
        family = metric.counter
        if family is None:
            assert metric.short_name == "active_conversations"
            assert "flashback_ai_active" not in text + openmetrics
            continue
        suffix = "_total" if family.type == "counter" else ""
        assert f"# TYPE {family.name}{suffix} {family.type}\n" in text
        assert f"# TYPE {family.name} {family.type}\n" in openmetrics
        assert in_openmetrics[family.name].type == in_text[family.name].type == family.type
        assert in_openmetrics[family.name].documentation == family.help
        names = {sample.name for sample in in_openmetrics[family.name].samples}
        wanted = {"_total"} if suffix else {"_sum", "_count"}
        assert names == {family.name + one for one in wanted}


async def test_a_call_counts_once_and_midnight_is_nothing_special(books):
    """Counters begin at 0 and grow by what is new, today's and what comes late for yesterday."""
    books.ledger.enter(DAY, "a", apiCalls=3)
    async with driven(books) as driver:
        assert await calls(driver) == {"a": 0}
        books.ledger.enter(DAY, "a", apiCalls=5)
        await driver.poll(43_190)
        assert await calls(driver) == {"a": 2}
        await driver.poll(10)
        assert await calls(driver) == {"a": 2}
        books.ledger.enter(DAY, "a", apiCalls=6)
        books.ledger.enter(DAY + 1, "a", apiCalls=10)
        await driver.poll()
        assert await calls(driver) == {"a": 13}


async def test_latency_is_exact_in_sum_and_count(books):
    """The quotient of sum and count is the mean of what was added since, in seconds."""
    books.ledger.enter(DAY, "a", apiCalls=2, latency_ms=1000)
    async with driven(books, {"metrics": ["latency_seconds"]}) as driver:
        books.ledger.enter(DAY, "a", apiCalls=6, latency_ms=1500.5)
        await driver.poll()
        books.ledger.enter(DAY, "a", apiCalls=9, latency_ms=None)
        await driver.poll()
        prefix = "flashback_ai_call_duration_seconds"
        assert await samples(driver, prefix + "_sum") == {("a",): (6 * 1500.5 - 2 * 1000) / 1000}
        assert await samples(driver, prefix + "_count") == {("a",): 4}


async def test_amounts_of_any_size_are_exact_as_text(books):
    """Beyond 2^53 all digits of a count are there; beyond a float it is infinite."""
    books.ledger.enter(DAY, "a", tokensIn="0")
    async with driven(books, {"metrics": ["input_tokens"]}) as driver:
        books.ledger.enter(DAY, "a", tokensIn=str(2**53 + 1))
        await driver.poll()
        line = f'flashback_ai_input_tokens_total{{query="one",repo_id="a"}} {2**53 + 1}\n'
        assert line in await driver.scrape()
        books.ledger.enter(DAY, "a", tokensIn=f"{17 * 10**307}")
        books.ledger.enter(DAY - 1, "a", tokensIn=f"{17 * 10**307}")
        await driver.poll()
        assert (await samples(driver, "flashback_ai_input_tokens_total")) == {("a",): float("inf")}


async def test_all_metrics_of_a_new_group_begin_together(books):
    """A group begins at 0 in all metrics, and all grow at the first poll two minutes later."""
    books.ledger.enter(DAY, "a")
    metrics = ["api_calls", "policy_violations_by_severity", "latency_seconds"]
    counters = [CALLS, "flashback_ai_policy_violations_by_severity_total",
                "flashback_ai_call_duration_seconds_sum"]  # fmt: skip

    async with driven(books, {"metrics": metrics}) as driver:

        async def of_b():
            values = [await samples(driver, name) for name in counters]
            return [one[key] for one in values for key in one if key[0] == "b"]

        books.ledger.enter(DAY, "b", apiCalls=2, numSeverityHigh=1, latency_ms=500)
        for seconds in (300, 60, 59):
            await driver.poll(seconds)
            assert await of_b() == [0, 0, 0, 0, 0]
        books.ledger.enter(DAY, "b", apiCalls=3, numSeverityHigh=1, latency_ms=500)
        await driver.poll(10)
        assert await of_b() == [3, 0, 0, 1, 1.5]


async def test_counters_stand_still_when_data_is_too_old(books):
    """Gauges vanish, counters stay, and go on with the next good poll."""
    books.ledger.enter(DAY, "a", apiCalls=3)
    async with driven(books, poll={"max_data_age": "13h"}) as driver:
        books.ledger.enter(DAY, "a", apiCalls=4)
        await driver.poll()
        scheduler = driver.exporter.scheduler
        await scheduler.stop()
        books.clock.move(13 * 3600 + 1)
        text = await driver.scrape()
        assert "flashback_ai_daily_api_calls" not in text
        assert await calls(driver) == {"a": 1}
        assert driver.exporter.status().series["one"] == text.count("\nflashback_ai_")


async def test_a_check_predicts_the_number_of_series(books, capsys):
    """`check --live` prints as many series as /metrics then has, as the exporter counts them, and
    as the page shows.
    """
    for number in range(5):
        books.ledger.enter(DAY - number % 2, f"{number}", apiCalls=number, latency_ms=number)
    queries = [
        {"name": "all"},
        {"name": "folded", "max_groups": 2},
        {"name": "gauges", "counters": False},
        {"name": "one sum", "labels": [], "metrics": ["api_calls", "latency_seconds"]},
    ]
    assert await check_live(books.configured(*queries), books.clock)
    printed = capsys.readouterr().out
    async with driven(books, *queries) as driver:
        text, page = await driver.scrape(), await driver.get("/")
        for query in queries:
            of_query = f'query="{query["name"]}"'
            lines = [line for line in text.splitlines() if line.startswith("flashback_ai_")]
            series = sum(of_query in line for line in lines)
            assert f"query {query['name']}: 5 records" in printed
            told = printed.split(f"query {query['name']}: ")[1].split(" series")[0].split()[-1]
            assert int(told) == series
            assert f"flashback_exporter_series{{{of_query}}} {series}.0\n" in text
            assert f">{series}<" in page


@pytest.mark.parametrize("labels", [[], ["repo_id"]])
async def test_sums_of_no_label_and_of_a_group_named_other(books, labels):
    """A query without labels has one counter; a real `other` grows with what is folded into it."""
    books.ledger.enter(DAY, "other", apiCalls=1)
    books.ledger.enter(DAY, "big", apiCalls=100)
    query = {"labels": labels, "max_groups": 1}
    async with driven(books, query) as driver:
        for repository in ("other", "big", "small"):
            books.ledger.enter(DAY, repository, apiCalls=103)
        await driver.poll()
        found = await samples(driver)
    folded = 102 + 103
    assert found == ({("big",): 3, ("other",): folded} if labels else {(): 3 + folded})


async def test_corrections_are_counted_and_lower_nothing(books):
    """A total that falls is waited for, and one that disappears counts as fallen to 0."""
    corrected = "flashback_exporter_corrected_groups_total"
    for repository in ("a", "b", "c"):
        books.ledger.enter(DAY, repository, apiCalls=10, activeConversations=5)
    async with driven(books) as driver:
        books.ledger.enter(DAY, "a", apiCalls=8)
        books.ledger.enter(DAY, "b", apiCalls=12)
        del books.ledger.entries[DAY, "c"]
        await driver.poll()
        assert (await calls(driver))["a"] == 0
        assert (await calls(driver))["b"] == 2
        assert await samples(driver, corrected) == {(): 2}
        books.ledger.enter(DAY, "a", apiCalls=9)
        books.ledger.enter(DAY, "c", apiCalls=11, activeConversations=1)
        await driver.poll()
        assert await calls(driver) == {"a": 0, "b": 2, "c": 1}
        assert await samples(driver, corrected) == {(): 2}


async def test_a_reload_keeps_counters_and_begins_those_that_it_shows_anew(books):
    """Metrics that come back begin with their old value, and what they gain is owed for a while."""
    books.ledger.enter(DAY, "a", apiCalls=1)
    async with driven(books) as driver:
        books.ledger.enter(DAY, "a", apiCalls=4)
        await driver.poll()
        await driver.reload({"counters": False})
        assert await calls(driver) == {}
        books.ledger.enter(DAY, "a", apiCalls=6)
        await driver.poll()
        assert await calls(driver) == {}

        books.ledger.enter(DAY, "a", apiCalls=7)
        await driver.reload({"counters": True, "max_groups": 1})
        assert await calls(driver) == {"a": 5}
        await driver.poll(60)
        assert await calls(driver) == {"a": 5}
        await driver.poll(60)
        assert await calls(driver) == {"a": 6}

        poll = {"days": 3, "max_data_age": "1d"}
        await driver.reload({"interval": "11h", "max_groups": 2}, poll=poll)
        assert await calls(driver) == {"a": 6}


async def test_a_query_that_comes_back_goes_on_and_after_a_week_begins_anew(books):
    """A query that a reload removes keeps its counters for seven days."""
    books.ledger.enter(DAY, "a", apiCalls=1)
    two = {"name": "two"}
    async with driven(books, {}, two) as driver:
        books.ledger.enter(DAY, "a", apiCalls=4)
        await driver.poll()
        await driver.reload(two)
        books.ledger.enter(DAY, "a", apiCalls=6)
        await driver.poll()
        await driver.reload({}, two)
        assert await of_query(driver) == {"one": 3, "two": 5}
        await driver.poll(120)
        assert await of_query(driver) == {"one": 5, "two": 5}

        await driver.reload(two)
        await driver.poll(7 * 86_400)
        await driver.poll()
        await driver.reload({}, two)
        books.ledger.enter(DAY + 7, "a", apiCalls=2)
        await driver.poll(200)
        await driver.poll(200)
        assert (await of_query(driver))["two"] == 7
        assert (await of_query(driver))["one"] == 2


async def test_a_restart_without_a_query_forgets_it_after_a_week(books, tmp_path):
    """What a state file has of a query goes with the first start a week later that has none."""
    state, two = {"file": tmp_path / "state.db"}, {"name": "two"}
    books.ledger.enter(DAY, "a", apiCalls=1)
    async with driven(books, {}, two, state=state) as driver:
        books.ledger.enter(DAY, "a", apiCalls=4)
        await driver.poll()
        assert await of_query(driver) == {"one": 3, "two": 3}
    books.clock.move(6 * 86_400)
    books.ledger.enter(DAY + 6, "a", apiCalls=1)
    async with driven(books, two, state=state) as driver:
        assert await of_query(driver) == {"two": 3}
    async with driven(books, {}, two, state=state) as driver:
        assert await of_query(driver) == {"one": 3, "two": 3}
    books.clock.move(7 * 86_400 + 1)
    async with driven(books, two, state=state):
        pass
    books.ledger.enter(DAY + 13, "a", apiCalls=9)
    async with driven(books, {}, two, state=state) as driver:
        await driver.poll()
        assert await of_query(driver) == {"one": 0, "two": 13}


async def of_query(driver):
    """Return the counter of calls of each query."""
    families = parse_text(await driver.scrape())
    return {
        sample.labels["query"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == CALLS
    }
