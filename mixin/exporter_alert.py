"""An alert on the exporter: they share area, dashboard and the words for whose exporter it is."""

from mixin import texts
from mixin.settings import Settings
from mixin.written import Alert

ACCOUNT = "{{ with $labels.account }}{{ . }}{{ else }}job {{ $labels.job }}{{ end }}"


def exporter_alert(
    settings: Settings,
    name: str,
    expr: str,
    summary: str,
    description: str,
    *,
    variables: tuple[str, ...] = ("job",),
    why: str = "",
) -> Alert:
    """Return an alert on the exporter, whose dashboard is narrowed by some of its labels."""
    dashboard = texts.link(settings, "flashback-exporter", 6 * texts.HOUR, *variables)
    return Alert(name, "exporter", expr, summary, description, dashboard, why)
