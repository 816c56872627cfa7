"""What a query shows, as samples: names, labels and values, whatever they are written as.

They come in blocks, for there are millions of them: a format that writes a block by column says
once what a thousand samples have in common.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter.clock import midnight
from exporter.config.sections import Query
from exporter.metrics import AMOUNTS, DAY_START, FIELD_INDEX, METRICS, WEIGHT_INDEX, Kind, Metric
from exporter.statistics.groups import DailyAmounts, Snapshot
from exporter.statistics.records import MAX_NUMBER, MEAN_SCALE, Amounts
from exporter.steps import in_runs

_NOTHING: Amounts = (0,) * AMOUNTS

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are written."""


class Sample(NamedTuple):
    """One sample: a whole number is exact, and one that no float holds is infinite."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Column:
    """One value for each row of a block, under one name; None where a row has no such sample.

    All of them have the labels in `before` and `after`, and those of their row in between.
    """

    name: str
    before: Labels
    after: Labels
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Block:
    """Samples as a table: each row has its own values of `labels`, each column its own values."""

    labels: Sequence[str]
    rows: Sequence[Sequence[str]]
    columns: Sequence[Column]

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of the block one by one."""
        for column in self.columns:
            for row, value in zip(self.rows, column.values, strict=True):
                if value is not None:
                    own = zip(self.labels, row, strict=True)
                    labels = dict([*column.before, *own, *column.after])
                    yield Sample(column.name, labels, value)


def blocks(query: Query, snapshot: Snapshot, today: int) -> Iterator[Block]:
    """Yield what a query shows on the day `today` (days since 1970), as far as it is known.

    The window ends at `today`. Its days after the snapshot's newest are 0, for nothing is known to
    have happened on them; days before the snapshot's oldest are left out. A block is a step's work.
    """
    days = _days(snapshot, today)
    yield _day_starts(query, days)

    for run in in_runs(snapshot.groups.items()):
        keys, daily = zip(*run, strict=True)
        columns = _columns(query, snapshot.window, days, daily)
        yield Block(query.labels, keys, tuple(columns))


def _days(snapshot: Snapshot, today: int) -> dict[str, int]:
    """Return the days to show, by their value of the label `day`, newest first."""
    oldest = snapshot.window[-1]
    days = [today - offset for offset in range(len(snapshot.window))]
    return {_day_label(today - day): day for day in days if day >= oldest}


def _day_label(offset: int) -> str:
    return ("today", "yesterday")[offset] if offset < 2 else f"today-{offset}"


def _day_starts(query: Query, days: Mapping[str, int]) -> Block:
    """Return one row for each day, with when it began."""
    starts = [midnight(day) for day in days.values()]
    column = Column(DAY_START, (("query", query.name),), (), starts)
    return Block(("day",), [(label,) for label in days], (column,))


def _columns(
    query: Query, window: Sequence[int], days: Mapping[str, int], daily: Sequence[DailyAmounts]
) -> Iterator[Column]:
    """Yield every metric of the query on every day, for groups with these amounts."""
    shown = [metric for metric in METRICS if metric.short_name in query.metrics]
    for label, day in days.items():
        before = (("query", query.name), ("day", label))
        amounts = _on_day(day, window, daily)

        for metric in shown:
            for split, field in metric.fields.items():
                after = ((metric.split_by, split),) if metric.split_by else ()
                values = _values(metric, field, amounts)
                yield Column(metric.name, before, after, values)


def _on_day(day: int, window: Sequence[int], daily: Sequence[DailyAmounts]) -> list[Amounts]:
    """Return each group's amounts on a day; a day after the window has none yet."""
    if day not in window:
        return [_NOTHING] * len(daily)
    index = window.index(day)
    return [of_group[index] or _NOTHING for of_group in daily]


def _values(metric: Metric, field: str, amounts: Iterable[Amounts]) -> Sequence[float | None]:
    """Return what each group shows of an API field."""
    index = FIELD_INDEX[field]
    if metric.kind is Kind.MEAN:
        weight = WEIGHT_INDEX[field]
        unit = metric.divisor * MEAN_SCALE
        return [one[index] / (one[weight] * unit) if one[weight] else None for one in amounts]

    sums = [one[index] for one in amounts]
    if max(sums) <= MAX_NUMBER:
        return sums
    return [value if value <= MAX_NUMBER else math.inf for value in sums]
