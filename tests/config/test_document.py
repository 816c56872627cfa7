"""The YAML file: what it may not hold, where that is, and nothing of what it says in messages."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
from clocks import FakeClock

from exporter.config.document import read
from exporter.config.load import load_config
from exporter.config.places import Places
from exporter.errors import ConfigError

CANARY = "canary"  # stands for a secret: no message may ever show it
CONTENT = {"api": {"login": {"email": "me@example.com", "password": CANARY}}}
SIGN_IN = "login: {email: me@example.com, password: canary}"


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
            (
                "2:2: while parsing a flow mapping that begins in line 1, "
                "expected ',' or '}', but got ':'"
            ),
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
        ("a:\n\tb: canary",
         "2:1: while scanning for the next token, found a tab that cannot start any token"),
        ("a: @canary",
         "1:4: while scanning for the next token, found a character that cannot start any token"),
        ("a: `canary's`",
         "1:4: while scanning for the next token, found a character that cannot start any token"),
        ("a: *canary", "1:4: found undefined alias"),
        ("a: &canary 1\nb: &canary 2", "2:4: found duplicate anchor, second occurrence"),
        ('a: "\\canary"',
         "1:6: while scanning a double-quoted scalar, found unknown escape character"),
        ("a: !c!canary x", "1:4: while parsing a node, found undefined tag handle"),
        ("a: !%ff%canary x", "1:5: while scanning a tag, syntax error"),
        ("a: |canary",
         "1:5: while scanning a block scalar, expected chomping or indentation indicators"),
        ("a: b\n---\nc: canary",
         "2:1: expected a single document in the stream, but found another document"),
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
    """A value that does not fit its tag, or a date that is none, is reported with its place."""
    found = problems(f"api:\n  login:\n    password: {value}\n")
    fault = "not a value of its YAML type; text that looks like one stands in quotes"
    assert found == [
        f"exporter.yml:3:15: api.login.password: {fault}",
        (
            "exporter.yml:2:3: api.login.email: expected it here, "
            "or FLASHBACK_EMAIL in the environment"
        ),
    ]


@pytest.mark.parametrize("content", ["api:\n  base_url: {{ url }}\n", "api:\n  ? [a, b]\n  : c\n"])
def test_a_key_that_is_no_text_is_reported_with_its_place(content, problems):
    """A template that was never filled in, which YAML reads as a mapping for a key, is reported,
    not a crash.
    """
    assert problems(content)[0].startswith("exporter.yml:2:")


@pytest.mark.parametrize("key", ["1", "yes", "~", "2024-01-01"])
def test_a_key_that_yaml_takes_for_something_else_is_reported_with_its_place(key, problems):
    """A key that YAML reads as a number, a truth value, nothing or a date is reported,
    with its place.
    """
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
    """A value of the wrong shape is reported in words for people who write YAML,
    not for people who write Python.
    """
    (problem,) = problems(content)
    assert "tuple" not in problem.lower()
    assert "dictionary" not in problem
    assert "instance of" not in problem


@pytest.mark.parametrize(
    ("first", "next_one"), [("[x]", "[{}]"), ("{x: y}", "{{<<: [{}]}}")], ids=["lists", "merges"]
)
def test_aliases_that_multiply_are_refused(first, next_one, problems):
    """A small file whose aliases, or merged keys,
    stand for a million values is refused in few words, not built.
    """
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


class Looks(FakeClock):
    """Moves whenever somebody looks at it, and does something as well."""

    def __init__(self, seconds=0.9, then=lambda: None):
        super().__init__()
        self._seconds = seconds
        self._then = then
        self.seen = 0

    def monotonic(self):
        self.seen += 1
        assert self.seen < 100
        self._then()
        self.move(self._seconds)
        return super().monotonic()


@pytest.fixture
def pipe(tmp_path):
    """Return a pipe's path and a descriptor to write into it, which keeps it from ending."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    yield path, descriptor
    os.close(descriptor)


def test_a_pipe_is_read_but_not_waited_for(pipe):
    """A configuration may come out of a pipe, also one that does not end."""
    path, writing = pipe
    os.write(writing, f"api: {{{SIGN_IN}}}".encode())
    assert read(path, Places(), [], Looks()) == CONTENT


def test_a_pipe_that_nobody_writes_into_is_refused(pipe):
    """A silent pipe holds up nothing."""
    path, _ = pipe
    with pytest.raises(ConfigError, match="nothing comes out of this pipe"):
        read(path, Places(), [], Looks())


def test_a_pipe_that_drips_is_not_waited_for(pipe):
    """Another byte now and then buys no more time: a second is for the whole."""
    path, writing = pipe
    os.write(writing, f"api: {{{SIGN_IN}}}\n".encode())
    clock = Looks(0.3, lambda: os.write(writing, b"#"))
    assert read(path, Places(), [], clock) == CONTENT
    assert clock.seen < 10


def test_a_file_that_is_far_too_large_is_refused(problems):
    """A file that is no configuration, but a log of gigabytes say, is not read to its end."""
    assert problems("#" * (11 << 20)) == ["exporter.yml: expected at most 10485760 bytes"]
