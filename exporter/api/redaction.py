"""Keeps secrets out of what is quoted from outside, in whatever form a server may send them back.

A text is searched as it is, and as it reads once all escapes in it are resolved (percent, HTML,
JSON, Python, one inside the other too), each time also for the hexadecimal digits of a secret and
for its base64, wherever in the encoded bytes it begins. What is found is cut out of the text
itself, all at once, so that nothing is searched in what was put in its place.
"""

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote_to_bytes

TOO_SHORT = 6
"""A shorter secret is part of too many words to be cut out: then the whole text is hidden."""

# Characters: what is longer is no message.
_MAX_QUOTED = 8192
# Escapes inside escapes.
_MAX_LAYERS = 5
# Characters: what is left of a shorter secret would be found everywhere.
_LEAST_BASE64 = 4
# Bytes, likewise.
_LEAST_HEX = 3

_ESCAPES = re.compile(
    r"(?P<percent>(?:%[0-9a-fA-F]{2})+)"
    r"|(?P<html>&(?:(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6});?|\w{1,31};))"
    r"|(?P<hex>(?:\\x[0-9a-fA-F]{2})+)"
    r"|(?P<unicode>(?:\\u[0-9a-fA-F]{4})+)"
    r"""|\\(?P<sign>[\\"'/])"""
)
_NOTHING = re.compile(r"(?!)")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_=-]*")
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
        if len(text) > _MAX_QUOTED:
            return f"<not shown: {len(text)} characters>"
        readings = _readings(text)
        found: list[tuple[int, int, str]] = []
        for name, value in self._secrets.items():
            spans = {span for reading in readings for span in reading.places(value)}
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
            text += self.text[position : match.start()]
            spans += self._spans[position : match.start()]
            meant = _meaning(match)
            text += meant
            whole = self._spans[match.start()][0], self._spans[match.end() - 1][1]
            spans += [whole] * len(meant)
            position = match.end()
        return _Reading(text + self.text[position:], spans + self._spans[position:])

    def places(self, secret: str) -> Iterator[Span]:
        """Yield which parts of the text itself hold a secret."""
        for form in {secret, _resolved(secret), _misread(secret)}:
            yield from self._places(self._plain, form.translate(_SPACE))
        for match in _hex_digits(secret).finditer(self.text):
            yield self._spans[match.start()][0], self._spans[match.end() - 1][1]
        for form in _base64_forms(secret):
            for start, end in _occurrences(self._base64, form):
                yield self._part(*self._whole_run(start, end))

    def _places(self, text: str, form: str) -> Iterator[Span]:
        for start, end in _occurrences(text, form):
            yield self._part(start, end)

    def _whole_run(self, start: int, end: int) -> Span:
        """Widen a span to all the base64 around it: the secret's first bits stand before it."""
        while start and _BASE64_RUN.fullmatch(self.text[start - 1]):
            start -= 1
        run = _BASE64_RUN.match(self.text, end)
        return start, run.end() if run else end

    def _part(self, start: int, end: int) -> Span:
        """Return the part of the text itself that some of these characters stand for."""
        return self._spans[start][0], self._spans[end - 1][1]


def _readings(text: str) -> list[_Reading]:
    readings = [_Reading(text, [(at, at + 1) for at in range(len(text))])]
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
        case "percent":
            return _decoded(unquote_to_bytes(written))
        case "html":
            return html.unescape(written)
        case "hex":
            return _decoded(bytes.fromhex(written.replace("\\x", "")))
        case "unicode":
            units = bytes.fromhex(written.replace("\\u", ""))
            return units.decode("utf-16-be", "replace")
        case _:
            return escape["sign"]


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
    return re.compile("[ :]?".join(f"{byte:02x}" for byte in content), re.ASCII | re.IGNORECASE)


def _base64_forms(secret: str) -> Iterator[str]:
    """Yield what the base64 of any text with the secret in it holds.

    The text may have the secret as JSON or a form writes it, too.
    """
    as_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    for form in {
        secret,
        *as_json,
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    }:
        yield from _base64_within(form.encode(errors="replace"))


def _base64_within(content: bytes) -> Iterator[str]:
    """Yield what the base64 of anything with `content` in it holds.

    Three bytes become four characters, so that there are three places to begin at.
    """
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content).decode().rstrip("=")
        # The first character may hold bits of what stands before, which is not known.
        first = (before * 8 + 5) // 6
        last = (before + len(content)) * 8 // 6
        if last - first >= _LEAST_BASE64:
            yield encoded[first:last].translate(_BASE64)


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
    for start, end, name in sorted(found, key=lambda part: (part[0], -part[1])):
        if start >= position:
            kept += f"{text[position:start]}<{name}>"
        position = max(position, end)
    return kept + text[position:]
