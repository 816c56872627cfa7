"""Weeks at once: closed days and recorded hours, asked at as few moments as will do."""

from exporter.metrics import DAY_START
from grafana.names import group_of, named
from grafana.promql import QUERY, TARGET, by_labels, matching, own, per, recorded
from mixin.history import DURATION
from mixin.promql import REPO_MODEL

OTHERS = "All others"
TOP = 10

_FIRST_STEP = (
    f"(vector(time()) - max (timestamp({own('build_info', TARGET)} @ start()))"
    " < 1.5 * $__interval_ms / 1000 and vector($__range_s) > 4 * 3600)"
)
"""Something where a step begins before the range: half of a step would look like little."""


def closed_days(rule: str, *by: str, also: str = "") -> str:
    """Return each closed UTC day's final total, at its midnight, for a step of one day.

    That is the last total under `yesterday` on the next day, up to five minutes before its end:
    each quarter of that day is asked, for the exporter may have been down at the end.
    """
    selector = recorded(rule, *REPO_MODEL, also=f'day="yesterday"{also}')
    return f"sum{by_labels(by)} (last_over_time(({selector} offset 5m)[1d:6h] offset -2d))"


def open_days(rule: str, also: str = "") -> str:
    """Return today's total so far, at its midnight, for a step of minutes.

    In the first quarter of a day yesterday's as well, which is not closed until then.
    """
    today, yesterday = (
        f"sum ({recorded(rule, *REPO_MODEL, also=matcher + also)} @ end())"
        for matcher in ('day="today"', 'day="yesterday"')
    )
    start = _start_of("today")
    early = f"timestamp({start}) - {start} < 21300"
    return (
        f"{today} and on () (vector(time()) == max ({start})) or {yesterday} and on () "
        f"(vector(time()) == max ({_start_of('yesterday')} and ignoring (day) {early}))"
    )


def _start_of(day: str) -> str:
    """Return when a day began, as recorded series see it at the end of the range."""
    matcher = f'day="{day}"'
    return f"{DAY_START.name}{matching(QUERY, matcher)} @ end() offset 5m"


def each_step(rule: str, *by: str, labels: tuple[str, ...], also: str = "") -> str:
    """Return what came in each step, of a rule that records what came in an hour.

    `labels` are those by which the rule can be narrowed. Hours are asked at their ends.
    """
    hours = f"sum{by_labels(by)} ({recorded(rule, *labels, also=also)})"
    each = f"avg_over_time(({hours})[$__interval:1h]) * ($__interval_ms / 3600000)"
    return f"({each} unless on () {_FIRST_STEP})"


def each_step_of_top(rule: str, label: str, labels: tuple[str, ...]) -> str:
    """Return what came in each step of those that had the most in the whole range, by name."""
    each = each_step(rule, *group_of(label), labels=labels)
    return named(f"{each} and on ({label}) {_top(rule, label, labels)}", label)


def each_step_of_others(rule: str, label: str, labels: tuple[str, ...]) -> str:
    """Return what came in each step of all but those that had the most."""
    rest = f"{each_step(rule, label, labels=labels)} unless on ({label})"
    return f"sum ({rest} {_top(rule, label, labels)})"


def mean_hour(
    rule: str, *by: str, labels: tuple[str, ...], over: str = "$__range", offset: str = ""
) -> str:
    """Return what came in an hour on average, of a rule that records hours."""
    hours = f"sum{by_labels(by)} ({recorded(rule, *labels)})"
    return f"avg_over_time(({hours})[{over}:1h] @ end(){offset})"


def _top(rule: str, label: str, labels: tuple[str, ...]) -> str:
    return f"topk({TOP}, {mean_hour(rule, label, labels=labels)})"


def latency_of_hours(*by: str) -> str:
    """Return the same from recorded hours, which take a fraction of the time over weeks."""
    rules = (DURATION.format(part=part) for part in ("sum", "count"))
    return per(*(mean_hour(rule, *by, labels=REPO_MODEL) for rule in rules))
