"""What dashboards read over weeks: each day's totals, and what came in each hour.

Hours (`increase1h`, every five minutes): trends over more than a day, and what is usual for the
alerts on usage. They overlap, so they are never added up over time; read them with
`last_over_time(…[10m])`. The latency of a model or repository is the quotient of `_sum` and
`_count`, each added up first.

Days (`sum`, at every evaluation): bars. `day="today"` grows; the last value of `day="yesterday"`
before a midnight is the day's truth, with corrections and late calls. A bar of a closed day is
`… offset -47h59m` for a step of one day, which reads one sample a day and is cheap.

Both keep repository, provider and model, some 2,000 series at 10,000 groups. Where a panel is
narrowed by a key, an LLM configuration or a host, few raw series are left, and it reads those.
"""

from mixin.promql import (
    MODEL,
    REPLICA,
    REPO_KEY,
    REPO_MODEL,
    day_of,
    hour_of,
    last_hour,
    metric,
)
from mixin.settings import Settings
from mixin.written import Group, Record

CALLS = "repo:flashback_ai_api_calls:increase1h"
KEY_TOKENS = "repo_key:flashback_ai_tokens:increase1h"
MODEL_CALLS = "repo_model:flashback_ai_api_calls:increase1h"
MODEL_TOKENS = "repo_model:flashback_ai_tokens:increase1h"
DURATION = "repo_model:flashback_ai_call_duration_seconds_{part}:increase1h"
COST = "repo_model:flashback_ai_daily_cost_dollars:sum"
VIOLATIONS = "repo_model:flashback_ai_daily_policy_violations:sum"


def hours(settings: Settings) -> Group:
    """Return what came in the last hour; every five minutes, for trends and for what is usual."""
    tokens = " + ".join(hour_of(settings, f"{kind}_tokens_total") for kind in ("input", "output"))
    calls = hour_of(settings, "api_calls_total")
    return Group(
        "flashback_hours",
        (
            Record(MODEL_CALLS, last_hour(calls, REPO_MODEL)),
            Record(CALLS, f"sum without ({', '.join(MODEL)}) ({MODEL_CALLS})"),
            Record(MODEL_TOKENS, last_hour(tokens, REPO_MODEL)),
            Record(KEY_TOKENS, last_hour(tokens, REPO_KEY)),
            *(
                Record(
                    DURATION.format(part=part),
                    last_hour(hour_of(settings, f"call_duration_seconds_{part}"), REPO_MODEL),
                )
                for part in ("sum", "count")
            ),
        ),
        interval="5m",
    )


def days(settings: Settings) -> Group:
    """Return the totals of today and yesterday; the last one of `yesterday` is the day's truth."""
    return Group(
        "flashback_days",
        (
            Record("repo_model:flashback_ai_daily_api_calls:sum", day_of(settings, "api_calls")),
            Record(
                "repo_model:flashback_ai_daily_tokens:sum",
                day_of(settings, "input_tokens", "output_tokens"),
            ),
            Record(COST, _cost(settings), "Estimated: what a model has no price for is missing."),
            Record(VIOLATIONS, day_of(settings, "policy_violations")),
            Record(
                "repo_model_severity:flashback_ai_daily_policy_violations:sum",
                day_of(settings, "policy_violations_by_severity"),
            ),
            Record("repo_model:flashback_ai_daily_blocks:sum", day_of(settings, "blocks")),
        ),
        interval="5m",
    )


def _cost(settings: Settings) -> str:
    return "\n+ ".join(_cost_of(settings, direction) for direction in ("input", "output"))


def _cost_of(settings: Settings, direction: str) -> str:
    prices = metric(settings, "flashback_llm_price_dollars_per_token", f'direction="{direction}"')
    price = f"max without ({REPLICA}, direction) ({prices})"
    tokens = day_of(settings, f"llm_{direction}_tokens")
    return f"{tokens}\n  * ignoring (query, day, repo_id) group_left () {price}"
