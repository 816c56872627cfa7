"""Takes values as liberally as the API writes them: IDs, names, counts, money, instants."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from exporter.clock import MILLISECONDS_FROM
from exporter.statistics.records import label_values

_MAX_PLACES = 308  # before or behind the point, as in a float
_MAX_ID = 1 << 64
_LATEST = 1e11  # seconds; beyond the year 5000, and a float still holds milliseconds


def text(value: Any) -> str:
    """Return a text or a whole number as a label value; nothing where it is neither."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID:
        value = str(value)
    return label_values((value,))[0] if isinstance(value, str) else ""


def money(value: Decimal | None) -> Decimal | None:
    """Return an amount of money; None where there is none, or none that a float could hold."""
    return value if value is not None and _is_usual(value) else None


def count(value: Decimal | None) -> int | None:
    """Return a count; None where there is none, or it is negative or not whole."""
    if value is None or not _is_usual(value) or value < 0:
        return None
    return int(value) if value == value.to_integral_value() else None


def instant(value: Any) -> float | None:
    """Return an instant in Unix seconds; None where it is none.

    It may be a date, with or without a time, in UTC unless it says otherwise; or a number, in
    seconds or milliseconds.
    """
    if isinstance(value, str):
        return _from_iso(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    seconds = value / 1000 if value > MILLISECONDS_FROM else value
    return float(seconds) if 0 < seconds < _LATEST else None


def _is_usual(value: Decimal) -> bool:
    if not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    small = isinstance(exponent, int) and exponent >= -_MAX_PLACES
    return small and value.adjusted() < _MAX_PLACES


def _from_iso(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(value[:64].strip())
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None  # before 1970 it stands for no date
