"""What models cost: your own prices before the built-in ones."""

from decimal import Decimal

import pytest

from exporter.config.price_list import OwnPrice
from exporter.prices.table import PriceRow, Prices


def own(llm_type, model, dollars_in=1, dollars_out=2):
    """Return an entry of your own."""
    return OwnPrice(llm_type=llm_type, model=model, input=dollars_in, output=dollars_out)


@pytest.mark.parametrize("llm_type", ["OPENAI", "openai", "OpenAI"])
def test_a_provider_is_known_in_capitals_or_not(llm_type):
    """The case of `llm_type` means nothing, for built-in prices and for your own."""
    assert Prices().price(llm_type, "gpt-4o") is not None
    assert Prices([own("oPENAi", "mine")]).price(llm_type, "mine") is not None


def test_your_own_price_comes_first():
    """An entry of your own takes the place of a built-in price."""
    price = Prices([own("OPENAI", "gpt-4o", 1.23, 4.56)]).price("OPENAI", "gpt-4o")
    assert (price.input, price.output) == (Decimal("0.00000123"), Decimal("0.00000456"))


def test_the_first_entry_that_fits_wins():
    """Entries are tried in their order, exact ones and beginnings alike."""
    prices = Prices(
        [own("OPENAI", "gpt-4o-*", 1), own("OPENAI", "gpt-4o-mini", 2), own("OPENAI", "*", 3)]
    )
    models = ["gpt-4o-mini", "gpt-4o", "anything"]
    costs = [prices.price("OPENAI", model).input * 1_000_000 for model in models]
    assert costs == [1, 3, 3]


def test_an_entry_fits_one_provider_and_the_whole_name():
    """Another provider's model, a longer name and another case have their own prices, or none."""
    prices = Prices([own("OTHER", "llama"), own("OTHER", "qwen-*")])
    for llm_type, model in [
        ("OPENAI", "llama"),
        ("OTHER", "llama-3"),
        ("OTHER", "Llama"),
        ("OTHER", "a-qwen-1"),
    ]:
        assert prices.price(llm_type, model) is None
    assert prices.price("OTHER", "qwen-") is not None


def test_the_folded_group_has_no_price():
    """`other` with `other` is many models added up, whatever an entry says."""
    prices = Prices([own("OTHER", "*")])
    assert prices.price("other", "other") is None
    assert prices.price("OTHER", "other") is not None


def test_rows_are_made_for_known_models_alone():
    """Each pair whose price is known has two rows, with labels as they were given."""
    pairs = [("Openai", "GPT-4o"), ("OPENAI", "no-such-model"), ("OTHER", "gpt-4o"), ("", "")]
    assert list(Prices().rows(pairs)) == [
        PriceRow("Openai", "GPT-4o", "input", 2.5e-06),
        PriceRow("Openai", "GPT-4o", "output", 1e-05),
    ]


def test_a_price_of_nothing_is_a_price():
    """A model that costs 0 has rows: it is not one whose price is unknown."""
    rows = Prices([own("OTHER", "mine", 0, 0)]).rows([("OTHER", "mine")])
    assert [row.dollars_per_token for row in rows] == [0, 0]


def test_prices_say_how_old_they_are():
    """The page can say of which day the built-in prices are, and from where."""
    built_in = Prices().built_in
    assert f"{built_in.written:%Y}" >= "2026"
    assert built_in.library.startswith("genai-prices ")
