"""Secrets in what is quoted from outside: whatever a server makes of them, they are not shown."""

import base64
import html
import json
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.redaction import Redactor

SECRET = "can'ary/+\\\"ü <7f3a>&=%41 \\n€"


def redactor(**secrets):
    """Return a redactor that knows these secrets, each by its name."""
    redactor = Redactor()
    for name, value in secrets.items():
        redactor.remember(name, value)
    return redactor


def everything_percent_encoded(text, form="%{:02X}"):
    return "".join(form.format(byte) for byte in text.encode())


FORMS = {
    "as it is": lambda text: text,
    "percent": quote,
    "percent, slashes too": lambda text: quote(text, safe=""),
    "percent, lower case": lambda text: quote(text, safe="").replace("%C3%BC", "%c3%bc"),
    "percent, reserved alone": lambda text: quote(text, safe="'\"ü€\\<>&"),
    "percent, all of it": everything_percent_encoded,
    "percent, all in lower case": lambda text: everything_percent_encoded(text, "%{:02x}"),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "as a form": quote_plus,
    "HTML": html.escape,
    "HTML, quotes left": lambda text: html.escape(text, quote=False),
    "HTML, by number": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML, by hexadecimal number": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "HTML, by number without semicolons": lambda text: "".join(f"&#{ord(char)}" for char in text),
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with letters as they are": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON in HTML": lambda text: html.escape(json.dumps(text)),
    "Python": lambda text: repr(text)[1:-1],
    "Python, bytes": lambda text: repr(text.encode())[2:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 in an address": lambda text: quote_plus(base64.b64encode(text.encode()).decode()),
    "base64 behind one byte": lambda text: base64.b64encode(b":" + text.encode()).decode(),
    "base64 behind a user": lambda text: base64.b64encode(b"me:" + text.encode()).decode(),
    "base64 behind a longer user": lambda text: base64.b64encode(b"you!:" + text.encode()).decode(),
    "base64 of JSON": lambda text: base64.b64encode(json.dumps([text]).encode()).decode(),
    "base64 of JSON with letters as they are": lambda text: base64.b64encode(
        json.dumps([text], ensure_ascii=False).encode()
    ).decode(),
    "base64 of a form": lambda text: base64.b64encode(f"a={quote_plus(text)}".encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, capitals": lambda text: text.encode().hex().upper(),
    "hexadecimal, bytes apart": lambda text: text.encode().hex(" "),
    "hexadecimal, colons between bytes": lambda text: text.encode().hex(":"),
    "read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "base64 with more behind": lambda text: base64.b64encode(text.encode() + b", it was").decode(),
}


@pytest.mark.parametrize("secret", [SECRET, "canary-7f3a", "eyJhbGciOiJub25lIn0.e30.x-y_z"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("around", ["%s%%41", "%s", "got '%s', sorry", "%s %s", "\\%s\\", "&%s;"])
def test_a_secret_is_found_in_any_form(form, secret, around):
    """Whatever a server makes of a secret, only its name is shown, and what stands around it."""
    text = around.replace("%s", form(secret)).replace("%%", "%")
    shown = redactor(password=secret).redact(text)
    assert "<password>" in shown
    for part in (form(secret), secret, "canary", "7f3a"):
        assert part not in shown


@given(
    secret=st.text(st.characters(exclude_categories=("C", "Z")), min_size=6, max_size=40),
    form=st.sampled_from(sorted(FORMS)),
    before=st.text(string.ascii_letters + " :", max_size=5),
    after=st.text(string.ascii_letters + " :", max_size=5),
)
def test_any_secret_is_found(secret, form, before, after):
    """Whichever characters a secret has, none of the forms passes."""
    text = f"{before} {FORMS[form](secret)} {after}"
    shown = redactor(password=secret).redact(text)
    assert "<password>" in shown
    assert FORMS[form](secret) not in shown.replace("<password>", "")


def test_what_stands_around_a_secret_is_shown():
    """A message keeps its words."""
    shown = redactor(password="canary-7f3a").redact(
        "no, 'canary%2D7f3a' is not it; canary-7f3b neither"
    )
    assert shown == "no, '<password>' is not it; canary-7f3b neither"


@pytest.mark.parametrize("secret", ["password", "<password>", "access token", "passwor"])
def test_what_is_put_in_place_of_a_secret_stays(secret):
    """A secret that is part of what secrets are called does not change what stands for another."""
    names = redactor(**{"password": "canary-7f3a", "access token": secret})
    assert names.redact("canary-7f3a") == "<password>"
    assert names.redact(f"{secret}, canary-7f3a") == "<access token>, <password>"


def test_a_secret_within_another_does_not_leave_the_rest():
    """Of two secrets of which one begins with the other, the longer one is gone as a whole."""
    names = redactor(password="canary", token="canary-7f3a-canary")
    assert names.redact("it was canary-7f3a-canary.") == "it was <token>."


def test_secrets_that_overlap_are_gone_both():
    """Where the end of one is the beginning of another, nothing of both is left."""
    assert redactor(one="abcdefgh", two="efghijkl").redact("(abcdefghijkl)") == "(<one>)"


@pytest.mark.parametrize("secret", ["a", "no", "12345"])
def test_a_short_secret_hides_the_whole_text(secret):
    """A secret that may be part of any word is not cut out, for that would show where it is."""
    names = redactor(password=secret)
    assert names.redact(f"not {secret} again") == "<not shown: it holds the password>"
    assert names.redact("?!") == "?!"


def test_the_secret_before_is_hidden_too():
    """A server may send back what was replaced meanwhile."""
    names = redactor(password="canary-1")
    names.remember("password", "canary-2")
    assert names.redact("canary-1 canary-2") == "<last password> <password>"


def test_a_text_without_end_is_no_message():
    """Searching takes time, and nobody reads a message of a million characters."""
    assert redactor(password="canary").redact("x" * 1_000_000) == "<not shown: 1000000 characters>"


def test_an_empty_secret_is_none():
    """What is not set hides nothing."""
    assert redactor(password="").redact("fine") == "fine"
