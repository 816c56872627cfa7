"""What a query shows, as samples: names, labels and values, whatever they are written as.

There are millions of them. So they come as tables, by columns: a format that writes a column says
once what a thousand samples have in common.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from exporter.clock import midnight
from exporter.config.sections import Query
from exporter.metrics import DAY_START, FIELD_INDEX, METRICS, WEIGHT_INDEX, Family, Kind, Metric
from exporter.statistics.groups import DailyAmounts, Key, Snapshot
from exporter.statistics.marks import NOTHING
from exporter.statistics.records import MAX_NUMBER, MEAN_SCALE, Amounts
from exporter.statistics.state import Shown
from exporter.steps import ITEMS_A_STEP, in_runs

_RUN = 4 * ITEMS_A_STEP  # rows whose values are a step's work; fewer would mean many steps

_T = TypeVar("_T")

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are written."""


class Sample(NamedTuple):
    """One sample: a whole number is exact, and one that no float holds is infinite."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Column:
    """One value for each row of a table; None where a row has no such sample.

    All samples of a column have one name, that of their family with a suffix. They have the labels
    in `before` and `after`, and those of their row in between. Columns with other suffixes and the
    same labels have samples for the same rows. `runs` yields the values of one run of rows after
    another, each of them a step's work; as tuples, for a garbage collection looks into these once.
    """

    family: Family
    before: Labels
    after: Labels
    runs: Iterable[tuple[float | None, ...]]
    suffix: str = ""

    @property
    def name(self) -> str:
        """The name of the samples."""
        return self.family.name + self.suffix


@dataclass(frozen=True, slots=True)
class Table:
    """Samples of rows by columns: each row has its own values of `labels`.

    The rows come in runs. Columns of one family stand together. They can be gone through once.
    """

    labels: Sequence[str]
    runs: Sequence[Sequence[Sequence[str]]]
    columns: Iterable[Column]

    def samples(self) -> Iterator[Sample]:
        """Yield the samples one by one."""
        for column in self.columns:
            for rows, values in zip(self.runs, column.runs, strict=True):
                for row, value in zip(rows, values, strict=True):
                    if value is not None:
                        own = zip(self.labels, row, strict=True)
                        labels = dict([*column.before, *own, *column.after])
                        yield Sample(column.name, labels, value)


def tables(shown: Shown, today: int) -> Iterator[Table]:
    """Yield what a query shows on the day `today` (days since 1970), as far as it is known.

    The window ends at `today`. Its days after the snapshot's newest are 0, for nothing is known to
    have happened on them; days before the snapshot's oldest are left out.
    """
    query, runs = shown.query, None
    if shown.snapshot:
        days = _days(shown.snapshot, today)
        runs = list(map(tuple, _in_runs(shown.snapshot.groups)))
        yield Table(query.labels, runs, _gauges(query, shown.snapshot, days))
        yield _day_starts(query, days)

    if shown.counters:
        if runs is None or not shown.together:
            runs = list(map(tuple, _in_runs(shown.counters)))
        yield Table(query.labels, runs, _counters(query, shown.counters))


def _days(snapshot: Snapshot, today: int) -> dict[str, int]:
    """Return the days to show, by their value of the label `day`, newest first."""
    oldest = snapshot.window[-1]
    days = [today - offset for offset in range(len(snapshot.window))]
    return {_day_label(today - day): day for day in days if day >= oldest}


def _day_label(offset: int) -> str:
    return ("today", "yesterday")[offset] if offset < 2 else f"today-{offset}"


def _day_starts(query: Query, days: Mapping[str, int]) -> Table:
    """Return one row for each day, with when it began."""
    starts = tuple([midnight(day) for day in days.values()])
    column = Column(DAY_START, (("query", query.name),), (), [starts])
    return Table(("day",), [[(label,) for label in days]], [column])


def _gauges(query: Query, snapshot: Snapshot, days: Mapping[str, int]) -> Iterator[Column]:
    """Yield every metric of a query on every day."""
    daily = snapshot.groups.values()
    for metric in _shown_metrics(query):
        family = metric.gauge
        for label, day in days.items():
            before = (("query", query.name), ("day", label))
            place = snapshot.window.index(day) if day in snapshot.window else None
            for split, field in metric.fields.items():
                values = _of_day(metric, field, daily, place)
                yield Column(family, before, _split(metric, split), values)


def _counters(query: Query, counters: Mapping[Key, Amounts]) -> Iterator[Column]:
    """Yield the counter of every metric of a query that has one."""
    before = (("query", query.name),)
    for metric in _shown_metrics(query):
        family = metric.counter
        if family is None:
            continue
        for split, field in metric.fields.items():
            index, after = FIELD_INDEX[field], _split(metric, split)
            if metric.kind is Kind.MEAN:
                sums = _sums(counters.values(), index, metric.divisor * MEAN_SCALE)
                weights = _sums(counters.values(), WEIGHT_INDEX[field])
                yield Column(family, before, after, sums, "_sum")
                yield Column(family, before, after, weights, "_count")
            else:
                yield Column(family, before, after, _sums(counters.values(), index), "_total")


def _shown_metrics(query: Query) -> list[Metric]:
    return [metric for metric in METRICS if metric.short_name in query.metrics]


def _split(metric: Metric, value: str) -> Labels:
    return ((metric.split_by, value),) if metric.split_by else ()


def _of_day(
    metric: Metric, field: str, daily: Iterable[DailyAmounts], place: int | None
) -> Iterator[tuple[float | None, ...]]:
    """Yield what each group shows of an API field on a day; None is a day that is not known yet."""
    for run in _in_runs(daily):
        amounts = [NOTHING if place is None else of_group[place] or NOTHING for of_group in run]
        if metric.kind is Kind.MEAN:
            yield _means(amounts, field, metric.divisor * MEAN_SCALE)
        else:
            yield _divided([one[FIELD_INDEX[field]] for one in amounts], 1)


def _means(amounts: Iterable[Amounts], field: str, unit: int) -> tuple[float | None, ...]:
    """Return the mean of each group, where there is a call that it is known for."""
    index, weight = FIELD_INDEX[field], WEIGHT_INDEX[field]
    return tuple([one[index] / (one[weight] * unit) if one[weight] else None for one in amounts])


def _sums(counters: Iterable[Amounts], index: int, unit: int = 1) -> Iterator[tuple[float, ...]]:
    """Yield one of the amounts of each counter."""
    for run in _in_runs(counters):
        yield _divided([counter[index] for counter in run], unit)


def _divided(sums: list[int], unit: int) -> tuple[float, ...]:
    """Return sums in the metric's unit: exact, where that is the API's."""
    limit = MAX_NUMBER * unit
    if max(sums) > limit:
        return tuple([math.inf if value > limit else value / unit for value in sums])
    return tuple(sums if unit == 1 else [value / unit for value in sums])


def _in_runs(items: Iterable[_T]) -> Iterator[list[_T]]:
    return in_runs(items, _RUN)
