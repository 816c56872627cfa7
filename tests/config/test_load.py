"""The configuration: cases/*.ok.yml are good, *.bad.yml are bad for the reasons in the *.bad.txt beside them."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from exporter.config.environment import Environment
from exporter.config.load import load_config
from exporter.config.sections import (
    Api,
    Authorization,
    Config,
    Filters,
    Login,
    Poll,
    Query,
    Settings,
    TlsConfig,
)
from exporter.errors import ConfigError

FOLDER = Path(__file__).parent / "cases"
GOOD = sorted(FOLDER.glob("*.ok.yml"))
BAD = sorted(FOLDER.glob("*.bad.yml"))
EXAMPLE = Path(__file__).parents[2] / "config" / "flashback-exporter.yml"

CANARY = "canary"  # stands for a secret: no message may ever show it
SIGN_IN = "login: {email: me@example.com, password: canary}"


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
    """Return a function that gives the problems of a bad configuration, one line each, and no secret among them."""

    def problems(content):
        with pytest.raises(ConfigError) as caught:
            load(content)
        assert CANARY not in str(caught.value)
        assert CANARY not in repr(caught.value)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return problems


# Files


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_is_accepted(path):
    """A file named *.ok.yml is accepted."""
    assert isinstance(load_config(path), Config)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_all_its_problems(path):
    """A file named *.bad.yml is refused with the problems in the text file beside it: all at once, with places."""
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
    assert config.poll == Poll(interval="10m", days=7, max_data_age="2h")
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


def test_a_missing_file_is_named(tmp_path):
    """A file that is not there is reported with its name and the reason."""
    path = tmp_path / "missing.yml"
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory"


def test_a_folder_is_no_file(tmp_path):
    """A folder in place of the file is reported, not a crash."""
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


@pytest.mark.parametrize(
    "content", ["", "\n", "# all by default\n", "---\n", "---\n# all by default\n", "api:\n"]
)
def test_a_file_may_leave_out_everything(content, load, monkeypatch):
    """An empty file means defaults and environment alone."""
    monkeypatch.setenv("FLASHBACK_ACCESS_TOKEN", CANARY)
    assert load(content) == load_config(None)


def test_a_byte_order_mark_is_not_part_of_the_first_key(load):
    """A file from an editor that writes a byte order mark is read like any other."""
    assert load(b"\xef\xbb\xbfapi: {" + SIGN_IN.encode() + b"}").api.login.email == "me@example.com"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_that_is_not_utf_8_is_refused(encoding, problems):
    """A file in another encoding is refused as such."""
    content = f"api: {{{SIGN_IN}}} # für alle\n".encode(encoding)
    assert problems(content) == ["exporter.yml: expected UTF-8 text"]


@pytest.mark.parametrize(
    "value",
    [
        '"canary',  # a quote that is never closed, noticed in the next line
        "canary: canary",
        "'canary' canary",
        "*canary",
        "@canary",
        "%canary",
        "\tcanary: x",
        '"\\canary"',
    ],
)
def test_a_syntax_error_does_not_quote_the_line(value, problems):
    """A password that is not YAML is reported with its place and without its text."""
    (problem,) = problems(f"api:\n  login:\n    password: {value}\n")
    place, _, message = problem.partition(": ")
    name, line, _ = place.split(":")
    assert name == "exporter.yml"
    assert line in ("3", "4")
    assert message.startswith("not YAML: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: canary: x", "1:10: mapping values are not allowed here"),
        (
            "a:\n  canary\n  b: c",
            "3:4: mapping values are not allowed here",
        ),
        (
            "a:\n  b: c\n  canary\nd: e",
            "4:1: while scanning a simple key that begins in line 3, could not find expected ':'",
        ),
        (
            "a: {b: canary\nc: d}",
            "2:2: while parsing a flow mapping that begins in line 1, expected ',' or '}', but got ':'",
        ),
        (
            "a:\n  b: 'canary'\n c: d",
            (
                "3:2: while parsing a block mapping that begins in line 1, expected <block end>,"
                " but found '<block mapping start>'"
            ),
        ),
        (
            'a: "canary',
            "1:11: while scanning a quoted scalar, found unexpected end of stream",
        ),
        ("a:\n\tb: canary", "2:1: while scanning for the next token, found a tab that cannot start any token"),
        ("a: @canary", "1:4: while scanning for the next token, found a character that cannot start any token"),
        ("a: `canary's`", "1:4: while scanning for the next token, found a character that cannot start any token"),
        ("a: *canary", "1:4: found undefined alias"),
        ("a: &canary 1\nb: &canary 2", "2:4: found duplicate anchor, second occurrence"),
        ('a: "\\canary"', "1:6: while scanning a double-quoted scalar, found unknown escape character"),
        ("a: !c!canary x", "1:4: while parsing a node, found undefined tag handle"),
        ("a: !%ff%canary x", "1:5: while scanning a tag, syntax error"),
        ("a: |canary", "1:5: while scanning a block scalar, expected chomping or indentation indicators"),
        ("a: b\n---\nc: canary", "2:1: expected a single document in the stream, but found another document"),
        ("a: b\nc: can\aary", "2: control characters are not allowed"),
    ],
)  # fmt: skip
def test_a_syntax_error_keeps_its_sentence(content, expected, problems):
    """What YAML says about a fault is said whole, without what it would quote of the file."""
    (problem,) = problems(content)
    place, _, sentence = expected.partition(": ")
    assert problem == f"exporter.yml:{place}: not YAML: {sentence}"


@pytest.mark.parametrize(
    "value",
    [
        "!!bool canary",
        "!!timestamp canary",
        "!!int canary",
        "!!binary canary",
        "2024-13-45",
        "!canary x",
        "!canary's x",
    ],
)
def test_a_value_that_yaml_cannot_build_is_reported_with_its_place(value, problems):
    """A value that does not fit its tag, or a date that does not exist, is reported with its place, not a crash."""
    found = problems(f"api:\n  login:\n    password: {value}\n")
    fault = "not a value of its YAML type; text that looks like one stands in quotes"
    assert found == [
        f"exporter.yml:3:15: api.login.password: {fault}",
        "exporter.yml:2:3: api.login.email: expected it here, or FLASHBACK_EMAIL in the environment",
    ]


@pytest.mark.parametrize("content", ["api:\n  base_url: {{ url }}\n", "api:\n  ? [a, b]\n  : c\n"])
def test_a_key_that_is_no_text_is_reported_with_its_place(content, problems):
    """A template that was never filled in, which YAML reads as a mapping for a key, is reported, not a crash."""
    assert problems(content)[0].startswith("exporter.yml:2:")


@pytest.mark.parametrize("key", ["1", "yes", "~", "2024-01-01"])
def test_a_key_that_yaml_takes_for_something_else_is_reported_with_its_place(key, problems):
    """A key that YAML reads as a number, a truth value, nothing or a date is reported, with its place."""
    (problem,) = problems(f"api: {{{SIGN_IN}}}\n{key}: x\n")
    assert problem.startswith("exporter.yml:2:1: ")


@pytest.mark.parametrize(
    "content",
    [
        "api: 1\n",
        "api: {login: me@example.com}\n",
        f"api: {{{SIGN_IN}, tls_config: x}}\n",
        f"api: {{{SIGN_IN}}}\nqueries: {{name: a}}\n",
        f"api: {{{SIGN_IN}}}\nqueries: [a]\n",
        f"api: {{{SIGN_IN}}}\nqueries: []\n",
        f"api: {{{SIGN_IN}}}\nqueries: [{{filters: {{repo_id: a}}}}]\n",
        f"api: {{{SIGN_IN}}}\nqueries: [{{metrics: []}}]\n",
        "- api\n",
        "api\n",
    ],
)
def test_what_was_expected_is_said_in_the_words_of_yaml(content, problems):
    """A value of the wrong shape is reported in words for people who write YAML, not for people who write Python."""
    (problem,) = problems(content)
    assert "tuple" not in problem.lower()
    assert "dictionary" not in problem
    assert "instance of" not in problem


@pytest.mark.parametrize(
    ("first", "next_one"), [("[x]", "[{}]"), ("{x: y}", "{{<<: [{}]}}")], ids=["lists", "merges"]
)
def test_aliases_that_multiply_are_refused(first, next_one, problems):
    """A small file whose aliases, or merged keys, stand for a million values is refused in few words, not built."""
    lines = [f"a: &a {first}"]
    for above, name in pairwise("abcdefg"):
        lines.append(f"{name}: &{name} " + next_one.format(", ".join([f"*{above}"] * 10)))
    found = problems("\n".join(lines))
    assert len([problem for problem in found if "alias" in problem]) == 1


def test_deep_nesting_is_refused(problems):
    """A file that nests without end is refused, not a crash."""
    assert problems("a: " + "[" * 1000) == ["exporter.yml: expected a few levels"]


def test_the_null_device_holds_nothing(monkeypatch):
    """/dev/null is an empty file: all by default."""
    monkeypatch.setenv("FLASHBACK_ACCESS_TOKEN", CANARY)
    assert load_config(Path("/dev/null")) == load_config(None)


@pytest.mark.parametrize("written", [b"", f"api: {{{SIGN_IN}}}".encode()])
def test_a_pipe_is_read_but_not_waited_for(written, tmp_path):
    """A configuration may come out of a pipe; one that nobody writes into is refused and holds up nothing."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    try:
        os.write(both, written)
        if written:
            assert load_config(path).api.login.email == "me@example.com"
        else:
            with pytest.raises(ConfigError, match="nothing comes out of this pipe"):
                load_config(path)
    finally:
        os.close(both)


def test_a_file_that_is_far_too_large_is_refused(problems):
    """A file that is no configuration, but a log of gigabytes say, is not read to its end."""
    assert problems("#" * (11 << 20)) == ["exporter.yml: expected at most 10485760 bytes"]


# Values


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
    ["30", "30.0", '""', "null", "yes", "s", "1.5h", "-5m", "+5m", "5 m", '" 5m"', '"5m\\n"', "5M", "5min", "30m1h",
     "5m5m", "1e3s", "٣s", "[30s]", "{s: 30}", "1000000y", "9" * 80 + "y", "9" * 200 + "y"],
)  # fmt: skip
def test_what_prometheus_does_not_take_for_a_duration_is_none(text, problems):
    """Anything else is refused: numbers without a unit, fractions, signs, spaces, more years than Prometheus has."""
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
    "url",
    [
        "https://backend.flashback.tech",
        "https://backend.flashback.tech/",
        "https://backend.flashback.tech:8443/v1",
        "https://[2001:db8::1]:8443",
        "https://10.0.0.1",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://127.8.9.10",
        "http://[::1]:8080",
        "http://[::ffff:127.0.0.1]",
        "http://LOCALHOST",
        "HTTPS://Backend.Flashback.Tech",
        "https://backend.flashback.tech.",
        "https://flashback_backend:0443",
        "https://xn--bcher-kva.example",
        "https://b\xfccher.example/\xfc/a%20b",
        "https://[fe80::1%eth0]/v1",
    ],
)
def test_the_api_is_reached_by_https_or_on_this_machine(url, load):
    """An https address is accepted anywhere, an http address on this machine."""
    assert load(f"api: {{{SIGN_IN}, base_url: '{url}'}}").api.base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "backend.flashback.tech",
        "//backend.flashback.tech",
        "https://",
        "https:///path",
        "ftp://backend.flashback.tech",
        "file:///etc/passwd",
        "https://backend.flashback.tech:0",
        "https://backend.flashback.tech:99999",
        "http\u017f://backend.flashback.tech",
        "https://backend.flashback.tech:port",
        "https://backend.flashback.tech:",
        "https://backend.flashback.tech:8\u0663",
        "https://backend.flashback.tech:443:443",
        "https://-",
        "https://.backend",
        "https://$HOST",
        "https://{{ host }}",
        "https://a%41",
        "https://a,b",
        "https://256.1.1.1",
        "https://1.2.3",
        "https://[]",
        "https://[1.2.3.4]",
        "https://[v1.a]",
        "https://[::1]x",
        "https://::1",
        "https://" + "a" * 64,
        "https://" + "a." * 127,
        "https://backend.flashback.tech/" + "a" * 2000,
        "https://backend.flashback.tech/a b",
        "https://backend.flashback.tech\\v1",
        "https://backend.flashback.tech?",
        "https://backend.flashback.tech#",
        "https://@backend.flashback.tech",
        "http://[::ffff:192.168.0.1]",
        "https://[::1",
        "https://back end.flashback.tech",
        "https://backend..flashback.tech",
        "https://canary@backend.flashback.tech",
        "https://me:canary@backend.flashback.tech",
        "https://backend.flashback.tech?token=canary",
        "https://backend.flashback.tech#canary",
        "http://backend.flashback.tech",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://192.168.0.1",
        "http://[2001:db8::1]",
        "HTTP://backend.flashback.tech",
    ],
)
def test_what_is_no_safe_address_is_refused(url, problems):
    """Anything else is refused: no host, another scheme, credentials or a query in it, http to another machine."""
    (problem,) = problems(f"api: {{{SIGN_IN}, base_url: '{url}'}}")
    assert "base_url: expected " in problem


CONTROLS = ["\\0", "\\t", "\\n", "\\r", "\\x7f", "\\x85", "\\xa0", "\\u2028"]


@pytest.mark.parametrize(
    "where", ["https://a{}", "https://{}a", "https://a/{}", "https://a/b{}c", "{}https://a"]
)
@pytest.mark.parametrize("character", CONTROLS)
def test_an_address_holds_no_control_characters_or_white_space(where, character, problems):
    """What some Pythons take out of an address without a word is refused by all of them."""
    (problem,) = problems(f'api: {{{SIGN_IN}, base_url: "{where.format(character)}"}}')
    assert problem == (
        f"exporter.yml:1:{6 + len(SIGN_IN) + 3}: api.base_url: expected https://host[:port][/path]"
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a:99999", "a port from 1 to 65535"),
        ("https://a..b", "the name of a host, an IPv4 address or [an IPv6 address]"),
        ("https://a?b", "no user, password, query or fragment in it"),
        ("a", "https://host[:port][/path]"),
    ],
)
def test_the_part_of_an_address_that_is_wrong_is_named(url, expected, problems):
    """The message says which part of an address is at fault."""
    (problem,) = problems(f"api: {{{SIGN_IN}, base_url: '{url}'}}")
    assert problem.endswith(f"api.base_url: expected {expected}")


@pytest.mark.parametrize(
    "proxy",
    [
        "http://h",
        "https://h:3128/",
        "http://[::1]:3128",
        "http://me:ca%40nary@h",
        "http://me@h.",
        "http://:x@1.2.3.4",
    ],
)
def test_a_proxy_is_an_http_address(proxy, load):
    """A proxy is given as an http or https address, with user and password or without."""
    assert load(f"api: {{{SIGN_IN}, proxy_url: '{proxy}'}}").api.proxy_url is not None


@pytest.mark.parametrize(
    "proxy",
    ["socks5://h", "h:3128", "http://", "http://h/path", "http://h?x", "http://me:canary @h", "http://me:can[ary@h",
     "http://h:3128:3128"],
)  # fmt: skip
def test_what_is_no_address_of_a_proxy_is_refused(proxy, problems):
    """Anything else is refused, without showing it."""
    (problem,) = problems(f"api: {{{SIGN_IN}, proxy_url: '{proxy}'}}")
    assert "proxy_url: expected http://[user:password@]host[:port]" in problem


def test_no_address_is_longer_than_clients_take(problems):
    """An address of thousands of characters is refused, whichever it is."""
    long = "a" * 3000
    found = problems(
        f"api: {{{SIGN_IN}, base_url: 'https://a/{long}', proxy_url: 'http://{long}@a'}}"
    )
    assert [problem.partition(": ")[2] for problem in found] == [
        "api.base_url: expected at most 2000 characters",
        "api.proxy_url: expected at most 2000 characters",
    ]


@pytest.mark.parametrize("port", ["", "0", "65536", "port", "-1", "\u0663"])
def test_a_proxy_has_a_port_that_there_is(port, problems):
    """A port that no proxy can have is refused before anything is sent."""
    (problem,) = problems(f"api: {{{SIGN_IN}, proxy_url: 'http://me:canary@h:{port}'}}")
    assert "proxy_url: expected a port from 1 to 65535" in problem


@pytest.mark.parametrize("host", ["a..b", "[canary]", "[::1]x", "-", "999.1.1.1"])
def test_a_proxy_has_a_host_that_there_can_be(host, problems):
    """A host that no proxy can have is refused too."""
    (problem,) = problems(f"api: {{{SIGN_IN}, proxy_url: 'http://{host}'}}")
    assert "proxy_url: expected " in problem


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
        ("login: {email: no, password: canary}", "text, in quotes where YAML takes it for a number"),
        ('login: {email: "\\ud800", password: canary}', "text without surrogates"),
    ],
)  # fmt: skip
def test_a_secret_that_can_never_work_is_refused(section, expected, problems):
    """A secret that is empty, of two lines or not fit for HTTP is refused before anything is sent."""
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
    """Filters too long for the address of a request are refused, where a poll would fail for ever."""
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
    """Less than one day, more than seven, parts of a day and anything that is no number are refused."""
    (problem,) = problems(f"api: {{{SIGN_IN}}}\npoll: {{days: {days}}}")
    assert problem.startswith("exporter.yml:2:8: poll.days: ")


def test_the_interval_of_all_queries_must_be_shorter_than_the_age_of_data(problems):
    """An interval for all queries that outlives the data is refused too."""
    assert len(problems(f"api: {{{SIGN_IN}}}\npoll: {{interval: 1h}}")) == 1


def test_data_may_be_just_older_than_the_interval(load):
    """An interval just shorter than the age limit is fine."""
    assert load(f"api: {{{SIGN_IN}}}\npoll: {{interval: 59m}}").poll.interval == 3540


# Environment


def test_environment_and_defaults_are_enough(monkeypatch):
    """Without a file, e-mail and password in the environment make a configuration with all the defaults."""
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    expected = {"api": {"login": {"email": "me@example.com", "password": CANARY}}}
    assert load_config(None) == Config.model_validate(expected)


def test_a_bearer_token_comes_from_the_environment(monkeypatch):
    """FLASHBACK_ACCESS_TOKEN is api.authorization.credentials."""
    monkeypatch.setenv("FLASHBACK_ACCESS_TOKEN", CANARY)
    assert load_config(None).api.authorization.credentials.get_secret_value() == CANARY


def test_a_refresh_token_file_comes_from_the_environment(monkeypatch, tmp_path):
    """FLASHBACK_REFRESH_TOKEN_FILE is api.refresh_token_file; a relative one starts at the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASHBACK_REFRESH_TOKEN_FILE", "refresh-token")
    assert load_config(None).api.refresh_token_file == tmp_path / "refresh-token"


def test_the_address_comes_from_the_environment(monkeypatch, load):
    """FLASHBACK_BASE_URL is api.base_url."""
    monkeypatch.setenv("FLASHBACK_BASE_URL", "https://api.flashback.tech")
    assert load(f"api: {{{SIGN_IN}}}").api.base_url == "https://api.flashback.tech"


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
    """A file that says where to keep the refresh token leaves out who signs in, and the environment fills that."""
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    api = load("api: {refresh_token_file: token}").api
    assert api.login is not None
    assert api.login.email == "me@example.com"


@pytest.mark.parametrize(
    "in_file",
    [
        "{base_url: https://file.example.com, login: {email: file@example.com, password: from-file}}",
        "{base_url: https://file.example.com, login: {email: file@example.com, password_file: from-file}}",
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
        match=r"^environment FLASHBACK_ACCESS_TOKEN, FLASHBACK_EMAIL: api: expected one way to sign in",
    ) as caught:
        load_config(None)
    assert CANARY not in str(caught.value)


def test_half_a_login_from_the_environment_is_refused(monkeypatch):
    """A password without an e-mail is no login."""
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    with pytest.raises(ConfigError) as caught:
        load_config(None)
    assert (
        str(caught.value)
        == "environment FLASHBACK_PASSWORD: api.login.email: expected it here, or FLASHBACK_EMAIL in the environment"
    )


def test_a_password_file_comes_from_the_environment(monkeypatch, tmp_path):
    """FLASHBACK_PASSWORD_FILE is api.login.password_file; a relative one starts at the working directory."""
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


# The settings themselves


@pytest.mark.parametrize(
    ("settings", "key"),
    [(Poll(), "days"), (Query(), "name"), (Filters(), "repo_id"), (TlsConfig(), "ca_file")],
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


def test_no_secret_shows_when_the_environment_is_printed(monkeypatch):
    """The same goes for the environment."""
    for name in ("ACCESS_TOKEN", "PASSWORD"):
        monkeypatch.setenv(f"FLASHBACK_{name}", CANARY)
    assert CANARY not in repr(Environment())


# The documented example

SIGN_IN_KEYS = {(Api, "authorization"), (Api, "refresh_token_file"), (Login, "password")}


def sections(model, content):
    """Yield every section of a raw configuration with the settings that describe it."""
    yield model, content
    if model is Config:
        yield from sections(Api, content["api"])
        yield from sections(Poll, content["poll"])
        for query in content["queries"]:
            yield from sections(Query, query)
    if model is Api:
        yield from sections(Login, content["login"])
        yield from sections(TlsConfig, content["tls_config"])
    if model is Query:
        yield from sections(Filters, content["filters"])


def test_the_example_is_valid():
    """The documented example is a valid configuration."""
    assert load_config(EXAMPLE).api.login.password_file == Path("/run/secrets/flashback-password")


def test_the_example_has_every_key():
    """Every key of every section stands in the example; those of the other ways to sign in, in its comments."""
    seen = set()
    for model, content in sections(Config, yaml.safe_load(EXAMPLE.read_text())):
        seen.add(model)
        assert content.keys() == {
            key for key in model.model_fields if (model, key) not in SIGN_IN_KEYS
        }
    assert seen | {Authorization} == set(Settings.__subclasses__())
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
    """Every value in the example is the one that leaving out the key would give; only the sign-in has none."""
    config = load_config(EXAMPLE)
    assert config == Config(api=Api(login=config.api.login))


@pytest.mark.parametrize("way", ["authorization", "refresh_token_file"])
def test_the_other_ways_to_sign_in_work_once_they_are_uncommented(way, load):
    """Taking the login out of the example and the comment signs off another way makes a valid configuration."""
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
