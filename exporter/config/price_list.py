"""Reads your own prices: a YAML list in, frozen entries out, or every problem."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from exporter.config import document
from exporter.config.places import Places
from exporter.config.types import Settings, faults
from exporter.errors import ConfigError, Problem

_MOST_DOLLARS = 1_000_000


def _dollars(value: Any) -> Decimal:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= _MOST_DOLLARS:
        wanted = f"expected dollars per million tokens, a number from 0 to {_MOST_DOLLARS}"
        raise ValueError(wanted)
    return abs(Decimal(str(value)))


def _pattern(value: str) -> str:
    if "*" in value[:-1]:
        raise ValueError("expected a name, or the beginning of one with * at its end")
    return value


Dollars = Annotated[Decimal, BeforeValidator(_dollars)]
Text = Annotated[str, Field(min_length=1)]


class OwnPrice(Settings):
    """What models of one provider cost you, in dollars per million tokens."""

    llm_type: Text
    model: Annotated[Text, AfterValidator(_pattern)]
    input: Dollars
    output: Dollars

    def fits(self, llm_type: str, llm_model: str) -> bool:
        """Whether this is the price of a model."""
        if llm_type.lower() != self.llm_type.lower():
            return False
        if self.model.endswith("*"):
            return llm_model.startswith(self.model[:-1])
        return llm_model == self.model


_LIST = TypeAdapter(tuple[OwnPrice, ...])


def load_prices(path: Path) -> tuple[OwnPrice, ...]:
    """Return the entries of a file in their order.

    Raises ConfigError with every problem, each with its place; no message ever shows a value.
    """
    places = Places(str(path))
    problems: list[Problem] = []
    content = document.read(path, places, problems)
    try:
        entries = _LIST.validate_python([] if content == {} else content)
    except ValidationError as error:
        problems += map(places.located, faults(error))
    if problems:
        raise ConfigError(problems)
    return entries
