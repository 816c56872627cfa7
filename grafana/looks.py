"""What all dashboards share: the data source, steps, colours and words."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from exporter.errors import Reason
from exporter.statistics.records import Rejection

DATASOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "flashback"
MIN_STEP, COUNTER_STEP, HOUR, DAY = "5m", "15m", "1h", "1d"
"""Nothing changes more often than the API is polled, every 5 minutes by default.

Four steps make `$__rate_interval`, so the exporter's own counters show the rate of the last hour.
"""
MOMENTS = 10_000
"""How many steps a panel of days may have, so that one in outline ends five minutes ago."""
STEPS = 30
"""How many steps a trend has at most: a month has one for each day, a day one for each hour."""

BLUE, PURPLE, TEAL, GREEN, GREY, SAND = (
    "#5794F2",
    "#A780D6",
    "#37A2A6",
    "#56A64B",
    "#8E8E9C",
    "#C9A15D",
)
RED, ORANGE, YELLOW, PINK, BROWN, CYAN = (
    "#E02F44",
    "#FF9830",
    "#F2CC0C",
    "#F27DB4",
    "#96602C",
    "#4FC3E0",
)
ALERT_SEVERITIES = {"critical": RED, "warning": ORANGE, "info": BLUE}
SEVERITIES = {"low": YELLOW, "medium": ORANGE, "high": RED}
PROVIDERS = {"openai": BLUE, "anthropic": PURPLE, "google": TEAL, "aws": SAND, "other": GREY}
MODELS = {
    "gpt-4o": BLUE,
    "gpt-4o-mini": CYAN,
    "claude-sonnet-4-5": PURPLE,
    "claude-haiku-4-5": PINK,
    "gemini-2.5-pro": TEAL,
    "gemini-2.5-flash": "#7BD88F",
    "amazon.nova-pro-v1": SAND,
    "llama-3.3-70b": GREY,
}
"""The demo's models, each near its provider's colour; other models take Grafana's palette."""

REASONS: dict[str, str] = {
    Reason.AUTH: PURPLE,
    Reason.BAD_REQUEST: SAND,
    Reason.NOT_FOUND: GREY,
    Reason.RATE_LIMITED: YELLOW,
    Reason.SERVER_ERROR: ORANGE,
    Reason.TIMEOUT: RED,
    Reason.NETWORK: BLUE,
    Reason.TLS: PINK,
    Reason.INVALID_RESPONSE: BROWN,
    Reason.TOO_LARGE: CYAN,
}
REJECTIONS: dict[str, str] = {
    Rejection.NOT_AN_OBJECT: PURPLE,
    Rejection.MISSING_FIELD: ORANGE,
    Rejection.WRONG_TYPE: PINK,
    Rejection.NEGATIVE: BLUE,
    Rejection.NOT_FINITE: BROWN,
    Rejection.OUTSIDE_WINDOW: YELLOW,
    Rejection.MILLISECONDS: CYAN,
}
CODES = {
    "200": GREEN,
    "429": YELLOW,
    "500": PINK,
    "502": BROWN,
    "503": ORANGE,
    "504": PURPLE,
    "error": RED,
}
HEADINGS = {
    "repo_id": "Repository",
    "ai_llm_id": "LLM configuration",
    "repo_ai_api_key_id": "API key",
    "llm_type": "Provider",
    "llm_model": "Model",
    "host": "Host",
    "user_uuid": "User",
    "conversation_uuid": "Conversation",
}
"""Label to the words people see."""

PLURALS = {label: f"{heading}s" for label, heading in HEADINGS.items()} | {
    "repo_id": "Repositories"
}

AGE = ((None, "green"), (900, "orange"), (3600, "red"))
"""Three polls at the default interval, and the age from which data is no longer served."""

UNUSUAL = ((None, "text"), (2, ORANGE), (4, RED))
"""Twice and four times what is usual."""

NEVER = ((None, "text"),)
"""Thresholds for numbers that are neither good nor bad."""

RANGE = "In the time range."
RULES = "Needs the recording rules."

NOTHING = "No data in this time range"
NO_RULES = "No data: needs an hour with the recording rules"
NO_PRICE = "Not known"

Thresholds = Sequence[tuple[float | None, str]]


def mapping(values: Mapping[str, tuple[str, str]]) -> model.ValueMap:
    """Show words, each with a colour, instead of values."""
    return model.ValueMap(
        options={
            value: model.ValueMappingResult(text=text, color=color, index=place)
            for place, (value, (text, color)) in enumerate(values.items())
        }
    )


def setting(name: str, value: object) -> model.DynamicConfigValue:
    """Return one setting of a column or line."""
    return model.DynamicConfigValue(id_val=name, value=value)


def fixed(color: str) -> dashboard.FieldColor:
    """Return one colour for everything."""
    return dashboard.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(color)


def steps(thresholds: Thresholds) -> dashboard.ThresholdsConfig:
    """Return thresholds as Grafana takes them."""
    found = [model.Threshold(value=value, color=color) for value, color in thresholds]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


SEVERITY_WORDS = mapping(
    {name: (name, color) for name, color in (ALERT_SEVERITIES | SEVERITIES).items()}
)
