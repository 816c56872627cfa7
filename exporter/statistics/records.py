"""Turns a raw record of the API into a validated one, or says why it is left out."""

import math
import re
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from operator import itemgetter
from typing import Any, NamedTuple

from exporter.clock import MILLISECONDS_FROM, utc_day
from exporter.metrics import CALLS, DIMENSIONS, FIELD_KINDS, Kind

MAX_LABEL_BYTES = 1024
MAX_NUMBER = int(sys.float_info.max)
"""The largest amount: what a float can hold."""
LATENCY_SCALE = 1 << 64
"""Latencies are kept as whole multiples of 2^-64 milliseconds, so that their weighted sums are exact in any order."""

_MAX_DIGITS = len(str(MAX_NUMBER))
_SURROGATES = re.compile("[\ud800-\udfff]")
_dimensions = itemgetter(*DIMENSIONS.values())


class Rejection(StrEnum):
    """Why a record is left out: values of the label `reason` of `flashback_exporter_rejected_records_total`."""

    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    NEGATIVE = "negative"
    NOT_FINITE = "not_finite"
    OUTSIDE_WINDOW = "outside_window"
    MILLISECONDS = "timestamp_in_milliseconds"


class RejectedRecordError(Exception):
    """A record cannot be used. Carries the reason and the field, never a value."""

    def __init__(self, reason: Rejection, field: str = "") -> None:
        super().__init__(f"{reason} {field}".rstrip())
        self.reason = reason
        self.field = field


class Record(NamedTuple):
    """One valid record: its UTC day, its dimensions in the order of DIMENSIONS and its amounts in that of FIELD_KINDS.

    Amounts are exact integers. The latency among them is multiplied by the record's calls and by LATENCY_SCALE.
    """

    day: int
    dimensions: tuple[str, ...]
    amounts: tuple[int, ...]


def parse_record(raw: Any, window: Mapping[int, int]) -> Record:
    """Return the record in a raw JSON value. Raises RejectedRecordError. `window` holds the days asked for."""
    if not isinstance(raw, dict):
        raise RejectedRecordError(Rejection.NOT_AN_OBJECT)
    try:
        timestamp = raw["timestamp"]
        dimensions = _dimensions(raw)
        amounts = [check(raw[field], field) for field, check in _CHECKS]
    except KeyError as error:
        raise RejectedRecordError(Rejection.MISSING_FIELD, str(error.args[0])) from None
    amounts[_LATENCY] *= amounts[CALLS]
    return Record(_day(timestamp, window), _labels(dimensions), tuple(amounts))


def _day(timestamp: Any, window: Mapping[int, int]) -> int:
    _count(timestamp, "timestamp")
    day = utc_day(timestamp)
    if day not in window:
        milliseconds = timestamp > MILLISECONDS_FROM
        raise RejectedRecordError(
            Rejection.MILLISECONDS if milliseconds else Rejection.OUTSIDE_WINDOW, "timestamp"
        )
    return day


def _labels(dimensions: tuple[Any, ...]) -> tuple[str, ...]:
    try:
        together = "".join(dimensions)
    except TypeError:
        together = ""
    if (
        together and together.isascii() and len(together) <= MAX_LABEL_BYTES
    ):  # nearly always: nothing to cut or mend
        return dimensions
    return tuple(map(_label, dimensions, DIMENSIONS.values()))


def _label(value: object, field: str) -> str:
    """Return a dimension as a label value: any string, without lone surrogates, cut to MAX_LABEL_BYTES of UTF-8."""
    if not isinstance(value, str):
        raise RejectedRecordError(Rejection.WRONG_TYPE, field)
    if not value.isascii():
        value = _SURROGATES.sub("\ufffd", value[:MAX_LABEL_BYTES])
        return value.encode()[:MAX_LABEL_BYTES].decode(errors="ignore")
    return value[:MAX_LABEL_BYTES]


def _count(value: Any, field: str) -> int:
    """Return a whole number."""
    if type(value) is int and 0 <= value <= MAX_NUMBER:
        return value
    if type(value) is float and value.is_integer() and value >= 0:
        return int(value)
    raise RejectedRecordError(_fault(value), field)


def _big_count(value: Any, field: str) -> int:
    """Return a whole number that the API writes as a string of digits, to keep it exact."""
    if type(value) is not str:
        return _count(value, field)
    if value.isdigit() and value.isascii() and len(value) < _MAX_DIGITS:
        return int(value)
    digits = value.lstrip("0") or "0" if value else ""
    if digits.isascii() and digits.isdigit():
        return _count(int(digits) if len(digits) <= _MAX_DIGITS else math.inf, field)
    if digits[:1] == "-" and digits[1:].isdigit():
        raise RejectedRecordError(Rejection.NEGATIVE, field)
    raise RejectedRecordError(Rejection.WRONG_TYPE, field)


def _mean(value: Any, field: str) -> int:
    """Return a latency in milliseconds as a whole multiple of 1 / LATENCY_SCALE."""
    if type(value) is int and 0 <= value <= MAX_NUMBER:
        return value * LATENCY_SCALE
    if type(value) is float and 0 <= value < math.inf:
        numerator, denominator = value.as_integer_ratio()
        return numerator * LATENCY_SCALE // denominator
    raise RejectedRecordError(_fault(value), field)


def _fault(value: Any) -> Rejection:
    if type(value) not in (int, float):
        return Rejection.WRONG_TYPE
    if value < 0:
        return Rejection.NEGATIVE
    return Rejection.WRONG_TYPE if value <= MAX_NUMBER else Rejection.NOT_FINITE


_CHECK_OF: dict[Kind, Callable[[Any, str], int]] = {
    Kind.COUNT: _count,
    Kind.BIG_COUNT: _big_count,
    Kind.MEAN: _mean,
}
_CHECKS = [(field, _CHECK_OF[kind]) for field, kind in FIELD_KINDS.items()]
_LATENCY = list(FIELD_KINDS.values()).index(Kind.MEAN)
