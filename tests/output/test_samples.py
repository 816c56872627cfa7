"""Samples: what a query shows, whatever it is written as."""

import math
from collections import Counter

import pytest
from material import DAY, at_once, exposed, raw_record, shown, text
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.config.sections import Query
from exporter.metrics import DAY_START, METRICS, Family
from exporter.output.formats import TEXT
from exporter.output.samples import Column, Table, tables
from exporter.statistics.groups import Grouping, Snapshot
from exporter.statistics.records import parse_record

WINDOW = (DAY, DAY - 1, DAY - 2)
SUM_BEYOND_A_FLOAT = [raw_record(apiCalls=int(1.7e308), userUuid=user) for user in ("a", "b")]


def snapshot(*records: dict[str, object], query: Query) -> Snapshot:
    grouping = Grouping(query, WINDOW)
    for record in records:
        grouping.add(parse_record(record, grouping.window))
    return at_once(grouping.snapshot())


def listed(*of: Table) -> list[tuple[str, dict[str, str], float]]:
    """Return the samples of blocks one by one."""
    return [tuple(sample) for block in of for sample in block.samples()]


@pytest.mark.parametrize("today", [DAY - 1, DAY, DAY + 1])
@pytest.mark.parametrize("labels", [(), ("repo_id",), ("host", "llm_model", "repo_id")])
async def test_the_text_says_what_the_samples_say(labels, today):
    """Written and read back, the samples are the same, and each is there once."""
    query = Query(labels=labels)
    records = [
        raw_record(
            repoId=f"{number}", apiCalls=number % 3, latency_ms=number, timestamp=86_400 * day
        )
        for number in range(300)
        for day in WINDOW[number % 2 :]
    ]
    found = snapshot(*records, raw_record(repoId='"\n\\'), query=query)
    expected = listed(*tables(shown(found, query), today))
    families = parse_text(text((await exposed(found, query, today)).plain(TEXT)))
    read = [sample for family in families for sample in family.samples]
    assert counted(read) == counted(expected)
    assert set(counted(expected).values()) == {1}
    assert {name for name, _, _ in expected} == {
        DAY_START.name,
        *(metric.name for metric in METRICS),
    }


def counted(samples) -> Counter[tuple[str, tuple[tuple[str, str], ...], float]]:
    """Return how often there is each sample."""
    return Counter(
        (name, tuple(labels.items()), float(value)) for name, labels, value, *_ in samples
    )


def test_a_sample_is_as_exact_as_a_float_allows():
    """A whole number keeps all its digits; a sum that no float holds is infinite."""
    query = Query(labels=("repo_id",), metrics=("api_calls", "input_tokens"))
    found = snapshot(*SUM_BEYOND_A_FLOAT, raw_record(tokensIn=2**53 + 1), query=query)
    values = {
        name: value
        for name, labels, value in listed(*tables(shown(found, query), DAY))
        if labels["day"] == "today"
    }
    assert values["flashback_ai_daily_api_calls"] == math.inf
    assert values["flashback_ai_daily_input_tokens"] == 2**53 + 1


def test_a_block_is_read_row_by_row():
    """Labels stand in order: the column's around those of the row; None is no sample."""
    a = Family("a", "summary", "")
    two_metrics = (
        Column(a, (("query", "q"),), (("severity", "low"),), [[1, None]], "_sum"),
        Column(a, (), (), [[0, 2.5]], "_count"),
    )
    table = Table(("x", "y"), [[("1", "2"), ("3", "")]], two_metrics)
    assert [(name, list(labels.items()), value) for name, labels, value in listed(table)] == [
        ("a_sum", [("query", "q"), ("x", "1"), ("y", "2"), ("severity", "low")], 1),
        ("a_count", [("x", "1"), ("y", "2")], 0),
        ("a_count", [("x", "3"), ("y", "")], 2.5),
    ]
