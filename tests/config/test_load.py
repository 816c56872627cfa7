"""The configuration: cases/*.ok.yml are good, *.bad.yml bad as the *.bad.txt beside them says."""

from pathlib import Path

import pytest

from exporter.config.load import load_config
from exporter.config.sections import (
    Config,
    Filters,
    Polling,
    Query,
)
from exporter.errors import ConfigError

FOLDER = Path(__file__).parent / "cases"
GOOD = sorted(FOLDER.glob("*.ok.yml"))
BAD = sorted(FOLDER.glob("*.bad.yml"))

CANARY = "canary"  # stands for a secret: no message may ever show it


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_is_accepted(path):
    """A file named *.ok.yml is accepted."""
    assert isinstance(load_config(path), Config)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_all_its_problems(path):
    """A file named *.bad.yml is refused with the problems in the text file beside it: all at once,
    with places.
    """
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    reported = str(caught.value).replace(f"{FOLDER}/", "")
    assert CANARY not in reported
    assert sorted(reported.splitlines()) == sorted(
        path.with_suffix(".txt").read_text().splitlines()
    )


def test_every_key_of_a_full_file_arrives():
    """What a file says is what the configuration holds."""
    config = load_config(FOLDER / "everything.ok.yml")
    assert config.api.base_url == "https://api.example.com:8443/v1"
    assert config.api.login.email == "me@example.com"
    assert config.api.timeout == 90
    assert config.api.max_response_size == 512 * 1024 * 1024
    assert config.api.max_concurrent_requests == 4
    assert config.api.proxy_url.get_secret_value() == "http://user:canary@proxy.example.com:3128"
    assert config.api.tls_config.insecure_skip_verify
    assert config.poll == Polling(interval="10m", days=7, max_data_age="2h")
    production, everything_else = config.queries
    assert config.interval(production) == 120
    assert production.filters == Filters(
        repo_id=["a", "b"],
        ai_llm_id=["c"],
        repo_ai_api_key_id=["d"],
        hosts=["api.openai.com"],
        llm_type=["openai", "ANTHROPIC"],
        llm_model=["gpt-4o"],
        user_uuid=["e"],
        conversation_uuid=["f"],
    )
    assert production.labels == ("user_uuid", "repo_id")
    assert production.metrics == ("api_calls", "policy_violations")
    assert production.max_groups == 500
    assert everything_else == Query(name="everything else")
    assert config.interval(everything_else) == 600


def test_relative_paths_start_at_the_folder_of_the_file():
    """A relative path is looked up beside the configuration file; an absolute one stays."""
    api = load_config(FOLDER / "everything.ok.yml").api
    assert api.login.password_file == FOLDER / "password"
    assert api.refresh_token_file == FOLDER / "state" / "refresh-token"
    assert api.tls_config.ca_file == FOLDER / "ca.pem"
    assert api.tls_config.cert_file == FOLDER / "cert.pem"
    assert api.tls_config.key_file == Path("/etc/key.pem")
