"""Records as the API documents them: taken together, for what they are taken one by one."""

from itertools import product

import msgspec
import pytest
from material import DAY, raw_record

from exporter.config.sections import Query
from exporter.errors import PollError
from exporter.metrics import DIMENSIONS, FIELD_KINDS, MEAN_FIELDS, Kind
from exporter.statistics.groups import Grouping
from exporter.statistics.records import parse_record
from exporter.statistics.rows import OddRowError, Row, as_raw

DAYS = (DAY, DAY - 1)
COUNTS = [field for field, kind in FIELD_KINDS.items() if kind is Kind.COUNT]
BIG_COUNTS = [field for field, kind in FIELD_KINDS.items() if kind is Kind.BIG_COUNT]
EVERY_LABEL = Query(labels=tuple(DIMENSIONS))


def rows(*records: dict[str, object]) -> list[Row]:
    """Return records as rows. Raises msgspec.ValidationError where one is not as documented."""
    return msgspec.convert(records, list[Row])


def added(records: list[dict[str, object]], query: Query = EVERY_LABEL) -> Grouping:
    """Return what rows of records add up to."""
    grouping = Grouping(query, DAYS)
    grouping.add_rows(rows(*records))
    return grouping


RECORDS = [
    raw_record(repoId=repo, timestamp=DAY * 86_400 - place, apiCalls=place, latency_ms=latency)
    for place, (repo, latency) in enumerate(
        [("a", 0), ("é", 0.1), ("a", 123.456789012345), ("x" * 2_000, 5e-324), ("a", 1e288)]
    )
] + [raw_record(**dict.fromkeys(COUNTS, 2**63 - 1), **dict.fromkeys(BIG_COUNTS, "9" * 300))]


@pytest.mark.parametrize("labels", [(), ("repo_id",), ("host", "repo_id"), tuple(DIMENSIONS)])
def test_rows_add_up_like_records(labels):
    """Together or one by one, the sums are the same, to the last digit."""
    query = Query(labels=labels)
    one_by_one = Grouping(query, DAYS)
    for record in RECORDS:
        one_by_one.add(parse_record(record, one_by_one.window))
    together = added(RECORDS, query)
    assert together.found == one_by_one.found
    assert together.records == len(RECORDS)


@pytest.mark.parametrize("digits", ["²", "٣", "1_0", " 1", "+1", "-1", "1.0", "1e3", "x"])
@pytest.mark.parametrize("field", BIG_COUNTS)
def test_what_is_not_digits_is_odd(field, digits):
    """Other ways to write a number are for the careful reader; nothing is added then."""
    grouping = added(RECORDS)
    before = {key: list(sums) for key, sums in grouping.found.items()}
    with pytest.raises(OddRowError):
        grouping.add_rows(rows(raw_record(), raw_record(**{field: digits})))
    assert (grouping.found, grouping.records) == (before, len(RECORDS))


@pytest.mark.parametrize("timestamp", [(DAY + 1) * 86_400, DAY * 86_400_000, -1, 10**400])
def test_a_day_outside_the_window_is_odd(timestamp):
    """Which day it is, is for the careful reader to say."""
    with pytest.raises(OddRowError):
        added([raw_record(), raw_record(timestamp=timestamp)])


REFUSED = [
    *product(["timestamp"], ["1", 1.0, None]),
    *product(DIMENSIONS.values(), [1, None]),
    *product(COUNTS, ["1", 1.0, -1, True, 2**63, None]),
    *product(BIG_COUNTS, [1, "", "1" * 301, None]),
    *product(MEAN_FIELDS, ["1", -0.5, 1.1e288, 2**63, True, None]),
]


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_a_row_is_as_documented(field, value):
    """Every field is there, of its type, and within bounds."""
    with pytest.raises(msgspec.ValidationError):
        rows(raw_record(**{field: value}))


def test_a_row_is_a_record_again():
    """What is odd about one of some rows, the careful reader finds in the same fields."""
    assert [as_raw(row) for row in rows(raw_record())] == [raw_record()]


def test_groups_beyond_reason_end_the_poll():
    """Rows make no more groups than records may."""
    grouping = Grouping(EVERY_LABEL, DAYS, max_found=2)
    with pytest.raises(PollError, match="use fewer labels"):
        grouping.add_rows(rows(*[raw_record(host=host) for host in "abc"]))
