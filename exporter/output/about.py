"""What is known at one moment beside the statistics."""

from dataclasses import dataclass, fields

from exporter.prices.table import Prices
from exporter.statistics.account import AccountState, Credits, Names, Policies


@dataclass(frozen=True, slots=True)
class About:
    """What is known at one moment beside the statistics; None is what is not, or is too old."""

    names: Names
    credits: Credits | None
    policies: Policies | None
    prices: Prices

    @classmethod
    def at(cls, now: float, account: AccountState, prices: Prices) -> "About":
        """Return what is known at `now` (monotonic)."""
        balance = account.credits.at(now) if account.credits else None
        policies = account.policies.at(now) if account.policies else None
        return cls(account.names, balance, policies, prices)

    def is_same(self, other: "About") -> bool:
        """Whether it is all the same, without looking into it."""
        names = [field.name for field in fields(self)]
        return all(getattr(self, name) is getattr(other, name) for name in names)
