"""Passwords: as Go's bcrypt has it, right ones remembered, wrong ones not, and the newest first."""

import asyncio
import statistics
import time

import bcrypt
import pytest
from certificates import SECRET

from exporter.config.web import parse_hash
from exporter.web.passwords import Passwords, matches

CHEAP = {"alice": parse_hash(SECRET.encode())}


def hashed(password, cost=4):
    """Return a hash as it is after reading it from a file."""
    return parse_hash(bcrypt.hashpw(password[:72], bcrypt.gensalt(cost)))


@pytest.mark.parametrize("kind", [b"2y", b"2b", b"2a", b"2", b"2z", b"1y"])
def test_hashes_of_every_kind(kind):
    """Whatever the tool that made a hash calls its kind, Go takes it for the same."""
    text = SECRET.encode().replace(b"2y", kind)
    assert matches(b"secret", parse_hash(text))
    assert not matches(b"Secret", parse_hash(text))


def test_no_more_than_72_bytes_count():
    """As in Go, what follows the 72nd byte of a password is passed over."""
    right = hashed(b"a" * 72)
    assert matches(b"a" * 72, right)
    assert matches(b"a" * 1000, right)
    assert not matches(b"a" * 71, right)
    assert not matches(b"a" * 71 + b"b" * 100, right)


@pytest.mark.parametrize(
    "password", [b"\0", b"se\0cret", b"\xff\xfe", b"", b"\0" * 100, "Zoë".encode()]
)
def test_passwords_of_any_bytes(password):
    """A password may be any bytes, NUL too."""
    assert matches(password, hashed(password))
    assert not matches(password, CHEAP["alice"])


@pytest.mark.parametrize(
    "text",
    [SECRET + "x", SECRET[:-1], SECRET.replace("SKjR", "!!!!"), SECRET.replace("SKjR", "ëë")],
)
def test_hashes_that_nothing_fits(text):
    """A hash that is too long, too short or not in bcrypt's alphabet fits no password, and is no error."""
    assert not matches(b"secret", parse_hash(text.encode()))


async def test_a_right_password_is_known_afterwards():
    """What was right once is known without a hash; what was wrong or not shown yet is not."""
    passwords = Passwords()
    assert not passwords.know(CHEAP, b"alice", b"secret")
    assert await passwords.accept(CHEAP, b"alice", b"secret")
    assert passwords.know(CHEAP, b"alice", b"secret")
    assert not await passwords.accept(CHEAP, b"alice", b"Secret")
    assert not passwords.know(CHEAP, b"alice", b"Secret")
    assert not passwords.know(CHEAP, b"bob", b"secret")


async def test_what_is_remembered_is_this_user_with_this_hash_and_this_password():
    """Another user, another hash or another password is not right because something like it was."""
    passwords = Passwords()
    assert await passwords.accept(CHEAP, b"alice", b"secret")
    assert not await passwords.accept(CHEAP, b"alice", b"Secret")
    assert not await passwords.accept(CHEAP, b"bob", b"secret")
    assert not await passwords.accept({"alice": hashed(b"new")}, b"alice", b"secret")
    assert not await passwords.accept(CHEAP | {"al": hashed(b"x")}, b"al", b"icesecret")
    assert await passwords.accept({"alice": hashed(b"new")}, b"alice", b"new")


async def test_a_stranger_with_a_users_password_is_a_stranger():
    """The hash that an unknown name is measured by lets nobody in, also where its password was guessed."""
    passwords = Passwords()
    for name in (b"", b"bob", b"\xff", b"alice\0"):
        assert not await passwords.accept(CHEAP, name, b"secret")
        assert not await passwords.accept(CHEAP, name, b"secret")


async def test_wrong_guesses_push_out_nothing():
    """After many guesses, the right password is still known."""
    passwords = Passwords()
    assert await passwords.accept(CHEAP, b"alice", b"secret")
    await asyncio.gather(*(passwords.accept(CHEAP, b"alice", b"%d" % n) for n in range(1500)))
    assert passwords.know(CHEAP, b"alice", b"secret")


async def test_what_is_remembered_is_bounded():
    """More right passwords than can be remembered are right all the same; the oldest is forgotten."""
    passwords = Passwords()
    users = {f"user{n}": CHEAP["alice"] for n in range(1001)}
    for name in users:
        assert await passwords.accept(users, name.encode(), b"secret")
    assert not passwords.know(users, b"user0", b"secret")
    assert passwords.know(users, b"user1", b"secret")
    assert await passwords.accept(users, b"user0", b"secret")


async def test_a_flood_of_guesses_does_not_hold_up_who_comes_after():
    """A password that was not shown before is checked before the guesses that wait already."""
    users = {"alice": hashed(b"secret", cost=8)}
    passwords = Passwords()
    guesses = [
        asyncio.create_task(passwords.accept(users, b"alice", b"%d" % n)) for n in range(300)
    ]
    await asyncio.sleep(0)
    assert await passwords.accept(users, b"alice", b"secret")
    assert sum(guess.done() for guess in guesses) < 10
    for guess in guesses:
        guess.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)
    assert not await passwords.accept(users, b"alice", b"more")


async def test_who_waits_is_bounded():
    """Of a thousand guesses at once, those that came first go without a check."""
    passwords = Passwords()
    users = {"alice": hashed(b"secret", cost=4)}
    answers = await asyncio.gather(
        *(passwords.accept(users, b"alice", b"%d" % n) for n in range(1000))
    )
    assert not any(answers)
    assert await passwords.accept(users, b"alice", b"secret")


async def test_known_and_unknown_users_take_the_same_time():
    """The medians over many requests differ by less than a tenth, also where hashes are of different cost."""
    users = {"alice": hashed(b"secret", cost=8), "bob": hashed(b"secret", cost=8)}
    passwords = Passwords()

    async def seconds(name):
        started = time.process_time()
        await passwords.accept(users, name, b"wrong")
        return time.process_time() - started

    taken = {name: [] for name in (b"alice", b"nobody", b"\xff")}
    for _ in range(40):
        for name, times in taken.items():
            times.append(await seconds(name))
    medians = [statistics.median(times) for times in taken.values()]
    assert max(medians) < 1.1 * min(medians)
