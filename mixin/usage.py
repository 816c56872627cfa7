"""Usage: tokens far above what is usual, traffic that stopped, slow models."""

from mixin import texts
from mixin.data import AGE
from mixin.history import CALLS, DURATION, KEY_TOKENS
from mixin.promql import REPO_KEY
from mixin.settings import Settings
from mixin.written import Alert, Group

_PAST = ("23h", "167h", "335h")
"""An hour less than a day, a week and two weeks: the two hours before that are those around now."""


def usage(settings: Settings) -> Group:
    """Return the alerts on usage."""
    return Group(
        "flashback_usage",
        (_of_key(settings), _of_repository(settings), _stopped(settings), _slow(settings)),
    )


def _above(settings: Settings, alert: str, lost: str = "") -> str:
    """Return tokens that exceed the same hours of yesterday, last week and the week before.

    They are added up over a label, if one is to be lost. Nothing is usual in the first week.
    """
    before, after = (f"sum without ({lost}) (", ")") if lost else ("", "")
    labels = ", ".join(label for label in REPO_KEY if label != lost)
    times, least = settings.threshold(alert, "times"), settings.threshold(alert, "tokens")
    now = f"{before}{KEY_TOKENS}{after}"
    usual = (
        f"unless {now} <= {times} * {before}avg_over_time({KEY_TOKENS}[2h] offset {ago}){after}"
        for ago in _PAST
    )
    query = f"sum without ({', '.join(REPO_KEY)}) (last_over_time({KEY_TOKENS}[1h] offset 1w))"
    known = f"and ignoring ({labels}) {query}"
    return "\n".join((f"{now} >= {least}", *usual, known))


def _of_key(settings: Settings) -> Alert:
    name = "FlashbackKeyTokensAboveUsual"
    expr = _above(settings, name) + "\nunless " + KEY_TOKENS + '{repo_ai_api_key_id=""}'
    return Alert(
        name,
        "usage",
        expr,
        summary=texts.REPOSITORY
        + texts.KEY
        + f"Key {{{{ $key }}}} uses far more tokens than usual{texts.IN_REPOSITORY}",
        description=texts.REPOSITORY
        + texts.KEY
        + texts.SERIES
        + _tokens()
        + texts.HERE_WITH_KEY
        + ".",
        dashboard=texts.link(settings, "flashback-usage", texts.DAY, "query", *REPO_KEY),
        why="A leaked key is seen whatever its repository does; one that was never used, too.",
    )


def _of_repository(settings: Settings) -> Alert:
    name = "FlashbackTokensAboveUsual"
    total = _above(settings, name, "repo_ai_api_key_id")
    key = 'ALERTS{alertname="FlashbackKeyTokensAboveUsual"}'
    besides = "alertname, alertstate, area, severity, repo_ai_api_key_id"
    return Alert(
        name,
        "usage",
        f"{total}\nunless ignoring ({besides}) {key}",
        summary=f"{texts.REPOSITORY}Far more tokens than usual{texts.IN_REPOSITORY}",
        description=texts.REPOSITORY + texts.SERIES + _tokens() + texts.HERE + ".",
        dashboard=texts.link(settings, "flashback-usage", texts.DAY, "query", "repo_id"),
    )


def _tokens() -> str:
    usual = f"sum(avg_over_time({KEY_TOKENS}{{%s}}[2h] offset 167h))"
    before = texts.each(usual, ", a week ago around this time: {{ . | value | humanize }}")
    return f"Tokens of the last hour: {{{{ $value | humanize }}}}{before}; "


def _stopped(settings: Settings) -> Alert:
    name = "FlashbackTrafficStopped"
    calls = settings.threshold(name, "calls")
    past = (f"min_over_time({CALLS}[2h] offset {ago})" for ago in ("167h", "23h"))
    return Alert(
        name,
        "usage",
        f"({' or '.join(past)}) >= {calls}\nand {CALLS} < 0.5\nunless ignoring (repo_id) "
        f"max_over_time({AGE}[1h]) > 1200",
        summary=f"{texts.REPOSITORY}No calls in the last hour{texts.IN_REPOSITORY}",
        description=f"{texts.REPOSITORY}The data is fresh, but there was no call in the last hour. "
        "A week ago, or yesterday where that is not known, there were at least "
        "{{ $value | humanize }} an hour "
        f"around this time; {texts.HERE}.",
        dashboard=texts.link(settings, "flashback-usage", texts.DAY, "query", "repo_id"),
    )


def _slow(settings: Settings) -> Alert:
    name = "FlashbackLatencyHigh"
    seconds, calls = settings.threshold(name, "seconds"), settings.threshold(name, "calls")
    took, counted = (
        f"sum without (repo_id) ({DURATION.format(part=part)})" for part in ("sum", "count")
    )
    return Alert(
        name,
        "usage",
        f"{took} / ({counted} >= {calls}) > {seconds}",
        summary="Calls{{ with $labels.llm_model }} to {{ . }}{{ end }} take "
        "{{ $value | humanizeDuration }} on average",
        description="Calls of the last hour took {{ $value | humanizeDuration }} on average; query "
        "{{ $labels.query }}{{ with $labels.llm_type }}, provider "
        "{{ . }}{{ end }}{{ with $labels.llm_model }}, model {{ . }}{{ end }}.",
        dashboard=texts.link(
            settings, "flashback-usage", 6 * texts.HOUR, "query", "llm_type", "llm_model"
        ),
    )
