"""What the made-up company's policies found in the last 24 hours, by the policy.

It is what the daily statistics say: of yesterday without what they said 24 hours ago, and of today.
"""

from collections import Counter
from dataclasses import dataclass, field

from exporter.clock import SECONDS_A_DAY, utc_day
from exporter.demo.company import Company, high_of, medium_of

_IN_A_ROW = 7  # violations of a stream that one policy finds before the next one does


@dataclass(slots=True)
class Found:
    """How much each policy found, by its number."""

    high: Counter[int] = field(default_factory=Counter)
    medium: Counter[int] = field(default_factory=Counter)
    low: Counter[int] = field(default_factory=Counter)

    def of(self, policy: int) -> dict[str, int]:
        """Return what one policy found, as the API calls it; alerts and blocks as in records."""
        high, medium, low = self.high[policy], self.medium[policy], self.low[policy]
        return {
            "violations": high + medium + low,
            "alerts": high + medium,
            "blocks": high,
            "severityLow": low,
            "severityMedium": medium,
            "severityHigh": high,
        }


def last_24h(company: Company, now: float) -> Found:
    """Return what the policies found in the 24 hours before a Unix timestamp."""
    found = Found()
    today = utc_day(now)
    policies = len(company.organisation.policies)
    yesterday = company.usage(today - 1, now)
    day_ago = company.usage(today - 1, now - SECONDS_A_DAY)
    before = {id(usage.plan): usage.violations for usage in day_ago}
    for usage in (*yesterday, *company.usage(today, now)):
        for number in range(before.get(id(usage.plan), 0) + 1, usage.violations + 1):
            policy = (usage.plan.policy + (number - 1) // _IN_A_ROW) % policies
            _severity(found, number)[policy] += 1
    return found


def _severity(found: Found, number: int) -> Counter[int]:
    """Return where the violation of a number, counted by stream and day, belongs."""
    if high_of(number) > high_of(number - 1):
        return found.high
    if medium_of(number) > medium_of(number - 1):
        return found.medium
    return found.low
