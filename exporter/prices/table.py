"""The prices in use: your own first, then the built-in ones."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from exporter.config.price_list import OwnPrice
from exporter.prices.built_in import Price, built_in, per_token

_REMEMBERED = 20_000
"""Pairs of provider and model whose price need not be looked up again."""

_FOLDED = ("other", "other")


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What a token of one model and direction costs: a sample without its metric's name."""

    llm_type: str
    llm_model: str
    direction: str
    dollars_per_token: float


class Prices:
    """Answers what models cost. It never changes; a reload makes another one."""

    def __init__(self, own: Sequence[OwnPrice] = ()) -> None:
        """Take your own prices, of which the first that fits wins over the built-in ones."""
        self.built_in = built_in()
        """The prices of the package, which know how old they are."""
        self._own = tuple(own)
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._looked_up)

    def price(self, llm_type: str, llm_model: str) -> Price | None:
        """Return the price of a model, or None where it is not known."""
        return self._remembered(llm_type, llm_model)

    def rows(self, models: Iterable[tuple[str, str]]) -> Iterator[PriceRow]:
        """Yield two rows for each pair of `llm_type` and `llm_model` whose price is known."""
        for llm_type, llm_model in models:
            price = self.price(llm_type, llm_model)
            if price is not None:
                yield PriceRow(llm_type, llm_model, "input", float(price.input))
                yield PriceRow(llm_type, llm_model, "output", float(price.output))

    def _looked_up(self, llm_type: str, llm_model: str) -> Price | None:
        if (llm_type, llm_model) == _FOLDED:
            return None  # many models, added up
        for entry in self._own:
            if entry.fits(llm_type, llm_model):
                return Price(per_token(entry.input), per_token(entry.output))
        return self.built_in.price(llm_type, llm_model)
