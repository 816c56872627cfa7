"""What makes a record valid, and what becomes of its values."""

import math

import pytest
from material import DAY, raw_record

from exporter.metrics import DIMENSIONS, FIELD_INDEX
from exporter.statistics.records import LATENCY_SCALE, RejectedRecordError, Rejection, parse_record

WINDOW = {DAY: 0, DAY - 1: 1}
COUNTS = [
    "activeConversations",
    "apiCalls",
    "policyViolations",
    "numAlerts",
    "numBlocks",
    "numSeverityLow",
]
TOKENS = ["tokensIn", "tokensOut", "llmTokensIn", "llmTokensOut"]


def amount(field: str, value: object) -> int:
    """Return what a record with this value holds for the field."""
    return parse_record(raw_record(**{field: value}), WINDOW).amounts[FIELD_INDEX[field]]


def rejection(record: object) -> tuple[Rejection, str]:
    """Return why a record is left out, and for which field."""
    with pytest.raises(RejectedRecordError) as caught:
        parse_record(record, WINDOW)
    return caught.value.reason, caught.value.field


@pytest.mark.parametrize("field", TOKENS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0), ("007", 7), (5, 5), ("9007199254740993", 2**53 + 1), ("9" * 308, int("9" * 308))],
)
def test_tokens_are_exact(field, value, expected):
    """Tokens come as strings of digits or as numbers, and stay exact however large they are."""
    assert amount(field, value) == expected


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", [0, 1, 2**63, 10**300, 3.0])
def test_counts_are_whole_numbers(field, value):
    """Counts come as JSON numbers of any size."""
    assert amount(field, value) == value


@pytest.mark.parametrize("field", ["timestamp", *COUNTS, *TOKENS, "latency_ms"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Rejection.WRONG_TYPE),
        (True, Rejection.WRONG_TYPE),
        ([], Rejection.WRONG_TYPE),
        ({}, Rejection.WRONG_TYPE),
        ("", Rejection.WRONG_TYPE),
        ("NaN", Rejection.WRONG_TYPE),
        ("1e3", Rejection.WRONG_TYPE),
        (" 1", Rejection.WRONG_TYPE),
        ("\u0661", Rejection.WRONG_TYPE),
        (-1, Rejection.NEGATIVE),
        (-0.5, Rejection.NEGATIVE),
        (-math.inf, Rejection.NEGATIVE),
        (math.nan, Rejection.NOT_FINITE),
        (math.inf, Rejection.NOT_FINITE),
        (10**309, Rejection.NOT_FINITE),
    ],
)
def test_numbers_that_are_none_leave_the_record_out(field, value, reason):
    """Null, boolean, text, negative, NaN, infinite and immense values are refused, whichever field holds them."""
    assert rejection(raw_record(**{field: value})) == (reason, field)


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", ["25", 2.5])
def test_counts_are_not_text_nor_fractions(field, value):
    """A count is documented as an integer and has to be one."""
    assert rejection(raw_record(**{field: value})) == (Rejection.WRONG_TYPE, field)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("-3", Rejection.NEGATIVE), ("9" * 310, Rejection.NOT_FINITE), ("9" * 9999, "not_finite")],
)
def test_token_strings_obey_the_same_limits(value, reason):
    """A string of digits may be no more than a float can hold, and not negative."""
    assert rejection(raw_record(tokensIn=value)) == (reason, "tokensIn")


@pytest.mark.parametrize("field", list(raw_record()))
def test_every_field_is_required(field):
    """A record without one of its documented fields is left out, and the field is named."""
    record = raw_record()
    del record[field]
    assert rejection(record) == (Rejection.MISSING_FIELD, field)


def test_unknown_fields_are_ignored():
    """The API may add fields."""
    assert parse_record(raw_record(region="eu", nested={"a": []}), WINDOW)


@pytest.mark.parametrize("record", [None, 1, "x", [], True])
def test_a_record_is_an_object(record):
    """Anything else among the records is left out."""
    assert rejection(record) == (Rejection.NOT_AN_OBJECT, "")


@pytest.mark.parametrize(
    ("second", "day"), [(0, DAY), (86_399, DAY), (-1, DAY - 1), (-86_400, DAY - 1)]
)
def test_the_day_is_the_utc_date_of_the_timestamp(second, day):
    """Any second of a day belongs to it."""
    assert parse_record(raw_record(timestamp=DAY * 86_400 + second), WINDOW).day == day


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [
        ((DAY + 1) * 86_400, Rejection.OUTSIDE_WINDOW),
        ((DAY - 1) * 86_400 - 1, Rejection.OUTSIDE_WINDOW),
        (0, Rejection.OUTSIDE_WINDOW),
        (10**300, Rejection.MILLISECONDS),
        (DAY * 86_400_000, Rejection.MILLISECONDS),
    ],
)
def test_days_that_were_not_asked_for_are_left_out(timestamp, reason):
    """A record of another day, or with a timestamp in milliseconds, is not counted into any day."""
    assert rejection(raw_record(timestamp=timestamp)) == (reason, "timestamp")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("", ""),
        ('a\0b\n"\\\r', 'a\0b\n"\\\r'),
        ("é😀", "é😀"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("x" * 100_000, "x" * 1024),
        ("é" * 100_000, "é" * 512),
        ("x" + "é" * 100_000, "x" + "é" * 511),
        ("😀" * 300, "😀" * 256),
    ],
)
@pytest.mark.parametrize("position", range(len(DIMENSIONS)))
def test_any_string_is_a_label(position, value, label):
    """Lone surrogates become replacement characters; more than 1,024 bytes are cut, never within a character."""
    field = list(DIMENSIONS.values())[position]
    assert parse_record(raw_record(**{field: value}), WINDOW).dimensions[position] == label


@pytest.mark.parametrize("value", [None, 5, True, [], {}])
def test_a_dimension_is_a_string(value):
    """A dimension of another type leaves the record out."""
    assert rejection(raw_record(host=value)) == (Rejection.WRONG_TYPE, "host")


@pytest.mark.parametrize("latency", [0, 250, 0.1, 123.456789012345, 5e-324, 1e308])
def test_the_latency_is_weighted_exactly(latency):
    """Dividing the weighted latency by the calls gives the latency back, to the last bit that matters."""
    record = parse_record(raw_record(latency_ms=latency, apiCalls=3), WINDOW)
    back = record.amounts[FIELD_INDEX["latency_ms"]] / (3 * LATENCY_SCALE)
    assert math.isclose(back, latency, rel_tol=0 if latency >= 0.001 else 1, abs_tol=2**-64)


def test_a_rejection_never_shows_a_value():
    """What is logged about a record that was left out names the field and no more."""
    with pytest.raises(RejectedRecordError) as caught:
        parse_record(raw_record(apiCalls="canary"), WINDOW)
    assert str(caught.value) == "wrong_type apiCalls"
