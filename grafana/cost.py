"""Money: what usage costs by estimate, and the account's credits."""

from grafana import names, past, promql
from grafana.looks import NO_PRICE, RANGE, RED, RULES, SAND
from grafana.panels import Panel, Query, days, lines, number
from grafana.promql import cost, some
from grafana.tables import Column, breakdown, listing
from mixin.account import LEFT
from mixin.history import COST

_BALANCE = "flashback_credits_balance{" + promql.TARGET + "}"
_BOOKED = "flashback_credits_booked_balance{" + promql.TARGET + "}"
_BOOKED_UNTIL = "flashback_credits_booked_until_timestamp_seconds{" + promql.TARGET + "}"
_PENDING = "flashback_credits_pending{" + promql.TARGET + "}"


def cost_row() -> tuple[Panel, ...]:
    """Return estimated dollars by model, repository and key, and what is in no estimate."""
    text = (
        "Dollars at list prices, for the tokens that the LLM counts: an upper bound where input is "
        f"cached. {RANGE}"
    )
    return (
        *(
            breakdown(
                f"Estimated cost by {what}",
                label,
                (_dollars(label),),
                text,
                sort="Dollars",
                size=(8, 10),
            )
            for label, what in (
                ("llm_model", "model"),
                ("repo_id", "repository"),
                ("repo_ai_api_key_id", "API key"),
            )
        ),
        listing(
            "Without a price",
            {"llm_type": "Provider", "llm_model": "Model"},
            (Column("Tokens", promql.unpriced()),),
            "Models whose tokens are in no estimate, because their price is not known: give it in "
            f"prices.file. {RANGE}",
            sort="Tokens",
            no_value="Every model has a price",
            size=(8, 10),
        ),
        cost_per_day(size=(16, 10)),
    )


def cost_per_day(size: tuple[int, int]) -> Panel:
    """Return the bars of estimated cost, the same wherever they stand."""
    return days(
        "Estimated cost per day",
        [Query(past.closed_days(COST), "Dollars")],
        past.open_days(COST),
        "Dollars at list prices; what a model has no price for is missing. Of the filters, "
        "repository, provider and model apply.",
        colors={"Dollars": SAND},
        unit="currencyUSD",
        size=size,
    )


def _dollars(label: str) -> Column:
    dollars = some(cost(*names.group_of(label)))
    return Column("Dollars", dollars, unit="currencyUSD", bar=SAND, width=150, adds_up=True)


def credits_row() -> tuple[Panel, ...]:
    """Return what is left of the account's credits, and for how long."""
    return (
        number(
            "Balance",
            f"min(max by (job) ({_BALANCE}))",
            "The account's credits now, what is pending taken off; of the account with the least. "
            "Absent where the account cannot be asked.",
            thresholds=((None, RED), (0.000001, "text")),
            no_value=NO_PRICE,
            size=(4, 8),
        ),
        number(
            "Credits last for",
            f'min({LEFT}{{job=~"$job"}})',
            "How long the credits last at the rate of the last day. Absent where the balance is "
            f"not known or does not fall. {RULES}",
            unit="s",
            decimals=0,
            no_value=NO_PRICE,
            size=(4, 8),
        ),
        number(
            "Booked until",
            f"1000 * max({_BOOKED_UNTIL})",
            "Until when the account's usage is booked.",
            unit="dateTimeAsIso",
            no_value=NO_PRICE,
            size=(4, 8),
        ),
        lines(
            "Credits over time",
            [
                Query(f"max by (job) ({_BALANCE})", "Balance, {{job}}"),
                Query(f"max by (job) ({_BOOKED})", "Last booked, {{job}}"),
                Query(f"max by (job, category) ({_PENDING})", "Pending for {{category}}, {{job}}"),
            ],
            "The account's credits, and what is used and not booked yet.",
            no_value=NO_PRICE,
            size=(12, 8),
        ),
    )
