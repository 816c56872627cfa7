"""Shows the exporter's metrics about itself, in both formats."""

from collections.abc import Iterable, Iterator

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
from prometheus_client.registry import Collector

from exporter.output.formats import OPENMETRICS, Format
from exporter.output.own_metrics import OWN_METRICS, REQUEST_DURATION, REQUESTS, Samples
from exporter.output.status import Status

_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ApiTelemetry:
    """Counts and times the requests to the API.

    Outlives the client, so that a reload resets no counter.
    """

    def __init__(self, endpoints: Iterable[str]) -> None:
        """Begin with these endpoints at 0."""
        self.registry = CollectorRegistry()
        self.observed = 0
        """How many requests were counted."""

        self._requests = Counter(
            REQUESTS.name, REQUESTS.help, REQUESTS.labels, registry=self.registry
        )
        self._durations = Histogram(
            REQUEST_DURATION.name,
            REQUEST_DURATION.help,
            REQUEST_DURATION.labels,
            registry=self.registry,
            buckets=_BUCKETS,
        )

        for endpoint in endpoints:
            self._durations.labels(endpoint)
            for code in ("200", "error"):
                self._requests.labels(endpoint, code)

    def observe(self, endpoint: str, code: str, seconds: float) -> None:
        """Count one request, with its status code or `error`."""
        self.observed += 1
        self._requests.labels(endpoint, code).inc()
        self._durations.labels(endpoint).observe(seconds)


class OwnMetrics:
    """The exporter's own metrics as a scrape sends them.

    Those of polls, requests and reloads are rendered once they have changed, the process's at each
    scrape.
    """

    def __init__(self, endpoints: Iterable[str]) -> None:
        """Begin with no request to any of the API's endpoints."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.requests = ApiTelemetry(endpoints)

        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

        self._rendered: dict[Format, tuple[object, bytes]] = {}

    def render(self, status: Status, chosen: Format) -> bytes:
        """Return all of them, and the end of the exposition."""
        # Numbers, and not the status: it would keep old data in memory.
        shown = (
            status.changes,
            self.requests.observed,
            status.state_write_failures,
            status.token_expires_at,
            status.reload_successful,
            status.reloaded_at,
        )
        before, rendered = self._rendered.get(chosen, (None, b""))

        if shown != before:
            requests = _render(self.requests.registry, chosen)
            rendered = requests + _render(StatusCollector(status), chosen)
            self._rendered[chosen] = shown, rendered

        return rendered + _render(self._process, chosen) + chosen.end


def _render(collector: Collector, chosen: Format) -> bytes:
    """Write metrics without the end of an exposition."""
    generate = generate_openmetrics if chosen is OPENMETRICS else generate_text
    rendered: bytes = generate(collector)
    return rendered.removesuffix(chosen.end)


class StatusCollector(Collector):
    """Reads metrics off a status."""

    def __init__(self, status: Status) -> None:
        """Read `status`."""
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each metric of the table that is not counted elsewhere."""
        for metric in OWN_METRICS.values():
            if metric.read:
                family = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
                empty = family(metric.name, metric.help, labels=metric.labels)
                yield _filled(empty, metric.read(self._status))


def _filled(family: CounterMetricFamily | GaugeMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples:
        family.add_metric([str(label) for label in labels], value)
    return family
