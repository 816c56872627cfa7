"""Every metric there is, with its possible labels: exporter's, Prometheus's, recording rules'."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import programs
import yaml
from dashboards import static
from expressions import Node, labels, parse
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from exporter.metrics import DAY_START, DIMENSIONS, METRICS
from exporter.output.beside import BESIDE
from exporter.output.own_metrics import OWN_METRICS

RULES = Path(__file__).parents[2] / "config" / "prometheus" / "flashback.rules.yml"
TARGET = frozenset({"job", "instance"})
OF_TARGETS = frozenset(
    {
        "account",
        "container",
        "endpoint",
        "exported_endpoint",
        "node",
        "pod",
        "prometheus_replica",
        "replica",
        "service",
    }
)
"""Labels that targets may have; a query may leave them out, a text may name them."""

_OF_PROMETHEUS = ("up", "scrape_duration_seconds")
_OF_SERVERS = {
    "prometheus_rule_evaluation_failures_total": frozenset({"rule_group"}),
    "alertmanager_notifications_failed_total": frozenset({"integration", "reason"}),
}
"""What rules ask of Prometheus and Alertmanager themselves."""

_ALERTS = ("ALERTS", "ALERTS_FOR_STATE")


def _of_the_process() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield name, type and labels of what prometheus-client tells about the process."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    for family in registry.collect():
        for sample in family.samples:
            yield sample.name, family.type, frozenset(sample.labels)


def _scraped() -> Iterator[tuple[str, str, frozenset[str]]]:
    for metric in METRICS:
        group = frozenset({"query", *DIMENSIONS, metric.split_by} - {""})
        yield metric.name, "gauge", group | {"day"}
        if (counter := metric.counter) is not None:
            parts = ("_sum", "_count") if counter.type == "summary" else ("_total",)
            yield from ((counter.name + part, "counter", group) for part in parts)
    yield DAY_START.name, "gauge", frozenset({"query", "day"})
    for beside in BESIDE:
        yield beside.name, "gauge", frozenset(beside.labels)
    for own in OWN_METRICS.values():
        if own.type == "histogram":
            yield f"{own.name}_bucket", "counter", frozenset({*own.labels, "le"})
            yield f"{own.name}_sum", "counter", frozenset(own.labels)
            yield f"{own.name}_count", "counter", frozenset(own.labels)
        else:
            yield own.name, own.type, frozenset(own.labels)
    yield from _of_the_process()
    for name in _OF_PROMETHEUS:
        yield name, "gauge", frozenset()
    for name, found in _OF_SERVERS.items():
        yield name, "counter", found


SCRAPED = {name: found | TARGET for name, _, found in _scraped()}
COUNTERS = frozenset(name for name, kind, _ in _scraped() if kind == "counter")


def rules() -> list[dict[str, Any]]:
    """Return the shipped rules, in their order."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


class Names:
    """Knows the labels of every metric, the recorded ones' by reading their rules."""

    def __init__(self, prometheus, shipped: list[dict[str, Any]]) -> None:
        self._prometheus = prometheus
        self._trees: dict[str, Node] = {}
        self._known = dict(SCRAPED)
        self._known |= dict.fromkeys(_ALERTS, frozenset())
        for rule in shipped:
            more = frozenset(rule.get("labels", {}))
            if "record" in rule:
                self._known.setdefault(rule["record"], frozenset())  # for a rule that reads itself
                self._known[rule["record"]] |= self.labels(rule["expr"]) | more
            else:
                found = self.labels(rule["expr"]) | more | {"alertname"}
                self._known["ALERTS_FOR_STATE"] |= found
                self._known["ALERTS"] |= found | {"alertstate"}

    def tree(self, expression: str) -> Node:
        """Return an expression's syntax tree, with durations in place of Grafana's variables."""
        if expression not in self._trees:
            self._trees[expression] = parse(self._prometheus, static(expression))
        return self._trees[expression]

    def labels(self, expression: str) -> frozenset[str]:
        """Return the labels that the result of an expression can have."""
        return labels(self.tree(expression), self.labels_of)

    def labels_of(self, name: str) -> frozenset[str]:
        """Return the labels that a metric can have; KeyError where none has that name."""
        return self._known[name]

    def __contains__(self, name: str) -> bool:
        return name in self._known


@contextmanager
def reading(folder: Path) -> Iterator[Names]:
    """Run a Prometheus for its parser, in its own folder, and hand out what it helps to know."""
    with programs.prometheus(folder, "{}") as running:
        yield Names(running, rules())
