"""The documented example has every key at its default."""

from pathlib import Path

import pytest
import yaml

from exporter.config.api_section import Api, Authorization, Login, TlsConfig
from exporter.config.load import load_config
from exporter.config.price_list import OwnPrice, load_prices
from exporter.config.sections import (
    Account,
    AccountFigures,
    AccountNames,
    Config,
    Filters,
    Polling,
    Pricing,
    Query,
    Settings,
    State,
)

EXAMPLE = Path(__file__).parents[2] / "config" / "flashback-exporter.yml"


SIGN_IN_KEYS = {(Api, "authorization"), (Api, "refresh_token_file"), (Login, "password")}


def sections(model, content):
    """Yield every section of a raw configuration with the settings that describe it."""
    yield model, content
    if model is Config:
        yield from sections(Api, content["api"])
        yield from sections(Polling, content["poll"])
        yield from sections(State, content["state"])
        yield from sections(Pricing, content["prices"])
        for query in content["queries"]:
            yield from sections(Query, query)
        yield from sections(Account, content["account"])
    if model is Account:
        yield from sections(AccountNames, content["names"])
        yield from sections(AccountFigures, content["credits"])
        yield from sections(AccountFigures, content["policies"])
    if model is Api:
        yield from sections(Login, content["login"])
        yield from sections(TlsConfig, content["tls_config"])
    if model is Query:
        yield from sections(Filters, content["filters"])


def test_the_example_is_valid():
    """The documented example is a valid configuration."""
    assert load_config(EXAMPLE).api.login.password_file == Path("/run/secrets/flashback-password")


def test_the_example_has_every_key():
    """Every key of every section stands in the example; those of the other ways to sign in,
    in its comments.
    """
    seen = set()
    for model, content in sections(Config, yaml.safe_load(EXAMPLE.read_text())):
        seen.add(model)
        assert content.keys() == {
            key for key in model.model_fields if (model, key) not in SIGN_IN_KEYS
        }
    assert seen | {Authorization, OwnPrice} == set(Settings.__subclasses__())
    comments = [line.partition("#")[2] for line in EXAMPLE.read_text().splitlines()]
    for key in (
        "authorization:",
        "credentials_file:",
        "credentials:",
        "refresh_token_file:",
        "password:",
    ):
        assert any(key in comment for comment in comments)


def test_the_example_shows_the_defaults():
    """Every value in the example is the one that leaving out the key would give;
    only the sign-in has none.
    """
    config = load_config(EXAMPLE)
    assert config == Config(api=Api(login=config.api.login))


def test_the_example_of_prices_is_valid():
    """The example of your own prices can be used as it is."""
    assert load_prices(EXAMPLE.with_name("prices.yml"))


@pytest.mark.parametrize("way", ["authorization", "refresh_token_file"])
def test_the_other_ways_to_sign_in_work_once_they_are_uncommented(way, load):
    """Without the login, and with another way's comment signs off, the example is valid."""
    lines = EXAMPLE.read_text().splitlines()
    login = next(number for number, line in enumerate(lines) if line == "  login:")
    del lines[login : login + 3]
    other = next(number for number, line in enumerate(lines) if line.startswith(f"  # {way}:"))
    for number in range(other, other + (2 if way == "authorization" else 1)):
        lines[number] = lines[number].replace("# ", "", 1)
    api = load("\n".join(lines)).api
    assert api.login is None
    assert getattr(api, way) is not None


def test_the_example_says_how_filters_combine():
    """Users trip over the API's OR between three of the filters, so the example says it."""
    comments = " ".join(line.strip(" #") for line in EXAMPLE.read_text().splitlines())
    assert "repo_id, ai_llm_id and repo_ai_api_key_id are combined with OR" in comments
    assert "The others are combined with AND" in comments
