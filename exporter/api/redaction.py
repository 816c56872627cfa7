"""Keeps secrets out of what is quoted from outside, in whatever form a server may send them back.

A text is searched as it is, and as it reads once all escapes in it are resolved (percent, HTML,
JSON, Python, one inside the other too), each time also for the hexadecimal digits of a secret and
for its base64, wherever in the encoded bytes it begins. What is found is cut out of the text
itself, all at once, so that nothing is searched in what was put in its place.
"""

import base64
import html
import json
import math
import re
import string
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import quote, quote_plus

TOO_SHORT = 6
"""A shorter secret is part of too many words to be cut out: then the whole text is hidden."""

_MAX_SEARCHED = 8192  # characters: what is longer is no message
_MAX_LAYERS = 5  # of escapes inside escapes
# What is left of a shorter secret would be found everywhere.
_LEAST_BASE64 = 4  # characters
_LEAST_HEX = 3  # bytes

_ESCAPES = re.compile(
    r"(?P<percent>(?:%[0-9a-fA-F]{2})+)"
    r"|(?P<html>&(?:(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6});?|\w{1,31};))"
    r"|(?P<hex>(?:\\x[0-9a-fA-F]{2})+)"
    r"|(?P<unicode>(?:\\u[0-9a-fA-F]{4})+)"
    r"""|\\(?P<sign>[\\"'/])"""
)
_NOTHING = re.compile(r"(?!)")
_BASE64_SIGNS = frozenset(string.ascii_letters + string.digits + "+/_=-")
# A form writes a space as a plus sign.
_SPACE = str.maketrans("+", " ")
# There are two alphabets of base64, and a form turns the plus sign of the first into a space.
_BASE64 = str.maketrans("-_ ", "+/+")

Span = tuple[int, int]


class Redactor:
    """Knows the secrets that must not be shown, each by what it is called."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}

    def remember(self, name: str, value: str) -> None:
        """Hide a secret from now on, and still the one of that name before it."""
        if value and value != self._secrets.get(name):
            self._secrets[f"last {name}"] = self._secrets.get(name, "")
            self._secrets[name] = value

    def redact(self, text: str) -> str:
        """Return a text without the secrets, each replaced by its name in angle brackets."""
        if len(text) > _MAX_SEARCHED:
            return f"<not shown: {len(text)} characters>"
        readings = _readings(text)
        found: list[tuple[int, int, str]] = []
        for name, value in self._secrets.items():
            spans = {span for reading in readings for span in reading.parts_with(value)}
            if spans and len(value) < TOO_SHORT:
                return f"<not shown: it holds the {name}>"
            found += ((start, end, name) for start, end in spans)
        return _without(text, found)


class _Reading:
    """One way to read a text: its characters, and the part of the text that each stands for."""

    def __init__(self, text: str, spans: list[Span]) -> None:
        self.text = text
        self._spans = spans
        self._plain = text.translate(_SPACE)
        self._base64 = text.translate(_BASE64)

    def resolved(self) -> "_Reading":
        """Return what the text reads as with one layer of escapes less."""
        text, spans, position = "", [], 0
        for match in _ESCAPES.finditer(self.text):
            start, end = match.span()
            meaning = _meaning(match)
            text += self.text[position:start] + meaning
            spans += self._spans[position:start]
            spans += [self._part(start, end)] * len(meaning)
            position = end
        return _Reading(text + self.text[position:], spans + self._spans[position:])

    def parts_with(self, secret: str) -> Iterator[Span]:
        """Yield which parts of the text itself hold a secret."""
        for form in {secret, _resolved(secret), _misread(secret)}:
            for start, end in _occurrences(self._plain, form.translate(_SPACE)):
                yield self._part(start, end)
        for match in _hex_digits(secret).finditer(self.text):
            yield self._part(*match.span())
        for form in _base64_forms(secret):
            for start, end in _occurrences(self._base64, form):
                yield self._part(*self._widened(start, end))

    def _widened(self, start: int, end: int) -> Span:
        """Return a span with all the base64 around it: some bits of the secret stand there."""
        while start > 0 and self.text[start - 1] in _BASE64_SIGNS:
            start -= 1
        while end < len(self.text) and self.text[end] in _BASE64_SIGNS:
            end += 1
        return start, end

    def _part(self, start: int, end: int) -> Span:
        """Return the part of the text itself that some of these characters stand for."""
        return self._spans[start][0], self._spans[end - 1][1]


def _readings(text: str) -> list[_Reading]:
    ends = range(len(text) + 1)
    readings = [_Reading(text, list(pairwise(ends)))]
    while len(readings) < _MAX_LAYERS:
        following = readings[-1].resolved()
        if following.text == readings[-1].text:
            break
        readings.append(following)
    return readings


def _resolved(text: str) -> str:
    return _readings(text)[-1].text


def _meaning(escape: re.Match[str]) -> str:
    """Return what an escape, or a row of them, stands for."""
    written = escape[0]
    match escape.lastgroup:
        case "html":
            return html.unescape(written)
        case "sign":
            return escape["sign"]
        case "unicode":
            return _bytes_in(written).decode("utf-16-be", "replace")
        case _:
            return _decoded(_bytes_in(written))


def _bytes_in(escapes: str) -> bytes:
    digits = re.sub(r"%|\\[xu]", "", escapes)
    return bytes.fromhex(digits)


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _misread(secret: str) -> str:
    """Return what a server takes a secret for that reads every text as Latin-1."""
    return secret.encode(errors="replace").decode("latin-1")


def _hex_digits(secret: str) -> re.Pattern[str]:
    """Return a pattern for the bytes of a secret in hexadecimal digits, side by side or apart."""
    content = secret.encode(errors="replace")
    if len(content) < _LEAST_HEX:
        return _NOTHING
    digits = content.hex(" ").replace(" ", "[ :]?")
    return re.compile(digits, re.IGNORECASE)


def _base64_forms(secret: str) -> Iterator[str]:
    """Yield what the base64 of any text with the secret in it holds.

    The text may have the secret as JSON or a form writes it, too.
    """
    written = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    }
    for form in written:
        yield from _base64_within(form.encode(errors="replace"))


def _base64_within(content: bytes) -> Iterator[str]:
    """Yield what the base64 of anything with `content` in it holds.

    Each character stands for six bits. How the bits of the content fall into characters depends on
    the number of bytes before it, of which three make four whole characters. At both ends, a
    character may hold bits of what stands beside the content: these are left out.
    """
    for bytes_before in range(3):
        encoded = base64.b64encode(bytes(bytes_before) + content).decode()
        bits_before = 8 * bytes_before
        first = math.ceil(bits_before / 6)
        end = (bits_before + 8 * len(content)) // 6
        if end - first >= _LEAST_BASE64:
            yield encoded[first:end].translate(_BASE64)


def _occurrences(text: str, part: str) -> Iterator[Span]:
    start = text.find(part) if part else -1
    while start >= 0:
        yield start, start + len(part)
        start = text.find(part, start + 1)


def _without(text: str, found: list[tuple[int, int, str]]) -> str:
    """Return a text without the parts that were found.

    Of parts that overlap, the first and longest gives the name.
    """
    kept, position = "", 0
    found.sort(key=lambda part: (part[0], -part[1]))
    for start, end, name in found:
        if start >= position:
            kept += f"{text[position:start]}<{name}>"
        position = max(position, end)
    return kept + text[position:]
