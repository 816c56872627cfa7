"""The exporter's metrics about itself, in a registry of their own; most are read off the published view."""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter import __version__
from exporter.api.auth import LOGIN, REFRESH
from exporter.api.daily import DAILY
from exporter.clock import Clock
from exporter.errors import Reason
from exporter.output.own_metrics import OWN_METRICS, OwnMetric
from exporter.output.publication import View
from exporter.statistics.groups import Snapshot
from exporter.statistics.records import Rejection
from exporter.statistics.state import QueryState

_REQUESTS = OWN_METRICS["flashback_exporter_api_requests_total"]
_DURATIONS = OWN_METRICS["flashback_exporter_api_request_duration_seconds"]
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ApiTelemetry:
    """Counts and times the requests to the API. Outlives the client, so that a reload resets no counter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register both metrics, with every endpoint at 0."""
        self._requests = Counter(
            _REQUESTS.name, _REQUESTS.help, _REQUESTS.labels, registry=registry
        )
        self._durations = Histogram(
            _DURATIONS.name, _DURATIONS.help, _DURATIONS.labels, registry=registry, buckets=_BUCKETS
        )
        for endpoint in (DAILY, LOGIN, REFRESH):
            self._durations.labels(endpoint)
            for code in ("200", "error"):
                self._requests.labels(endpoint, code)
        self.observed = 0
        """How many requests were counted."""

    def observe(self, endpoint: str, code: str, seconds: float) -> None:
        """Count one request, with its status code or `error`."""
        self.observed += 1
        self._requests.labels(endpoint, code).inc()
        self._durations.labels(endpoint).observe(seconds)


class Reported(Protocol):
    """What the collector reads off the running exporter."""

    @property
    def view(self) -> View:
        """What is published."""

    @property
    def token_expires_at(self) -> float:
        """Unix seconds; 0 where unknown."""

    @property
    def reload_successful(self) -> bool:
        """Whether the last reload was good."""

    @property
    def reloaded_at(self) -> float:
        """When a good configuration came in, in Unix seconds."""


class OwnMetrics:
    """The exporter's own metrics as a scrape sends them.

    Those of polls, requests and reloads are rendered once they have changed, the process's at each scrape.
    """

    def __init__(self, exporter: Reported, clock: Clock) -> None:
        """Show `exporter`, with ages as of `clock`."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._exporter = exporter
        self._registry = CollectorRegistry()
        self.requests = ApiTelemetry(self._registry)
        self._registry.register(ExporterCollector(exporter, clock))
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)
        self._rendered: dict[bool, tuple[object, bytes]] = {}

    def render(self, openmetrics: bool) -> bytes:
        """Return all of them, in OpenMetrics with its end mark or in the text format."""
        shown = (
            self._exporter.view.number,
            self.requests.observed,
            self._exporter.token_expires_at,
            self._exporter.reload_successful,
            self._exporter.reloaded_at,
        )
        before, rendered = self._rendered.get(openmetrics, (None, b""))
        if shown != before:
            rendered = _render(self._registry, openmetrics).removesuffix(b"# EOF\n")
            self._rendered[openmetrics] = shown, rendered
        return rendered + _render(self._process, openmetrics)


def _render(registry: CollectorRegistry, openmetrics: bool) -> bytes:
    return generate_openmetrics(registry) if openmetrics else generate_text(registry)  # type: ignore[no-untyped-call]


class ExporterCollector:
    """Reads the metrics of every query and of the exporter as a whole off the running exporter."""

    def __init__(self, exporter: Reported, clock: Clock) -> None:
        """Read `exporter`, with ages as of `clock`."""
        self._exporter = exporter
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read an exporter that has not begun yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each metric of the table that is not counted elsewhere."""
        view = self._exporter.view
        for name, value in self._per_query(view).items():
            yield _family(
                OWN_METRICS[name],
                (((query,), value(state)) for query, state in view.states.items()),
            )
        for name, counts in _COUNTED.items():
            samples = (
                ((query, kind), count)
                for query, state in view.states.items()
                for kind, count in counts(state).items()
            )
            yield _family(OWN_METRICS[name], samples)
        for name, labels, number in (
            ("access_token_expiry_timestamp_seconds", (), self._exporter.token_expires_at),
            ("config_last_reload_successful", (), self._exporter.reload_successful),
            ("config_last_reload_success_timestamp_seconds", (), self._exporter.reloaded_at),
            ("build_info", (__version__, platform.python_version()), 1),
        ):
            yield _family(OWN_METRICS["flashback_exporter_" + name], [(labels, number)])

    def _per_query(self, view: View) -> Mapping[str, Callable[[QueryState], float]]:
        now = self._clock.monotonic()
        return {
            "flashback_up": lambda state: state.up(now),
            "flashback_exporter_polls_total": lambda state: state.polls,
            "flashback_exporter_polls_skipped_total": lambda state: state.skipped,
            "flashback_exporter_poll_duration_seconds": lambda state: (
                state.last.duration if state.last else 0
            ),
            "flashback_exporter_poll_interval_seconds": lambda state: state.interval,
            "flashback_exporter_last_poll_timestamp_seconds": lambda state: (
                state.last.finished_at if state.last else 0
            ),
            "flashback_exporter_last_success_timestamp_seconds": lambda state: (
                state.good.finished_at if state.good else 0
            ),
            "flashback_exporter_records": lambda state: _data(state).records,
            "flashback_exporter_groups": lambda state: _data(state).found,
            "flashback_exporter_folded_groups": lambda state: _data(state).folded,
            "flashback_exporter_series": lambda state: view.series(state.query.name),
        }


_COUNTED: Mapping[
    str, Callable[[QueryState], Mapping[Reason, int] | Mapping[Rejection, int] | Mapping[str, int]]
] = {
    "flashback_exporter_poll_failures_total": lambda state: state.failures,
    "flashback_exporter_rejected_records_total": lambda state: state.rejected,
    "flashback_exporter_incomplete_records_total": lambda state: state.incomplete,
}


_NO_DATA = Snapshot((), {}, 0, 0, 0)


def _data(state: QueryState) -> Snapshot:
    """Return the last good data, whatever its age."""
    return state.good.snapshot if state.good and state.good.snapshot else _NO_DATA


def _family(metric: OwnMetric, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric([str(label) for label in labels], value)
    return family
