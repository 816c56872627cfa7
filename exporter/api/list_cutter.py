"""Cuts the entries of one list out of an answer as it arrives, so that none is decoded at once."""

import re
from collections.abc import Iterator
from enum import Enum

from exporter.api.body import MAX_JSON
from exporter.errors import PollError, Reason

_MAX_ENTRY = 256 * 1024
"""Bytes of one entry, which is decoded in one step."""

# All that decides where an entry ends; a backslash takes the character behind it along.
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
# How far before a list its name may begin.
_NAME_WITHIN = 256


class _Place(Enum):
    """Where in an answer something stands."""

    REST = "around the list"
    GAP = "in the list, around its entries"
    ENTRY = "in an entry"


class ListCutter:
    """Takes `{"name": [{…}, {…}], …}` in pieces and hands out the entries of one list as bytes.

    It looks at quotes and brackets alone: whoever decodes the entries, and what is left of the
    answer, finds out whether they are JSON. Entries that are no objects or lists are left out.
    """

    def __init__(self, name: str) -> None:
        """Prepare to cut the list of a name out of the outermost object."""
        self.rest = bytearray()
        """The answer without the entries: small, however many there are."""
        self._begins_list = re.compile(rb'"%s"\s*:\s*\[\Z' % name.encode())
        self._place = _Place.REST
        self._entry = bytearray()
        self._held = b""
        self._depth = 0
        self._in_text = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next piece and yield the entries that it completes.

        Raises PollError `invalid_response` where the rest is too long to be decoded.
        """
        piece = self._held + piece
        begins, looked_at = 0, 0
        for match in _MARKS.finditer(piece):
            mark, looked_at = match[0], match.end()
            if mark == b'"':
                self._in_text = not self._in_text
            elif not self._in_text and mark in _STEPS:
                self._depth += _STEPS[mark]
                if self._place is _Place.ENTRY and self._depth > 2:
                    continue  # nearly always
                place = self._after(mark, piece[begins:looked_at])
                if place is not self._place:
                    ends = match.start() if self._place is _Place.GAP else looked_at
                    yield from self._leave(piece[begins:ends], place)
                    begins = ends

        split = piece.endswith(b"\\") and looked_at < len(piece)
        self._held = piece[-1:] if split else b""
        self._keep(piece[begins : len(piece) - split])

    def _after(self, mark: bytes, text: bytes) -> _Place:
        """Return where what comes after a bracket stands; `text` ends with the bracket."""
        if self._place is _Place.REST:
            if mark != b"[" or self._depth != 2:
                return _Place.REST
            before = (self.rest[-_NAME_WITHIN:] + text)[-_NAME_WITHIN:]
            return _Place.GAP if self._begins_list.search(before) else _Place.REST
        if self._depth < 2:
            return _Place.REST
        return _Place.GAP if self._depth == 2 else _Place.ENTRY

    def _leave(self, text: bytes, place: _Place) -> Iterator[bytes]:
        """Go on at another place, and yield the entry that ends there."""
        self._keep(text)
        if self._place is _Place.ENTRY:
            yield bytes(self._entry)
            self._entry.clear()
        self._place = place

    def _keep(self, text: bytes) -> None:
        if self._place is _Place.ENTRY:
            # An entry that is too long loses its end: whoever decodes it leaves it out.
            self._entry += text[: _MAX_ENTRY - len(self._entry)]
        elif self._place is _Place.REST:
            self.rest += text
            if len(self.rest) > MAX_JSON:
                raise PollError(Reason.INVALID_RESPONSE, "the answer is not what was asked for")
