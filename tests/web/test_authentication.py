"""Passwords and headers over HTTP: every path, every kind of wrong, and what the file says at that moment."""

import asyncio
import base64
import logging
from contextlib import asynccontextmanager

import bcrypt
import httpx
import pytest
from certificates import SECRET
from clocks import HandClock
from loopback import configuration, served

from exporter.daemon import Exporter
from exporter.serve import application
from exporter.web.access import Access

USERS = f"basic_auth_users:\n  alice: {SECRET}\n  'Zoë': {SECRET}\n"
NOWHERE = "http://127.0.0.1:9"  # nothing is asked there


def basic(user, password):
    """Return the header that shows user and password."""
    if isinstance(user, str):
        user, password = user.encode(), password.encode()
    return {"Authorization": b"Basic " + base64.b64encode(user + b":" + password)}


ALICE = basic("alice", "secret")


@asynccontextmanager
async def reading(path):
    """Serve an exporter that has not begun to poll with a web configuration; hand out an HTTP client."""
    clock = HandClock()
    config = configuration(NOWHERE)
    exporter = await Exporter.create(config, lambda: config, clock)
    app = application(exporter, lifecycle=True)
    async with (
        served(app, access=Access(path)) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        yield client
    await exporter.stop()


@pytest.fixture
def path(tmp_path):
    """Return a web configuration with two users."""
    path = tmp_path / "web.yml"
    path.write_text(USERS)
    return path


@pytest.fixture
async def client(path):
    """Serve with two users, and return an HTTP client."""
    async with reading(path) as client:
        yield client


async def test_every_path_asks_for_a_password(client):
    """Nothing is answered to a stranger: not the health, nor whether there is such a path or method."""
    paths = ("/metrics", "/", "/-/healthy", "/-/ready", "/none", "/metrics/", "//", "/%2e", "*")
    for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "NONE"):
        for where in paths:
            response = await client.request(method, where)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == "Basic"
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert response.text == ("" if method == "HEAD" else "Unauthorized\n")


async def test_a_reload_asks_for_a_password(client):
    """A stranger reloads nothing."""
    assert (await client.post("/-/reload")).status_code == 401
    assert (await client.post("/-/reload", headers=ALICE)).status_code == 200


async def test_who_shows_a_right_password_is_answered(client):
    """With a right password, all is as without users; a user's name may be of any alphabet."""
    assert (await client.get("/metrics", headers=ALICE)).status_code == 200
    assert (await client.get("/none", headers=ALICE)).status_code == 404
    assert (await client.get("/-/healthy", headers=basic("Zoë", "secret"))).status_code != 401


WRONG = [
    basic("alice", "Secret"),
    basic("alice", ""),
    basic("alice", "secret\0"),
    basic("alice", "s" * 5000),
    basic(b"alice", b"\xff\xfe"),
    basic("bob", "secret"),
    basic("", "secret"),
    basic("", ""),
    basic(b"\xff", b"secret"),
    basic("alice\0", "secret"),
    basic("ALICE", "secret"),
    {"Authorization": "Bearer secret"},
    {"Authorization": "Basic"},
    {"Authorization": ""},
    {"Authorization": "Basic ====="},
    {"Authorization": "Basic " + base64.b64encode(b"alice").decode()},
    {"Authorization": "Basic " + base64.b64encode(b"alice:secret").decode() + "="},
    {"Authorization": "Basic  " + base64.b64encode(b"alice:secret").decode()},
    {"Authorization": "Basic\t" + base64.b64encode(b"alice:secret").decode()},
    {"Authorization": b"Basic \xff\xfe"},
    {"Authorization": "Digest username=alice"},
    {"Proxy-Authorization": ALICE["Authorization"]},
]


async def test_every_wrong_answer_is_the_same(client):
    """Unknown users, wrong passwords and garbage cannot be told apart."""
    stranger = await client.get("/metrics")
    for headers in WRONG:
        response = await client.get("/metrics", headers=headers)
        assert (response.status_code, response.text) == (401, stranger.text), headers
        assert response.headers.keys() == stranger.headers.keys()


async def test_the_name_of_the_scheme_may_be_in_any_case(client):
    """As in Go, `basic` is Basic; and of two headers the first one counts."""
    shown = ALICE["Authorization"].replace(b"Basic", b"bAsIC")
    assert (await client.get("/metrics", headers={"Authorization": shown})).status_code == 200
    both = [(b"Authorization", shown), (b"Authorization", b"Bearer x")]
    assert (await client.get("/metrics", headers=both)).status_code == 200
    assert (await client.get("/metrics", headers=both[::-1])).status_code == 401


async def test_passwords_longer_than_bcrypt_reads(path):
    """72 bytes of a password count, as in Go; more is no error."""
    hashed = bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)).decode()
    path.write_text(f"basic_auth_users: {{alice: '{hashed}'}}")
    async with reading(path) as client:
        for length, status in ((71, 401), (72, 200), (73, 200), (5000, 200)):
            response = await client.get("/metrics", headers=basic("alice", "a" * length))
            assert response.status_code == status


async def test_users_change_for_the_next_request(client, path):
    """On the same connection, a user who is added may read at once, and one who is removed may not."""
    bob = basic("bob", "secret")
    assert (await client.get("/metrics", headers=bob)).status_code == 401
    path.write_text(USERS.replace("alice", "bob"))
    assert (await client.get("/metrics", headers=bob)).status_code == 200
    assert (await client.get("/metrics", headers=ALICE)).status_code == 401


async def test_a_changed_password_holds_for_the_next_request(client, path):
    """What was right under the old hash is not remembered under the new one."""
    assert (await client.get("/metrics", headers=ALICE)).status_code == 200
    path.write_text(USERS.replace(SECRET, bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()))
    assert (await client.get("/metrics", headers=ALICE)).status_code == 401
    assert (await client.get("/metrics", headers=basic("alice", "new"))).status_code == 200


@pytest.mark.parametrize("text", ["", "basic_auth_users:\n", "{", "basic_auth_users: {alice: x}"])
async def test_a_broken_or_emptied_file_does_not_open_the_server(client, path, text):
    """Strangers stay strangers, and users stay users."""
    path.write_text(text)
    assert (await client.get("/metrics")).status_code == 401
    assert (await client.get("/metrics", headers=ALICE)).status_code == 200
    path.unlink()
    assert (await client.get("/metrics")).status_code == 401


async def test_guesses_do_not_hold_up_scrapes(path, caplog):
    """While hundreds guess at an expensive hash, a scrape with a known password is answered within a second.

    Nor do they hold up the end of the server.
    """
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(10)).decode()
    path.write_text(f"basic_auth_users: {{alice: '{hashed}'}}")
    async with reading(path) as client:
        assert (await client.get("/metrics", headers=ALICE)).status_code == 200
        guesses = [
            asyncio.create_task(client.get("/metrics", headers=basic("alice", str(n))))
            for n in range(90)
        ]
        for _ in range(5):
            async with asyncio.timeout(1):
                assert (await client.get("/metrics", headers=ALICE)).status_code == 200
        assert not all(guess.done() for guess in guesses)
        for guess in guesses:
            guess.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


HEADERS = """
http_server_config:
  headers:
    Content-Security-Policy: "default-src 'self';\\r\\nx: y"
    Strict-Transport-Security: max-age=31536000
    X-Content-Type-Options: nosniff
    X-Frame-Options: deny
    X-XSS-Protection: "Zoë\\0"
"""


async def test_headers_are_added_to_every_answer(client, path):
    """The configured headers stand once in each answer, also where it is 401 or has such a header of its own."""
    path.write_text(USERS + HEADERS)
    wanted = {
        b"content-security-policy": b"default-src 'self';  x: y",
        b"strict-transport-security": b"max-age=31536000",
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"deny",
        b"x-xss-protection": "Zoë".encode(),
    }
    for where in ("/metrics", "/", "/none", "/-/ready"):
        for shown in (ALICE, {}):
            response = await client.get(where, headers=shown)
            found = [(name.lower(), value) for name, value in response.headers.raw]
            assert sorted(pair for pair in found if pair[0] in wanted) == sorted(wanted.items())


async def test_headers_change_for_the_next_request(client, path):
    """A header that is added to the file is in the next answer."""
    assert "X-Frame-Options" not in (await client.get("/metrics")).headers
    path.write_text(USERS + HEADERS)
    assert (await client.get("/metrics")).headers["X-Frame-Options"] == "deny"
    path.write_text(USERS)
    assert "X-Frame-Options" not in (await client.get("/metrics")).headers
