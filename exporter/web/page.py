"""The page for people at `/`: what runs, what fails, how old the data is, and what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from exporter import __version__
from exporter.clock import Clock, iso_instant
from exporter.config.sections import Query
from exporter.output.publication import View
from exporter.statistics.groups import Snapshot
from exporter.statistics.state import QueryState

_STYLE = Path(__file__).with_name("page.css").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Timing:
    """When a query is polled next: now, or in so many seconds (None: not at all)."""

    polling: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the page shows."""

    view: View
    timings: dict[str, Timing]
    token_expires_at: float
    reload_successful: bool
    reloaded_at: float
    notice: str


def render_page(page: Page, clock: Clock, telemetry_path: str) -> str:
    """Return the page as HTML; it needs nothing else and asks to be loaded again every 15 seconds."""
    now = clock.monotonic()
    states = list(page.view.states.values())
    verdict, tone = _verdict(states, now)
    worst_first = sorted(
        states, key=lambda state: (not _failing(state, now), state.last is not None)
    )
    rows = "".join(_row(state, page, now) for state in worst_first)
    links = "".join(
        f'<a href="{escape(path)}">{escape(text)}</a>'
        for path, text in (
            (telemetry_path, "Metrics"),
            ("/-/healthy", "Healthy"),
            ("/-/ready", "Ready"),
        )
    )
    expiry = (
        f"valid until {_instant(page.token_expires_at)}"
        if page.token_expires_at
        else "expiry not known"
    )
    reload = (
        "good" if page.reload_successful else "the last reload failed, the one before is in use"
    )
    notice = f'<p class="verdict wait">{escape(page.notice)}</p>' if page.notice else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="15"><title>{escape(verdict)} · flashback-exporter</title>
<style>
{_STYLE}</style></head><body><main>
<header><h1>flashback-exporter</h1><span>{escape(__version__)}</span><nav>{links}</nav></header>
{notice}<p class="verdict {tone}" role="status">{escape(verdict)}</p>
<div class="frame"><table><thead><tr><th>Query</th><th>State</th><th>Age of data</th><th>Next poll</th>
<th class="n">Records</th><th class="n">Groups</th><th class="n">Series</th><th>Filters and labels</th></tr></thead>
<tbody>{rows}</tbody></table></div>
<dl><dt>Time</dt><dd>{_instant(clock.time())}</dd><dt>Access token</dt><dd>{expiry}</dd>
<dt>Configuration</dt><dd>{reload}, from {_instant(page.reloaded_at)}</dd></dl>
</main></body></html>
"""


def _verdict(states: Sequence[QueryState], now: float) -> tuple[str, str]:
    failing = [state for state in states if _failing(state, now)]
    waiting = [state for state in states if state.last is None]
    if failing:
        names = ", ".join(state.query.name for state in failing)
        return f"{len(failing)} of {_counted(len(states))} failing: {names}", "bad"
    if waiting:
        return f"Waiting for the first poll of {_counted(len(waiting))}", "wait"
    return f"{_counted(len(states)).capitalize()} up", "good"


def _failing(state: QueryState, now: float) -> bool:
    return state.last is not None and not state.up(now)


def _counted(queries: int) -> str:
    return "1 query" if queries == 1 else f"{queries} queries"


def _row(state: QueryState, page: Page, now: float) -> str:
    name = state.query.name
    snapshot = state.good.snapshot if state.good else None
    records, groups = (snapshot.records, snapshot.found) if snapshot else (0, 0)
    next_poll = f"{_next(page.timings.get(name))}<small>every {_seconds(state.interval)}</small>"
    cells = [
        f'<th scope="row">{escape(name)}</th>',
        _cell("State", _state(state, now)),
        _cell("Age of data", _age(state, now)),
        _cell("Next poll", next_poll),
        _number("Records", records),
        _number("Groups", groups, _folded(snapshot)),
        _number("Series", page.view.series(name)),
        _cell("Asks for", _question(state.query)),
    ]
    failed = state.last is not None and state.last.reason is not None
    row = ('<tr class="failing">' if failed else "<tr>") + "\n".join(cells) + "</tr>"
    return row + _error(state, now)


def _cell(label: str, content: str) -> str:
    return f'<td data-label="{label}">{content}</td>'


def _number(label: str, number: int, note: str = "") -> str:
    return f'<td class="n" data-label="{label}">{number:,}{note}</td>'


def _state(state: QueryState, now: float) -> str:
    word, tone = ("waiting", "wait") if state.last is None else ("up", "good")
    if _failing(state, now):
        word, tone = "failing", "bad"
    return f'<span class="state {tone}">{word}</span>'


def _age(state: QueryState, now: float) -> str:
    age = state.age(now)
    if age is None:
        return "no data yet"
    shown = state.snapshot(now) is not None
    return _seconds(age) + ("" if shown else "<small>too old, not served</small>")


def _folded(snapshot: Snapshot | None) -> str:
    if snapshot is None or not snapshot.folded:
        return ""
    return f"<small>{snapshot.folded:,} folded into “other”</small>"


def _error(state: QueryState, now: float) -> str:
    """Return a row of its own that says why the last poll failed; nothing where it did not."""
    last = state.last
    if last is None or last.reason is None:
        return ""
    ago = _seconds(max(0.0, now - last.finished))
    failures = f"{sum(state.failures.values())} of {state.polls} polls failed"
    return (
        f'<tr class="error"><td></td><td colspan="7"><b>{escape(last.reason)}</b>:'
        f" {escape(last.message)} ({ago} ago, {failures})</td></tr>"
    )


def _next(timing: Timing | None) -> str:
    if timing is None or (timing.seconds is None and not timing.polling):
        return "not scheduled"
    return "polling now" if timing.polling else f"in {_seconds(timing.seconds or 0)}"


def _question(query: Query) -> str:
    given = {name: values for name, values in query.filters.model_dump().items() if values}
    filters = "".join(
        f"<code>{escape(name)}={escape(', '.join(values))}</code>" for name, values in given.items()
    )
    return (
        f"{filters or 'no filters'}<small>by {escape(', '.join(query.labels)) or 'nothing'}</small>"
    )


def _seconds(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600:,} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")


def _instant(timestamp: float) -> str:
    return iso_instant(timestamp)[:-5].replace("T", " ") + " UTC"
