"""The environment fills what the file leaves out, and errors name its variables."""

import pytest

from exporter.config.api_section import Login
from exporter.config.environment import Environment
from exporter.config.load import load_config
from exporter.config.sections import Config
from exporter.errors import ConfigError

CANARY = "canary"  # stands for a secret: no message may ever show it
SIGN_IN = "login: {email: me@example.com, password: canary}"


def test_environment_and_defaults_are_enough(monkeypatch):
    """Without a file, e-mail and password in the environment make a configuration by defaults."""
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    expected = {"api": {"login": {"email": "me@example.com", "password": CANARY}}}
    assert load_config(None) == Config.model_validate(expected)


def test_a_bearer_token_comes_from_the_environment(monkeypatch):
    """FLASHBACK_ACCESS_TOKEN is api.authorization.credentials."""
    monkeypatch.setenv("FLASHBACK_ACCESS_TOKEN", CANARY)
    assert load_config(None).api.authorization.credentials.get_secret_value() == CANARY


def test_a_refresh_token_file_comes_from_the_environment(monkeypatch, tmp_path):
    """FLASHBACK_REFRESH_TOKEN_FILE is api.refresh_token_file;
    a relative one starts at the working directory.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASHBACK_REFRESH_TOKEN_FILE", "refresh-token")
    assert load_config(None).api.refresh_token_file == tmp_path / "refresh-token"


def test_the_address_comes_from_the_environment(monkeypatch, load):
    """FLASHBACK_BASE_URL is api.base_url."""
    monkeypatch.setenv("FLASHBACK_BASE_URL", "https://api.flashback.tech")
    assert load(f"api: {{{SIGN_IN}}}").api.base_url == "https://api.flashback.tech"


@pytest.mark.parametrize("section", ["", "prices:", "prices: {}", "prices: {file: null}"])
def test_the_file_with_prices_comes_from_the_environment(section, monkeypatch, load, tmp_path):
    """FLASHBACK_PRICES_FILE is prices.file where the configuration has none;
    a relative one starts at the working directory.
    """
    folder = tmp_path / "working directory"
    folder.mkdir()
    (folder / "prices.yml").write_text("- {llm_type: OTHER, model: mine, input: 1, output: 2}")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FLASHBACK_PRICES_FILE", "prices.yml")
    config = load(f"api: {{{SIGN_IN}}}\n{section}\n")
    assert config.prices.file == folder / "prices.yml"
    assert [entry.model for entry in config.own_prices] == ["mine"]


def test_the_file_with_prices_of_the_configuration_wins(monkeypatch, load, tmp_path):
    """FLASHBACK_PRICES_FILE is not looked at where the configuration names a file."""
    (tmp_path / "prices.yml").write_text("[]")
    monkeypatch.setenv("FLASHBACK_PRICES_FILE", "/elsewhere")
    config = load(f"api: {{{SIGN_IN}}}\nprices: {{file: prices.yml}}\n")
    assert config.prices.file == tmp_path / "prices.yml"


def test_the_password_alone_may_come_from_the_environment(monkeypatch, load):
    """A file with the e-mail alone takes the password from the environment."""
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    login = load("api: {login: {email: me@example.com}}").api.login
    assert (login.email, login.password.get_secret_value()) == ("me@example.com", CANARY)


def test_the_email_alone_may_come_from_the_environment(monkeypatch, load):
    """A file with the password alone takes the e-mail from the environment."""
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    assert load("api: {login: {password: canary}}").api.login.email == "me@example.com"


@pytest.mark.parametrize(
    "in_file",
    ["login: {email: me@example.com, password: canary}", "login: {email: me@example.com}", ""],
)
def test_a_refresh_token_file_in_the_environment_goes_with_every_login(
    in_file, load, monkeypatch, tmp_path
):
    """A login, from wherever it comes, is joined by the refresh token file of the environment."""
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    monkeypatch.setenv("FLASHBACK_REFRESH_TOKEN_FILE", str(tmp_path / "token"))
    api = load(f"api: {{{in_file}}}").api
    assert (api.login.email, api.refresh_token_file) == ("me@example.com", tmp_path / "token")


def test_a_login_in_the_environment_goes_with_a_refresh_token_file_in_the_file(load, monkeypatch):
    """A file that says where to keep the refresh token leaves out who signs in,
    and the environment fills that.
    """
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    api = load("api: {refresh_token_file: token}").api
    assert api.login is not None
    assert api.login.email == "me@example.com"


@pytest.mark.parametrize(
    "in_file",
    [
        (
            "{base_url: https://file.example.com,"
            " login: {email: file@example.com, password: from-file}}"
        ),
        (
            "{base_url: https://file.example.com,"
            " login: {email: file@example.com, password_file: from-file}}"
        ),
        "{base_url: https://file.example.com, authorization: {credentials: from-file}}",
        "{base_url: https://file.example.com, authorization: {credentials_file: from-file}}",
    ],
)
def test_the_file_wins_over_the_environment(in_file, load, monkeypatch):
    """What the file says stays, whatever the environment says."""
    alone = load(f"api: {in_file}").api
    for name in ("ACCESS_TOKEN", "EMAIL", "PASSWORD", "BASE_URL"):
        monkeypatch.setenv(f"FLASHBACK_{name}", "https://environment.example.com")
    assert load(f"api: {in_file}").api == alone


def test_a_token_file_of_the_file_wins_over_that_of_the_environment(load, monkeypatch, tmp_path):
    """The same goes for the refresh token file."""
    monkeypatch.setenv("FLASHBACK_REFRESH_TOKEN_FILE", "/elsewhere")
    assert load("api: {refresh_token_file: token}").api.refresh_token_file == tmp_path / "token"


def test_empty_variables_mean_nothing(monkeypatch):
    """A variable that is set to nothing counts as unset."""
    for name in ("ACCESS_TOKEN", "EMAIL", "PASSWORD", "BASE_URL", "REFRESH_TOKEN_FILE"):
        monkeypatch.setenv(f"FLASHBACK_{name}", "")
    with pytest.raises(ConfigError, match=r"^environment: api: expected a way to sign in"):
        load_config(None)


def test_two_ways_to_sign_in_from_the_environment_are_refused(monkeypatch):
    """A bearer token and a login in the environment contradict each other."""
    for name in ("ACCESS_TOKEN", "EMAIL", "PASSWORD"):
        monkeypatch.setenv(f"FLASHBACK_{name}", CANARY)
    with pytest.raises(
        ConfigError,
        match=(
            r"^environment FLASHBACK_ACCESS_TOKEN, FLASHBACK_EMAIL: "
            r"api: expected one way to sign in"
        ),
    ) as caught:
        load_config(None)
    assert CANARY not in str(caught.value)


def test_half_a_login_from_the_environment_is_refused(monkeypatch):
    """A password without an e-mail is no login."""
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    with pytest.raises(ConfigError) as caught:
        load_config(None)
    assert (
        str(caught.value) == "environment FLASHBACK_PASSWORD: api.login.email: "
        "expected it here, or FLASHBACK_EMAIL in the environment"
    )


def test_a_password_file_comes_from_the_environment(monkeypatch, tmp_path):
    """FLASHBACK_PASSWORD_FILE is api.login.password_file;
    a relative one starts at the working directory.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD_FILE", "password")
    assert load_config(None).api.login == Login(
        email="me@example.com", password_file=tmp_path / "password"
    )


@pytest.mark.parametrize("in_file", ["password: canary", "password_file: canary"])
def test_a_password_of_the_file_wins_over_a_password_file_of_the_environment(
    in_file, load, monkeypatch
):
    """Where the file says how to get the password, neither variable has a say."""
    alone = load(f"api: {{login: {{email: a, {in_file}}}}}").api
    monkeypatch.setenv("FLASHBACK_PASSWORD_FILE", "/elsewhere")
    assert load(f"api: {{login: {{email: a, {in_file}}}}}").api == alone


def test_two_passwords_in_the_environment_are_refused(monkeypatch):
    """Both variables for the password contradict each other, and the error names both."""
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    monkeypatch.setenv("FLASHBACK_PASSWORD_FILE", "password")
    with pytest.raises(ConfigError) as caught:
        load_config(None)
    assert str(caught.value) == (
        "environment FLASHBACK_PASSWORD, FLASHBACK_PASSWORD_FILE: expected one of them, not both"
    )


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"BASE_URL": "a"}, "BASE_URL: api.base_url: expected https://host[:port][/path]"),
        ({"BASE_URL": "http://a"}, "BASE_URL: api.base_url: expected https: http shows the token"),
        ({"PASSWORD": " "}, "PASSWORD: api.login.password: expected a secret, but it is empty"),
        ({"PASSWORD": "two\nlines"}, "PASSWORD: expected one line of printable text"),
        ({"EMAIL": "two\nlines"}, "EMAIL: expected one line of printable text"),
    ],
)
def test_an_error_in_the_environment_names_the_variable(variables, expected, load, monkeypatch):
    """A fault that came from a variable is reported at the variable, also where there is a file."""
    for name, value in ({"EMAIL": "a", "PASSWORD": CANARY} | variables).items():
        monkeypatch.setenv(f"FLASHBACK_{name}", value)
    with pytest.raises(ConfigError) as caught:
        load("api:\n  timeout: 30s\n")
    assert str(caught.value).startswith(f"environment FLASHBACK_{expected}")


def test_a_token_in_the_environment_that_http_cannot_carry_names_the_variable(load, monkeypatch):
    """A bearer token that is not ASCII is reported at its variable."""
    monkeypatch.setenv("FLASHBACK_ACCESS_TOKEN", "can\xe4ry")
    with pytest.raises(ConfigError) as caught:
        load("")
    assert str(caught.value) == (
        "environment FLASHBACK_ACCESS_TOKEN: api.authorization.credentials:"
        " expected a bearer token of ASCII characters, as HTTP carries them"
    )


def test_a_null_in_a_login_is_filled_too(load, monkeypatch):
    """A key that is null is left out, and the environment fills it."""
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    login = load("api: {login: {email: me@example.com, password: null}}").api.login
    assert login.password.get_secret_value() == CANARY


def test_a_variable_that_is_no_text_is_reported(monkeypatch):
    """A variable whose bytes are not UTF-8 is a problem of the configuration, not a crash."""
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", "canary\udcff")
    with pytest.raises(ConfigError) as caught:
        load_config(None)
    assert CANARY not in str(caught.value)


def test_no_secret_shows_when_the_environment_is_printed(monkeypatch):
    """The same goes for the environment."""
    for name in ("ACCESS_TOKEN", "PASSWORD"):
        monkeypatch.setenv(f"FLASHBACK_{name}", CANARY)
    assert CANARY not in repr(Environment())
