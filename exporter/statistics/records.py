"""Turns a raw record of the API into a validated one, or says why it is left out."""

import math
import re
import sys
from collections.abc import Container
from enum import StrEnum
from operator import itemgetter
from typing import Any, NamedTuple

from exporter.clock import MILLISECONDS_FROM, utc_day
from exporter.metrics import CALLS, COUNT_FIELDS, DIMENSIONS, MEAN_FIELDS, REQUIRED_FIELDS

MAX_LABEL_BYTES = 1024
MAX_NUMBER = int(sys.float_info.max)
"""The largest amount: what a float can hold."""
MEAN_SCALE = 1 << 64
"""Means are kept in multiples of 2^-64 of the API's unit: their sums are exact in any order."""

_MAX_DIGITS = len(str(MAX_NUMBER))
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")
"""A number as JSON writes it, also with zeros in front.

Its parts are the sign, the digits, the fraction, and the sign and the digits of the exponent.
"""

_SURROGATES = re.compile("[\ud800-\udfff]")
_TIMESTAMP = "timestamp"
_NULLS = dict.fromkeys((*DIMENSIONS.values(), *COUNT_FIELDS))
_dimensions = itemgetter(*DIMENSIONS.values())
_counts = itemgetter(*COUNT_FIELDS)

Amounts = tuple[int, ...]
"""What is added up: exact integers, placed as FIELD_INDEX and WEIGHT_INDEX say."""


class Rejection(StrEnum):
    """Why a record is left out: `reason` of `flashback_exporter_rejected_records_total`."""

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
    """One valid record: its UTC day, its dimensions, its amounts, and what it lacked.

    Dimensions stand in the order of DIMENSIONS. A mean's weighted sum is the mean times MEAN_SCALE
    times the calls it is known for. `lacking` names the fields that were absent or null.
    """

    day: int
    dimensions: tuple[str, ...]
    amounts: Amounts
    lacking: tuple[str, ...] = ()


def parse_record(raw: Any, window: Container[int]) -> Record:
    """Return the record in a raw JSON value, of a day in the window. Raises RejectedRecordError."""
    if not isinstance(raw, dict):
        raise RejectedRecordError(Rejection.NOT_AN_OBJECT)
    try:
        dimensions, counts = _dimensions(raw), _counts(raw)
    except KeyError:
        whole = _NULLS | raw
        dimensions, counts = _dimensions(whole), _counts(whole)

    lacking: list[str] = []
    day = _day(raw.get(_TIMESTAMP), window)
    labels = _labels(dimensions, lacking)
    amounts = [
        value if type(value) is int and 0 <= value <= MAX_NUMBER else _count(value, field, lacking)
        for value, field in zip(counts, COUNT_FIELDS, strict=True)
    ]
    for field in MEAN_FIELDS:
        amounts += _weighted(raw.get(field), field, amounts[CALLS], lacking)
    return Record(day, labels, tuple(amounts), tuple(lacking))


def _day(timestamp: Any, window: Container[int]) -> int:
    """Return the UTC day of a timestamp in Unix seconds, a number or a string of digits."""
    if timestamp is None:
        raise RejectedRecordError(Rejection.MISSING_FIELD, _TIMESTAMP)
    if type(timestamp) is str and timestamp.isdigit():
        timestamp = _number(timestamp, _TIMESTAMP)
    _check_range(timestamp, _TIMESTAMP)

    day = utc_day(timestamp)
    if day in window:
        return day
    if timestamp > MILLISECONDS_FROM:
        raise RejectedRecordError(Rejection.MILLISECONDS, _TIMESTAMP)
    raise RejectedRecordError(Rejection.OUTSIDE_WINDOW, _TIMESTAMP)


def label_values(dimensions: tuple[str, ...]) -> tuple[str, ...]:
    """Return any strings without lone surrogates, each cut to MAX_LABEL_BYTES of UTF-8."""
    together = "".join(dimensions)
    if together.isascii() and len(together) <= MAX_LABEL_BYTES:
        return dimensions  # nearly always: nothing to cut or mend
    return tuple(map(_label, dimensions))


def _labels(dimensions: tuple[Any, ...], lacking: list[str]) -> tuple[str, ...]:
    """Return the dimensions as label values."""
    try:
        return label_values(dimensions)
    except TypeError:
        return label_values(_filled_in(dimensions, lacking))


def _filled_in(dimensions: tuple[Any, ...], lacking: list[str]) -> tuple[str, ...]:
    """Return the dimensions with the empty string for those that are lacking, and note these."""
    for value, field in zip(dimensions, DIMENSIONS.values(), strict=True):
        if value is None:
            lacking.append(field)
        elif not isinstance(value, str):
            raise RejectedRecordError(Rejection.WRONG_TYPE, field)
    return tuple([value or "" for value in dimensions])


def _label(value: str) -> str:
    cut = value[:MAX_LABEL_BYTES]
    if cut.isascii():
        return cut
    mended = _SURROGATES.sub("\ufffd", cut)
    return mended.encode()[:MAX_LABEL_BYTES].decode(errors="ignore")


def _count(value: Any, field: str, lacking: list[str]) -> int:
    """Return a whole number, as a number or in a string; where it is lacking, 0."""
    if value is None:
        return _lacked(field, lacking)
    if type(value) is str:
        if len(value) < _MAX_DIGITS and value.isdigit() and value.isascii():
            return int(value)  # nearly always, where the API writes strings
        value = _number(value, field)
    elif type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and 0 <= value <= MAX_NUMBER:
        return value
    raise RejectedRecordError(_fault(value), field)


def _weighted(value: Any, field: str, calls: int, lacking: list[str]) -> tuple[int, int]:
    """Return a mean over so many calls as its weighted sum and its weight; 0 if it is lacking."""
    if value is None:
        return _lacked(field, lacking), 0
    if type(value) is str:
        value = _number(value, field)
    _check_range(value, field)
    numerator, denominator = value.as_integer_ratio()
    return numerator * MEAN_SCALE // denominator * calls, calls


def _lacked(field: str, lacking: list[str]) -> int:
    """Note that a record lacks a field, and return what it adds to a sum."""
    if field in REQUIRED_FIELDS:
        raise RejectedRecordError(Rejection.MISSING_FIELD, field)
    lacking.append(field)
    return 0


def _number(text: str, field: str) -> float:
    """Return the number in a string: an exact integer where it is whole, else a float.

    The work is bounded by the length of the string: a huge exponent makes an infinity or a zero,
    and no digits.
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


def _check_range(value: Any, field: str) -> None:
    """Refuse what is no number, and numbers out of range."""
    if type(value) not in (int, float) or not 0 <= value <= MAX_NUMBER:
        raise RejectedRecordError(_fault(value), field)


def _fault(value: Any) -> Rejection:
    """Return why a value is refused; a fraction is of the wrong type where a count was expected."""
    if type(value) not in (int, float):
        return Rejection.WRONG_TYPE
    if value < 0:
        return Rejection.NEGATIVE
    return Rejection.WRONG_TYPE if value <= MAX_NUMBER else Rejection.NOT_FINITE
