"""Reads the JSON of an answer as it arrives: bytes in, cut anywhere; whole records out, none kept.

The records of a piece are decoded together, by a library that checks their types. Where one of them
is odd, the piece is read value by value, so that it cannot take its neighbours with it.
"""

import codecs
import re
from collections.abc import Generator, Iterator
from typing import Any

from exporter.api.json_values import (
    NOT_JSON,
    check_length,
    check_parts,
    decoded,
    decoded_together,
    decoder_of,
    invalid,
)
from exporter.errors import TruncatedError
from exporter.steps import ITEMS_A_STEP, in_runs

# What a step of the reader yields where the text runs out; else, the records that it read.
_MORE: list[Any] = []

_space = re.compile(r"[ \t\n\r]*").match

_Steps = Generator[Any, None, None]


class ResponseReader:
    """Takes `{"success": true, "data": [record, …]}` in pieces and hands out the records.

    `feed` yields each record as soon as it is whole, as the msgspec type `usual` or as any JSON
    value; `close` checks that the document was complete and good. Both hand out short lists of
    records, also empty ones, so that others can run in between, and are to be gone through to the
    end. They raise PollError `invalid_response`. `message` is what the answer says for itself.

    A generator walks through the document and stops wherever the text ends, so that the place where
    it stops is the reader's state:

        _document   { ─┬─ "key" : ─┬─ value ───────┬─┬─ } ── white space ── end
                       │           └─ _records ────┘ │
                       └────────────── , ────────────┘
        _records    [ ─┬─ value ─┬─ ]         each value is handed out, or many together
                       └─── , ───┘
        _value, _mark                         wait for more text until theirs is there
    """

    def __init__(self, usual: type) -> None:
        self._decode_usual = decoder_of(usual)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._begun = self._position = 0  # where the last value began, and what comes next does
        self._is_new = True
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
        self._is_new = True

        records: list[Any] = []
        for number, found in enumerate(self._steps, 1):
            if found is _MORE:
                break
            records += found
            if number % ITEMS_A_STEP == 0 or len(records) >= ITEMS_A_STEP:
                yield from in_runs(records) if records else [[]]
                records = []
        yield records

    def close(self) -> Iterator[list[Any]]:
        """Take the end of the body, yield what it completes, and check that it was good."""
        self._ended = True
        yield from self.feed(b"")
        if self._members.get("success", True) is not True:
            raise invalid("the API says success: false")
        if "data" not in self._members:
            raise invalid("the answer holds no data")

    def _document(self) -> _Steps:
        """Walk through the top-level object, yielding the records of `data`."""
        if not (yield from self._mark("{")):
            raise invalid("the answer is not a JSON object")
        mark = yield from self._mark("}")
        while mark != "}":
            yield from self._member()
            mark = yield from self._expected(",}")
        while not self._ended or self._position < len(self._text):
            self._skip_space()
            if self._position < len(self._text):
                raise invalid("the answer goes on after its end")
            yield _MORE

    def _member(self) -> _Steps:
        key = yield from self._value()
        if not isinstance(key, str) or key in self._members:
            raise invalid(NOT_JSON)
        yield from self._expected(":")
        if key == "data":
            self._members[key] = None
            yield from self._records()
            return
        value = yield from self._value()
        if key in ("success", "message"):
            self._members[key] = value
        yield []

    def _records(self) -> _Steps:
        if not (yield from self._mark("[")):
            raise invalid("data is not a list")
        mark = yield from self._mark("]")
        while mark != "]":
            value = yield from self._value()
            yield self._together() or [value]
            mark = yield from self._expected(",]")

    def _together(self) -> list[Any]:
        """Return the records that are whole in a new text, from the last value on; none if odd."""
        if not self._is_new:
            return []
        self._is_new = False
        end = _end_of_whole(self._text)
        if end < self._position:
            return []
        records = decoded_together(self._decode_usual, self._text, self._begun, end)
        if records:
            self._position = end
        return records

    def _expected(self, marks: str) -> Generator[Any, None, str]:
        """Skip white space and one of some characters, and return it. Raises PollError."""
        mark = yield from self._mark(marks)
        if not mark:
            raise invalid(NOT_JSON)
        return mark

    def _mark(self, marks: str) -> Generator[Any, None, str]:
        """Skip white space and one of some characters; return it, or nothing where none stands."""
        self._skip_space()
        while self._position == len(self._text):
            yield from self._more()
            self._skip_space()
        char = self._text[self._position]
        if char not in marks:
            return ""
        self._position += 1
        return char

    def _skip_space(self) -> None:
        self._position = _space(self._text, self._position).end()  # type: ignore[union-attr]

    def _value(self) -> Generator[Any, None, Any]:
        """Return the next JSON value once it is whole."""
        yield from self._mark("")
        while not (found := decoded(self._text, self._position)):
            check_length(self._text, self._position)
            yield from self._more()
            check_parts(self._text, self._position)
        self._begun = self._position
        value, self._position = found
        return value

    def _more(self) -> _Steps:
        if self._ended:
            begun = self._text or self._members
            raise TruncatedError("the answer is not complete" if begun else "the answer is empty")
        yield _MORE


def _end_of_whole(text: str) -> int:
    """Return where the last object in a text ends, but the one that the whole answer may be."""
    brace = text.rfind("}")
    if not text[brace + 1 :].strip():
        brace = text.rfind("}", 0, brace)
    return brace + 1
