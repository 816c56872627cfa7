"""Records as the API documents them, as nearly all are: many of them become amounts together.

Any other record is for `records`, which says what is wrong with it. What both take, both take for
the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from exporter.clock import utc_day
from exporter.metrics import CALLS, COUNT_FIELDS, DIMENSIONS, FIELD_KINDS, MEAN_FIELDS, Kind
from exporter.statistics.records import MEAN_SCALE, Amounts

# Within what a float can hold, a mean also when it is multiplied by MEAN_SCALE.
_WHOLE = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_DIGITS = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
_FRACTION = Annotated[float, msgspec.Meta(ge=0, le=1e288)]
_TYPES = {Kind.COUNT: _WHOLE, Kind.BIG_COUNT: _DIGITS, Kind.MEAN: _WHOLE | _FRACTION}

Row = msgspec.defstruct(
    "Row",
    [
        ("timestamp", int),
        *[(field, str) for field in DIMENSIONS.values()],
        *[(field, _TYPES[kind]) for field, kind in FIELD_KINDS.items()],
    ],
    frozen=True,
    gc=False,
)
"""A record with every field, each of the type that the API documents."""

_timestamp = attrgetter("timestamp")
_counts = attrgetter(*COUNT_FIELDS)


class OddRowError(Exception):
    """One of some rows is not what it should be, and nothing was made of them."""


def as_raw(row: Any) -> dict[str, Any]:
    """Return a row as the JSON object that it was."""
    return msgspec.structs.asdict(row)


def keys(rows: Sequence[Any], labels: Iterable[str]) -> Iterable[tuple[str, ...]]:
    """Return each row's dimensions for these labels, as they are."""
    columns = [map(attrgetter(DIMENSIONS[label]), rows) for label in labels]
    return zip(*columns, strict=True) if columns else repeat((), len(rows))


def places(rows: Iterable[Any], window: Mapping[int, int]) -> list[int]:
    """Return the place of each row's day in the window. Raises OddRowError."""
    timestamps = [*map(_timestamp, rows)]
    try:
        place = {timestamp: window[utc_day(timestamp)] for timestamp in set(timestamps)}
    except KeyError as error:
        raise OddRowError from error
    return [place[timestamp] for timestamp in timestamps]


def amounts(rows: Sequence[Any]) -> Iterable[Amounts]:
    """Return each row's amounts. Raises OddRowError.

    They are made by column: that takes less time than row by row.
    """
    columns = list(zip(*map(_counts, rows), strict=True))
    for index, field in enumerate(COUNT_FIELDS):
        if FIELD_KINDS[field] is Kind.BIG_COUNT:
            columns[index] = _whole(columns[index])

    calls = columns[CALLS]
    for field in MEAN_FIELDS:
        means = map(attrgetter(field), rows)
        # Exact: a float times a power of two loses nothing.
        sums = [int(mean * MEAN_SCALE) * weight for mean, weight in zip(means, calls, strict=True)]
        columns += [tuple(sums), calls]
    return zip(*columns, strict=True)


def _whole(column: Iterable[str]) -> tuple[int, ...]:
    digits = "".join(column)
    if not (digits.isascii() and digits.isdigit()):
        raise OddRowError
    return tuple(map(int, column))
