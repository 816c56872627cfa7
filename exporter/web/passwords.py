"""Checks passwords against bcrypt hashes: off the event loop, one at a time, and a right one only once."""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import bcrypt

from exporter.config.web import PasswordHash

_LONGEST = 72  # bytes that bcrypt looks at; Go's, too, passes over what follows
_MOST_KNOWN = 1000
_MOST_WAITING = 500


def matches(password: bytes, hashed: PasswordHash) -> bool:
    """Whether a password is the one that a hash was made of; takes as long as the hash's cost says."""
    try:
        computed = bcrypt.hashpw(password[:_LONGEST], hashed.salt)
    except ValueError:  # the salt is none: nothing fits
        return False
    return hmac.compare_digest(computed[len(hashed.salt) :], hashed.digest)


class Passwords:
    """Remembers which passwords were right, for no longer than the process lives, and never in the clear.

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
        return hashed is not None and self._recall(self._mark(user, hashed, password))

    async def accept(self, users: Mapping[str, PasswordHash], user: bytes, password: bytes) -> bool:
        """Whether this is the password of this user. For one who does not exist, the answer takes as long."""
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
        """Return the hash of some user, always the same for a name, so that costs tell nothing either."""
        hashes = list(users.values())
        return hashes[int.from_bytes(self._digest(user)[:8], "big") % len(hashes)]

    def _mark(self, user: bytes, hashed: PasswordHash, password: bytes) -> bytes:
        return self._digest(user, hashed.salt, hashed.digest, password[:_LONGEST])

    def _digest(self, *parts: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._secret, digest_size=32)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()

    def _recall(self, mark: bytes) -> bool:
        if mark not in self._known:
            return False
        self._known.move_to_end(mark)
        return True

    def _remember(self, mark: bytes) -> None:
        self._known[mark] = None
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        """Wait for a turn; who came last has the next one, for under a flood of guesses the first wait in vain.

        Where too many wait, the one that came first goes without: False.
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
