"""Money: credits that run out, and what the usage costs by estimate."""

from mixin import texts
from mixin.history import COST, MODEL_TOKENS
from mixin.promql import MODEL, REPLICA, REPO_MODEL, metric
from mixin.settings import Settings
from mixin.written import Alert, Group, Record

LEFT = "account:flashback_credits:left_seconds"


def account(settings: Settings) -> Group:
    """Return the alerts on credits and cost."""
    return Group(
        "flashback_account",
        (
            Record(
                LEFT,
                f"{_left(settings, '1d')} {_known(settings)}",
                "How long the credits last at the rate of the last day.",
            ),
            *_credits(settings),
            _cost(settings),
            _unpriced(settings),
        ),
    )


def _balance(settings: Settings) -> str:
    return f"max without ({REPLICA}) ({metric(settings, 'flashback_credits_balance')})"


def _left(settings: Settings, over: str) -> str:
    balance = metric(settings, "flashback_credits_balance")
    falls = f"max without ({REPLICA}) (-deriv({balance}[{over}]))"
    return f"({_balance(settings)} > 0)\n/ ({falls} > 0)"


def _known(settings: Settings) -> str:
    balance = metric(settings, "flashback_credits_balance")
    return f"and max without ({REPLICA}) ({balance} offset 3h)"


def _credits(settings: Settings) -> tuple[Alert, ...]:
    day, week = (
        int(settings.alerts[name]["hours"]) * texts.HOUR
        for name in ("FlashbackCreditsGoneInADay", "FlashbackCreditsGoneInAWeek")
    )
    return (
        _credit(
            settings,
            "FlashbackCreditsExhausted",
            f"{_balance(settings)} <= 0",
            "The credits are used up",
            "The balance is {{ $value | humanize }}: calls that need credits may be refused.",
        ),
        _credit(
            settings,
            "FlashbackCreditsGoneInADay",
            f"{_left(settings, '6h')} < {day} {_known(settings)}",
            "Credits last for {{ $value | humanizeDuration }}",
            "At the rate of the last six hours the credits are used up in "
            "{{ $value | humanizeDuration }}.",
        ),
        _credit(
            settings,
            "FlashbackCreditsGoneInAWeek",
            f"{LEFT} >= {day} < {week}",
            "Credits last for {{ $value | humanizeDuration }}",
            "At the rate of the last day the credits are used up in "
            "{{ $value | humanizeDuration }}.",
        ),
    )


def _credit(settings: Settings, name: str, expr: str, summary: str, says: str) -> Alert:
    whose = " Account: {{ with $labels.account }}{{ . }}{{ else }}{{ $labels.job }}{{ end }}."
    dashboard = texts.link(settings, "flashback-overview", 7 * texts.DAY)
    return Alert(name, "usage", expr, summary, says + whose, dashboard)


def _cost(settings: Settings) -> Alert:
    name = "FlashbackCostHigh"
    dollars = settings.threshold(name, "dollars")
    return Alert(
        name,
        "usage",
        f'sum without (day, {", ".join(REPO_MODEL)}) ({COST}{{day="today"}}) > {dollars}',
        summary="Estimated cost so far today: {{ $value | printf `%.2f` }} dollars",
        description="What was used so far today (UTC) costs {{ $value | printf `%.2f` }} dollars "
        f"by estimate, more than {dollars}; query {{{{ $labels.query }}}}.",
        dashboard=texts.link(settings, "flashback-overview", texts.DAY, "query"),
    )


def _unpriced(settings: Settings) -> Alert:
    price = metric(settings, "flashback_llm_price_dollars_per_token")
    folded = f'{MODEL_TOKENS}{{llm_type="other", llm_model="other"}}'
    priced = f"max without ({REPLICA}, direction) ({price})"
    used = f'({MODEL_TOKENS}{{llm_type!="", llm_model!=""}} > 0 unless {folded})'
    without = f"sum without (repo_id) {used}\n  unless ignoring (query) {priced}"
    models = texts.each(
        f'sum without (repo_id) ({MODEL_TOKENS}{{%s llm_model!~"|other"}} > 0) '
        "unless on (llm_type, llm_model) flashback_llm_price_dollars_per_token",
        " {{ .Labels.llm_type }}/{{ .Labels.llm_model }}",
        "llm_model",
    )
    return Alert(
        "FlashbackTokensUnpriced",
        "usage",
        f"count without ({', '.join(MODEL)}) (\n  {without}\n)",
        summary=f"{texts.ABOUT} models in use have no price",
        description=f"{texts.SERIES}Tokens of these models have no price, so the estimated cost "
        f"is too low:{models}; query {{{{ $labels.query }}}}.",
        dashboard=texts.link(settings, "flashback-overview", 7 * texts.DAY, "query"),
    )
