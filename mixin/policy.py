"""Policies: violations, blocked requests and alerts that they raised, by repository and key."""

from mixin import texts
from mixin.history import CALLS
from mixin.promql import REPO_KEY, hour_of, last_hour
from mixin.settings import Settings
from mixin.written import Alert, Group, Record

FOUND = "repo_key:flashback_ai_policy_violations:increase1h"
HIGH = "repo_key:flashback_ai_policy_violations_high:increase1h"
BLOCKED = "repo_key:flashback_ai_blocks:increase1h"
_NAMES = texts.REPOSITORY + texts.KEY
_PLACE = ("query", *REPO_KEY)


def policy(settings: Settings) -> Group:
    """Return what is new in the last hour, and one alert for each event by how grave it is."""
    return Group("flashback_policy", (*_records(settings), *_events(settings), _ratio(settings)))


def _records(settings: Settings) -> tuple[Record, ...]:
    violations = hour_of(settings, "policy_violations_total")
    high = hour_of(settings, "policy_violations_by_severity_total", 'severity="high"')
    return (
        Record(FOUND, last_hour(violations, REPO_KEY)),
        Record(HIGH, last_hour(high, REPO_KEY, "severity")),
        Record(BLOCKED, last_hour(hour_of(settings, "blocks_total"), REPO_KEY)),
    )


def _events(settings: Settings) -> tuple[Alert, ...]:
    """Return the alerts of which only the gravest fires for one repository and key."""
    high = f"round({HIGH}) >= {settings.threshold('FlashbackHighSeverityViolation', 'violations')}"
    burst = settings.threshold("FlashbackViolationBurst", "violations")
    some = settings.threshold("FlashbackPolicyViolation", "violations")
    blocks = settings.threshold("FlashbackRequestsBlocked", "requests")
    graver = f"max_over_time({HIGH}[2h]) > 0.5"
    worse = f"max_over_time({FOUND}[2h]) > 0.5"
    return (
        _event(
            settings,
            "FlashbackHighSeverityViolation",
            high,
            "Policy violations of high severity",
            texts.number_of(f"{FOUND}{{%s}}", "in all") + _blocks(),
        ),
        _event(
            settings,
            "FlashbackViolationBurst",
            f"round({FOUND}) >= {burst}\nunless {graver}",
            "Policy violations",
            _blocks(),
        ),
        _event(
            settings,
            "FlashbackPolicyViolation",
            f"round({FOUND}) >= {some}\nunless max_over_time({FOUND}[2h]) >= {burst}\nunless "
            f"{graver}",
            "Policy violations",
            _blocks(),
        ),
        _event(
            settings,
            "FlashbackRequestsBlocked",
            f"round({BLOCKED}) >= {blocks}\nunless {worse}",
            "Requests blocked by policies",
            texts.alerts_raised(),
        ),
    )


def _blocks() -> str:
    return texts.number_of(f"{BLOCKED}{{%s}}", "requests blocked") + texts.alerts_raised()


def _event(settings: Settings, name: str, expr: str, what: str, numbers: str) -> Alert:
    return Alert(
        name,
        "policy",
        expr,
        summary=f"{_NAMES}{what}{texts.IN_REPOSITORY}{texts.OF_KEY}: {texts.ABOUT}",
        description=f"{_NAMES}{texts.SERIES}{what} in the last hour: about {texts.ABOUT}{numbers}; "
        f"{texts.HERE_WITH_KEY}.",
        dashboard=texts.link(settings, "flashback-governance", 3 * texts.HOUR, *_PLACE),
    )


def _ratio(settings: Settings) -> Alert:
    name = "FlashbackViolationRatioHigh"
    ratio, calls = settings.threshold(name, "ratio"), settings.threshold(name, "calls")
    share = "{{ $value | humanizePercentage }}"
    return Alert(
        name,
        "policy",
        f"sum without (repo_ai_api_key_id) ({FOUND}) / ({CALLS} >= {calls}) > {ratio}",
        summary=f"{texts.REPOSITORY}Policy violations at {share} of calls{texts.IN_REPOSITORY}",
        description=f"{texts.REPOSITORY}In the last hour there were {share} as many policy "
        f"violations as calls; {texts.HERE}.",
        dashboard=texts.link(settings, "flashback-governance", 6 * texts.HOUR, "query", "repo_id"),
    )
