"""`GET /v2/stats/policies/breakdown/rules`: what each policy found in the last 24 hours."""

from decimal import Decimal
from typing import Any

import msgspec

from exporter.api.account_answers import Question, check_number, read_list
from exporter.api.client import FlashbackClient
from exporter.api.lenient import count, text
from exporter.errors import PollError, Reason
from exporter.statistics.account import Policies, Policy

POLICIES = "/v2/stats/policies/breakdown/rules"

_MAX_PAGES = 100
_PARAMETERS = {"scope": "org", "window": "24h", "limit": "100"}


class _Totals(msgspec.Struct, frozen=True, rename="camel"):
    violations: Decimal | None = None
    alerts: Decimal | None = None
    blocks: Decimal | None = None
    severity_low: Decimal | None = None
    severity_medium: Decimal | None = None
    severity_high: Decimal | None = None


class _Entity(msgspec.Struct, frozen=True, rename="camel"):
    entity_id: Any = None
    entity_name: Any = None
    totals: _Totals | None = None


async def policies(client: FlashbackClient, deadline: float) -> Policies:
    """Return what the policies found, before `deadline` (monotonic), from all pages.

    Raises PollError, `too_large` where the pages have no end.
    """
    found: dict[str, Policy] = {}
    offset = 0
    for _ in range(_MAX_PAGES):
        known = len(found)
        entries, total = await _page(client, offset, found, deadline)
        offset += entries
        check_number(offset)
        # Without a total, the end is where nothing new comes; so it is where pages repeat.
        if len(found) == known or (total is not None and offset >= total):
            return found
    message = f"the answer goes on after {_MAX_PAGES} pages"
    raise PollError(Reason.TOO_LARGE, message)


async def _page(
    client: FlashbackClient, offset: int, found: dict[str, Policy], deadline: float
) -> tuple[int, int | None]:
    """Add a page to what was found, and return how many entries it and all pages hold."""

    def take(entity: _Entity) -> None:
        policy_id = text(entity.entity_id)
        found[policy_id] = _policy(policy_id, entity)

    parameters = _PARAMETERS | {"offset": str(offset)}
    question = Question(POLICIES, "entities", parameters)
    entries, around = await read_list(client, question, _Entity, take, deadline)
    total = around.get("totalEntities")
    return entries, int(text(total)) if text(total).isdecimal() else None


def _policy(policy_id: str, entity: _Entity) -> Policy:
    totals = entity.totals or _Totals()
    severities = {
        "low": count(totals.severity_low),
        "medium": count(totals.severity_medium),
        "high": count(totals.severity_high),
    }
    return Policy(
        name=text(entity.entity_name) or policy_id,
        violations=count(totals.violations),
        alerts=count(totals.alerts),
        blocks=count(totals.blocks),
        severities={name: number for name, number in severities.items() if number is not None},
    )
