"""PromQL in pieces: what a panel asks for, with the dashboard's variables in place.

Names of metrics come from the exporter's own tables, so that one that is renamed there fails here.
"""

from exporter.metrics import DAY_START, DIMENSIONS, METRICS, Kind
from exporter.output.own_metrics import OWN_METRICS
from mixin.history import DURATION
from mixin.promql import MODEL, REPO_MODEL, once

PERSONAL = ("user_uuid", "conversation_uuid")
"""Labels that exist only where the configuration names them; no variable narrows by them."""

LABELS = tuple(label for label in DIMENSIONS if label not in PERSONAL)
"""The labels a query has by default, each with a variable."""

NAMES = {
    "repo_id": ("flashback_repo_info", "repo_name"),
    "ai_llm_id": ("flashback_ai_llm_info", "ai_llm_name"),
    "repo_ai_api_key_id": ("flashback_repo_ai_api_key_info", "repo_ai_api_key_name"),
}
"""Labels that are IDs, each with the metric and the label that hold its name."""

TARGET = 'job=~"$job", instance=~"$instance"'
QUERY = f'{TARGET}, query="$query"'
ANY_QUERY = f'{TARGET}, query=~"$query"'
RECORDED = 'job=~"$job", query="$query"'
"""Recorded series count once what several exporters report, so they have no label `instance`."""

PRICE = "flashback_llm_price_dollars_per_token"
OTHERS = "All others"
TOP = 10

_METRICS = {metric.short_name: metric for metric in METRICS}
_COUNTERS = {
    metric.short_name: metric.counter.name + ("" if metric.kind is Kind.MEAN else "_total")
    for metric in METRICS
    if metric.counter
}
_OWN = {name.removeprefix("flashback_exporter_"): name for name in OWN_METRICS}


def narrowed(labels: tuple[str, ...] = LABELS) -> str:
    """Return the matchers of some labels' variables; `.*` leaves series without the label in."""
    return ", ".join(f'{label}=~"${label}"' for label in labels)


def matching(*matchers: str) -> str:
    """Return matchers as a selector writes them, without those that are empty."""
    return f"{{{', '.join(filter(None, matchers))}}}"


def daily(metric: str, *, day: str = "today", also: str = "") -> str:
    """Return the selector of one gauge, for one query and day; `also` is one more matcher."""
    matchers = matching(QUERY, f'day="{day}"', also, narrowed())
    return _METRICS[metric].name + matchers


def counter(
    metric: str, *, part: str = "", also: str = "", labels: tuple[str, ...] = LABELS
) -> str:
    """Return the selector of one counter, or of a `part` of a summary, for one query."""
    return _COUNTERS[metric] + part + matching(QUERY, also, narrowed(labels))


def own(metric: str, matchers: str = ANY_QUERY, *, part: str = "") -> str:
    """Return the selector of one metric about the exporter; `part` is that of a histogram."""
    return f"{_OWN[metric]}{part}{{{matchers}}}"


def recorded(rule: str, *labels: str, matchers: str = RECORDED, also: str = "") -> str:
    """Return the selector of a recording rule, narrowed by those labels that the rule keeps."""
    return f"{rule}{matching(matchers, also, narrowed(labels))}"


def total(expr: str, *by: str) -> str:
    """Add up by labels what one exporter or several report."""
    return f"sum{_by(by)} ({once(expr)})"


# What came in the chosen time range


def increase(metric: str, *by: str, part: str = "", also: str = "") -> str:
    """Return what came in the time range."""
    return total(f"increase({counter(metric, part=part, also=also)}[$__range])", *by)


def some(expr: str) -> str:
    """Leave out what had nothing."""
    return f"{expr} > 0"


def latency(*by: str) -> str:
    """Return the mean latency of the calls in the time range."""
    parts = (increase("latency_seconds", *by, part=part) for part in ("_sum", "_count"))
    return per(*parts)


def latency_of_hours(*by: str) -> str:
    """Return the same from recorded hours, which take a fraction of the time over weeks."""
    rules = (DURATION.format(part=part) for part in ("sum", "count"))
    return per(*(mean_hour(rule, *by, labels=REPO_MODEL) for rule in rules))


def cost(*by: str) -> str:
    """Return the estimated dollars of the time range; absent where no price is known."""
    both = tuple(dict.fromkeys((*by, *MODEL)))
    sides = (
        f"{increase(f'llm_{side}_tokens', *both)} * on ({', '.join(MODEL)}) group_left () "
        f"{price(side)}"
        for side in ("input", "output")
    )
    return f"sum{_by(by)} ({' + '.join(sides)})"


def price(side: str) -> str:
    """Return the price of a token of each model, at the end of the range or last in it."""
    selector = PRICE + matching(TARGET, f'direction="{side}"')
    return f"max by ({', '.join(MODEL)}) ({_lately(selector, ', '.join(MODEL))})"


def unpriced() -> str:
    """Return the tokens in the time range of models that have no price."""
    models = 'llm_model!~"|other"'
    tokens = " + ".join(
        increase(f"llm_{side}_tokens", *MODEL, also=models) for side in ("input", "output")
    )
    return f"({tokens}) > 0 unless on ({', '.join(MODEL)}) {price('input')}"


# Days


def today(metric: str) -> str:
    """Return the day's total so far."""
    return f"{total(daily(metric))} and on () {_began('')}"


def yesterday(metric: str) -> str:
    """Return the total of the whole day before."""
    return total(daily(metric, day="yesterday"))


def same_time_yesterday(metric: str) -> str:
    """Return what the day before had counted by this time of day."""
    return f"{total(f'{daily(metric)} offset 1d')} and on () {_began(' offset 1d')}"


def _began(offset: str) -> str:
    """Return nothing where a sample just before midnight still speaks of the day before."""
    start = DAY_START.name + matching(QUERY, 'day="today"') + offset
    a_day = "172800" if offset else "86400"
    return f"(time() - max ({start}) < {a_day})"


def day_cost(day: str, offset: str = "") -> str:
    """Return the estimated dollars of a day, of its total at the end of the range or before it."""
    on = ", ".join(MODEL)
    sides = (
        f"{total(daily(f'llm_{side}_tokens', day=day) + offset, *MODEL)}"
        f" * on ({on}) group_left () {price(side)}"
        for side in ("input", "output")
    )
    return f"sum ({' + '.join(sides)})"


def closed_days(rule: str, *by: str, also: str = "") -> str:
    """Return each closed UTC day's final total, at its midnight, for a step of one day.

    That is the last total under `yesterday` on the next day, up to five minutes before its end:
    each quarter of that day is asked, for the exporter may have been down at the end.
    """
    selector = recorded(rule, *REPO_MODEL, also=f'day="yesterday"{also}')
    return f"sum{_by(by)} (last_over_time(({selector} offset 5m)[1d:6h] offset -2d))"


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


# Trends


def each_step(rule: str, *by: str, labels: tuple[str, ...], also: str = "") -> str:
    """Return what came in each step, of a rule that records what came in an hour.

    `labels` are those by which the rule can be narrowed. Hours are asked at their ends.
    """
    hours = f"sum{_by(by)} ({recorded(rule, *labels, also=also)})"
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
    hours = f"sum{_by(by)} ({recorded(rule, *labels)})"
    return f"avg_over_time(({hours})[{over}:1h] @ end(){offset})"


def _top(rule: str, label: str, labels: tuple[str, ...]) -> str:
    return f"topk({TOP}, {mean_hour(rule, label, labels=labels)})"


def rate(metric: str, *by: str) -> str:
    """Return how much comes in an hour, near each moment, with every filter."""
    return f"3600 * {total(f'rate({counter(metric)}[$__rate_interval])', *by)}"


_FIRST_STEP = (
    f"(vector(time()) - max (timestamp({own('build_info', TARGET)} @ start()))"
    " < 1.5 * $__interval_ms / 1000 and vector($__range_s) > 4 * 3600)"
)
"""Something where a step begins before the range: half of a step would look like little."""

# Names


def group_of(label: str) -> tuple[str, ...]:
    """Return the labels that tell a label's values apart for people: a key is that of a repository.

    Many keys have the same name.
    """
    return ("repo_id", label) if label == "repo_ai_api_key_id" else (label,)


def named(expr: str, label: str) -> str:
    """Give each ID its name, one for each, as at the end of the range or last in it."""
    for one in group_of(label):
        if one in NAMES:
            expr = f"{grouped(expr)} * on ({one}) group_left ({name_of(one)}) {_names(one)}"
    return expr


def name_of(label: str) -> str:
    """Return the label that people read: an ID's name."""
    return NAMES[label][1] if label in NAMES else label


def _names(label: str) -> str:
    """Return one sample for each ID, with its name, and one for what has no such label."""
    metric, name = NAMES[label]
    found = _lately(f"{metric}{{{TARGET}}}", label)
    one_each = f"topk by ({label}) (1, max by ({label}, {name}) ({found}))"
    return f"({one_each} or on ({label}) vector(1))"


def _lately(selector: str, labels: str) -> str:
    """Return a metric as at the end of the range, and what is gone by then as it was last."""
    now = f"{selector} @ end()"
    return f"{now} or last_over_time({selector}[$__range:1h] @ end()) unless on ({labels}) {now}"


def choices(label: str, before: tuple[str, ...]) -> str:
    """Return the IDs of a label, with their names, that the variables before it leave."""
    metric, name = NAMES[label]
    used = counter("api_calls", labels=before)
    info = f"{metric}{{{TARGET}}} and on ({label}) {used}"
    return f"topk by ({label}) (1, max by ({label}, {name}) ({info}))"


# The rest


def has(expr: str, label: str) -> str:
    """Return nothing at all where the query has no such label."""
    used = counter("api_calls", also=f'{label}!=""')
    return f"{grouped(expr)} and on () group ({used})"


def per(numerator: str, denominator: str, *, factor: int = 1) -> str:
    """Divide where there is something to divide by."""
    return f"{'' if factor == 1 else f'{factor} * '}{numerator} / ({denominator} > 0)"


def grouped(expr: str) -> str:
    """Put an expression in parentheses, as a part of another."""
    return f"({expr})"


def hourly(own_counter: str, *by: str) -> str:
    """Return the rate of a counter, per hour."""
    return f"3600 * sum{_by(by)} (rate({own_counter}[$__rate_interval]))"


def firing(area: str) -> str:
    """Return the selector of some areas' firing alerts; alerts without these labels stay in."""
    return f'ALERTS{{alertstate="firing", {_alerts(area)}}}'


def firing_for(area: str, *by: str) -> str:
    """Return for how many seconds some areas' alerts have been pending and firing, if they fire."""
    since = f"ALERTS_FOR_STATE{{{_alerts(area)}}} and ignoring (alertstate) {firing(area)}"
    return f"time() - min{_by(by)} ({since})"


def named_alerts(expr: str, label: str) -> str:
    """Give the IDs in alerts their present names, and keep alerts whose IDs have none now."""
    for one in group_of(label):
        metric, name = NAMES[one]
        ids = f"topk by ({one}) (1, max by ({one}, {name}) ({metric}{{{TARGET}}}))"
        joined = f"{grouped(expr)} * on ({one}) group_left ({name}) {ids}"
        expr = f"{joined} or {grouped(expr)} unless on ({one}) {ids}"
    return expr


def _alerts(area: str) -> str:
    return f'area=~"{area}", job=~"$job|", instance=~"$instance|", query=~"$query|"'


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
