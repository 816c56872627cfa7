"""Stands before the application: asks for passwords, and adds the configured headers."""

import asyncio
import base64
import re
from collections.abc import Coroutine, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.config.password_hash import PasswordHash
from exporter.web.access import Access
from exporter.web.passwords import Passwords

_SCHEME = "basic "
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class Authentication:
    """Lets no request through, on whatever path, unless it shows a right password."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Ask for what `access` wants at the moment of a request."""
        self._app = app
        self._access = access
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or hand the request on."""
        config = self._access.config
        app = self._app
        if config.headers:
            send = _adding(config.headers, send)
        if config.users and not await self._may_pass(config.users, scope, receive):
            app = PlainTextResponse("Unauthorized\n", 401, {"WWW-Authenticate": "Basic"})
        await app(scope, receive, send)

    async def _may_pass(
        self, users: Mapping[str, PasswordHash], scope: Scope, receive: Receive
    ) -> bool:
        """Whether a request shows a right password; any other takes as long as a wrong one."""
        header = Headers(scope=scope).get("authorization")
        if header is None:
            return False
        credentials = _credentials(header)
        user, password = credentials or (b"", b"")
        if credentials and self._passwords.know(users, user, password):
            return True
        checking = self._passwords.accept(users, user, password)
        return await _unless_gone(checking, receive) and credentials is not None


async def _unless_gone(checking: Coroutine[None, None, bool], receive: Receive) -> bool:
    """Return what comes out, or False once the client has gone, who then keeps no place."""
    check = asyncio.create_task(checking, name="check password")
    leave = asyncio.create_task(_disconnected(receive), name="await disconnect")
    try:
        await asyncio.wait((check, leave), return_when=asyncio.FIRST_COMPLETED)
        return check.done() and check.result()
    finally:
        check.cancel()
        leave.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _credentials(header: str) -> tuple[bytes, bytes] | None:
    """Return user and password of a header of the scheme Basic, as Go reads it."""
    scheme, encoded = header[: len(_SCHEME)], header[len(_SCHEME) :]
    if scheme.lower() != _SCHEME or len(encoded) % 4:  # Python overlooks padding that is too long
        return None
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    user, colon, password = decoded.partition(b":")
    return (user, password) if colon else None


def _adding(headers: Mapping[str, str], send: Send) -> Send:
    """Return a way to send that adds headers, in place of an answer's own of these names."""
    added = {}
    for name, value in headers.items():
        line = _CONTROLS.sub(" ", value).strip()
        # It goes out as UTF-8, and Starlette writes Latin-1.
        added[name] = line.encode().decode("latin-1")

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(added)
        await send(message)

    return adding
