"""Your own prices: price_cases/*.ok.yml are good, *.bad.yml bad as *.bad.txt says."""

from decimal import Decimal
from pathlib import Path

import pytest

from exporter.config.load import load_config
from exporter.config.price_list import load_prices
from exporter.errors import ConfigError

FOLDER = Path(__file__).parent / "price_cases"
GOOD = sorted(FOLDER.glob("*.ok.yml"))
BAD = sorted(FOLDER.glob("*.bad.yml"))
DOLLARS = "expected dollars per million tokens, a number from 0 to 1000000"
API = "api: {login: {email: me@example.com, password: canary}}"


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_is_accepted(path):
    """A file named *.ok.yml is accepted."""
    load_prices(path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_all_its_problems(path):
    """A file named *.bad.yml is refused with the problems in the text file beside it: all at once,
    with places.
    """
    with pytest.raises(ConfigError) as caught:
        load_prices(path)
    reported = str(caught.value).replace(f"{FOLDER}/", "")
    assert reported.splitlines() == path.with_suffix(".txt").read_text().splitlines()


def test_entries_arrive_in_their_order_and_exactly():
    """What a file says is what the entries hold; a tenth is a tenth."""
    entries = load_prices(FOLDER / "entries.ok.yml")
    assert [(entry.llm_type, entry.model) for entry in entries] == [
        ("openai", "gpt-4o"),
        ("ANTHROPIC", "claude-*"),
        ("OTHER", "*"),
        ("OTHER", "4.1"),
    ]
    assert (entries[0].input, entries[0].output) == (Decimal("2.5"), Decimal(10))
    assert (entries[1].input, entries[1].output) == (Decimal("0.000001"), Decimal(1000000))


def test_a_file_without_entries_has_none():
    """An empty file, and one of comments alone, say nothing."""
    assert load_prices(FOLDER / "empty.ok.yml") == ()


def test_the_configuration_holds_what_the_file_says(load, tmp_path):
    """`prices.file` is looked up beside the configuration, and read with it."""
    entry = "- {llm_type: OPENAI, model: mine, input: 1, output: 2}\n"
    (tmp_path / "prices.yml").write_text(entry)
    config = load(f"{API}\nprices: {{file: prices.yml}}\n")
    assert [entry.model for entry in config.own_prices] == ["mine"]
    assert load(API).own_prices == ()


def test_another_file_makes_another_configuration(load, tmp_path):
    """Read again after the file has changed, a configuration is not equal to what it was."""
    file, text = tmp_path / "prices.yml", f"{API}\nprices: {{file: prices.yml}}\n"
    file.write_text("- {llm_type: OPENAI, model: mine, input: 1, output: 2}\n")
    before = load(text)
    assert load(text) == before
    file.write_text("- {llm_type: OPENAI, model: mine, input: 1, output: 3}\n")
    assert load(text) != before


def test_faults_of_both_files_are_reported_at_once(problems, tmp_path):
    """A fault in the file is a fault of the configuration, beside those that it has itself."""
    (tmp_path / "prices.yml").write_text("- {llm_type: OPENAI, model: mine, input: -1}\n")
    assert problems(f"{API}\nprices: {{file: prices.yml}}\npoll: {{days: 9}}\n") == [
        "exporter.yml:3:8: poll.days: expected at most 7",
        f"prices.yml:1:35: [0].input: {DOLLARS}",
        "prices.yml:1:3: [0].output: required key is missing",
    ]


def test_a_missing_file_is_named(problems):
    """A file that is not there is reported with its name and the reason."""
    assert problems(f"{API}\nprices: {{file: missing.yml}}\n") == [
        "missing.yml: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("7", "exporter.yml:2:1: prices: expected keys and values"),
        ("{file: 7}", "exporter.yml:2:10: prices.file: expected a path"),
        ("{file: ''}", "exporter.yml:2:10: prices.file: expected a path"),
        ("{path: x}", "exporter.yml:2:10: prices.path: unknown key"),
    ],
)
def test_a_section_that_names_no_file_is_reported_once(section, expected, problems):
    """What is wrong with the section itself is said once."""
    assert problems(f"{API}\nprices: {section}\n") == [expected]


def test_the_file_in_a_variable_is_read_without_a_configuration_file(monkeypatch, tmp_path):
    """Faults of a file that only the environment names are found too."""
    file = tmp_path / "prices.yml"
    file.write_text("- text\n")
    monkeypatch.setenv("FLASHBACK_ACCESS_TOKEN", "canary")
    monkeypatch.setenv("FLASHBACK_PRICES_FILE", str(file))
    with pytest.raises(ConfigError) as caught:
        load_config(None)
    assert str(caught.value) == f"{file}:1:3: [0]: expected keys and values"
