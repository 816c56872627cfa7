"""What makes a record valid, and what becomes of its values."""

import math

import pytest
from material import DAY, raw_record

from exporter.metrics import (
    CALLS,
    COUNT_FIELDS,
    DIMENSIONS,
    FIELD_INDEX,
    FIELD_KINDS,
    MEAN_FIELDS,
    OPTIONAL_FIELDS,
    WEIGHT_INDEX,
)
from exporter.statistics.records import (
    MAX_NUMBER,
    MEAN_SCALE,
    Record,
    RejectedRecordError,
    Rejection,
    parse_record,
)

WINDOW = {DAY: 0, DAY - 1: 1}


def amount(field: str, value: object, **fields: object) -> int:
    """Return what a record with this value holds for the field."""
    record = parse_record(raw_record(**fields, **{field: value}), WINDOW)
    return record.amounts[FIELD_INDEX[field]]


def rejection(record: object) -> tuple[Rejection, str]:
    """Return why a record is left out, and for which field."""
    with pytest.raises(RejectedRecordError) as caught:
        parse_record(record, WINDOW)
    return caught.value.reason, caught.value.field


def test_the_table_says_what_a_record_may_lack():
    """Every dimension and every amount but the calls may be missing, each of them once."""
    expected = {*DIMENSIONS.values(), *FIELD_KINDS} - {"apiCalls"}
    assert len(OPTIONAL_FIELDS) == len(expected)
    assert set(OPTIONAL_FIELDS) == expected


@pytest.mark.parametrize("field", COUNT_FIELDS)
@pytest.mark.parametrize("value", [0, 1, 2**53 + 1, 10**300, 3.0, 1e21, -0.0])
def test_counts_are_whole_numbers(field, value):
    """Counts come as JSON numbers of any size, and stay exact."""
    assert amount(field, value) == value


@pytest.mark.parametrize("field", COUNT_FIELDS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("25", 25),
        ("007", 7),
        ("-0", 0),
        ("0.0", 0),
        ("-0e99999999999999999999", 0),
        ("12.0", 12),
        ("012.500e1", 125),
        ("1e3", 1000),
        ("1E+003", 1000),
        ("120e-1", 12),
        ("9007199254740993", 2**53 + 1),
        ("9007199254740993.0", 2**53 + 1),
        ("9007199254740.993e3", 2**53 + 1),
        ("1e23", 10**23),
        ("0." + "0" * 9999 + "5e10001", 50),
        ("5" + "0" * 9999 + "e-9999", 5),
        ("0" * 9999 + "5", 5),
        ("1e" + "0" * 9999 + "2", 100),
        ("9" * 308, int("9" * 308)),
        (str(MAX_NUMBER), MAX_NUMBER),
    ],
)
def test_a_count_may_be_a_string(field, text, expected):
    """A count may be a string, as JSON writes numbers, with zeros in front, and stays exact."""
    assert amount(field, text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(250, 250), (0.1, 0.1), ("250", 250), ("0250.50", 250.5), ("2.5e-1", 0.25), ("-0", 0)],
)
def test_a_mean_may_be_a_string(value, expected):
    """A string is the same mean as the number in it."""
    numerator, denominator = expected.as_integer_ratio()
    assert amount("latency_ms", value, apiCalls=3) == 3 * (numerator * MEAN_SCALE // denominator)


@pytest.mark.parametrize("text", ["9007199254740993", "9007199254740993.0"])
def test_a_whole_mean_in_a_string_is_exact(text):
    """A mean beyond 2^53 is not rounded to a float."""
    assert amount("latency_ms", text, apiCalls=1) == (2**53 + 1) * MEAN_SCALE


NO_NUMBERS = [
    True,
    False,
    [],
    {},
    "",
    " ",
    " 1",
    "1 ",
    "1\n",
    "+5",
    "-",
    "--1",
    ".5",
    "5.",
    "1e",
    "e3",
    "1e3.0",
    "1_000",
    "1,000",
    "0x10",
    "1f",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "inf",
    "many",
    "null",
    "\u0661",
    "\uff11",
    "\u00b2",
    "1\u0661",
    "1.\u0661",
    "1e\u0661",
    "0" * 100_000 + "x",
]


@pytest.mark.parametrize("field", ["timestamp", *FIELD_KINDS])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:12])
def test_what_holds_no_number_leaves_the_record_out(field, value):
    """Booleans, lists, objects and strings that JSON would not read as a number are refused,
    whichever field.
    """
    assert rejection(raw_record(**{field: value})) == (Rejection.WRONG_TYPE, field)


@pytest.mark.parametrize("field", ["timestamp", *FIELD_KINDS])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (-1, Rejection.NEGATIVE),
        (-0.5, Rejection.NEGATIVE),
        (-(10**400), Rejection.NEGATIVE),
        (-math.inf, Rejection.NEGATIVE),
        (math.nan, Rejection.NOT_FINITE),
        (math.inf, Rejection.NOT_FINITE),
        (10**309, Rejection.NOT_FINITE),
        ("9" * 310, Rejection.NOT_FINITE),
        ("9" * 500_000, Rejection.NOT_FINITE),
        (str(MAX_NUMBER + 1), Rejection.NOT_FINITE),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_numbers_out_of_range_leave_the_record_out(field, value, reason):
    """Negative, NaN, infinite and immense values are refused, whichever field holds them."""
    assert rejection(raw_record(**{field: value})) == (reason, field)


@pytest.mark.parametrize("field", FIELD_KINDS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-3", Rejection.NEGATIVE),
        ("-03.5", Rejection.NEGATIVE),
        ("-1e999999999", Rejection.NEGATIVE),
        ("1e309", Rejection.NOT_FINITE),
        ("1e999999999", Rejection.NOT_FINITE),
        ("1e+" + "9" * 100_000, Rejection.NOT_FINITE),
        ("1" * 100_000 + "e" + "1" * 100_000, Rejection.NOT_FINITE),
    ],
    ids=lambda value: repr(value)[:16],
)
def test_numbers_in_strings_obey_the_same_limits(field, text, reason):
    """What a string holds may be no more than a float can hold, and not negative;
    a huge exponent costs nothing.
    """
    assert rejection(raw_record(**{field: text})) == (reason, field)


@pytest.mark.parametrize("field", COUNT_FIELDS)
@pytest.mark.parametrize(
    "value",
    [2.5, "2.5", "1e-1", "25e-2", "9007199254740993.5", "1e-999999999", "1e-" + "9" * 100_000],
    ids=lambda value: repr(value)[:12],
)
def test_counts_are_not_fractions(field, value):
    """A count has to be whole."""
    assert rejection(raw_record(**{field: value})) == (Rejection.WRONG_TYPE, field)


def without(field: str) -> list[dict[str, object]]:
    """Return two records that lack a field: one has null there, the other nothing at all."""
    absent = raw_record(apiCalls=3)
    del absent[field]
    return [raw_record(apiCalls=3) | {field: None}, absent]


def both(field: str) -> Record:
    """Return the record that comes of lacking a field, however it is lacking."""
    null, absent = (parse_record(raw, WINDOW) for raw in without(field))
    assert null == absent
    return null


@pytest.mark.parametrize("field", ["timestamp", "apiCalls"])
def test_without_timestamp_or_calls_a_record_is_left_out(field):
    """A record that lacks one of these says nothing, whether it is null or absent."""
    for record in without(field):
        assert rejection(record) == (Rejection.MISSING_FIELD, field)


@pytest.mark.parametrize("field", DIMENSIONS.values())
def test_a_dimension_that_is_lacking_is_empty(field):
    """Null or absent, it is the empty label value, and the rest of the record counts."""
    record, position = both(field), list(DIMENSIONS.values()).index(field)
    assert record.dimensions[position] == ""
    assert record.dimensions.count("x") == len(DIMENSIONS) - 1
    assert record.amounts[CALLS] == 3
    assert record.lacking == (field,)


@pytest.mark.parametrize("field", [field for field in COUNT_FIELDS if field != "apiCalls"])
def test_an_amount_that_is_lacking_is_zero(field):
    """Null or absent, it adds nothing, and the rest of the record counts."""
    record = both(field)
    assert record.amounts[FIELD_INDEX[field]] == 0
    assert record.amounts[CALLS] == 3
    assert record.lacking == (field,)


@pytest.mark.parametrize("field", MEAN_FIELDS)
def test_a_mean_that_is_lacking_has_no_weight(field):
    """Null or absent, it leaves the record out of the mean alone."""
    record = both(field)
    assert record.amounts[FIELD_INDEX[field]] == record.amounts[WEIGHT_INDEX[field]] == 0
    assert record.amounts[CALLS] == 3
    assert record.lacking == (field,)


@pytest.mark.parametrize("raw", [{}, dict.fromkeys(OPTIONAL_FIELDS)])
def test_calls_on_a_day_are_enough(raw):
    """A record of an older server counts for what it has, and says all that it lacked."""
    record = parse_record({"timestamp": DAY * 86_400, "apiCalls": "25", **raw}, WINDOW)
    assert set(record.dimensions) == {""}
    assert record.amounts[CALLS] == sum(record.amounts) == 25
    assert sorted(record.lacking) == sorted(OPTIONAL_FIELDS)


def test_a_whole_record_lacks_nothing():
    """Empty strings and zeros are values like others."""
    record = raw_record(**dict.fromkeys(DIMENSIONS.values(), ""))
    assert parse_record(record, WINDOW).lacking == ()


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
    timestamp = DAY * 86_400 + second
    for written in (
        timestamp,
        float(timestamp),
        timestamp + 0.25,
        str(timestamp),
        f"00{timestamp}",
    ):
        assert parse_record(raw_record(timestamp=written), WINDOW).day == day


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [
        ((DAY + 1) * 86_400, Rejection.OUTSIDE_WINDOW),
        ((DAY - 1) * 86_400 - 1, Rejection.OUTSIDE_WINDOW),
        (0, Rejection.OUTSIDE_WINDOW),
        (10**300, Rejection.MILLISECONDS),
        (DAY * 86_400_000, Rejection.MILLISECONDS),
        (DAY * 86_400_000 + 0.5, Rejection.MILLISECONDS),
        ("0", Rejection.OUTSIDE_WINDOW),
        (f"{DAY * 86_400_000}", Rejection.MILLISECONDS),
        ("9" * 308, Rejection.MILLISECONDS),
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
    """Lone surrogates are replaced; more than 1,024 bytes are cut, never within a character."""
    field = list(DIMENSIONS.values())[position]
    assert parse_record(raw_record(**{field: value}), WINDOW).dimensions[position] == label


@pytest.mark.parametrize("value", [5, 0, 1.5, True, False, [], {}])
@pytest.mark.parametrize("field", DIMENSIONS.values())
def test_a_dimension_is_a_string(field, value):
    """A dimension of another type leaves the record out, whatever else it lacks."""
    assert rejection(raw_record(**{field: value})) == (Rejection.WRONG_TYPE, field)
    assert rejection(dict.fromkeys(DIMENSIONS.values()) | raw_record(**{field: value})) == (
        Rejection.WRONG_TYPE,
        field,
    )


@pytest.mark.parametrize("latency", [0, 250, 0.1, 123.456789012345, 5e-324, 1e308])
def test_the_latency_is_weighted_exactly(latency):
    """Dividing the weighted latency by the calls gives the latency back, to the last bit of use."""
    record = parse_record(raw_record(latency_ms=latency, apiCalls=3), WINDOW)
    back = record.amounts[FIELD_INDEX["latency_ms"]] / (3 * MEAN_SCALE)
    assert math.isclose(back, latency, rel_tol=0 if latency >= 0.001 else 1, abs_tol=2**-64)


@pytest.mark.parametrize("value", ["-1", "1704067200.0", "1.7040672e9", "2024-01-01T00:00:00Z"])
def test_a_timestamp_in_a_string_is_digits(value):
    """A timestamp is a number, or digits alone in a string."""
    assert rejection(raw_record(timestamp=value)) == (Rejection.WRONG_TYPE, "timestamp")


def test_a_rejection_never_shows_a_value():
    """What is logged about a record that was left out names the field and no more."""
    with pytest.raises(RejectedRecordError) as caught:
        parse_record(raw_record(apiCalls="canary"), WINDOW)
    assert str(caught.value) == "wrong_type apiCalls"
