"""The page for people at `/`: what runs, what fails, how old the data is, and what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from exporter import __version__
from exporter.clock import Clock, iso_instant
from exporter.config.sections import Query
from exporter.output.publication import View
from exporter.statistics.state import QueryState

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dde2e9; --ground: #f5f7fa; --card: #fff;
  --good: #12733f; --good-ground: #dff4e7; --bad: #ad1f1f; --bad-ground: #fde4e4; --wait: #7a5200;
  --wait-ground: #fdf0cf; --link: #0b5cad }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b6; --line: #2c3542; --ground: #12161c;
  --card: #1a2029; --good: #7fdca4; --good-ground: #143524; --bad: #ff9d9d; --bad-ground: #47191b; --wait: #f3cd79;
  --wait-ground: #3d2f10; --link: #86bdf6 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem }
h1 { font-size: 1.35rem; margin: 0 } header span, footer { color: var(--soft) }
nav { margin-left: auto; display: flex; gap: 1rem } a { color: var(--link) }
.verdict { margin: 1rem 0; padding: .7rem 1rem; border-radius: .5rem; font-weight: 600 }
.good { color: var(--good); background: var(--good-ground) } .bad { color: var(--bad); background: var(--bad-ground) }
.wait { color: var(--wait); background: var(--wait-ground) }
.frame { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .6rem .8rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-size: .8rem; font-weight: 600; white-space: nowrap }
tbody:last-child tr:last-child > * { border-bottom: 0 }
td.n, th.n { text-align: right } th[scope=row] { font-size: 1rem; color: var(--ink) }
.state { display: inline-block; padding: .05rem .6rem; border-radius: 1rem; font-weight: 600; white-space: nowrap }
code { font: .86em/1.6 ui-monospace, monospace; overflow-wrap: anywhere } small { display: block; color: var(--soft) }
tr.error td { padding-top: 0; color: var(--bad); overflow-wrap: anywhere }
tr.failing > * { border-bottom: 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 1.5rem 0 0 }
dt { color: var(--soft) } dd { margin: 0 }
td > code { display: block } td:nth-child(3), td:nth-child(4) { white-space: nowrap }
tr.failing th { box-shadow: inset 4px 0 var(--bad) } tr.error td:first-child { box-shadow: inset 4px 0 var(--bad) }
@media (max-width: 46rem) {
  thead { display: none } table, tbody, tr, th[scope=row], td { display: block } td.n { text-align: left }
  tr { padding: .7rem .9rem; border-bottom: 1px solid var(--line) } tr:last-child { border-bottom: 0 }
  th[scope=row], td { border: 0; padding: .12rem 0 }
  td[data-label] { display: grid; grid-template-columns: 6.5rem 1fr; justify-items: start }
  td[data-label]::before { content: attr(data-label); color: var(--soft) } td[data-label] > * { grid-column: 2 }
  td[data-label]::before { grid-column: 1 } td > .state { grid-row: 1 } td > code:first-child { grid-row: 1 }
  tr.failing { border-bottom: 0; padding-bottom: 0; box-shadow: inset 4px 0 var(--bad) }
  tr.error { padding-top: .3rem; box-shadow: inset 4px 0 var(--bad) } tr.error td:first-child { display: none }
  tr.failing th { box-shadow: none }
}
"""


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
<style>{_STYLE}</style></head><body><main>
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
    word, tone = ("waiting", "wait") if state.last is None else ("up", "good")
    if _failing(state, now):
        word, tone = "failing", "bad"
    age = state.age(now)
    snapshot = state.good.snapshot if state.good else None
    shown = "" if snapshot is None or state.snapshot(now) else "<small>too old, not served</small>"
    folded = (
        f"<small>{snapshot.folded:,} folded into “other”</small>"
        if snapshot and snapshot.folded
        else ""
    )
    failure = state.last if state.last is not None and state.last.reason is not None else None
    row = f"""<tr{' class="failing"' if failure else ""}><th scope="row">{escape(name)}</th>
<td data-label="State"><span class="state {tone}">{word}</span></td>
<td data-label="Age of data">{_seconds(age) if age is not None else "no data yet"}{shown}</td>
<td data-label="Next poll">{_next(page.timings.get(name))}<small>every {_seconds(state.interval)}</small></td>
<td class="n" data-label="Records">{snapshot.records if snapshot else 0:,}</td>
<td class="n" data-label="Groups">{snapshot.found if snapshot else 0:,}{folded}</td>
<td class="n" data-label="Series">{page.view.series(name):,}</td>
<td data-label="Asks for">{_question(state.query)}</td></tr>"""
    if failure is not None:
        row += (
            f'<tr class="error"><td></td><td colspan="7"><b>{escape(failure.reason or "")}</b>:'
            f" {escape(failure.message)} ({_seconds(max(0.0, now - failure.finished))} ago,"
            f" {sum(state.failures.values())} of {state.polls} polls failed)</td></tr>"
        )
    return row


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
