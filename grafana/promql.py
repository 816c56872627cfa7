"""PromQL in pieces: what a panel asks for, with the dashboard's variables in place.

Names of metrics come from the exporter's own tables, so that one that is renamed there fails here.
"""

from exporter.metrics import DAY_START, DIMENSIONS, METRICS, Kind
from exporter.output.own_metrics import OWN_METRICS
from mixin.promql import MODEL, once

PERSONAL = ("user_uuid", "conversation_uuid")
"""Labels that exist only where the configuration names them; no variable narrows by them."""

LABELS = tuple(label for label in DIMENSIONS if label not in PERSONAL)
"""The labels a query has by default, each with a variable."""

TARGET = 'job=~"$job", instance=~"$instance"'
QUERY = f'{TARGET}, query="$query"'
ANY_QUERY = f'{TARGET}, query=~"$query"'
RECORDED = 'job=~"$job", query="$query"'
"""Recorded series count once what several exporters report, so they have no label `instance`."""

PRICE = "flashback_llm_price_dollars_per_token"
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
    return f"sum{by_labels(by)} ({once(expr)})"


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


def cost(*by: str) -> str:
    """Return the estimated dollars of the time range; absent where no price is known."""
    both = tuple(dict.fromkeys((*by, *MODEL)))
    sides = (
        f"{increase(f'llm_{side}_tokens', *both)} * on ({', '.join(MODEL)}) group_left () "
        f"{price(side)}"
        for side in ("input", "output")
    )
    return f"sum{by_labels(by)} ({' + '.join(sides)})"


def price(side: str) -> str:
    """Return the price of a token of each model, at the end of the range or last in it."""
    on = ", ".join(MODEL)
    return f"max by ({on}) ({lately(_price(side), on)})"


def _price(side: str) -> str:
    return PRICE + matching(TARGET, f'direction="{side}"')


def unpriced() -> str:
    """Return the tokens in the time range of models that have no price."""
    models = 'llm_model!~"|other"'
    tokens = " + ".join(
        increase(f"llm_{side}_tokens", *MODEL, also=models) for side in ("input", "output")
    )
    return f"({tokens}) > 0 unless on ({', '.join(MODEL)}) {price('input')}"


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
    """Return the estimated dollars of a day, at present prices."""
    on = ", ".join(MODEL)
    sides = (
        f"{total(daily(f'llm_{side}_tokens', day=day) + offset, *MODEL)}"
        f" * on ({on}) group_left () max by ({on}) ({_price(side)})"
        for side in ("input", "output")
    )
    return f"sum ({' + '.join(sides)})"


def rate(metric: str, *by: str) -> str:
    """Return how much comes in an hour, near each moment, with every filter."""
    return f"3600 * {total(f'rate({counter(metric)}[$__rate_interval])', *by)}"


def lately(selector: str, labels: str) -> str:
    """Return a metric as at the end of the range, and what is gone by then as it was last."""
    now = f"{selector} @ end()"
    return f"{now} or last_over_time({selector}[$__range:1h] @ end()) unless on ({labels}) {now}"


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
    return f"3600 * sum{by_labels(by)} (rate({own_counter}[$__rate_interval]))"


def firing(area: str) -> str:
    """Return the selector of some areas' firing alerts; alerts without these labels stay in."""
    return f'ALERTS{{alertstate="firing", {_alerts(area)}}}'


def firing_for(area: str, *by: str) -> str:
    """Return for how many seconds some areas' alerts have been pending and firing, if they fire."""
    since = f"ALERTS_FOR_STATE{{{_alerts(area)}}} and ignoring (alertstate) {firing(area)}"
    return f"time() - min{by_labels(by)} ({since})"


def _alerts(area: str) -> str:
    return f'area=~"{area}", job=~"$job|", instance=~"$instance|", query=~"$query|"'


def by_labels(labels: tuple[str, ...]) -> str:
    """Return what an aggregation says about the labels that it keeps; nothing where it has none."""
    return f" by ({', '.join(labels)})" if labels else ""
