"""Which names a model goes by: the match clauses of the library genai-prices, as data."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Clause = Callable[[str], bool]
"""Tells whether a name, in small letters, is one of a model's."""


def clause(data: Mapping[str, Any]) -> Clause:
    """Return a clause from its one kind and what belongs to it: `{"starts_with": "gpt-4o-"}`."""
    ((kind, argument),) = data.items()
    return _KINDS[kind](argument)


def _equals(text: str) -> Clause:
    return lambda name: name == text


def _starts_with(text: str) -> Clause:
    return lambda name: name.startswith(text)


def _ends_with(text: str) -> Clause:
    return lambda name: name.endswith(text)


def _contains(text: str) -> Clause:
    return lambda name: text in name


def _regex(text: str) -> Clause:
    # Compiled when first asked: most of them never are.
    return lambda name: re.search(text, name) is not None


def _or(parts: Sequence[Mapping[str, Any]]) -> Clause:
    clauses = [clause(part) for part in parts]
    return lambda name: any(fits(name) for fits in clauses)


def _and(parts: Sequence[Mapping[str, Any]]) -> Clause:
    clauses = [clause(part) for part in parts]
    return lambda name: all(fits(name) for fits in clauses)


_KINDS: Mapping[str, Callable[[Any], Clause]] = {
    "equals": _equals,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "contains": _contains,
    "regex": _regex,
    "or": _or,
    "and": _and,
}
