"""The made-up company's credits: what it uses; every Monday at 08:00 UTC they are topped up."""

import math
from functools import lru_cache

from exporter.clock import SECONDS_A_DAY, iso_instant, midnight, utc_day
from exporter.demo.company import Company, growth_until
from exporter.steps import one_a_step

# Of a token, of whatever model.
_CREDITS_IN, _CREDITS_OUT = 3e-6, 12e-6
_STORAGE_A_DAY = 6.5
_TOP_UP_SECOND = 8 * 3600
_FULL = 4000
_WEEK = 7


class Billing:
    """What the company's credits are at any moment."""

    def __init__(self, company: Company) -> None:
        """Prepare, for a company that pays for its tokens and for some storage."""
        self._company = company
        self._whole_day = lru_cache(maxsize=2 * _WEEK)(lambda day: self._ai(day, midnight(day + 1)))

    async def balance(self, now: float) -> dict[str, object]:
        """Return the data of `/credits/balance`; booked is all until the last UTC midnight."""
        today = utc_day(now)
        ai, storage = self._ai(today, now), self._storage(midnight(today), now)
        left = await self._left(now)
        return {
            "creditBalance": round(left + ai + storage, 6),
            "dateBalance": iso_instant(midnight(today)),
            "realtimeBalance": round(left, 6),
            "pendingConsumption": round(ai + storage, 6),
            "breakdown": {"storage": round(storage, 6), "ai": round(ai, 6)},
        }

    async def _left(self, now: float) -> float:
        """Return what is left of what the last Monday brought."""
        monday = _monday(now - _TOP_UP_SECOND)
        began = midnight(monday) + _TOP_UP_SECOND
        used = self._storage(began, now) - self._ai(monday, began) + self._ai(utc_day(now), now)
        async for day in one_a_step(range(monday, utc_day(now))):
            used += self._whole_day(day)
        return 100 * math.ceil(growth_until(monday) * _FULL / 100) - used

    def _ai(self, day: int, until: float) -> float:
        return sum(
            usage.calls
            * (
                usage.plan.stream.tokens_in * _CREDITS_IN
                + usage.plan.stream.tokens_out * _CREDITS_OUT
            )
            for usage in self._company.usage(day, until)
        )

    def _storage(self, since: float, until: float) -> float:
        return _STORAGE_A_DAY * (until - since) / SECONDS_A_DAY


def _monday(now: float) -> int:
    """Return the day of the last Monday at a Unix timestamp."""
    today = utc_day(now)
    return today - (today + 3) % _WEEK
