"""Asks an endpoint about the account and reads its answer: one small object, or one long list.

An answer may hold secrets: only what a type names is taken out of it, and nothing of it is quoted
but its message.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from exporter.api.body import MAX_JSON, json_object, limited
from exporter.api.client import FlashbackClient
from exporter.api.failures import words
from exporter.api.lenient import text
from exporter.api.list_cutter import ListCutter
from exporter.errors import PollError, Reason
from exporter.steps import one_a_step

MAX_LIST = 32 * 1024 * 1024
"""Bytes of an answer that holds a list, decompressed."""
MAX_ENTRIES = 100_000
"""Entries of a list, so that what is kept of them takes some tens of megabytes at most."""

_MAX_MENDED = 1 << 16  # bytes; longer ones would take long
_MAX_PARTS = 20_000  # values in one entry, or nearly: they are decoded in one step
_WINDOW = 4096  # bytes to look through in one step

# A pair of surrogates, a lone one, and any other escape.
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Question:
    """An endpoint whose answer is a list, the list's name in it, and the query's parameters."""

    endpoint: str
    list_name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class _Named(msgspec.Struct, frozen=True):
    id: Any = None
    name: Any = None


async def read_object(
    client: FlashbackClient, endpoint: str, kind: type[_T], deadline: float
) -> _T:
    """Ask an endpoint and return its answer as a type. Raises PollError."""
    async with client.ask(endpoint, {}, deadline, client.account) as body:
        content = b"".join([piece async for piece in limited(body, MAX_JSON)])
        _check(client, content)
    answer = decoded(content, msgspec.json.Decoder(kind, strict=False))
    if answer is None:
        raise PollError(Reason.INVALID_RESPONSE, "the answer is not what was asked for")
    return answer


async def read_list(
    client: FlashbackClient,
    question: Question,
    kind: type[_T],
    take: Callable[[_T], None],
    deadline: float,
) -> tuple[int, Mapping[str, Any]]:
    """Ask for a list, and have each entry of it taken, as a type, while the answer arrives.

    Entries that cannot be read are left out. Returns how many entries there were in all, and what
    stood around them. Raises PollError.
    """
    cutter = ListCutter(question.list_name)
    decoder = msgspec.json.Decoder(kind, strict=False)
    found = 0
    asked = client.ask(question.endpoint, question.parameters, deadline, client.account)
    async with asked as body:
        async for piece in limited(body, MAX_LIST):
            async for window in one_a_step(_windows(piece)):
                for raw in cutter.feed(window):
                    found += 1
                    entry = decoded(raw, decoder)
                    if entry is not None:
                        take(entry)
                check_number(found)
        around = _check(client, bytes(cutter.rest))
    if not isinstance(around.get(question.list_name), list):
        raise PollError(Reason.INVALID_RESPONSE, f"the answer holds no {question.list_name}")
    return found, around


async def read_names(
    client: FlashbackClient, question: Question, deadline: float
) -> Mapping[str, str]:
    """Ask for a list and return the names in it by ID. Raises PollError."""
    names: dict[str, str] = {}

    def take(named: _Named) -> None:
        if named_id := text(named.id):
            names[named_id] = text(named.name)

    await read_list(client, question, _Named, take, deadline)
    return names


def check_number(found: int) -> None:
    """Raise PollError `too_large` where there are more entries than are kept."""
    if found > MAX_ENTRIES:
        raise PollError(Reason.TOO_LARGE, f"the answer holds more than {MAX_ENTRIES} entries")


def decoded(raw: msgspec.Raw | bytes, decoder: "msgspec.json.Decoder[_T]") -> _T | None:
    """Return what a decoder makes of bytes; None where it cannot."""
    content = bytes(raw)
    if content.count(b",") > _MAX_PARTS:
        return None
    # What is raised may quote the bytes.
    with suppress(ValueError, ArithmeticError, RecursionError):
        return decoder.decode(content)
    mended = _mended(content[:_MAX_MENDED])
    if mended is None:
        return None
    with suppress(ValueError, ArithmeticError, RecursionError):
        return decoder.decode(mended)
    return None


def _windows(piece: bytes) -> Iterator[bytes]:
    for start in range(0, len(piece), _WINDOW):
        yield piece[start : start + _WINDOW]


def _check(client: FlashbackClient, content: bytes) -> Mapping[str, Any]:
    """Return the object that an answer is, but for its entries. Raises PollError if it failed."""
    answer = json_object(content)
    if answer.get("success", True) is not True:
        said = client.quotable(words(answer))
        message = "the API says success: false"
        raise PollError(Reason.INVALID_RESPONSE, f"{message}: {said}" if said else message)
    return answer


def _mended(raw: bytes) -> bytes | None:
    """Return JSON with replacement characters for lone surrogates and for what is not UTF-8.

    None where it holds neither.
    """
    text = raw.decode(errors="replace").encode()
    mended = _ESCAPES.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], text)
    return None if mended == raw else mended
