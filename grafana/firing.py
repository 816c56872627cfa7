"""Tables of alerts that fire, with names in place of IDs."""

from grafana import names, promql
from grafana.looks import HEADINGS
from grafana.panels import Panel
from grafana.tables import Column, listing

_IDS = ("repo_id", "repo_ai_api_key_id")


def firing(
    title: str, area: str, *labels: str, text: str, no_value: str, size: tuple[int, int]
) -> Panel:
    """Return the alerts of some areas that fire, with what repository and key they are about.

    `labels` are shown as well.
    """
    kept = ("severity", "alertname", *_IDS, *labels)
    since = names.named_alerts(promql.firing_for(area, *kept), "repo_ai_api_key_id")
    keys = {"severity": "Severity", "alertname": "Alert"}
    keys |= {names.name_of(label): HEADINGS[label] for label in (*_IDS, *labels)}
    keys |= {label: f"{HEADINGS[label]} ID" for label in _IDS}
    return listing(
        title,
        keys,
        (Column("For", since, unit="s", width=110),),
        f"{text} that fire at the end of the time range, and since when their condition holds. "
        "Needs the alerting rules.",
        sort="For",
        hidden=_IDS,
        no_value=no_value,
        size=size,
    )
