"""Groups: sums by label values, shown for every day, folded where there are too many."""

import pytest
from material import DAY, at_once, raw_record

from exporter.config.sections import Query
from exporter.errors import PollError, Reason
from exporter.metrics import CALLS, FIELD_INDEX, WEIGHT_INDEX
from exporter.statistics.groups import Grouping, Snapshot
from exporter.statistics.records import parse_record

DAYS = (DAY, DAY - 1)


def snapshot(records, previous: Snapshot | None = None, days=DAYS, **query: object) -> Snapshot:
    """Return the snapshot of records, grouped by repository unless the query says otherwise."""
    grouping = Grouping(Query(**{"labels": ["repo_id"], **query}), days)
    for record in records:
        grouping.add(parse_record(record, grouping.window))
    return at_once(grouping.snapshot(previous))


def calls(repo: str, count: int, day: int = DAY, **fields: object) -> dict[str, object]:
    """Return a record of so many calls."""
    return raw_record(repoId=repo, apiCalls=count, timestamp=day * 86_400, **fields)


def shown(result: Snapshot) -> dict[str, list[int | None]]:
    """Return each group's calls per day, newest first."""
    return {
        "/".join(key): [amounts[CALLS] if amounts else None for amounts in days]
        for key, days in result.groups.items()
    }


def test_records_of_a_group_are_added_up_per_day():
    """Records that differ in other dimensions alone belong together; days stay apart."""
    result = snapshot(
        [
            calls("a", 1),
            calls("a", 2, userUuid="bob"),
            calls("a", 4, DAY - 1),
            calls("b", 8, DAY - 1),
        ]
    )
    assert shown(result) == {"a": [3, 4], "b": [None, 8]}
    assert (result.records, result.found, result.folded) == (4, 2, 0)


def test_the_order_of_labels_is_the_querys():
    """A group's values stand in the order in which the query names its labels."""
    record = calls("a", 1, host="h", userUuid="u")
    assert list(snapshot([record], labels=["user_uuid", "host", "repo_id"]).groups) == [
        ("u", "h", "a")
    ]


def test_without_labels_there_is_one_group():
    """A query may ask for totals alone."""
    assert shown(snapshot([calls("a", 1), calls("b", 2)], labels=[])) == {"": [3, None]}


def test_the_busiest_groups_keep_their_series():
    """Beyond max_groups, the groups with the fewest calls over all days are added up in `other`."""
    records = [calls("a", 1), calls("b", 5), calls("c", 3), calls("d", 2), calls("d", 9, DAY - 1)]
    result = snapshot(records, max_groups=2)
    assert shown(result) == {"d": [2, 9], "b": [5, None], "other": [4, None]}
    assert (result.found, result.folded) == (4, 2)


def test_equal_groups_are_folded_in_the_order_of_their_labels():
    """Which group is folded does not depend on the order in which the API lists them."""
    records = [calls(name, 1) for name in "cab"]
    assert shown(snapshot(records, max_groups=1)) == {"a": [1, None], "other": [2, None]}
    assert shown(snapshot(records[::-1], max_groups=1)) == {"a": [1, None], "other": [2, None]}


def test_a_group_once_shown_keeps_its_series_until_the_day_ends():
    """A newcomer with more calls does not push out a group that is on the dashboards already."""
    first = snapshot([calls("a", 1), calls("b", 2)], max_groups=2)
    second = snapshot([calls("a", 1), calls("b", 2), calls("new", 100)], first, max_groups=2)
    assert shown(second) == {"a": [1, None], "b": [2, None], "other": [100, None]}


def test_the_next_day_ranks_anew():
    """With a new day the busiest groups are chosen again."""
    first = snapshot([calls("a", 1), calls("b", 2)], max_groups=2)
    records = [calls("a", 1), calls("b", 2), calls("new", 100, DAY + 1)]
    assert shown(snapshot(records, first, days=(DAY + 1, DAY), max_groups=2)) == {
        "new": [100, None],
        "b": [None, 2],
        "other": [None, 1],
    }


def test_a_group_that_the_api_takes_back_stays_with_zero():
    """A closed day may be revised; a series that was shown does not vanish before midnight."""
    first = snapshot([calls("a", 1), calls("b", 2)])
    assert shown(snapshot([calls("b", 3)], first)) == {"a": [None, None], "b": [3, None]}


def test_room_that_is_left_goes_to_newcomers():
    """Groups that appear during the day get series of their own up to max_groups."""
    first = snapshot([calls("a", 1)], max_groups=2)
    second = snapshot([calls("a", 1), calls("b", 1), calls("c", 2)], first, max_groups=2)
    assert shown(second) == {"a": [1, None], "c": [2, None], "other": [1, None]}


def test_a_real_group_named_other_is_one_with_the_folded():
    """No series is exposed twice where the company itself calls something `other`."""
    records = [calls("other", 7), calls("a", 9), calls("b", 3), calls("c", 1)]
    result = snapshot(records, max_groups=2)
    assert shown(result) == {"a": [9, None], "b": [3, None], "other": [8, None]}
    assert (result.found, result.folded) == (4, 1)
    assert shown(snapshot([*records, calls("d", 50)], result, max_groups=2)) == {
        "a": [9, None],
        "other": [58, None],
        "b": [3, None],
    }


def test_latencies_are_folded_by_weight():
    """The mean of `other` is weighted by calls too."""
    records = [
        calls("a", 10, latency_ms=1),
        calls("b", 1, latency_ms=100),
        calls("c", 3, latency_ms=200),
    ]
    other = snapshot(records, max_groups=1).groups["other",][0]
    assert other is not None
    assert other[FIELD_INDEX["latency_ms"]] / other[CALLS] / 2**64 == (100 + 3 * 200) / 4


def test_calls_of_unknown_latency_weigh_nothing():
    """A mean is over the calls that it is known for, in a group and in `other`."""
    records = [
        calls("a", 1, latency_ms=100),
        calls("a", 50, latency_ms=None),
        calls("b", 3, latency_ms="200"),
        calls("c", 6, latency_ms=None),
        calls("d", 99),
    ]
    folded = snapshot(records, max_groups=1).groups["other",][0]
    (alone,) = (days[0] for days in snapshot(records[:2]).groups.values())
    for amounts, weight, mean in ((alone, 1, 100), (folded, 4, (100 + 3 * 200) / 4)):
        assert amounts is not None
        assert amounts[WEIGHT_INDEX["latency_ms"]] == weight
        assert amounts[FIELD_INDEX["latency_ms"]] / weight / 2**64 == mean
    assert folded is not None
    assert folded[CALLS] == 60


def test_many_groups_are_ranked_in_small_steps():
    """Thousands of groups are folded into the busiest and the rest, while others may run."""
    records = [calls(f"r{number:05}", number % 977, host=str(number)) for number in range(9000)]
    grouping = Grouping(Query(labels=("repo_id",), max_groups=1000), DAYS)
    for record in records:
        grouping.add(parse_record(record, grouping.window))
    steps, coroutine = 0, grouping.snapshot()
    try:
        while True:
            coroutine.send(None)
            steps += 1
    except StopIteration as done:
        result = done.value
    assert steps > 20
    busiest = sorted(records, key=lambda record: (-record["apiCalls"], record["repoId"]))[:1000]
    assert set(result.groups) == {(record["repoId"],) for record in busiest} | {("other",)}
    assert sum(days[0][CALLS] for days in result.groups.values()) == sum(
        record["apiCalls"] for record in records
    )
    assert result.folded == 8000


def test_groups_beyond_reason_end_the_poll():
    """An answer with more groups than memory should hold is refused while it is read."""
    grouping = Grouping(Query(labels=("repo_id",)), DAYS, max_found=100)
    record = parse_record(calls("a", 1), grouping.window)
    for number in range(100):
        grouping.add(record._replace(dimensions=(str(number), *record.dimensions[1:])))
    grouping.add(record._replace(dimensions=("0", *record.dimensions[1:])))
    with pytest.raises(PollError, match="use fewer labels") as caught:
        grouping.add(record)
    assert caught.value.reason is Reason.TOO_LARGE
