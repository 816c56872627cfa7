"""The built-in prices: what they are, which names they go by, and what the library says."""

import json
import subprocess
import sys
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import distribution
from itertools import product
from pathlib import Path
from time import process_time

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from programs import PATIENCE

from exporter.prices.built_in import built_in

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "exporter" / "prices"
FILE = FOLDER / "built_in.json"
CONTENT = json.loads(FILE.read_bytes())
PROVIDERS = ("openai", "anthropic", "google", "aws")

LONGEST_NAME = 1024
"""Bytes of a label's value."""

BEFORE = ("", "us.", "eu.", "global.", "models/", "publishers/anthropic/models/", "x")
AFTER = ("", "-latest", "-2025-01-31", "-20250131", "@20250131", "-v1:0", "-tts", "-preview", "x")


def cost(llm_type, model):
    """Return dollars per million tokens of a model's input and output, or None."""
    price = built_in().price(llm_type, model)
    return price and (float(price.input * 1_000_000), float(price.output * 1_000_000))


@pytest.mark.parametrize(
    ("llm_type", "model", "expected"),
    [
        ("OPENAI", "gpt-4o", (2.5, 10)),
        ("OPENAI", "gpt-4o-2024-08-06", (2.5, 10)),
        ("OPENAI", "gpt-4o-2024-05-13", (5, 15)),
        ("OPENAI", "gpt-4o-mini", (0.15, 0.6)),
        ("OPENAI", "gpt-4.1", (2, 8)),
        ("OPENAI", "gpt-4.1-mini-2025-04-14", (0.4, 1.6)),
        ("OPENAI", "o3", (2, 8)),
        ("OPENAI", "o4-mini", (1.1, 4.4)),
        ("OPENAI", "gpt-5", (1.25, 10)),
        ("OPENAI", "gpt-5-nano", (0.05, 0.4)),
        ("OPENAI", "gpt-3.5-turbo", (0.5, 1.5)),
        ("OPENAI", "text-embedding-3-small", (0.02, 0)),
        ("ANTHROPIC", "claude-3-5-sonnet-20241022", (3, 15)),
        ("ANTHROPIC", "claude-3-5-haiku-latest", (0.8, 4)),
        ("ANTHROPIC", "claude-3-haiku-20240307", (0.25, 1.25)),
        ("ANTHROPIC", "claude-opus-4-1-20250805", (15, 75)),
        ("ANTHROPIC", "claude-opus-4-5", (5, 25)),
        ("ANTHROPIC", "claude-sonnet-4-20250514", (3, 15)),
        ("ANTHROPIC", "claude-haiku-4-5-20251001", (1, 5)),
        ("GOOGLE", "gemini-2.0-flash", (0.1, 0.4)),
        ("GOOGLE", "gemini-2.5-flash", (0.3, 2.5)),
        ("GOOGLE", "gemini-2.5-flash-lite", (0.1, 0.4)),
        ("GOOGLE", "claude-3-7-sonnet@20250219", (3, 15)),
        ("AWS", "amazon.nova-pro-v1:0", (0.8, 3.2)),
        ("AWS", "us.amazon.nova-lite-v1:0", (0.06, 0.24)),
        ("AWS", "anthropic.claude-3-haiku-20240307-v1:0", (0.25, 1.25)),
        ("AWS", "eu.anthropic.claude-3-7-sonnet-20250219-v1:0", (3, 15)),
        ("AWS", "us.anthropic.claude-opus-4-20250514-v1:0", (15, 75)),
    ],
)
def test_well_known_models_cost_what_their_providers_list(llm_type, model, expected):
    """Names as they are sent to providers, dated and not, have their public prices."""
    assert cost(llm_type, model) == expected


@pytest.mark.parametrize(
    ("llm_type", "model", "expected"),
    [
        ("ANTHROPIC", "claude-sonnet-4-5-20250929", (3, 15)),  # above 200,000 tokens 6 and 22.5
        ("GOOGLE", "gemini-2.5-pro", (1.25, 10)),  # above 200,000 tokens 2.5 and 15
        ("GOOGLE", "gemini-1.5-pro-002", (1.25, 5)),  # above 128,000 tokens 2.5 and 10
    ],
)
def test_the_lowest_tier_is_taken(llm_type, model, expected):
    """A million tokens are no single request, which would be of the highest tier."""
    assert cost(llm_type, model) == expected
    million = genai_prices.Usage(input_tokens=1_000_000)
    trap = genai_prices.calc_price(million, model, provider_id=llm_type.lower())
    assert float(trap.input_price) == 2 * expected[0]


@pytest.mark.parametrize(
    ("llm_type", "model"),
    [
        ("OTHER", "gpt-4o"),
        ("MISTRAL", "mistral-large-latest"),
        ("AZURE", "gpt-4o"),
        ("", "gpt-4o"),
        ("OPENAI", ""),
        ("OPENAI", "my-own-model"),
        ("OPENAI", "claude-opus-4-5"),
        ("ANTHROPIC", "gpt-4o"),
        ("OPENAI", "gpt-4o-realtime-preview"),  # its output is speech or text
        ("GOOGLE", "gemini-2.5-flash-image"),  # its output is pictures or text
        ("OPENAI", "whisper-1"),  # by the hour
        ("OPENAI", "omni-moderation-latest"),  # free, or not counted
    ],
)
def test_what_is_not_known_has_no_price(llm_type, model):
    """Other providers, unknown names, and models that have no one price for text have none."""
    assert cost(llm_type, model) is None


def test_prices_are_exact():
    """Dollars per token are exact decimals."""
    price = built_in().price("OPENAI", "gpt-4o-mini")
    assert (price.input, price.output) == (Decimal("0.00000015"), Decimal("0.0000006"))


def words(clause):
    """Yield the texts of a clause: names, and parts of names."""
    ((_, argument),) = clause.items()
    for part in argument if isinstance(argument, list) else ():
        yield from words(part)
    if isinstance(argument, str):
        yield argument.replace("\\.", ".").replace("\\d{8}", "20250131").strip("^$")


def stems(provider):
    """Return the names, and parts of names, that a provider's models go by."""
    models = CONTENT["providers"][provider]["models"]
    return {model["id"] for model in models} | {
        word for model in models for word in words(model["match"])
    }


def names(provider):
    """Return many names: those of all providers, and its own shortened and lengthened."""
    own = stems(provider)
    longer = {f"{before}{stem}{after}" for before, stem, after in product(BEFORE, own, AFTER)}
    shorter = {stem[:-1] for stem in own} | {stem.upper() for stem in own}
    return set().union(longer, shorter, *map(stems, PROVIDERS))


def library_cost(provider, model):
    """Return what the library says of one short request, by the prices of the file's day."""
    try:
        _, found = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    day = datetime.combine(built_in().written, time(), UTC)
    prices = found.get_prices(day)
    kinds = {key for key, price in vars(prices).items() if price is not None}
    if "input_mtok" not in kinds or {k for k in kinds if k.startswith("output")} - {"output_mtok"}:
        return None
    usage = genai_prices.Usage(input_tokens=1000, output_tokens=1000)
    price = prices.calc_price(usage)
    return float(1000 * price["input_price"]), float(1000 * price["output_price"])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_name_finds_what_it_finds_in_the_library(provider):
    """The clauses mean here what they mean there, in the same order, with the same fallbacks."""
    found = {name: cost(provider, name) for name in names(provider)}
    assert found == {name: library_cost(provider, name) for name in found}
    assert len([price for price in found.values() if price]) > 500


@pytest.mark.parametrize("provider", PROVIDERS)
def test_long_names_take_no_long_time(provider):
    """Names of a kilobyte, as bad as strangers could make them, are looked up in a moment each."""
    stems = ("", "gpt-6-sol-", "gemini-2.5-pro", "claude-opus-5-", "us.")
    fillers = ("-tt", "-tts", "0", "-2025", "-20250131", "-20", "\n", "\u0660", ".")
    names = [
        (stem + filler * LONGEST_NAME)[:LONGEST_NAME] for stem, filler in product(stems, fillers)
    ]
    begin = process_time()
    for name in names:
        built_in().price(provider, name)
    assert (process_time() - begin) / len(names) < 0.01


def test_the_generator_writes_the_committed_file(tmp_path):
    """`make prices` with the pinned library and the file's own date changes nothing."""
    file = tmp_path / "built_in.json"
    command = [sys.executable, "-m", "prices", file, CONTENT["written"]]
    subprocess.run(command, cwd=ROOT, check=True, timeout=PATIENCE)
    assert file.read_text() == FILE.read_text(), "run make prices, and look at what has changed"


def test_the_file_stays_small_enough_to_be_reviewed():
    """One model a line, four providers, less than 100 kB."""
    assert tuple(CONTENT["providers"]) == PROVIDERS
    assert FILE.stat().st_size < 100_000
    assert max(map(len, FILE.read_text().splitlines())) < 2_000


def test_the_readme_says_how_old_the_prices_are():
    """The date and the library in the README are those of the file."""
    said = " ".join((ROOT / "README.md").read_text().split())
    assert f"list prices of {CONTENT['written']} that the library {CONTENT['library']}" in said


def test_the_licence_of_the_library_comes_with_its_data():
    """The clauses are the library's, and so its licence stands beside them."""
    (theirs,) = [path for path in distribution("genai-prices").files if path.name == "LICENSE"]
    assert (FOLDER / "LICENSE.genai-prices").read_text() == theirs.locate().read_text()
