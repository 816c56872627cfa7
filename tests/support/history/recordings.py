"""Evaluates the shipped rules over a history, and writes what Prometheus would have recorded."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from exporter.config.types import parse_duration
from history.company import Size
from history.past import DAYS, RECENT, moments
from history.remote_write import Labels, Writer, open_url

_SERIES_A_REQUEST = 40
_STEPS_A_QUERY = 10_000  # Prometheus refuses more than 11,000


def recordings(url: str, rules: Sequence[Mapping[str, Any]], end: int, size: Size) -> int:
    """Evaluate all rules over the history, in their order, and write what Prometheus would have;
    return the samples.

    A rule that refers to itself finds nothing of its own.
    """
    times = moments(end, DAYS - 1)
    numbers = {at: number for number, at in enumerate(times)}
    recent = numbers[end - RECENT]
    written = 0
    for rule in rules:
        spans: dict[Labels, list[tuple[int, int, float]]] = {}
        for first, after, step in ((0, recent, size.rules_every), (recent, len(times), 1)):
            start, stop = times[first], times[after - 1]
            for series in _range(url, rule["expr"], start, stop, step * (times[first + 1] - start)):
                found = spans.setdefault(_recorded(rule, series["metric"]), [])
                for at, value in series["values"]:
                    number = numbers[int(at)]
                    until, same = min(number + step, after), float(value)
                    if found and found[-1][1:] == (number, same):
                        number = found.pop()[0]
                    found.append((number, until, same))
        if "alert" in rule:
            spans = dict(
                _alerts(
                    spans,
                    times,
                    parse_duration(rule.get("for", "0s")),
                    parse_duration(rule.get("keep_firing_for", "0s")),
                )
            )
        written += _write(url, times, spans)
    return written


def _write(
    url: str, times: Sequence[int], spans: Mapping[Labels, Sequence[tuple[int, int, float]]]
) -> int:
    """Write series, some at once, for Prometheus bounds a request; return the samples."""
    written, waiting = 0, iter(spans.items())
    while some := list(islice(waiting, _SERIES_A_REQUEST)):
        writer = Writer(url, times)
        for labels, found in some:
            writer.put(writer.of(labels), found)
        writer.flush()
        written += writer.samples
    return written


def _recorded(rule: Mapping[str, Any], metric: Mapping[str, str]) -> Labels:
    """Return the labels of what a rule makes of a series."""
    labels = {name: value for name, value in metric.items() if name != "__name__"}
    more = {name: _filled(text, labels) for name, text in rule.get("labels", {}).items()}
    name = {"alertname": rule["alert"]} if "alert" in rule else {"__name__": rule["record"]}
    return tuple(sorted({**labels, **more, **name}.items()))


def _alerts(
    spans: Mapping[Labels, Sequence[tuple[int, int, float]]],
    times: Sequence[int],
    hold: float,
    keep: float,
) -> Iterator[tuple[Labels, list[tuple[int, int, float]]]]:
    """Yield ALERTS, pending and firing, and ALERTS_FOR_STATE for the series
    that an alert's expression gave.
    """
    for labels, found in spans.items():
        active: list[list[int]] = []
        for start, end, _ in found:
            if active and (
                start == active[-1][1] or times[start] - times[active[-1][1] - 1] < keep
            ):
                active[-1][1] = end
            else:
                active.append([start, end])
        pending, firing, since = [], [], []
        for start, end in active:
            fires = next(
                (number for number in range(start, end) if times[number] - times[start] >= hold),
                end,
            )
            pending.append((start, fires, 1.0))
            firing.append((fires, end, 1.0))
            since.append((start, end, float(times[start])))
        for more, shown in (
            ({"__name__": "ALERTS", "alertstate": "pending"}, pending),
            ({"__name__": "ALERTS", "alertstate": "firing"}, firing),
            ({"__name__": "ALERTS_FOR_STATE"}, since),
        ):
            whole = [span for span in shown if span[0] < span[1]]
            if whole:
                yield tuple(sorted({**dict(labels), **more}.items())), whole


def _range(url: str, expression: str, start: int, end: int, step: int) -> Iterator[dict[str, Any]]:
    while start <= end:
        stop = min(end, start + (_STEPS_A_QUERY - 1) * step)
        content = urlencode({"query": expression, "start": start, "end": stop, "step": step})
        with open_url(f"{url}/api/v1/query_range", content.encode(), timeout=120) as response:
            yield from json.load(response)["data"]["result"]
        start = stop + step


def _filled(text: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        text = text.replace("{{ $labels." + name + " }}", value)
    return text
