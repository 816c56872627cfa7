"""Usage: who uses what and what it costs, down to one repository, key, model, host or user."""

from grafana import promql
from grafana.frame import Page, Row, one_query
from grafana.looks import (
    BLUE,
    NO_PRICE,
    PLURALS,
    PURPLE,
    RANGE,
    RED,
    RULES,
    SAND,
)
from grafana.panels import Panel, Query, by_top, days, lines, number, trend
from grafana.promql import cost, each_step, increase, latency, per, rate, some
from grafana.tables import Column, breakdown, listing
from mixin.account import LEFT
from mixin.history import CALLS, COST, KEY_TOKENS, MODEL_TOKENS
from mixin.promql import MODEL, REPO_KEY, REPO_MODEL

_KEPT_IDS = {
    "Repositories": 6,
    "LLM configurations": 7,
    "API keys": 8,
    "Providers": 9,
    "Models": 10,
    "Hosts": 11,
    "LLM against gateway tokens": 15,
    "Users": 20,
    "Conversations": 21,
}

_BALANCE = "flashback_credits_balance{" + promql.TARGET + "}"
_BOOKED = "flashback_credits_booked_balance{" + promql.TARGET + "}"
_BOOKED_UNTIL = "flashback_credits_booked_until_timestamp_seconds{" + promql.TARGET + "}"
_PENDING = "flashback_credits_pending{" + promql.TARGET + "}"
_DEMO = " In the demo, the query users has them."


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="flashback-usage",
        title="Flashback / Usage",
        text="Who uses what in the chosen time range, and what it costs by estimate: click a name "
        "to narrow every panel to it. Numbers are those of one query; exporters that poll the same "
        "account count once.",
        rows=(
            Row("How much in this time range?", _totals()),
            Row("Who uses what?", tuple(_breakdown(label) for label in promql.LABELS)),
            Row("What does it cost, by estimate?", _cost()),
            Row("How much is left?", _credits()),
            Row("Where do the tokens go?", _tokens(), collapsed=True),
            Row("When is it used?", _trends()),
            Row("What of a close look, with every filter?", _close(), collapsed=True),
            Row("Which users and conversations?", _people(), collapsed=True),
        ),
        alerts=promql.firing("usage"),
        variables=one_query(),
        kept_ids=_KEPT_IDS,
    )


def _totals() -> tuple[Panel, ...]:
    gateway, llm = "as the gateway counts them", "as the LLM counts them"
    totals = (
        ("Calls", "api_calls", "Calls to the LLM API."),
        ("Input tokens", "input_tokens", f"Input tokens {gateway}."),
        ("Output tokens", "output_tokens", f"Output tokens {gateway}."),
        ("LLM input tokens", "llm_input_tokens", f"Input tokens {llm}."),
        ("LLM output tokens", "llm_output_tokens", f"Output tokens {llm}."),
    )
    return (
        *(number(title, increase(metric), f"{text} {RANGE}") for title, metric, text in totals),
        number(
            "Mean latency",
            latency(),
            f"Seconds a call took on average, weighted by calls. {RANGE}",
            unit="s",
            size=(4, 4),
        ),
        number(
            "Estimated cost",
            cost(),
            f"Dollars at list prices; what has no price is missing. {RANGE}",
            unit="currencyUSD",
            no_value=NO_PRICE,
            size=(5, 4),
        ),
    )


def _breakdown(label: str) -> Panel:
    by = promql.group_of(label)
    columns = [
        Column("Calls", some(increase("api_calls", *by)), width=120, adds_up=True),
        Column(
            "Input tokens", some(increase("input_tokens", *by)), bar=BLUE, width=160, adds_up=True
        ),
        Column("Output", some(increase("output_tokens", *by)), width=120, adds_up=True),
    ]
    text = f"Calls, input and output tokens as the gateway counts them. {RANGE}"
    if label in REPO_MODEL:
        columns.append(Column("Latency", promql.latency_of_hours(label), unit="s"))
        text += f" Mean latency is weighted by calls. {RULES}"
    return breakdown(PLURALS[label], label, columns, text, sort="Input tokens")


def _cost() -> tuple[Panel, ...]:
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
        [Query(promql.closed_days(COST), "Dollars")],
        promql.open_days(COST),
        "Dollars at list prices; what a model has no price for is missing. Of the filters, "
        "repository, provider and model apply.",
        colors={"Dollars": SAND},
        unit="currencyUSD",
        size=size,
    )


def _dollars(label: str) -> Column:
    dollars = some(cost(*promql.group_of(label)))
    return Column("Dollars", dollars, unit="currencyUSD", bar=SAND, width=150, adds_up=True)


def _credits() -> tuple[Panel, ...]:
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


def _tokens() -> tuple[Panel, ...]:
    label = "llm_model"
    return (
        breakdown(
            "LLM against gateway tokens",
            label,
            (
                Column("Gateway in", some(increase("input_tokens", label))),
                Column("LLM in", some(increase("llm_input_tokens", label))),
                Column("More in", _more("input", label), unit="percentunit", decimals=1),
                Column("Gateway out", some(increase("output_tokens", label))),
                Column("LLM out", some(increase("llm_output_tokens", label))),
                Column("More out", _more("output", label), unit="percentunit", decimals=1),
            ),
            "Tokens as the gateway and as the LLM count them, and by how much the LLM counts "
            "more: what the gateway adds to a request, such as a system prompt, and differences "
            f"of tokenizers. {RANGE}",
            sort="LLM in",
            size=(24, 9),
        ),
    )


def _more(direction: str, by: str) -> str:
    llm, gateway = increase(f"llm_{direction}_tokens", by), increase(f"{direction}_tokens", by)
    return f"{per(llm, gateway)} - 1"


def _trends() -> tuple[Panel, ...]:
    models = each_step(MODEL_TOKENS, "llm_model", labels=("repo_id", *MODEL))
    return (
        by_top(
            "Calls by repository",
            CALLS,
            "repo_id",
            ("repo_id",),
            "Calls of the ten repositories with the most in the time range, and of all others. Of "
            "the filters, repository applies.",
        ),
        by_top(
            "Tokens by API key",
            KEY_TOKENS,
            "repo_ai_api_key_id",
            REPO_KEY,
            "Input and output tokens of the ten keys with the most in the time range, and of all "
            "others. Of the filters, repository and key apply.",
        ),
        trend(
            "Tokens by model",
            [Query(models, "{{llm_model}}")],
            "Input and output tokens by model. Of the filters, repository, provider and model "
            "apply.",
            size=(24, 9),
        ),
    )


def _close() -> tuple[Panel, ...]:
    text = "for ranges up to some days; of all that the filters leave."
    return (
        lines(
            "Calls an hour",
            [Query(rate("api_calls"), "Calls")],
            f"Calls an hour at each moment, {text}",
            colors={"Calls": BLUE},
        ),
        lines(
            "Tokens an hour",
            [
                Query(rate("input_tokens"), "Input"),
                Query(rate("output_tokens"), "Output"),
                Query(rate("llm_input_tokens"), "LLM input"),
                Query(rate("llm_output_tokens"), "LLM output"),
            ],
            f"Tokens an hour at each moment, as gateway and LLM count them, {text}",
            colors={"Input": BLUE, "Output": PURPLE, "LLM input": BLUE, "LLM output": PURPLE},
            dashed=("LLM input", "LLM output"),
        ),
    )


def _people() -> tuple[Panel, ...]:
    return tuple(
        breakdown(
            PLURALS[label],
            label,
            (Column("Calls", some(increase("api_calls", label)), bar=BLUE, width=200),),
            f"Calls. {RANGE} Only where the labels of the query include {label}.{_DEMO}",
            sort="Calls",
        )
        for label in promql.PERSONAL
    )
