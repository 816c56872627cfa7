"""`GET /user/profile`: who the account is, and what it may see."""

from typing import Any

import msgspec

from exporter.api.account_answers import read_object
from exporter.api.client import FlashbackClient
from exporter.api.lenient import text
from exporter.errors import PollError, Reason
from exporter.statistics.account import Profile

PROFILE = "/user/profile"

_ROLES = {
    "0": "user",
    "1": "billing",
    "2": "workspaces",
    "254": "administrators",
    "255": "owner",
}


class _Data(msgspec.Struct, frozen=True):
    org_id: Any = msgspec.field(default=None, name="orgId")
    org_role: Any = msgspec.field(default=None, name="orgRole")


class _Answer(msgspec.Struct, frozen=True):
    data: _Data | None = None


async def profile(client: FlashbackClient, deadline: float) -> Profile:
    """Return who the account is, before `deadline` (monotonic). Raises PollError."""
    answer = await read_object(client, PROFILE, _Answer, deadline)
    if answer.data is None:
        raise PollError(Reason.INVALID_RESPONSE, "the answer holds no data")
    role = text(answer.data.org_role)
    return Profile(text(answer.data.org_id), _ROLES.get(role, role))
