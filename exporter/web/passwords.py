"""Checks passwords against bcrypt hashes: off the event loop, and a right one only once."""

import asyncio
import hmac
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import bcrypt

from exporter.config.password_hash import PasswordHash

_LONGEST = 72  # bytes that bcrypt looks at; Go's, too, passes over what follows
_MOST_KNOWN = 1000
_MOST_WAITING = 500


def matches(password: bytes, hashed: PasswordHash) -> bool:
    """Whether a hash was made of this password; takes as long as the hash's cost says."""
    try:
        computed = bcrypt.hashpw(password[:_LONGEST], hashed.salt)
    except ValueError:  # the salt is none: nothing fits
        return False
    return hmac.compare_digest(computed[len(hashed.salt) :], hashed.digest)


class Passwords:
    """Remembers which passwords were right, while the process lives, and never in the clear.

    What was wrong is not remembered, so that guesses cannot push out what was right.
    """

    def __init__(self) -> None:
        """Know none yet."""
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._busy = False
        self._waiting: list[asyncio.Future[bool]] = []

    def know(self, users: Mapping[str, PasswordHash], user: bytes, password: bytes) -> bool:
        """Whether this was the password of this user before, and still is."""
        hashed = _hash_of(users, user)
        if hashed is None:
            return False
        mark = self._mark(user, hashed, password)
        if mark not in self._known:
            return False
        self._known.move_to_end(mark)
        return True

    async def accept(self, users: Mapping[str, PasswordHash], user: bytes, password: bytes) -> bool:
        """Whether this is the password of this user; takes as long for one who does not exist."""
        hashed = _hash_of(users, user)
        checked = hashed or self._stand_in(users, user)
        async with self._turn() as granted:
            if not granted:
                return False
            if self.know(users, user, password):  # somebody else has shown it meanwhile
                return True
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._thread, matches, password, checked)
        if not right or hashed is None:
            return False
        self._remember(self._mark(user, hashed, password))
        return True

    def _stand_in(self, users: Mapping[str, PasswordHash], user: bytes) -> PasswordHash:
        """Return some user's hash, always the same for a name, so that costs tell nothing."""
        number = int.from_bytes(self._digest(user))
        hashes = list(users.values())
        return hashes[number % len(hashes)]

    def _mark(self, user: bytes, hashed: PasswordHash, password: bytes) -> bytes:
        return self._digest(user, hashed.salt, hashed.digest, password[:_LONGEST])

    def _digest(self, *parts: bytes) -> bytes:
        unambiguous = repr(parts).encode()
        return hmac.digest(self._secret, unambiguous, "sha256")

    def _remember(self, mark: bytes) -> None:
        self._known[mark] = None
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        """Wait for a turn, and hand out whether there was one.

        Whoever came last is next: under a flood of guesses, those wait in vain that came first.
        Where too many wait, the one that came first goes without.
        """
        if self._busy and not await self._queue():
            yield False
            return
        self._busy = True
        try:
            yield True
        finally:
            self._pass_on()

    async def _queue(self) -> bool:
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if len(self._waiting) > _MOST_WAITING:
            first = self._waiting.pop(0)
            if not first.done():
                first.set_result(False)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._busy = False
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                self._busy = True
                turn.set_result(True)
                return


def _hash_of(users: Mapping[str, PasswordHash], user: bytes) -> PasswordHash | None:
    try:
        return users.get(user.decode())
    except UnicodeDecodeError:
        return None
