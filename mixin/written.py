"""Rules and how they are written down: YAML that people read."""

from dataclasses import dataclass
from textwrap import indent, wrap

from mixin.settings import Settings

KEPT = ("for", "keep_firing_for")


@dataclass(frozen=True, slots=True)
class Record:
    """One recording rule; `why` stands above it as a comment."""

    name: str
    expr: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule. Its severity, and how long it waits and goes on, are settings."""

    name: str
    area: str
    expr: str
    summary: str
    description: str
    dashboard: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another."""

    name: str
    rules: tuple[Record | Alert, ...]
    interval: str = ""


def group(settings: Settings, written: Group) -> str:
    """Return a group as an element of `groups`."""
    head = f"- name: {written.name}\n"
    if written.interval:
        head += f"  interval: {written.interval}\n"
    rules = "".join(_rule(settings, rule) for rule in written.rules)
    return indent(f"{head}  rules:\n{indent(rules, '    ')}", "  ")


def comment(text: str, width: int) -> str:
    """Return a text as lines of a comment."""
    return "".join(f"# {line}\n" for line in wrap(text, width))


def _rule(settings: Settings, rule: Record | Alert) -> str:
    why = comment(rule.why, 110)
    if isinstance(rule, Record):
        return f"{why}- record: {rule.name}\n{_expr(rule.expr)}"
    waits = settings.alerts[rule.name]
    return "".join(
        (
            why,
            f"- alert: {rule.name}\n",
            _expr(rule.expr),
            *(f"  {key}: {waits[key]}\n" for key in KEPT if key in waits),
            f"  labels: {{severity: {waits['severity']}, area: {rule.area}}}\n",
            "  annotations:\n",
            f"    summary: {_quoted(rule.summary)}\n",
            f"    description: {_quoted(rule.description)}\n",
            f"    runbook_url: {settings.runbook}#{rule.name.lower()}\n",
            f"    dashboard: {_quoted(rule.dashboard)}\n",
        )
    )


def _expr(expr: str) -> str:
    if "\n" not in expr:
        return f"  expr: {expr}\n"
    return f"  expr: |\n{indent(expr, '    ')}\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
