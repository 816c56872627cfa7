"""The sections: what each value may be, and what may stand beside what."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from exporter.config.api_section import TlsConfig
from exporter.config.load import load_config
from exporter.config.sections import Filters, Polling, Query

FOLDER = Path(__file__).parent / "cases"
GOOD = sorted(FOLDER.glob("*.ok.yml"))

CANARY = "canary"  # stands for a secret: no message may ever show it
SIGN_IN = "login: {email: me@example.com, password: canary}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("30s", 30),
        ("5m", 300),
        ("90m", 5400),
        ("1h30m", 5400),
        ("1h0m30s", 3630),
        ("1d", 86_400),
        ("1w", 604_800),
        ("1y", 31_536_000),
        ("1y2w3d4h5m6s7ms", 33_019_506.007),
    ],
)
def test_durations_are_those_of_prometheus(text, seconds, load):
    """A duration is written as in Prometheus: units from large to small, each at most once."""
    assert load(f"api: {{{SIGN_IN}, timeout: {text}}}").api.timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["30", "30.0", '""', "null", "yes", "s", "1.5h", "-5m", "+5m", "5 m", '" 5m"', '"5m\\n"',
     "5M", "5min", "30m1h", "5m5m", "1e3s", "٣s", "[30s]", "{s: 30}", "1000000y", "9" * 80 + "y",
     "9" * 200 + "y"],
)  # fmt: skip
def test_what_prometheus_does_not_take_for_a_duration_is_none(text, problems):
    """Anything else is refused: numbers without a unit, fractions, signs, spaces,
    more years than Prometheus has.
    """
    (problem,) = problems(f"api: {{{SIGN_IN}, timeout: {text}}}")
    assert "api.timeout: expected a duration" in problem


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2048", 2048),
        ("2048B", 2048),
        ("4KiB", 4096),
        ("512MiB", 536_870_912),
        ("1GiB", 1_073_741_824),
        ("1 GiB", 1_073_741_824),
        ("4KB", 4000),
        ("5MB", 5_000_000),
        ("2GB", 2_000_000_000),
    ],
)
def test_sizes_have_binary_and_decimal_units(text, size, load):
    """A size is a whole number of bytes or of a unit, binary (KiB) or decimal (KB)."""
    assert load(f"api: {{{SIGN_IN}, max_response_size: {text}}}").api.max_response_size == size


@pytest.mark.parametrize(
    "text", ["1.5GiB", "-1GiB", "1gib", "1T", "GiB", '""', "yes", "null", "[1GiB]", "1GiB1MiB"]
)
def test_what_is_no_size_is_refused(text, problems):
    """Anything else is refused."""
    (problem,) = problems(f"api: {{{SIGN_IN}, max_response_size: {text}}}")
    assert "api.max_response_size: expected a size such as 512MiB or 1GiB" in problem


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ('login: {email: a, password: ""}', "a secret, but it is empty"),
        ('login: {email: a, password: " \\n "}', "a secret, but it is empty"),
        ('login: {email: a, password: "canary\\ncanary"}', "one line without control characters"),
        ('login: {email: a, password: "canary\\ud800"}', "one line without control characters"),
        ('authorization: {credentials: ""}', "a secret, but it is empty"),
        ('authorization: {credentials: "canary\\ncanary"}', "one line without control characters"),
        ("authorization: {credentials: can\xe4ry}", "a bearer token of ASCII characters"),
        ("login: {email: a, password_file: ''}", "a path"),
        ('login: {email: a, password_file: "a\\0b"}', "a path"),
        ("login: {email: a, password: 12345}", "text, in quotes where YAML takes it for a number"),
        ("login: {email: no, password: canary}",
         "text, in quotes where YAML takes it for a number"),
        ('login: {email: "\\ud800", password: canary}', "text without surrogates"),
    ],
)  # fmt: skip
def test_a_secret_that_can_never_work_is_refused(section, expected, problems):
    """A secret that is empty, of two lines or not fit for HTTP is refused before it is sent."""
    (problem,) = problems(f"api: {{{section}}}")
    assert f": expected {expected}" in problem


@pytest.mark.parametrize("value", ["\\ud800", "a\\udfffb", "\\ud83d\\ude00"])
def test_a_filter_is_text_that_can_be_sent(value, problems):
    """Surrogates, which no request can hold, are refused in a filter."""
    (problem,) = problems(f'api: {{{SIGN_IN}}}\nqueries: [{{filters: {{hosts: ["{value}"]}}}}]')
    assert (
        problem
        == "exporter.yml:2:30: queries[0].filters.hosts[0]: expected text without surrogates"
    )


def test_filters_that_no_request_can_hold_are_refused(load, problems):
    """Filters too long for a request's address are refused, where polls would fail for ever."""
    content = f"api: {{{SIGN_IN}}}\nqueries: [{{filters: {{repo_id: [%s]}}}}]\n"
    fits = ", ".join(["00000000-0000-0000-0000-000000000000"] * 1000)
    assert len(load(content % fits).queries[0].filters.repo_id) == 1000
    (problem,) = problems(content % f"{fits}, {fits}")
    assert problem.startswith("exporter.yml:2:12: queries[0].filters: expected fewer values")


@pytest.mark.parametrize("days", [1, 7])
def test_a_window_has_one_to_seven_days(days, load):
    """Both ends of the range are allowed."""
    assert load(f"api: {{{SIGN_IN}}}\npoll: {{days: {days}}}").poll.days == days


@pytest.mark.parametrize("days", ["0", "8", "-1", "1.5", "two", "yes", "null"])
def test_no_other_window_is_allowed(days, problems):
    """Less than one day, more than seven, parts of a day and what is no number are refused."""
    (problem,) = problems(f"api: {{{SIGN_IN}}}\npoll: {{days: {days}}}")
    assert problem.startswith("exporter.yml:2:8: poll.days: ")


def test_the_interval_of_all_queries_must_be_shorter_than_the_age_of_data(problems):
    """An interval for all queries that outlives the data is refused too."""
    assert len(problems(f"api: {{{SIGN_IN}}}\npoll: {{interval: 1h}}")) == 1


def test_data_may_be_just_older_than_the_interval(load):
    """An interval just shorter than the age limit is fine."""
    assert load(f"api: {{{SIGN_IN}}}\npoll: {{interval: 59m}}").poll.interval == 3540


def test_an_interval_that_is_null_is_that_of_the_poll_section(load, problems):
    """The example writes `interval: null`, which means poll.interval in every check."""
    sections = f"api: {{{SIGN_IN}}}\nqueries: [{{interval: null}}]\n"
    assert load(sections + "poll: {interval: 1m, max_data_age: 3m}\n").poll.interval == 60
    (problem,) = problems(sections + "poll: {interval: 2h, max_data_age: 1h}\n")
    assert (
        problem
        == "exporter.yml:3:8: poll.interval: expected an interval shorter than poll.max_data_age"
    )


def test_an_empty_list_is_reported_beside_other_faults(problems):
    """What is empty and what is wrong elsewhere are reported together."""
    found = problems(f"api: {{{SIGN_IN}}}\npoll: {{days: 9}}\nqueries: []\n")
    assert sorted(found) == [
        "exporter.yml:2:8: poll.days: expected at most 7",
        "exporter.yml:3:1: queries: expected at least one entry",
    ]


@pytest.mark.parametrize(
    ("settings", "key"),
    [(Polling(), "days"), (Query(), "name"), (Filters(), "repo_id"), (TlsConfig(), "ca_file")],
)
def test_settings_are_frozen(settings, key):
    """Settings cannot be changed once they are read."""
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, key, None)
    assert isinstance(hash(settings), int)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_no_secret_shows_when_settings_are_printed(path):
    """Neither repr nor str of a configuration shows a secret that it holds."""
    config = load_config(path)
    assert CANARY not in repr(config)
    assert CANARY not in str(config)


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("1s", 1), ("2h", 7200)])
@pytest.mark.parametrize("what", ["names", "credits", "policies"])
def test_what_is_asked_about_the_account_can_be_turned_off(what, text, seconds, load):
    """Each has an interval of its own, and 0s asks for nothing."""
    config = load(f"api: {{{SIGN_IN}}}\naccount: {{{what}: {{interval: {text}}}}}")
    assert getattr(config.account, what).interval == seconds
    usual = load(f"api: {{{SIGN_IN}}}\naccount: {{{what}: {{}}}}")
    assert getattr(usual.account, what).interval == (3600 if what == "names" else 300)


def test_an_account_is_not_asked_many_times_a_second(problems):
    """An interval of less than a second is refused."""
    (problem,) = problems(f"api: {{{SIGN_IN}}}\naccount: {{credits: {{interval: 10ms}}}}")
    assert "account.credits.interval: expected at least 1s, or 0s to turn it off" in problem
