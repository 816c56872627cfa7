"""Names in place of IDs: the join of statistics with what the account calls things."""

from grafana.promql import TARGET, counter, grouped, lately

NAMES = {
    "repo_id": ("flashback_repo_info", "repo_name"),
    "ai_llm_id": ("flashback_ai_llm_info", "ai_llm_name"),
    "repo_ai_api_key_id": ("flashback_repo_ai_api_key_info", "repo_ai_api_key_name"),
}
"""Labels that are IDs, each with the metric and the label that hold its name."""


def group_of(label: str) -> tuple[str, ...]:
    """Return the labels that tell a label's values apart for people: a key is that of a repository.

    Many keys have the same name.
    """
    return ("repo_id", label) if label == "repo_ai_api_key_id" else (label,)


def named(expr: str, label: str) -> str:
    """Give each ID its name, one for each, as at the end of the range or last in it."""
    for one in group_of(label):
        if one in NAMES:
            expr = f"{grouped(expr)} * on ({one}) group_left ({name_of(one)}) {_names(one)}"
    return expr


def name_of(label: str) -> str:
    """Return the label that people read: an ID's name."""
    return NAMES[label][1] if label in NAMES else label


def _names(label: str) -> str:
    """Return one sample for each ID, with its name, and one for what has no such label."""
    metric, name = NAMES[label]
    found = lately(f"{metric}{{{TARGET}}}", label)
    one_each = f"topk by ({label}) (1, max by ({label}, {name}) ({found}))"
    return f"({one_each} or on ({label}) vector(1))"


def choices(label: str, before: tuple[str, ...]) -> str:
    """Return the IDs of a label, with their names, that the variables before it leave."""
    metric, name = NAMES[label]
    used = counter("api_calls", labels=before)
    info = f"{metric}{{{TARGET}}} and on ({label}) {used}"
    return f"topk by ({label}) (1, max by ({label}, {name}) ({info}))"


def named_alerts(expr: str, label: str) -> str:
    """Give the IDs in alerts their present names, and keep alerts whose IDs have none now."""
    for one in group_of(label):
        metric, name = NAMES[one]
        ids = f"topk by ({one}) (1, max by ({one}, {name}) ({metric}{{{TARGET}}}))"
        joined = f"{grouped(expr)} * on ({one}) group_left ({name}) {ids}"
        expr = f"{joined} or {grouped(expr)} unless on ({one}) {ids}"
    return expr
