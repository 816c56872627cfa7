"""The Alertmanager that is shipped beside the rules: whether its messages arrive."""

from mixin.exporter_alert import exporter_alert
from mixin.promql import REPLICA
from mixin.settings import Settings
from mixin.written import Alert, Group


def messages(settings: Settings) -> Group:
    """Return the alert that people see in Grafana where no message reaches them."""
    return Group("flashback_messages", (_failing(settings),))


def _failing(settings: Settings) -> Alert:
    job = f'job="{settings.alertmanager_job}"'
    failed = f"increase(alertmanager_notifications_failed_total{{{job}}}[15m])"
    return exporter_alert(
        settings,
        "FlashbackMessagesFailing",
        f"sum without (reason, {REPLICA}) ({failed}) > 0",
        "Alertmanager could not send messages",
        "Alertmanager could not send a message by {{ $labels.integration }}; its log says why. "
        "Without the files with the webhooks' addresses it sends none, and alerts are seen on its "
        "page and in Grafana alone.",
    )
