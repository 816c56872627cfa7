"""The prices that come with the package: list prices of a day, as `make prices` wrote them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from exporter.prices.clauses import Clause, clause

_FILE = Path(__file__).with_name("built_in.json")
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in dollars per token."""

    input: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the package knows; `price` is None where it has no one price for text."""

    fits: Clause
    price: Price | None


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """All built-in prices, the day on which they were in force, and the library they are from."""

    written: date
    library: str
    models: Mapping[str, tuple[Model, ...]]
    """By provider, which is an `llm_type` in small letters."""

    def days_old(self, today: int) -> int:
        """Return their age on a UTC day (days since 1970-01-01)."""
        return today - (self.written - date(1970, 1, 1)).days

    def price(self, llm_type: str, llm_model: str) -> Price | None:
        """Return the price of a model, or None where it is not known."""
        models = self.models.get(llm_type.lower(), ())
        for name in _spellings(llm_model.lower()):
            for model in models:
                if model.fits(name):
                    return model.price
        return None


@cache
def built_in() -> BuiltIn:
    """Return the built-in prices, read once."""
    content = json.loads(_FILE.read_bytes())
    providers = content["providers"]
    return BuiltIn(
        date.fromisoformat(content["written"]),
        content["library"],
        {name: tuple(_models(name, providers)) for name in providers},
    )


def per_token(dollars: Decimal) -> Decimal:
    """Return dollars per token from dollars per million tokens, exactly."""
    return dollars.scaleb(-6)


def _models(name: str, providers: Mapping[str, Any]) -> Iterator[Model]:
    """Yield a provider's models, then those of others that it sells too."""
    for seller in (name, *providers[name]["fallbacks"]):
        for model in providers[seller]["models"]:
            yield Model(clause(model["match"]), _price(model))


def _price(model: Mapping[str, Any]) -> Price | None:
    if "input" not in model:
        return None
    return Price(*(per_token(Decimal(model[direction])) for direction in ("input", "output")))


def _spellings(name: str) -> Iterator[str]:
    """Yield a name, and with a date in another spelling: `-20251211` for `-2025-12-11`."""
    yield name
    dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
    if dashed != name:
        yield dashed
