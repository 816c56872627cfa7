"""Decodes JSON values out of a text, within limits: many usual ones together, or any one alone.

msgspec decodes many. It is quick and strict: whatever it takes means the same to the standard
library, whose scanner decodes one value and takes what can be taken: NaN, integers of any length,
lone surrogates. (ijson's C backend was tried: an integer of 5,000 digits crashes the interpreter, a
lone surrogate or a number beyond 64 bits ends the whole document, and 30,000 levels of nesting take
two gigabytes.)
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from exporter.errors import PollError, Reason

# Characters of one value: a bound for memory, and for what is decoded again when more has come.
_MAX_VALUE = 1 << 20
# Values in one value: they are decoded at once, which takes some milliseconds.
_MAX_PARTS = 40_000
# A shorter value cannot hold so many of them that counting would pay.
_WORTH_COUNTING = 1 << 17
# Levels of nesting in one value. Python's own limit is higher, and another in each version.
_MAX_DEPTH = 500
# An integer of more digits is beyond any float.
_MAX_DIGITS = 400

Decode = Callable[[str], list[Any]]
"""Makes a list of the values that a JSON array holds, or raises msgspec.DecodeError."""

NOT_JSON = "the answer is not valid JSON"
_TOO_LONG = f"{NOT_JSON}, or holds a record of over a million characters or 40,000 values"
_TOO_DEEP = "the answer is nested too deeply"


def _bounded_int(digits: str) -> float:
    if len(digits) < _MAX_DIGITS:
        return int(digits)
    return float("-inf" if digits[0] == "-" else "inf")


_decode_any: Decode = msgspec.json.Decoder(list[Any]).decode
_decode = json.JSONDecoder(strict=False).raw_decode
_decode_long_integers = json.JSONDecoder(strict=False, parse_int=_bounded_int).raw_decode


def decoded(text: str, start: int) -> tuple[Any, int] | None:
    """Return the value at a position and where it ends; None where it is not whole yet.

    Raises PollError `invalid_response` where it is nested too deeply.
    """
    try:
        value, end = _decoded(text, start)
    except json.JSONDecodeError:
        return None
    except RecursionError as error:
        raise invalid(_TOO_DEEP) from error
    if _may_be_too_deep(text, start, end) and _depth([value]) > _MAX_DEPTH:
        raise invalid(_TOO_DEEP)
    number_may_go_on = text[start] not in '{["' and text[end : end + 1] in ("", *".eE")
    return None if number_may_go_on else (value, end)


def decoder_of(usual: type) -> Decode:
    """Return what decodes a list of values that are all of a type that msgspec knows."""
    return msgspec.json.Decoder(list[usual]).decode  # type: ignore[valid-type]


def decoded_together(usual: Decode, text: str, start: int, end: int) -> list[Any]:
    """Return the values that a part of a text holds, with commas between; none if one is odd.

    They are of the type that `usual` decodes, or else any JSON values.
    """
    values = f"[{text[start:end]}]"
    may_be_too_deep = _may_be_too_deep(text, start, end)
    if not may_be_too_deep:
        with suppress(msgspec.DecodeError):
            return usual(values)
    try:
        found = _decode_any(values)
    except (msgspec.DecodeError, RecursionError):
        return []
    return [] if may_be_too_deep and _depth(found) > _MAX_DEPTH else found


def check_length(text: str, start: int) -> None:
    """Raise PollError where the value that begins at a position is too long to wait for its end."""
    if len(text) - start > _MAX_VALUE:
        raise invalid(_TOO_LONG)


def check_parts(text: str, start: int) -> None:
    """Raise PollError where the value that begins at a position would take long to decode."""
    if len(text) - start < _WORTH_COUNTING:
        return
    if sum(text.count(mark, start) for mark in ",[{") > _MAX_PARTS:
        raise invalid(_TOO_LONG)


def invalid(message: str) -> PollError:
    """Return the error of an answer that cannot be used."""
    return PollError(Reason.INVALID_RESPONSE, message)


def _decoded(text: str, start: int) -> tuple[Any, int]:
    try:
        return _decode(text, start)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer of more digits than Python converts.
        return _decode_long_integers(text, start)


def _may_be_too_deep(text: str, start: int, end: int) -> bool:
    """Whether a part of a text holds so many brackets that it has to be looked at."""
    if end - start <= _MAX_DEPTH:
        return False
    return _holds_many("[", text, start, end) or _holds_many("{", text, start, end)


def _holds_many(bracket: str, text: str, start: int, end: int) -> bool:
    """Whether half as many brackets of one kind as levels are allowed are in a part of a text.

    Jumping from one to the next takes half the time of `str.count`, which looks at every character.
    """
    for _ in range(_MAX_DEPTH // 2):
        start = text.find(bracket, start, end) + 1
        if not start:
            return False
    return True


def _depth(values: list[Any]) -> int:
    """Return how many levels the deepest of the values has, counted a little beyond the limit."""
    level = values
    for depth in range(_MAX_DEPTH + 1):
        level = [value for value in level if isinstance(value, list | dict)]
        if not level:
            return depth
        level = [inner for value in level for inner in _inside(value)]
    return _MAX_DEPTH + 1


def _inside(value: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
