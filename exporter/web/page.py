"""The page for people at `/`: what runs, what fails, how old the data is, and what comes next."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from exporter import __version__
from exporter.clock import iso_instant
from exporter.config.sections import Query
from exporter.output.status import Status
from exporter.statistics.account import Names
from exporter.statistics.groups import Snapshot
from exporter.statistics.state import QueryState
from exporter.web.page_account import name_of, render_account

_STYLE = Path(__file__).with_name("page.css").read_text("utf-8")

_FAILED_RELOAD = "the last reload failed, the one before is in use"
_FAILED_WRITE = "The state file cannot be written: a restart would begin anew."
_COLUMNS = """\
<th>Query</th><th>State</th><th>Age of data</th><th>Next poll</th>
<th class="n">Records</th><th class="n">Groups</th><th class="n">Series</th>\
<th>Filters and labels</th>"""


def render_page(status: Status, telemetry_path: str, notice: str) -> str:
    """Return the page as HTML.

    It loads nothing else, and asks to be loaded again every 15 seconds.
    """
    verdict, tone = _verdict(list(status.states.values()), status.now)
    reload = "good" if status.reload_successful else _FAILED_RELOAD
    reloaded = f"{reload}, from {_instant(status.reloaded_at)}"
    expires_at = status.token_expires_at
    token = f"valid until {_instant(expires_at)}" if expires_at else "expiry not known"
    banners = "".join(_banners(status, notice))

    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="15"><title>{escape(verdict)} · flashback-exporter</title>
<style>
{_STYLE}</style></head><body><main>
<header><h1>flashback-exporter</h1><span>{escape(__version__)}</span>\
<nav>{_links(telemetry_path)}</nav></header>
{banners}<p class="verdict {tone}" role="status">{escape(verdict)}</p>
<div class="frame"><table><thead><tr>{_COLUMNS}</tr></thead>
<tbody>{_rows(status)}</tbody></table></div>
<dl>{render_account(status)}</dl>
<dl><dt>Time</dt><dd>{_instant(status.time)}</dd>\
<dt>Access token</dt><dd>{token}</dd>
<dt>Configuration</dt><dd>{reloaded}</dd></dl>
</main></body></html>
"""


def _banners(status: Status, notice: str) -> Iterator[str]:
    """Yield what has to be known before anything else, each in a line."""
    if notice:
        yield _banner("wait", notice)
    for endpoint, said in status.notices.items():
        yield _banner("wait", f"The API says that {endpoint} {said}.")
    if status.state_is_failing:
        yield _banner("bad", _FAILED_WRITE)


def _banner(tone: str, text: str) -> str:
    return f'<p class="verdict {tone}">{escape(text)}</p>\n'


def _links(telemetry_path: str) -> str:
    links = {telemetry_path: "Metrics", "/-/healthy": "Healthy", "/-/ready": "Ready"}
    return "".join(f'<a href="{escape(path)}">{text}</a>' for path, text in links.items())


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


def _rows(status: Status) -> str:
    """Return the rows of all queries, those that fail first, then those that wait."""

    def rank(state: QueryState) -> tuple[bool, bool]:
        return not _failing(state, status.now), state.last is not None

    ranked = sorted(status.states.values(), key=rank)
    return "".join(_row(state, status) for state in ranked)


def _row(state: QueryState, status: Status) -> str:
    failed = state.last is not None and state.last.reason is not None
    opening = '<tr class="failing">' if failed else "<tr>"
    cells = "\n".join(_cells(state, status))
    return f"{opening}{cells}</tr>{_error(state, status.now)}"


def _cells(state: QueryState, status: Status) -> list[str]:
    name = state.query.name
    snapshot = state.good.snapshot if state.good else None

    return [
        f'<th scope="row">{escape(name)}</th>',
        _cell("State", _state(state, status.now)),
        _cell("Age of data", _age(state, status.now)),
        _cell("Next poll", _next_poll(state, status)),
        _number("Records", snapshot.records if snapshot else 0),
        _number("Groups", snapshot.found if snapshot else 0, _folded(snapshot)),
        _number("Series", status.series[name]),
        _cell("Asks for", _question(state.query, status.account.names)),
    ]


def _cell(label: str, content: str) -> str:
    return f'<td data-label="{label}">{content}</td>'


def _number(label: str, number: int, note: str = "") -> str:
    return f'<td class="n" data-label="{label}">{number:,}{note}</td>'


def _state(state: QueryState, now: float) -> str:
    if _failing(state, now):
        word, tone = "failing", "bad"
    elif state.last is None:
        word, tone = "waiting", "wait"
    else:
        word, tone = "up", "good"
    return f'<span class="state {tone}">{word}</span>'


def _age(state: QueryState, now: float) -> str:
    age = state.age(now)
    if age is None:
        return "no data yet"
    shown = state.snapshot(now) is not None
    return _seconds(age) + ("" if shown else "<small>too old, not served</small>")


def _next_poll(state: QueryState, status: Status) -> str:
    name = state.query.name
    if name in status.polling:
        when = "polling now"
    elif name in status.next_polls:
        when = f"in {_seconds(status.next_polls[name])}"
    else:
        when = "not scheduled"
    return f"{when}<small>every {_seconds(state.interval)}</small>"


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


def _question(query: Query, names: Names) -> str:
    filters = [
        f"<code>{escape(name)}={_values(names, name, values)}</code>"
        for name, values in query.filters
        if values
    ]
    labels = escape(", ".join(query.labels)) or "nothing"
    return f"{''.join(filters) or 'no filters'}<small>by {labels}</small>"


def _values(names: Names, dimension: str, values: Sequence[str]) -> str:
    return ", ".join(f"{escape(value)}{name_of(names, dimension, value)}" for value in values)


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
