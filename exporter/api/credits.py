"""`GET /credits/balance`: what is left of the credits. 400 where they are not enabled."""

from decimal import Decimal
from typing import Any

import msgspec

from exporter.api.account_answers import read_object
from exporter.api.client import FlashbackClient
from exporter.api.lenient import instant, money
from exporter.errors import PollError, Reason
from exporter.statistics.account import Credits

BALANCE = "/credits/balance"


class _Breakdown(msgspec.Struct, frozen=True):
    ai: Decimal | None = None
    storage: Decimal | None = None


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    credit_balance: Decimal | None = None
    date_balance: Any = None
    realtime_balance: Decimal | None = None
    breakdown: _Breakdown | None = None


class _Answer(msgspec.Struct, frozen=True):
    data: _Data | None = None


async def balance(client: FlashbackClient, deadline: float) -> Credits:
    """Return what is left of the credits, before `deadline` (monotonic). Raises PollError."""
    data = (await read_object(client, BALANCE, _Answer, deadline)).data
    if data is None:
        raise PollError(Reason.INVALID_RESPONSE, "the answer holds no data")
    used = data.breakdown or _Breakdown()
    pending = {"ai": money(used.ai), "storage": money(used.storage)}
    return Credits(
        balance=money(data.realtime_balance),
        booked_balance=money(data.credit_balance),
        booked_until=instant(data.date_balance),
        pending={name: amount for name, amount in pending.items() if amount is not None},
    )
