"""The page's part beside the statistics: who the account is, what it has left, what is not told."""

from collections.abc import Iterator
from decimal import Decimal
from heapq import nlargest
from html import escape
from operator import itemgetter

from exporter.clock import iso_date, utc_day
from exporter.output.status import Status
from exporter.prices.built_in import BuiltIn
from exporter.statistics.account import Credits, EndpointState, Names, Policies, Profile

_PARTIAL = "this role does not see the whole organisation: numbers may be partial"
_MOST = 3  # policies that are named


def render_account(status: Status) -> str:
    """Return what is known, as terms with their descriptions; what is not known has no term."""
    account, now = status.account, status.now
    terms = {
        "Account": _who(account.names.profile),
        "Credits": _credits(account.credits.at(now) if account.credits else None),
        "Policies": _policies(account.policies.at(now) if account.policies else None),
        "Names": _known(account.names),
        "Endpoints": _endpoints(status),
        "Prices": _prices(status.built_in_prices, utc_day(status.time)),
    }
    return "".join(f"<dt>{term}</dt><dd>{said}</dd>\n" for term, said in terms.items() if said)


def name_of(names: Names, dimension: str, value: str) -> str:
    """Return the name of an ID as HTML; nothing where it has none."""
    known = {
        "repo_id": lambda: names.repo(value)[0],
        "ai_llm_id": lambda: names.llm(value),
        "repo_ai_api_key_id": lambda: names.key(value),
    }
    name = known[dimension]() if dimension in known else value
    return f" <b>{escape(name)}</b>" if name != value else ""


def _who(profile: Profile | None) -> str:
    if profile is None:
        return ""
    organisation = f"organisation <code>{escape(profile.org_id)}</code>"
    who = [escape(profile.role), organisation if profile.org_id else ""]
    said = ", ".join(part for part in who if part)
    if profile.sees_part:
        said += f"<small>{_PARTIAL}</small>"
    return said


def _credits(credits_left: Credits | None) -> str:
    if credits_left is None:
        return ""
    balance, booked = credits_left.balance, _booked(credits_left)
    said = f"<b>{_amount(balance)}</b> left" if balance is not None else "balance not known"
    return said + (f"<small>{booked}</small>" if booked else "")


def _booked(credits_left: Credits) -> str:
    booked, until = credits_left.booked_balance, credits_left.booked_until
    parts = []
    if booked is not None:
        parts.append(f"{_amount(booked)} booked")
    if until is not None:
        parts.append(f"booked until {iso_date(until)}")
    for category, amount in credits_left.pending.items():
        parts.append(f"{_amount(amount)} used for {category} since")
    return ", ".join(parts)


def _amount(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _policies(policies: Policies | None) -> str:
    if policies is None:
        return ""
    found = [(policy.name, policy.violations) for policy in policies.values() if policy.violations]
    most = nlargest(_MOST, found, key=itemgetter(1))
    said = f"violations of {_counted(len(found), 'policy', 'policies')} in the last 24 hours"
    listed = ", ".join(f"{escape(name)} {violations:,}" for name, violations in most)
    return said + (f"<small>{listed}</small>" if listed else "")


def _known(names: Names) -> str:
    counts = {
        ("workspace", "workspaces"): len(names.workspaces),
        ("repository", "repositories"): len(names.repos),
        ("LLM configuration", "LLM configurations"): len(names.llms),
        ("API key", "API keys"): len(names.keys),
    }
    return ", ".join(_counted(number, *words) for words, number in counts.items() if number)


def _counted(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def _endpoints(status: Status) -> str:
    """Return which endpoints tell nothing, and why; in a few words where all do."""
    silent = "".join(_silent(status))
    return silent or f"all {len(status.account_intervals)} answer"


def _silent(status: Status) -> Iterator[str]:
    for endpoint, interval in status.account_intervals.items():
        why = _why(status.account.endpoint(endpoint), interval)
        if why:
            yield f"<div><code>{escape(endpoint)}</code> {why}</div>"


def _why(fares: EndpointState, interval: float) -> str:
    """Return why an endpoint tells nothing, as HTML; nothing where it does."""
    message = escape(fares.message)
    if not interval:
        return "turned off in the configuration"
    if not fares.offered:
        return f"not offered to this account<small>{message}; asked again daily</small>"
    if fares.up is None:
        return "not answered yet"
    return "" if fares.up else f'<b class="fails">failing</b><small>{message}</small>'


def _prices(prices: BuiltIn, today: int) -> str:
    age = _counted(max(0, prices.days_old(today)), "day", "days")
    return f"built-in list prices of {prices.written.isoformat()}, {age} old"
