"""What holds for all input, tried on much of it."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain, pairwise, product

from clocks import FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from material import DAY, at_once, exposed, raw_record, text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.api.json_stream import ResponseReader
from exporter.config.sections import Query
from exporter.errors import PollError
from exporter.metrics import (
    COUNT_FIELDS,
    DIMENSIONS,
    FIELD_INDEX,
    FIELD_KINDS,
    MEAN_FIELDS,
    METRICS,
    OPTIONAL_FIELDS,
    WEIGHT_INDEX,
    Kind,
)
from exporter.output.formats import TEXT
from exporter.polling.poll import Plan, Poll
from exporter.statistics.groups import Grouping
from exporter.statistics.records import MEAN_SCALE, RejectedRecordError, parse_record
from exporter.statistics.rows import Row, as_raw

DAYS = (DAY, DAY - 1, DAY - 2)
names = st.sampled_from(["a", "b", "other", "", "é"])
hostile = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["other", '"', "\\", "\n", "\ud800", "x" * 2000]
)
numbers = st.integers(0, 2**70) | st.integers(0, 3)
means = st.integers(0, 10**6) | st.floats(0, 1e300)


def in_strings(amount: int) -> st.SearchStrategy[object]:
    """Return a strategy for ways to write a whole number."""
    zeros, places = st.integers(0, 400).map("0".__mul__), st.integers(0, 30)
    return st.one_of(
        st.just(amount),
        zeros.map(lambda zeros: f"{zeros}{amount}"),
        zeros.map(lambda zeros: f"{amount}.0{zeros}"),
        places.map(lambda places: f"{amount * 10**places}e-{places}"),
        places.map(
            lambda places: f"{amount // 10**places}.{amount % 10**places:0{places}}0E+0{places}"
        ),
    )


def records(texts: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, object]]:
    """Return a strategy for valid records with such dimensions."""
    fields: dict[str, st.SearchStrategy[object]] = {
        "timestamp": st.sampled_from(DAYS).map(lambda day: day * 86_400),
        **dict.fromkeys(DIMENSIONS.values(), texts),
        **dict.fromkeys(COUNT_FIELDS, numbers.flatmap(in_strings)),
        **dict.fromkeys(MEAN_FIELDS, means | means.map(repr)),
    }
    optional = {name: st.none() | fields.pop(name) for name in OPTIONAL_FIELDS}
    return st.fixed_dictionaries(fields, optional=optional)


labels = st.lists(st.sampled_from(list(DIMENSIONS)), unique=True).map(tuple)


@given(
    polls=st.lists(st.lists(records(names), max_size=25), min_size=1, max_size=3),
    labels=labels,
    max_groups=st.integers(1, 6),
)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_totals_are_kept(polls, labels, max_groups):
    """Whatever records, labels and max_groups: all groups together are all records, day by day."""
    snapshot = None
    for raw_records in polls:
        grouping = Grouping(Query(labels=labels, max_groups=max_groups), DAYS)
        expected: Counter[tuple[int, int]] = Counter()
        for raw in raw_records:
            record = parse_record(raw, grouping.window)
            expected.update(
                {(record.day, field): amount for field, amount in enumerate(record.amounts)}
            )
            grouping.add(record)
        snapshot = at_once(grouping.snapshot(snapshot))
        found: Counter[tuple[int, int]] = Counter()
        for days in snapshot.groups.values():
            for day, amounts in zip(DAYS, days, strict=True):
                found.update({(day, field): amount for field, amount in enumerate(amounts or ())})
        assert +found == +expected
        assert len(snapshot.groups) <= max_groups + 1


@given(
    raw_records=st.lists(records(hostile), max_size=10), labels=labels, max_groups=st.integers(1, 5)
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_both_outputs_are_read_back(raw_records, labels, max_groups):
    """Whatever the strings: both parsers read the exposition back to groups' labels and values."""
    query = Query(labels=labels, max_groups=max_groups)
    grouping = Grouping(query, DAYS)
    for raw in raw_records:
        grouping.add(parse_record(raw, grouping.window))
    snapshot = at_once(grouping.snapshot())
    plain = text(at_once(exposed(snapshot, query)).plain(TEXT))
    for families in (parse_text(plain), parse_openmetrics(plain + "# EOF\n")):
        values = {
            (
                family.name,
                sample.labels["day"],
                sample.labels.get("severity", ""),
                key(sample.labels, labels),
            ): (float(sample.value))
            for family in families
            for sample in family.samples
        }
        for metric in METRICS:
            for split, field in metric.fields.items():
                index = FIELD_INDEX[field]
                for group, days in snapshot.groups.items():
                    for day, amounts in zip(("today", "yesterday", "today-2"), days, strict=True):
                        amount = amounts[index] if amounts else 0
                        value = values.pop((metric.name, day, split, group), None)
                        if metric.kind is Kind.MEAN:
                            weight = amounts[WEIGHT_INDEX[field]] if amounts else 0
                            assert (value is not None) == bool(weight)
                        else:
                            assert value == float(amount)
        assert {name for name, *_ in values} == {"flashback_ai_daily_start_timestamp_seconds"}


@given(
    amounts=st.fixed_dictionaries(dict.fromkeys(COUNT_FIELDS, numbers)),
    means=st.fixed_dictionaries(dict.fromkeys(MEAN_FIELDS, st.integers(0) | st.floats(0, 2**53))),
    data=st.data(),
)
@settings(deadline=None, max_examples=150)
def test_strings_hold_the_same_numbers(amounts, means, data):
    """However a record's amounts are written, it is the record of the plain numbers."""
    written = {field: data.draw(in_strings(amount), field) for field, amount in amounts.items()}
    in_strings_too = {field: repr(mean) for field, mean in means.items()}
    expected = parse_record(raw_record(**amounts, **means), {DAY: 0})
    assert parse_record(raw_record(**written, **in_strings_too), {DAY: 0}) == expected
    for field, mean in means.items():
        numerator, denominator = mean.as_integer_ratio()
        scaled = numerator * MEAN_SCALE // denominator
        assert expected.amounts[FIELD_INDEX[field]] == scaled * amounts["apiCalls"]


@given(record=records(names), lacking=st.sets(st.sampled_from(OPTIONAL_FIELDS)), data=st.data())
@settings(deadline=None, max_examples=150)
def test_what_lacks_changes_nothing_else(record, lacking, data):
    """Null and absent are the same, are named,
    and leave the other dimensions and amounts as they were.
    """
    whole = raw_record(**{field: value for field, value in record.items() if value is not None})
    absent = {field: value for field, value in whole.items() if field not in lacking}
    nulls = data.draw(st.sets(st.sampled_from(OPTIONAL_FIELDS))) & lacking
    before = parse_record(whole, dict.fromkeys(DAYS, 0))
    after = parse_record(absent | dict.fromkeys(nulls), dict.fromkeys(DAYS, 0))
    assert set(after.lacking) == lacking
    assert len(after.lacking) == len(lacking)
    assert before.lacking == ()
    assert after.dimensions == tuple(
        "" if field in lacking else label
        for field, label in zip(DIMENSIONS.values(), before.dimensions, strict=True)
    )
    gone = {FIELD_INDEX[field] for field in lacking if field in FIELD_INDEX}
    gone |= {WEIGHT_INDEX[field] for field in lacking if field in WEIGHT_INDEX}
    assert after.amounts == tuple(
        0 if index in gone else amount for index, amount in enumerate(before.amounts)
    )


@given(text=st.text("0123456789.eE+-", max_size=12) | st.text(max_size=4), zeros=st.integers(0, 3))
@settings(deadline=None, max_examples=500)
def test_a_string_is_a_number_where_json_says_so(text, zeros):
    """A mean in a string is taken where JSON takes the string for a number,
    and with zeros in front of that.
    """
    try:
        number = json.loads(text if text.isascii() and text == text.strip() else "x")
    except ValueError:
        number = None
    good = type(number) in (int, float) and 0 <= number < float("inf")
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    if good or not digits.startswith("0"):
        text = sign + "0" * zeros * good + digits
        try:
            record = parse_record(raw_record(latency_ms=text, apiCalls=1), {DAY: 0})
        except RejectedRecordError:
            assert not good
        else:
            assert good
            mean = record.amounts[FIELD_INDEX["latency_ms"]] / MEAN_SCALE
            assert math.isclose(mean, number, abs_tol=1 / MEAN_SCALE)


def key(sample: dict[str, str], labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sample.get(label, "") for label in labels)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    data=st.lists(json_values, max_size=6),
    others=st.dictionaries(
        st.text().filter(lambda name: name not in ("data", "success")), json_values, max_size=3
    ),
    cuts=st.lists(st.integers(0, 10**6), max_size=12),
    plain=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_every_cut_gives_the_same_records(data, others, cuts, plain):
    """However the bytes of an answer are cut,
    the reader hands out what a whole-document parser finds.
    """
    document = dict(
        sorted({"data": data, "success": True, **others}.items(), key=lambda item: len(item[0]))
    )
    answer = json.dumps(document, ensure_ascii=plain).encode("utf-8", "replace")
    places = sorted(cut % (len(answer) + 1) for cut in cuts)
    reader = ResponseReader(Row)
    found = []
    for start, end in zip([0, *places], [*places, len(answer)], strict=True):
        found += chain.from_iterable(reader.feed(answer[start:end]))
    found += chain.from_iterable(reader.close())
    assert found == json.loads(answer)["data"]


@given(
    garbage=st.binary(max_size=200),
    prefix=st.sampled_from([b"", b'{"data":[', b'{"success":true,"data":[{"a":1},']),
)
@settings(deadline=None, max_examples=150)
def test_garbage_ends_as_an_invalid_response(garbage, prefix):
    """Whatever bytes a server sends, the reader refuses them in its own
    way or hands out what is valid.
    """
    reader = ResponseReader(Row)
    with suppress(PollError):
        list(reader.feed(prefix + garbage))
        list(reader.close())


VALID = json.dumps(
    {"success": True, "data": [raw_record(), raw_record(host='é"\\'), 1, None, [{}]]}, indent=1
).encode()
SPLINTERS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"0", b"-", b"e9", b"NaN", b"\xff",
             b"\xef\xbb\xbf", b"\\ud800", b"{},", b'"data":[', b'"success":false,', b"9" * 5_000,
             b"[" * 2_000]  # fmt: skip


def bounded(digits: str) -> float:
    """Return an integer, or an infinity where Python refuses to convert so many digits."""
    return int(digits) if len(digits) < 4_000 else float(f"{digits[:1]}e999".replace("-e", "-1e"))


@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, len(VALID)), st.integers(0, 30), st.sampled_from(SPLINTERS) | st.binary()
        ),
        max_size=3,
    ),
    cut=st.integers(0, len(VALID)),
)
@settings(deadline=None, max_examples=200)
def test_what_is_no_json_is_never_accepted(changes, cut):
    """An answer that was changed is refused, or is JSON with just the records handed out."""
    answer = VALID
    for place, length, splinter in changes:
        answer = answer[:place] + splinter + answer[place + length :]
    reader = ResponseReader(Row)
    try:
        found = [*chain.from_iterable(reader.feed(answer[:cut]))]
        found += chain.from_iterable(reader.feed(answer[cut:]))
        found += chain.from_iterable(reader.close())
    except PollError:
        return
    text = answer.decode("utf-8-sig", "replace")
    document = json.loads(text, strict=False, parse_int=bounded)
    assert len(found) == len(document["data"])
    for record, raw in zip(found, document["data"], strict=True):
        if isinstance(record, Row):
            assert repr(as_raw(record)) == repr({field: raw[field] for field in as_raw(record)})
        else:
            assert repr(record) == repr(raw)
        with suppress(RejectedRecordError):
            parse_record(raw, dict.fromkeys(DAYS, 0))


NUMBERS = ["-0", "-1", "3.0", "2.5", "-2.5", "1e3", "1E400", "NaN", f"{2**63}", f"{10**309}",
           "9" * 5_000, "5e-324", "1e288", "1e308"]  # fmt: skip
NO_NUMBERS = ['""', '" 1"', '"1_0"', '"+1"', '"007"', '"²"', '"٣"', '"\\u0035"', '"0x1"']
STRINGS = ['"é"', '"\\ud800"', '"\\ud83d\\ude00"', '"a\nb"', f'"{"é" * 600}"', '"\\u0000"']
MOMENTS = [f"{DAY * 86_400 + 7}", f"{DAY * 86_400_000}", f'"{DAY * 86_400}"', "1.5", "-1"]
QUOTED = [f'"{number}"' for number in NUMBERS]
ODD_MEMBERS = [
    *product(["timestamp"], MOMENTS),
    *product(DIMENSIONS.values(), STRINGS),
    *product(FIELD_KINDS, [*NUMBERS, *QUOTED, *NO_NUMBERS]),
    *product(
        ["timestamp", "host", "apiCalls", "tokensIn", "region"], ["null", "true", '{"a": []}']
    ),
]


def written(record: dict[str, object], *members: tuple[str, str]) -> str:
    """Return a record as JSON, with further members that are written already."""
    usual = [(name, json.dumps(value)) for name, value in record.items()]
    return "{" + ", ".join(f'"{name}": {value}' for name, value in [*usual, *members]) + "}"


@st.composite
def written_records(draw):
    """Return a record as text: as the API documents it, but for a member at times."""
    record = raw_record(
        timestamp=draw(st.sampled_from(DAYS)) * 86_400,
        repoId=draw(names),
        apiCalls=draw(st.integers(0, 1000)),
        tokensIn=str(draw(st.integers(0, 2**70))),
        latency_ms=draw(st.integers(0, 10**6) | st.floats(0, 1e9)),
    )
    if draw(st.integers(0, 5)) == 0:
        del record[draw(st.sampled_from(list(record)))]
    odd = draw(st.integers(0, 5)) == 0
    return written(record, *([draw(st.sampled_from(ODD_MEMBERS))] if odd else []))


class Answering:
    """Stands where the client does, and hands out a body in given pieces."""

    wait = 0

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    @asynccontextmanager
    async def ask(self, *_):
        async def body():
            for piece in self._pieces:
                yield piece

        yield body()

    def quotable(self, text):
        return text


async def check_poll(texts: list[str], query: Query, cuts: Sequence[int] = ()) -> None:
    """Check that a poll makes of an answer, cut anywhere, what each record by itself comes to."""
    grouping, rejected, incomplete = Grouping(query, DAYS), Counter(), Counter()
    for one in texts:
        try:
            raw = json.loads(one, strict=False, parse_int=bounded)
            record = parse_record(raw, grouping.window)
        except RejectedRecordError as error:
            rejected[error.reason] += 1
        else:
            grouping.add(record)
            incomplete.update(record.lacking)

    answer = f'{{"success": true, "data": [{", ".join(texts)}]}}'.encode()
    places = [0, *sorted(cut % len(answer) for cut in cuts), len(answer)]
    client = Answering([answer[start:end] for start, end in pairwise(places)])
    plan = Plan(query, "source", len(DAYS), 300, client)
    outcome = await Poll(plan, 60, FakeClock(), attempts=1).run()
    assert (outcome.rejected, outcome.incomplete) == (rejected, incomplete)
    if outcome.snapshot is None:
        assert rejected.total() == len(texts)
    else:
        assert outcome.snapshot == await grouping.snapshot()


async def test_what_is_odd_about_a_record_is_found_among_usual_ones():
    """Whatever a member says, and whatever stands beside it, each record counts for itself."""
    query = Query(labels=tuple(DIMENSIONS))
    for member in ODD_MEMBERS:
        odd = written(raw_record(apiCalls=3), member)
        await check_poll([written(raw_record()), odd, written(raw_record(host="h"))], query)


@given(
    texts=st.lists(written_records() | st.sampled_from(["1", "{}"]), min_size=1, max_size=5),
    labels=labels,
    cuts=st.lists(st.integers(0, 10**6), max_size=3),
)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
async def test_all_ways_to_read_a_record_agree(texts, labels, cuts):
    """Whatever records an answer holds, and however it is cut: sums, rejections and what lacked are
    what each record by itself comes to.
    """
    await check_poll(texts, Query(labels=labels), cuts)


def test_the_clock_of_these_tests_stands_at_the_material_day():
    """The helpers of the tests agree with one another."""
    assert FakeClock().time() // 86_400 == DAY == raw_record()["timestamp"] // 86_400
