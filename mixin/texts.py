"""What alerts say: Prometheus's templates in pieces, names in place of IDs, links with a range."""

from mixin.promql import REPLICA
from mixin.settings import Settings

HOUR = 3600
DAY = 24 * HOUR

REPOSITORY = (
    "{{ $repo := $labels.repo_id }}"
    '{{ range query (printf "topk by (repo_id) (1, max by (repo_id, repo_name) '
    '(flashback_repo_info{repo_id=%q}))" $repo) }}'
    '{{ $repo = or (label "repo_name" .) $repo }}{{ end }}'
)
"""Sets $repo to the repository's name or, where there is none, its ID."""

KEY = (
    "{{ $key := $labels.repo_ai_api_key_id }}"
    '{{ range query (printf "topk by (repo_ai_api_key_id) (1, '
    "max by (repo_ai_api_key_id, repo_ai_api_key_name) "
    '(flashback_repo_ai_api_key_info{repo_ai_api_key_id=%q}))" $key) }}'
    '{{ $key = or (label "repo_ai_api_key_name" .) $key }}{{ end }}'
)
"""Sets $key to the key's name or, where there is none, its ID."""

SERIES = (
    '{{ $series := "" }}{{ range $name, $is := $labels }}{{ if ne $name "__name__" }}'
    '{{ $series = printf "%s%s=%q," $series $name $is }}{{ end }}{{ end }}'
)
"""Sets $series to the matchers of the alert's own labels."""

IN_REPOSITORY = "{{ with $repo }} in {{ . }}{{ end }}"
OF_KEY = "{{ with $key }}, key {{ . }}{{ end }}"
ABOUT = '{{ $value | printf "%.0f" }}'
HERE = (
    "query {{ $labels.query }}{{ with $labels.repo_id }}, repository "
    "{{ $repo }}{{ if ne $repo . }} ({{ . }}){{ end }}{{ end }}"
)
HERE_WITH_KEY = HERE + (
    "{{ with $labels.repo_ai_api_key_id }}, key {{ $key }}{{ if ne $key . }} "
    "({{ . }}){{ end }}{{ end }}"
)


def each(expr: str, says: str, order: str = "") -> str:
    """Say something of each series that an expression finds; `%s` in it stands for $series.

    They come sorted by the label `order`, if there is more than one.
    """
    asked = expr.replace('"', '\\"')
    in_order = f' | sortByLabel "{order}"' if order else ""
    return f'{{{{ range query (printf "{asked}" $series){in_order} }}}}{says}{{{{ end }}}}'


def number_of(series: str, what: str) -> str:
    """Say how many of something there were, where there were any."""
    return each(f"round({series}) > 0", f', {what}: {{{{ . | value | printf "%.0f" }}}}')


def alerts_raised() -> str:
    """Say how many alerts policies raised in the last hour."""
    increase = "increase(flashback_ai_alerts_total{%s}[1h])"
    return number_of(f"sum(max without ({REPLICA}) ({increase}))", "alerts raised")


def link(settings: Settings, uid: str, back: int, *variables: str) -> str:
    """Return the address of a dashboard for so many seconds up to now, narrowed by the labels."""
    start, end = (
        f'{{{{ query "1000 * {moment}" | first | value | printf "%.0f" }}}}'
        for moment in (f"(time() - {back})", "time()")
    )
    narrowed = (
        f"{{{{ with $labels.{name} }}}}&var-{name}={{{{ . | urlquery }}}}{{{{ end }}}}"
        for name in variables
    )
    return f"{settings.grafana}/d/{uid}?from={start}&to={end}{''.join(narrowed)}"
