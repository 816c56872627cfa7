"""The exporter itself: whether it runs, polls and signs in."""

from mixin import texts
from mixin.data import AGE
from mixin.exporter_alert import ACCOUNT, exporter_alert
from mixin.promql import REPLICA, metric
from mixin.settings import Settings
from mixin.upkeep import upkeep
from mixin.written import Alert, Group

_ONCE = f"max without ({REPLICA})"


def health(settings: Settings) -> Group:
    """Return the alerts on the exporter."""
    return Group(
        "flashback_exporter",
        (
            _stale(settings),
            *_gone(settings),
            *_failing(settings),
            _token(settings),
            *upkeep(settings),
        ),
    )


def _stale(settings: Settings) -> Alert:
    name = "FlashbackDataStale"
    polls, seconds = settings.threshold(name, "polls"), settings.threshold(name, "seconds")
    interval, oldest = (
        f"{_ONCE} (last_over_time({metric(settings, own)}[1d]))"
        for own in (
            "flashback_exporter_poll_interval_seconds",
            "flashback_exporter_max_data_age_seconds",
        )
    )
    late = f"clamp_min({polls} * {interval}, {seconds})"
    middle = f"({interval} + {oldest}) / 2"
    queries = texts.each(
        f"{AGE}{{%s}}", " {{ .Labels.query }} ({{ . | value | humanizeDuration }})", "query"
    )
    return exporter_alert(
        settings,
        name,
        f"max without (query) (\n  {AGE} > {late}\n  or {AGE} > {middle}\n)",
        "No good poll for {{ $value | humanizeDuration }}",
        f"{texts.SERIES}There was no good poll for {{{{ $value | humanizeDuration }}}}, or none "
        f"since the exporter began ({ACCOUNT}). Alerts on policies and usage are silent until "
        f"there is one. Queries:{queries}.",
        why=f"Late by {polls} polls, or half way from the interval to max_data_age, "
        "when series vanish.",
    )


def _gone(settings: Settings) -> tuple[Alert, ...]:
    seen = metric(settings, "flashback_exporter_config_last_reload_successful")
    up = metric(settings, "up")
    down = f"{up} == 0 and last_over_time({seen}[7d])"
    instances = texts.each("up{%s} == 0", " {{ .Labels.instance }}", "instance")
    return (
        exporter_alert(
            settings,
            "FlashbackExporterDown",
            f"count without ({REPLICA}) ({down})",
            f"{texts.ABOUT} flashback-exporter down ({ACCOUNT})",
            f"{texts.SERIES}Prometheus cannot scrape what has served flashback-exporter's metrics "
            f"before ({ACCOUNT}):{instances}.",
        ),
        exporter_alert(
            settings,
            "FlashbackExporterAbsent",
            f"absent({seen}) unless on () ({down})",
            "No flashback-exporter is scraped",
            "Prometheus gets flashback-exporter's metrics from no target: none is configured or "
            "found, or what answers is something else. There are no AI statistics and no alerts "
            "on them.",
            variables=(),
        ),
    )


def _failing(settings: Settings) -> tuple[Alert, ...]:
    def failing(matcher: str) -> str:
        failures = metric(settings, "flashback_exporter_poll_failures_total", matcher)
        rare = metric(settings, "flashback_exporter_poll_interval_seconds")
        up = metric(settings, "flashback_up")
        lost = f"max without ({REPLICA}, query, reason) "
        return (
            f"{lost}(\n  increase({failures}[1h]) > 0 and ignoring (reason) {up} == 0\n  or "
            f"increase({failures}[1d]) > 0 and ignoring (reason) ({up} == 0 and {rare} > 1800)\n)"
        )

    what = texts.each(
        "increase(flashback_exporter_poll_failures_total{%s}[1d]) > 0 and ignoring (reason) "
        "flashback_up == 0",
        " {{ .Labels.query }} ({{ .Labels.reason }})",
        "query",
    )
    return (
        exporter_alert(
            settings,
            "FlashbackSignInFailing",
            failing('reason="auth"'),
            f"Polls cannot sign in to the Flashback API ({ACCOUNT})",
            "Polls fail because the API refuses the credentials or they cannot be read "
            f"({ACCOUNT}). This does not mend itself.",
        ),
        exporter_alert(
            settings,
            "FlashbackPollsFailing",
            failing('reason!="auth"'),
            f"Polls fail ({ACCOUNT})",
            f"{texts.SERIES}Polls fail ({ACCOUNT}), with their reasons of the last day:{what}. "
            "The last good data is still served until it is too old.",
        ),
    )


def _token(settings: Settings) -> Alert:
    name = "FlashbackTokenExpiring"
    expiry = metric(settings, "flashback_exporter_access_token_expiry_timestamp_seconds", "")
    began = (
        "max without (query) "
        f"({metric(settings, 'flashback_exporter_last_poll_timestamp_seconds')} - "
        f"{metric(settings, 'flashback_exporter_poll_duration_seconds')})"
    )
    return exporter_alert(
        settings,
        name,
        f"{expiry} - time()\nand ({expiry} > 0) - {began} < {settings.threshold(name, 'seconds')}",
        "The access token of {{ $labels.instance }} is not renewed",
        "The access token of {{ $labels.instance }} {{ if gt $value 0.0 }}expires in "
        "{{ $value | humanizeDuration }}{{ else }}has expired{{ end }}. A poll has begun since it "
        "should have been renewed, and it was not.",
        variables=("job", "instance"),
        why="A token is renewed at the first poll in its last five minutes. 0 is an unknown "
        "expiry.",
    )
