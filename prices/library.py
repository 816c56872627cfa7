"""Reads what the library knows of a provider's models: how they are called and what they cost."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from genai_prices import __version__
from genai_prices.data import providers
from genai_prices.types import (
    ClauseAnd,
    ClauseOr,
    ClauseRegex,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    Provider,
    TieredPrices,
)

PROVIDERS = ("openai", "anthropic", "google", "aws")
"""Those whose models an `llm_type` of Flashback names."""

_LINEAR = re.compile(r"\^(?:\(\?!\.\*)?[^*+,]*")
"""A regular expression that looks once at each character, at one place of the text."""


def to_json(day: date) -> str:
    """Return the prices in force at the beginning of a UTC day, with one model on each line."""
    known = {provider.id: provider for provider in providers}
    lines = [
        "{",
        f'"written": "{day}",',
        f'"library": "genai-prices {__version__}",',
        '"providers": {',
        ",\n".join(_provider(known[name], day) for name in PROVIDERS),
        "}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _provider(provider: Provider, day: date) -> str:
    fallbacks = json.dumps(provider.fallback_model_providers or [])
    models = ",\n".join(json.dumps(_model(model, day)) for model in provider.models)
    return f'"{provider.id}": {{"fallbacks": {fallbacks}, "models": [\n{models}\n]}}'


def _model(model: ModelInfo, day: date) -> dict[str, Any]:
    """Return a model; one without prices is there as well, or a looser clause would take it."""
    prices = model.get_prices(datetime.combine(day, time(), UTC))
    return {"id": model.id, **dict(_priced(prices)), "match": _clause(model.match)}


def _priced(prices: ModelPrice) -> Iterator[tuple[str, str]]:
    """Yield dollars per million tokens of both directions, or nothing where one is not known.

    Output that may be speech, pictures or films has no one price. A model that has no price of
    output at all, as for embeddings, has no output.
    """
    given = {key for key, price in vars(prices).items() if price is not None}
    output_kinds = {key for key in given if key.startswith("output_")}
    if "input_mtok" in given and output_kinds <= {"output_mtok"}:
        yield "input", _lowest_tier(prices.input_mtok)
        yield "output", _lowest_tier(prices.output_mtok)


def _lowest_tier(price: Decimal | TieredPrices | None) -> str:
    """Return the price of a short request: tiers go by the tokens of one request."""
    lowest = price.base if isinstance(price, TieredPrices) else price
    return f"{lowest or Decimal(0):f}"


def _clause(clause: MatchLogic) -> dict[str, Any]:
    if isinstance(clause, ClauseOr):
        return {"or": [_clause(part) for part in clause.or_]}
    if isinstance(clause, ClauseAnd):
        return {"and": [_clause(part) for part in clause.and_]}
    if isinstance(clause, ClauseRegex):
        return {"regex": _linear(clause.regex)}
    ((kind, text),) = vars(clause).items()
    return {kind: text.lower()}


def _linear(regex: str) -> str:
    """Return an expression that takes no long time, whatever name a stranger gives to a model."""
    if not _LINEAR.fullmatch(regex):
        raise ValueError(f"this may take long on a long name; look at it: {regex}")
    return regex
