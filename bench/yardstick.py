"""The exporter that one would otherwise write: 40 lines with prometheus-client's Gauge.

It renders everything at each scrape.
"""

import json
import os
import threading
import urllib.request
from datetime import UTC, datetime, timedelta

from prometheus_client import Gauge, start_http_server

from exporter.metrics import FIELD_KINDS

LABELS = ["repoId", "aiLlmId", "repoAiApiKeyId", "llmType", "llmModel", "host"]
GAUGES = {
    field: Gauge(f"yardstick_daily_{field}", field, ["day", *LABELS]) for field in FIELD_KINDS
}


def poll(url: str, token: str) -> None:
    """Fetch the statistics of two days and set the gauges."""
    today = datetime.now(UTC).date()
    start = today - timedelta(days=1)
    request = urllib.request.Request(f"{url}/aistats/daily?startDate={start}&endDate={today}")  # noqa: S310
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        records = json.load(response)["data"]
    for gauge in GAUGES.values():
        gauge.clear()
    for record in records:
        day = datetime.fromtimestamp(record["timestamp"], UTC).date().isoformat()
        for field, gauge in GAUGES.items():
            gauge.labels(day, *(record[label] for label in LABELS)).inc(float(record[field]))


if __name__ == "__main__":
    server, _ = start_http_server(0, "127.0.0.1")
    poll(os.environ["BENCH_URL"], os.environ["BENCH_TOKEN"])
    print(f"serving 127.0.0.1:{server.server_port}", flush=True)
    while not threading.Event().wait(300):
        poll(os.environ["BENCH_URL"], os.environ["BENCH_TOKEN"])
