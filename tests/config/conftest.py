"""Loads configurations from text, with no variable of the machine."""

import os

import pytest

from exporter.config.load import load_config
from exporter.errors import ConfigError

CANARY = "canary"  # stands for a secret: no message may ever show it


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    """No variable of the machine that the tests run on has a say."""
    for name in [name for name in os.environ if name.upper().startswith("FLASHBACK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a configuration from its text or bytes."""

    def load(content):
        path = tmp_path / "exporter.yml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_config(path)

    return load


@pytest.fixture
def problems(load, tmp_path):
    """Return a function that gives a bad configuration's problems, a line each, without secrets."""

    def problems(content):
        with pytest.raises(ConfigError) as caught:
            load(content)
        assert CANARY not in str(caught.value)
        assert CANARY not in repr(caught.value)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return problems
