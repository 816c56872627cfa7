"""Turns a raw record of the API into a validated one, or says why it is left out."""

import math
import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from operator import itemgetter
from typing import Any, NamedTuple

from exporter.clock import MILLISECONDS_FROM, utc_day
from exporter.metrics import CALLS, COUNT_FIELDS, DIMENSIONS, MEAN_FIELDS, REQUIRED_FIELDS

MAX_LABEL_BYTES = 1024
MAX_NUMBER = int(sys.float_info.max)
"""The largest amount: what a float can hold."""
MEAN_SCALE = 1 << 64
"""Means are kept as whole multiples of 2^-64 of the API's unit, so that their weighted sums are exact in any order."""

_MAX_DIGITS = len(str(MAX_NUMBER))
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")
"""A number as JSON writes it, zeros in front allowed: sign, digits, fraction, and sign and digits of the exponent."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_NULLS = dict.fromkeys((*DIMENSIONS.values(), *COUNT_FIELDS))
_dimensions = itemgetter(*DIMENSIONS.values())
_counts = itemgetter(*COUNT_FIELDS)


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
    """One valid record: its UTC day, its dimensions in the order of DIMENSIONS, its amounts, and what it lacked.

    Amounts are exact integers, placed as FIELD_INDEX and WEIGHT_INDEX say. A mean's weighted sum is the mean times
    MEAN_SCALE times the calls it is known for. `lacking` names the fields that were absent or null.
    """

    day: int
    dimensions: tuple[str, ...]
    amounts: tuple[int, ...]
    lacking: tuple[str, ...] = ()


def parse_record(raw: Any, window: Mapping[int, int]) -> Record:
    """Return the record in a raw JSON value. Raises RejectedRecordError. `window` holds the days asked for."""
    if not isinstance(raw, dict):
        raise RejectedRecordError(Rejection.NOT_AN_OBJECT)
    try:
        dimensions, counts = _dimensions(raw), _counts(raw)
    except KeyError:
        whole = _NULLS | raw
        dimensions, counts = _dimensions(whole), _counts(whole)
    lacking: list[str] = []
    day = _day(raw.get("timestamp"), window)
    labels = _labels(dimensions, lacking)
    amounts = [
        value if type(value) is int and 0 <= value <= MAX_NUMBER else _count(value, field, lacking)
        for value, field in zip(counts, COUNT_FIELDS, strict=True)
    ]
    for field in MEAN_FIELDS:
        amounts += _weighted(raw.get(field), field, amounts[CALLS], lacking)
    return Record(day, labels, tuple(amounts), tuple(lacking))


def _day(timestamp: Any, window: Mapping[int, int]) -> int:
    """Return the UTC day of a timestamp in Unix seconds, a number or a string of digits."""
    if timestamp is None:
        raise RejectedRecordError(Rejection.MISSING_FIELD, "timestamp")
    if type(timestamp) is str and timestamp.isdigit():
        timestamp = _number(timestamp, "timestamp")
    if type(timestamp) not in (int, float) or not 0 <= timestamp <= MAX_NUMBER:
        raise RejectedRecordError(_fault(timestamp), "timestamp")
    day = utc_day(timestamp)
    if day not in window:
        milliseconds = timestamp > MILLISECONDS_FROM
        raise RejectedRecordError(
            Rejection.MILLISECONDS if milliseconds else Rejection.OUTSIDE_WINDOW, "timestamp"
        )
    return day


def _labels(dimensions: tuple[Any, ...], lacking: list[str]) -> tuple[str, ...]:
    try:
        together = "".join(dimensions)
    except TypeError:
        dimensions = _filled_in(dimensions, lacking)
        together = "".join(dimensions)
    if together.isascii() and len(together) <= MAX_LABEL_BYTES:
        return dimensions  # nearly always: nothing to cut or mend
    return tuple(map(_label, dimensions))


def _filled_in(dimensions: tuple[Any, ...], lacking: list[str]) -> tuple[str, ...]:
    """Return the dimensions with the empty string for those that the record lacks, which are noted."""
    for value, field in zip(dimensions, DIMENSIONS.values(), strict=True):
        if value is None:
            lacking.append(field)
        elif not isinstance(value, str):
            raise RejectedRecordError(Rejection.WRONG_TYPE, field)
    return tuple([value or "" for value in dimensions])


def _label(value: str) -> str:
    """Return a dimension as a label value: any string, without lone surrogates, cut to MAX_LABEL_BYTES of UTF-8."""
    if not value.isascii():
        value = _SURROGATES.sub("\ufffd", value[:MAX_LABEL_BYTES])
        return value.encode()[:MAX_LABEL_BYTES].decode(errors="ignore")
    return value[:MAX_LABEL_BYTES]


def _count(value: Any, field: str, lacking: list[str]) -> int:
    """Return a whole number, as a number or in a string."""
    if type(value) is str:
        if len(value) < _MAX_DIGITS and value.isdigit() and value.isascii():
            return int(value)  # nearly always, where the API writes strings
        value = _number(value, field)
    elif type(value) is float and value.is_integer():
        value = int(value)
    elif value is None:
        return _nothing(field, lacking)
    if type(value) is int and 0 <= value <= MAX_NUMBER:
        return value
    raise RejectedRecordError(_fault(value), field)


def _weighted(value: Any, field: str, calls: int, lacking: list[str]) -> tuple[int, int]:
    """Return a mean over so many calls as its weighted sum and its weight; neither has any where it is not known."""
    if value is None:
        return _nothing(field, lacking), 0
    if type(value) is str:
        value = _number(value, field)
    if type(value) not in (int, float) or not 0 <= value <= MAX_NUMBER:
        raise RejectedRecordError(_fault(value), field)
    numerator, denominator = value.as_integer_ratio()
    return numerator * MEAN_SCALE // denominator * calls, calls


def _nothing(field: str, lacking: list[str]) -> int:
    """Return the amount of a field that the record lacks, and note it."""
    if field in REQUIRED_FIELDS:
        raise RejectedRecordError(Rejection.MISSING_FIELD, field)
    lacking.append(field)
    return 0


def _number(text: str, field: str) -> float:
    """Return the number that a string holds as JSON writes it: an exact integer where it is whole, else a float.

    The work is bounded by the length of the string: a huge exponent makes an infinity or a zero, and no digits.
    """
    parts = _NUMBER.fullmatch(text)
    if parts is None:
        raise RejectedRecordError(Rejection.WRONG_TYPE, field)
    sign, whole, fraction, exponent_sign, exponent = parts.groups("")
    digits = whole + fraction
    significant = digits.strip("0")
    if not significant:
        return 0
    nearest = float(text)
    if nearest == 0 or math.isinf(nearest):
        return nearest
    zeros = len(digits) - len(digits.rstrip("0")) - len(fraction)
    places = zeros + int(exponent_sign + (exponent.lstrip("0") or "0"))
    return int(sign + significant) * 10**places if places >= 0 else nearest


def _fault(value: Any) -> Rejection:
    if type(value) not in (int, float):
        return Rejection.WRONG_TYPE
    if value < 0:
        return Rejection.NEGATIVE
    return Rejection.WRONG_TYPE if value <= MAX_NUMBER else Rejection.NOT_FINITE
