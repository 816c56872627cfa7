"""PromQL in pieces: what a panel asks for, with the dashboard's variables in place.

Names of metrics come from the exporter's own tables, so that one that is renamed there fails here.
"""

from exporter.metrics import DAY_START, DIMENSIONS, METRICS
from exporter.output.own_metrics import OWN_METRICS

PERSONAL = ("user_uuid", "conversation_uuid")
"""Labels that exist only where the configuration names them; no variable narrows by them."""

LABELS = tuple(label for label in DIMENSIONS if label not in PERSONAL)
"""The labels a query has by default, each with a variable."""

TARGET = 'job=~"$job", instance=~"$instance"'
QUERY = f'{TARGET}, query="$query"'
ANY_QUERY = f'{TARGET}, query=~"$query"'

_DAILY = {metric.short_name: metric.name for metric in METRICS}
_OWN = {name.removeprefix("flashback_exporter_"): name for name in OWN_METRICS}


def narrowed(labels: tuple[str, ...] = LABELS) -> str:
    """Return the matchers of some labels' variables; `.*` leaves series without the label in."""
    return ", ".join(f'{label}=~"${label}"' for label in labels)


def daily(
    metric: str, *, day: str = "today", labels: tuple[str, ...] = LABELS, also: str = ""
) -> str:
    """Return the selector of one AI metric, for one query and day; `also` is one more matcher."""
    matchers = (QUERY, f'day="{day}"', narrowed(labels), also)
    return f"{_DAILY[metric]}{{{', '.join(filter(None, matchers))}}}"


def own(metric: str, matchers: str = ANY_QUERY, *, part: str = "") -> str:
    """Return the selector of one metric about the exporter; `part` is that of a histogram."""
    return f"{_OWN[metric]}{part}{{{matchers}}}"


def recorded(rule: str, labels: tuple[str, ...] = (), matchers: str = QUERY) -> str:
    """Return the selector of a recording rule, narrowed by those labels that the rule keeps."""
    return f"{rule}{{{', '.join(filter(None, (matchers, narrowed(labels))))}}}"


def once(expr: str) -> str:
    """Count once what replicas both report: they differ in `instance` and `pod` alone."""
    return f"max without (instance, pod) ({expr})"


def total(expr: str, *by: str) -> str:
    """Add up over groups, by labels."""
    return f"sum{_by(by)} ({once(expr)})"


def today(metric: str, *by: str, also: str = "") -> str:
    """Return the day's total so far, at the end of the time range."""
    return total(daily(metric, also=also), *by)


def yesterday(metric: str, *by: str) -> str:
    """Return the total of the whole day before."""
    return total(daily(metric, day="yesterday"), *by)


def same_time_yesterday(metric: str, *by: str) -> str:
    """Return what the day before had counted by this time of day."""
    return total(f"{daily(metric)} offset 1d", *by)


def last_hour(metric: str, *by: str) -> str:
    """Return what was counted in the hour before each moment: an exact difference of totals.

    In the first hour of a day what yesterday still gained is part of it. Whether a day began is
    asked of all replicas at once, for a new one was not there an hour ago.
    """
    start = f'{DAY_START.name}{{{QUERY}, day="today"}}'
    midnight = f"({once(start)} != {once(f'{start} offset 1h')})"
    late = f"({daily(metric, day='yesterday')} and on (job, query) {midnight})"
    now, before = f"{daily(metric)} or {late}", f"{daily(metric)} offset 1h"
    return f"{total(now, *by)} - {total(before, *by)}"


def each_day(metric: str, *by: str, also: str = "") -> str:
    """Return each UTC day's highest total, for a step of one day; within a day totals only grow.

    At a midnight the range reaches over the day that begins there. Ranges are open on the left, so
    the sample at the midnight itself, which may still belong to the day before, stays out.
    """
    return total(f"max_over_time({daily(metric, also=also)}[1d] offset -1d)", *by)


def latency(*by: str) -> str:
    """Return today's mean latency, weighted by the calls of the groups whose latency is known."""
    known, calls = daily("latency_seconds"), daily("api_calls")
    return f"{total(f'{known} * {calls}', *by)} / {total(f'{calls} and {known}', *by)}"


def named(expr: str, *labels: str) -> str:
    """Call what has no such label `(none)`: a query may leave any label out."""
    for label in labels:
        expr = f'label_replace({expr}, "{label}", "(none)", "{label}", "")'
    return expr


def per(numerator: str, denominator: str, *, factor: int = 1) -> str:
    """Divide where there is something to divide by."""
    return f"{'' if factor == 1 else f'{factor} * '}{numerator} / ({denominator} > 0)"


def tokens(*by: str) -> str:
    """Return the sum of today's input and output tokens."""
    return f"({today('input_tokens', *by)} + {today('output_tokens', *by)})"


def hourly(counter: str, *by: str) -> str:
    """Return the rate of a counter, per hour."""
    return f"3600 * sum{_by(by)} (rate({counter}[$__rate_interval]))"


def firing(area: str) -> str:
    """Return the selector of some areas' firing alerts; alerts without these labels stay in."""
    return f'ALERTS{{alertstate="firing", {_alerts(area)}}}'


def firing_for(area: str, *by: str) -> str:
    """Return for how many seconds some areas' alerts have been pending and firing, if they fire."""
    since = f"ALERTS_FOR_STATE{{{_alerts(area)}}} and ignoring (alertstate) {firing(area)}"
    return f"time() - min{_by(by)} ({since})"


def _alerts(area: str) -> str:
    return f'area=~"{area}", job=~"$job|", instance=~"$instance|", query=~"$query|"'


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
