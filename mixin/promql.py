"""PromQL in pieces."""

from collections.abc import Collection

from exporter.metrics import DIMENSIONS
from mixin.settings import Settings

REPLICA = "instance, pod, container, endpoint, service, node, replica, prometheus_replica"
"""Labels in which two exporters of one account, or two Prometheus servers, differ."""

GROUP = tuple(DIMENSIONS)
MODEL = ("llm_type", "llm_model")
REPO_KEY = ("repo_id", "repo_ai_api_key_id")
REPO_MODEL = ("repo_id", *MODEL)
COUNTED = "instance:flashback_data:counted1h"


def once(expr: str) -> str:
    """Count once what several exporters on one account report."""
    return f"max without ({REPLICA}) ({expr})"


def metric(settings: Settings, name: str, matchers: str = "") -> str:
    """Return the selector of a metric of the exporter, narrowed by the settings' selector."""
    narrowed = ", ".join(filter(None, (settings.selector, matchers)))
    return f"{name}{{{narrowed}}}" if narrowed else name


def kept(expr: str, labels: Collection[str], *more: str) -> str:
    """Add up over a group's labels but some, and over more labels."""
    lost = [label for label in (*GROUP, *more) if label not in labels]
    return f"sum without ({', '.join(lost)}) ({expr})"


def last_hour(increases: str, labels: Collection[str], *more: str) -> str:
    """Return what came in the last hour by some labels, from exporters whose increases count."""
    others = ", ".join((*GROUP, *more))
    counted = f"{increases} and ignoring ({others}) {COUNTED}"
    return kept(once(f"\n  {counted}"), labels, *more)


def hour_of(settings: Settings, counter: str, matchers: str = "") -> str:
    """Return the increase of a counter over an hour."""
    return f"increase({metric(settings, f'flashback_ai_{counter}', matchers)}[1h])"


def day_of(settings: Settings, *gauges: str) -> str:
    """Return the sum of some gauges, today's and yesterday's, by repository and model."""
    days = 'day=~"today|yesterday"'
    summed = " + ".join(metric(settings, f"flashback_ai_daily_{gauge}", days) for gauge in gauges)
    return kept(once(summed), REPO_MODEL)
