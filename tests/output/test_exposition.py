"""The rendered bytes: labels, days, numbers, gzip."""

import gzip
import math
import zlib

import pytest
from material import DAY, at_once, exposed, polled, raw_record, text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.config.sections import Query
from exporter.metrics import DAY_START, METRICS, Family
from exporter.output.exposition import render
from exporter.output.formats import TEXT
from exporter.output.samples import Column, Table
from exporter.statistics.groups import Grouping, Snapshot
from exporter.statistics.records import parse_record

DAYS = (DAY, DAY - 1)


def snapshot(
    *records: dict[str, object], query: Query | None = None, days: tuple[int, ...] = DAYS
) -> Snapshot:
    grouping = Grouping(query or Query(labels=("repo_id",)), days)
    for record in records:
        grouping.add(parse_record(record, grouping.window))
    return at_once(grouping.snapshot())


async def samples(
    found: Snapshot, query: Query, today: int = DAY
) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return all samples by metric name, after both parsers agreed on them."""
    plain = text((await exposed(found, query, today)).plain(TEXT))
    families = list(parse_text(plain))
    assert [f.samples for f in families] == [
        f.samples for f in parse_openmetrics(plain + "# EOF\n")
    ]
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in families
    }


QUERY = Query(labels=("repo_id",))


async def test_every_metric_is_there_once_with_help_and_type():
    """A query shows all metrics of the table unless it names some."""
    plain = text((await exposed(snapshot(raw_record(apiCalls=1)), QUERY)).plain(TEXT))
    for name in [metric.name for metric in METRICS] + [DAY_START.name]:
        assert plain.count(f"# HELP {name} ") == plain.count(f"# TYPE {name} gauge\n") == 1


async def test_a_query_shows_the_metrics_that_it_names():
    """What a query does not ask for costs no series; the start of the day is always there."""
    query = Query(labels=("repo_id",), metrics=("api_calls", "blocks"))
    shown = await samples(snapshot(raw_record()), query)
    assert shown.keys() == {
        "flashback_ai_daily_api_calls",
        "flashback_ai_daily_blocks",
        DAY_START.name,
    }


async def test_labels_stand_in_the_order_of_the_query():
    """First query and day, then the query's labels in its order, then the severity."""
    query = Query(name="q", labels=("host", "repo_id"), metrics=("policy_violations_by_severity",))
    plain = text(
        (await exposed(snapshot(raw_record(numSeverityHigh=3), query=query), query)).plain(TEXT)
    )
    assert '_by_severity{query="q",day="today",host="x",repo_id="x",severity="high"} 3\n' in plain


async def test_days_are_named_by_their_distance():
    """The window's days are today, yesterday, today-2 and so on, each with its midnight."""
    days = tuple(DAY - offset for offset in range(4))
    shown = await samples(snapshot(raw_record(), days=days), QUERY)
    assert [(labels["day"], value) for labels, value in shown[DAY_START.name]] == [
        ("today", 1_704_067_200),
        ("yesterday", 1_703_980_800),
        ("today-2", 1_703_894_400),
        ("today-3", 1_703_808_000),
    ]


async def test_a_group_is_shown_for_every_day():
    """A day without a record is 0, so that no series is born at 1."""
    shown = await samples(snapshot(raw_record(apiCalls=5, timestamp=(DAY - 1) * 86_400)), QUERY)
    assert [value for _, value in shown["flashback_ai_daily_api_calls"]] == [0, 5]


async def test_after_midnight_the_data_is_a_day_older():
    """What was polled as today is yesterday, the new day begins at 0,
    and the last day drops out of the window.
    """
    found = snapshot(raw_record(apiCalls=5), raw_record(apiCalls=3, timestamp=(DAY - 1) * 86_400))
    shown = await samples(found, QUERY, today=DAY + 1)
    assert [(labels["day"], value) for labels, value in shown["flashback_ai_daily_api_calls"]] == [
        ("today", 0),
        ("yesterday", 5),
    ]
    assert [value for _, value in shown[DAY_START.name]] == [1_704_153_600, 1_704_067_200]
    assert "flashback_ai_daily_latency_seconds" in shown


async def test_a_clock_set_back_shows_only_days_that_are_known():
    """Days before the polled window are unknown, not zero."""
    found = snapshot(raw_record(apiCalls=5), raw_record(apiCalls=3, timestamp=(DAY - 1) * 86_400))
    shown = await samples(found, QUERY, today=DAY - 1)
    assert [(labels["day"], value) for labels, value in shown["flashback_ai_daily_api_calls"]] == [
        ("today", 3)
    ]


async def test_a_latency_without_calls_is_absent():
    """A mean over nothing has no value."""
    found = snapshot(
        raw_record(repoId="a", apiCalls=2, latency_ms=1500), raw_record(repoId="b", latency_ms=99)
    )
    shown = await samples(found, QUERY)
    latency = shown["flashback_ai_daily_latency_seconds"]
    assert latency == [({"query": "default", "day": "today", "repo_id": "a"}, 1.5)]


async def test_the_latency_is_the_mean_of_the_calls_it_is_known_for():
    """Calls of unknown latency do not count as fast, and where none is known there is no series."""
    found = snapshot(
        raw_record(repoId="a", apiCalls=2, latency_ms=1500),
        raw_record(repoId="a", apiCalls=2, latency_ms=None),
        raw_record(repoId="b", apiCalls=5, latency_ms=None),
    )
    shown = await samples(found, QUERY)
    latency = shown["flashback_ai_daily_latency_seconds"]
    assert latency == [({"query": "default", "day": "today", "repo_id": "a"}, 1.5)]
    calls = [
        value for labels, value in shown["flashback_ai_daily_api_calls"] if labels["day"] == "today"
    ]
    assert calls == [4, 5]


async def test_what_is_lacking_is_shown_as_empty_and_zero():
    """A call outside a conversation has the empty conversation, and counts."""
    query = Query(labels=("conversation_uuid",), metrics=("api_calls", "input_tokens"))
    record = raw_record(apiCalls="4", conversationUuid=None, tokensIn=None)
    shown = await samples(snapshot(record, query=query, days=(DAY,)), query)
    labels = {"query": "default", "day": "today", "conversation_uuid": ""}
    assert shown["flashback_ai_daily_api_calls"] == [(labels, 4)]
    assert shown["flashback_ai_daily_input_tokens"] == [(labels, 0)]


async def test_a_metric_without_samples_is_not_announced():
    """Where no latency is known, its HELP and TYPE are left out too."""
    plain = text(
        (await exposed(snapshot(raw_record(apiCalls=1, latency_ms=None)), QUERY)).plain(TEXT)
    )
    assert "latency_seconds" not in plain
    assert "# TYPE flashback_ai_daily_api_calls gauge" in plain


async def test_sums_beyond_a_float_are_infinite():
    """A sum that no float holds is +Inf, which parsers accept,
    and not a number that ends the scrape.
    """
    found = snapshot(*[raw_record(apiCalls=int(1.7e308), userUuid=user) for user in ("a", "b")])
    shown = await samples(found, QUERY)
    assert shown["flashback_ai_daily_api_calls"][0][1] == float("inf")


@pytest.mark.parametrize(
    "value", ["", "\0", "\n", '"', "\\", "\\n", "\\\\n", 'a"b\\c\nd\r\te', "é😀\ufffd", " ", "}"]
)
async def test_any_label_value_comes_back(value):
    """Escaping is right: both parsers read the value that went in."""
    shown = await samples(snapshot(raw_record(repoId=value)), QUERY)
    assert {labels["repo_id"] for labels, _ in shown["flashback_ai_daily_api_calls"]} == {value}


async def test_no_record_gives_the_days_alone():
    """An account without traffic has no groups, but its days are known."""
    assert (await samples(snapshot(), QUERY)).keys() == {DAY_START.name}


async def test_no_sample_has_a_timestamp_of_its_own():
    """Staleness is Prometheus's business: every line ends with its value."""
    plain = text((await exposed(snapshot(raw_record(apiCalls=1)), QUERY)).plain(TEXT))
    assert all(
        len(line.rpartition("}")[2].split()) == 1
        for line in plain.splitlines()
        if not line.startswith("#")
    )


async def test_any_block_can_be_written():
    """Labels of a column, of its rows, or of neither: the commas are where they belong."""
    columns = (
        Column(family("a"), (), (), [[1, None], [2.5]]),
        Column(family("b"), (), (("x", "y"),), [[1, None], [math.inf]]),
        Column(family("c"), (("x", "y"),), (("z", ""),), [[None, 0], [None]]),
    )
    with_rows = Table(("id",), [[("1",), ("2",)], [(' inf\n"',)]], columns)
    others = [Column(family(f"{one.name}_7"), (), one.after, [[7]]) for one in columns]
    rendered = await render([with_rows, Table((), [[()]], others)])
    lines = {
        one.name: text(piece for part in parts for piece in part.inflated()).splitlines()
        for one, parts in rendered.families.items()
    }
    assert lines == {
        "a": ['a{id="1"} 1', r'a{id=" inf\n\""} 2.5'],
        "b": ['b{id="1",x="y"} 1', r'b{id=" inf\n\"",x="y"} +Inf'],
        "c": ['c{x="y",id="2",z=""} 0'],
        "a_7": ["a_7 7"],
        "b_7": ['b_7{x="y"} 7'],
        "c_7": ['c_7{z=""} 7'],
    }
    assert rendered.series == 8


async def test_columns_that_stay_are_taken_over_as_they_are():
    """What has the same rows and values as before is not compressed again; all else is, and both
    are right.
    """

    def table(rows, first, second):
        columns = (Column(family("a"), (), (), [first]), Column(family("b"), (), (), [second]))
        return Table(("id",), [rows], columns)

    before = await render([table(["1", "2"], [1, 2], [3, 4])])
    after = await render([table(["1", "2"], [1, 2], [3, 5])], before)
    others = await render([table(["1", "3"], [1, 2], [3, 5])], after)
    pieces = [list(one.pieces.values()) for one in (before, after, others)]
    assert pieces[0][0] is pieces[1][0]
    assert pieces[1][0] is not pieces[2][0]
    assert [text(piece.lines.inflated()) for piece in pieces[1]] == [
        'a{id="1"} 1\na{id="2"} 2\n',
        'b{id="1"} 3\nb{id="2"} 5\n',
    ]
    assert text(pieces[2][1].lines.inflated()) == 'b{id="1"} 3\nb{id="3"} 5\n'


def family(name: str) -> Family:
    return Family(name, "gauge", "")


async def test_each_scrape_gets_one_gzip_member(clock):
    """The stream that was begun once is continued for each scrape, and both are whole."""
    exposition = await exposed(await polled(b'{"data":[]}', clock))
    for rest in (b"first 1\n", b"", b"second 2\n" * 1000):
        stream = b"".join(exposition.compressed(TEXT, rest))
        decompressor = zlib.decompressobj(wbits=31)
        assert (
            decompressor.decompress(stream)
            == b"".join(exposition.plain(TEXT)) + rest
            == gzip.decompress(stream)
        )
        assert decompressor.eof
        assert decompressor.unused_data == b""
