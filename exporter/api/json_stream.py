"""Reads the JSON of an answer as it arrives: bytes in, cut anywhere; whole records out, none of them kept.

The standard library's C scanner decodes the records of a piece together or, where one of them is odd, one at a time,
so that it cannot take the process or its neighbours with it. (ijson's C backend was tried: an integer of 5,000 digits
crashes the interpreter, a lone surrogate or a number beyond 64 bits ends the whole document, and 30,000 levels of
nesting take two gigabytes.)
"""

import codecs
import json
import re
from collections.abc import Generator, Iterator
from typing import Any

from exporter.errors import PollError, Reason, TruncatedError
from exporter.steps import ITEMS_A_STEP, in_runs

_MAX_VALUE = (
    1 << 20
)  # characters of one record; bounds memory and the work of trying again when more has come
_MAX_PARTS = 40_000  # values in one record; they are decoded at once, in some milliseconds
_TOO_LONG = (
    "the answer is not valid JSON, or holds a record of over a million characters or 40,000 values"
)
_LONG = 1 << 17  # characters of a record whose parts are worth counting
_MAX_DIGITS = 400  # an integer of more digits is beyond any float
_MORE = object()  # what the reader's steps yield where the text runs out
_PASSED = object()  # what they yield where something was read that is no record

_space = re.compile(r"[ \t\n\r]*").match
_comma = re.compile(r"[ \t\n\r]*,[ \t\n\r]*").match


def _bounded_int(digits: str) -> float:
    return (
        int(digits) if len(digits) < _MAX_DIGITS else float("-inf" if digits[0] == "-" else "inf")
    )


_decode = json.JSONDecoder(strict=False).raw_decode
_decode_all = json.JSONDecoder(strict=False).decode
_decode_long_integers = json.JSONDecoder(strict=False, parse_int=_bounded_int).raw_decode


class ResponseReader:
    """Takes `{"success": true, "data": [record, …]}` in pieces and hands out the records.

    `feed` yields each record as soon as it is whole, as any JSON value; `close` checks that the document was complete
    and good. Both hand out short lists of records, also empty ones, so that others can run in between, are to be gone
    through to the end, and raise PollError `invalid_response`. `message` is what the answer says for itself.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._position = 0
        self._ended = False
        self._members: dict[str, Any] = {}
        self._steps = self._document()

    @property
    def message(self) -> str:
        """The answer's own words, unchecked; empty where it has none."""
        message = self._members.get("message")
        return message if isinstance(message, str) else ""

    def feed(self, piece: bytes) -> Iterator[list[Any]]:
        """Take the next piece of the body and yield the records that it completes."""
        self._text = self._text[self._position :] + self._decoder.decode(piece, self._ended)
        self._position = 0
        records: list[Any] = []
        alone = True
        for number, found in enumerate(self._steps, 1):
            if found is _MORE:
                break
            if found is not _PASSED:
                records.append(found)
                if alone:
                    records += self._following()
                    alone = False
            if number % ITEMS_A_STEP == 0 or len(records) >= ITEMS_A_STEP:
                yield from in_runs(records) if records else [[]]
                records = []
        yield records

    def close(self) -> Iterator[list[Any]]:
        """Take the end of the body, yield what it completes, and check that the answer was whole and good."""
        self._ended = True
        yield from self.feed(b"")
        if self._members.get("success", True) is not True:
            raise _invalid("the API says success: false")
        if "data" not in self._members:
            raise _invalid("the answer holds no data")

    def _following(self) -> list[Any]:
        """Return the records up to the last one that is whole in the text, where nothing about them is odd.

        A short cut: decoded together they take a third less time than one by one, for the decoder makes the names of
        the fields anew in each call.
        """
        comma, end = _comma(self._text, self._position), self._text.rfind("}") + 1
        if comma is None or end <= comma.end():
            return []
        try:
            records: list[Any] = _decode_all(f"[{self._text[comma.end() : end]}]")
        except (
            ValueError,
            RecursionError,
        ):  # the end of another object, or of none; a record that is not valid
            return []
        self._position = end
        return records

    def _document(self) -> Generator[Any, None, None]:
        """Walk through the top-level object, yielding the records of `data`, and _MORE where the text runs out."""
        if not (yield from self._mark("{")):
            raise _invalid("the answer is not a JSON object")
        mark = yield from self._mark("}")
        while mark != "}":
            key = yield from self._value()
            if not isinstance(key, str) or key in self._members or not (yield from self._mark(":")):
                raise _invalid("the answer is not valid JSON")
            if key == "data":
                self._members[key] = None
                yield from self._records()
            else:
                value = yield from self._value()
                if key in ("success", "message"):
                    self._members[key] = value
                yield _PASSED
            mark = yield from self._mark(",}")
            if not mark:
                raise _invalid("the answer is not valid JSON")
        while not self._ended or self._position < len(self._text):
            self._position = _space(self._text, self._position).end()  # type: ignore[union-attr]
            if self._position < len(self._text):
                raise _invalid("the answer goes on after its end")
            yield _MORE

    def _records(self) -> Generator[Any, None, None]:
        if not (yield from self._mark("[")):
            raise _invalid("data is not a list")
        mark = yield from self._mark("]")
        while mark != "]":
            yield (yield from self._value())
            mark = yield from self._mark(",]")
            if not mark:
                raise _invalid("the answer is not valid JSON")

    def _mark(self, expected: str) -> Generator[Any, None, str]:
        """Skip white space and one of the expected characters; return it, or nothing where another one stands."""
        while True:
            self._position = _space(self._text, self._position).end()  # type: ignore[union-attr]
            if self._position < len(self._text):
                break
            yield from self._more()
        char = self._text[self._position]
        if char not in expected:
            return ""
        self._position += 1
        return char

    def _value(self) -> Generator[Any, None, Any]:
        """Return the next JSON value once it is whole."""
        yield from self._mark("")
        while True:
            text, start = self._text, self._position
            try:
                try:
                    value, end = _decode(text, start)
                except json.JSONDecodeError:
                    raise
                except ValueError:  # an integer that Python refuses to convert
                    value, end = _decode_long_integers(text, start)
            except json.JSONDecodeError:
                pass  # it may be whole once more has come
            except RecursionError:
                raise _invalid("the answer is nested too deeply") from None
            else:
                if text[start] in '{["' or text[end : end + 1] not in (
                    "",
                    *".eE",
                ):  # a number might go on
                    self._position = end
                    return value
            if len(text) - start > _MAX_VALUE:
                raise _invalid(_TOO_LONG)
            yield from self._more()
            self._check_parts()

    def _check_parts(self) -> None:
        """Refuse a long value that would take long to decode, before it is tried again."""
        text, start = self._text, self._position
        if len(text) - start < _LONG:
            return
        if sum(text.count(mark, start) for mark in ",[{") > _MAX_PARTS:
            raise _invalid(_TOO_LONG)

    def _more(self) -> Generator[Any, None, None]:
        if self._ended:
            raise TruncatedError(
                "the answer is not complete"
                if self._text or self._members
                else "the answer is empty"
            )
        yield _MORE


def _invalid(message: str) -> PollError:
    return PollError(Reason.INVALID_RESPONSE, message)
