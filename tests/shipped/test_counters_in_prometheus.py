"""What Prometheus makes of the counters: two days of /metrics, with an outage and a restart, as
three Prometheuses scraped them that differ in how often.
"""

import asyncio
import re
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import programs
import pytest
from clocks import HandClock
from history.__main__ import FLAGS
from history.remote_write import Writer
from ledger import account, driven
from material import DAY, raw_record
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.clock import SECONDS_A_DAY, midnight
from exporter.demo.company import Company
from exporter.demo.simulator import Fault

README = Path(__file__).parent.parent.parent / "README.md"
MINUTE, HOUR = 60, 3600

MIDNIGHT = midnight(DAY)
START = MIDNIGHT + 6 * HOUR + 20 * MINUTE
END = MIDNIGHT + 2 * SECONDS_A_DAY + 6 * HOUR
INTERVAL = 15 * MINUTE
SHIFT = 40  # seconds after the middle between two round quarters
OUTAGE = range(MIDNIGHT + 15 * HOUR, MIDNIGHT + 18 * HOUR)
DOWN = range(MIDNIGHT + 34 * HOUR, MIDNIGHT + 35 * HOUR)
BORN = MIDNIGHT + 20 * HOUR + 2 * MINUTE
BORN_LATE = MIDNIGHT + SECONDS_A_DAY - 30  # and polled ten seconds before midnight

SCRAPES = {"every 15s": 15, "default": 60, "every 2m": 120}
"""How often each Prometheus scrapes, in seconds, by the name that the query has in it."""
A_MINUTE = 2
"""Calls of the repository that has the same traffic all the time."""


class Business(Company):
    """Repositories with steady calls, with one call in all, and with one just before midnight."""

    def records(self, day, now):
        """Yield the records of a day."""
        minutes = min(now - midnight(day), SECONDS_A_DAY) // MINUTE
        totals = {"steady": A_MINUTE * max(0, minutes)}
        for name, moment in (("born", BORN), ("late", BORN_LATE)):
            if now >= moment >= midnight(day) > moment - SECONDS_A_DAY:
                totals[name] = 1
        for name, calls in totals.items():
            amounts = {"apiCalls": calls, "tokensIn": f"{10 * calls}", "policyViolations": calls}
            if calls:
                yield raw_record(timestamp=midnight(day), repoId=name, latency_ms=1500, **amounts)


def moments():
    """Yield when the exporter polls: regularly, at midnight, and just before one."""
    every = range(MIDNIGHT + INTERVAL // 2 + SHIFT, END, INTERVAL)
    midnights = [MIDNIGHT + days * SECONDS_A_DAY for days in (1, 2)]
    return sorted({*every, *midnights, midnights[0] - 10})


async def lived(folder):
    """Return what a scrape would have brought: from each moment on, values by series, or None."""
    seen = []
    query = {
        "name": "default",
        "labels": ["repo_id", "llm_model", "llm_type"],
        "metrics": ["api_calls", "input_tokens", "policy_violations", "latency_seconds"],
    }

    async def until(end, one):
        async with driven(one, query, state={"file": folder / "state.db"}) as driver:
            seen.append((one.clock.time(), values(await driver.scrape())))
            for moment in moments():
                if one.clock.time() < moment < end:
                    if moment in OUTAGE:
                        one.simulator.misbehave(Fault(status=404))
                    await driver.poll(moment - one.clock.time())
                    seen.append((moment, values(await driver.scrape())))
        seen.append((end, None))

    async with account(HandClock(START), Business()) as one:
        await until(DOWN.start, one)
        one.clock.move(DOWN.stop - one.clock.time())
        await until(END, one)
    return seen


def values(text):
    """Return what a scrape says of the AI statistics."""
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in parse_text(text)
        if family.name.startswith("flashback_ai_")
        for sample in family.samples
    }


def written(url, seen, name, every, instance="a"):
    """Write into a Prometheus what it would have scraped, so often and as a query of that name."""
    times = range(START + 7, END, every)
    writer = Writer(url, times)
    spans = {}
    for (start, shown), (end, _) in pairwise(seen):
        place = bisect_left(times, start), bisect_left(times, end)
        for series, value in (shown or {}).items():
            spans.setdefault(series, []).append((*place, value))
    for (metric, labels), of_series in spans.items():
        all_labels = {**dict(labels), "__name__": metric, "instance": instance, "query": name}
        writer.put(writer.of(tuple(sorted(all_labels.items()))), of_series)
    writer.flush()


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Run a Prometheus with these two days; return a function that evaluates an expression at a
    moment, to a value for each value of the only label that is left.
    """
    programs.tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    seen = asyncio.run(lived(folder))
    with programs.prometheus(folder, "{}", *FLAGS) as running:
        for name, every in SCRAPES.items():
            written(running.url, seen, name, every)
        for instance in ("a", "b"):
            written(running.url, seen, "twice", MINUTE, instance)

        def ask(expression, moment):
            found = running.api(f"query?query={quote(expression)}&time={moment}")["result"]
            return {"".join(one["metric"].values()): float(one["value"][1]) for one in found}

        yield ask


def calls(name, repository="steady"):
    """Return the counter of a repository's calls as one of the Prometheuses has it."""
    return f'flashback_ai_api_calls_total{{query="{name}",repo_id="{repository}"}}'


every_scrape = pytest.mark.parametrize("name", SCRAPES)


@every_scrape
@pytest.mark.parametrize(
    ("hours", "until"), [(1, 8), (1, 14), (6, 14), (2, 25), (4, 26), (12, 33), (1, 33), (12, 53)]
)
def test_increase_is_what_was_added(ask, name, hours, until):
    """Over any range without an outage, midnights too, it is right but for the range's ends."""
    found = ask(f"sum(increase({calls(name)}[{hours}h]))", MIDNIGHT + until * HOUR)
    assert found[""] == pytest.approx(A_MINUTE * 60 * hours, rel=0.05)


@every_scrape
@pytest.mark.parametrize("until", [24, 25, 48, 49])
def test_an_hour_that_ends_at_midnight_is_right_within_half_a_poll(ask, name, until):
    """The poll at midnight falls on the end of such a range, so one of the two hours has it."""
    found = ask(f"sum(increase({calls(name)}[1h]))", MIDNIGHT + until * HOUR)
    assert found[""] == pytest.approx(A_MINUTE * 60, abs=A_MINUTE * INTERVAL / MINUTE / 2)


@every_scrape
@pytest.mark.parametrize("until", [22, 28, 37, 54])
def test_outage_and_restart_lose_nothing(ask, name, until):
    """Over a range that begins before them, what happened meanwhile is there, once."""
    start, moment = START + INTERVAL, MIDNIGHT + until * HOUR
    found = ask(f"sum(increase({calls(name)}[{moment - start}s]))", moment)
    assert found[""] == pytest.approx(A_MINUTE * (moment - start) / MINUTE, rel=0.02)


@every_scrape
@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        (START, MIDNIGHT + 15 * HOUR, 0),
        (OUTAGE.start, OUTAGE.stop + HOUR, 180),
        (OUTAGE.stop + HOUR, DOWN.start, 0),
        (DOWN.start, DOWN.stop + HOUR, 60),
        (DOWN.stop + HOUR, END, 0),
    ],
    ids=["start", "outage", "midnight", "restart", "second midnight"],
)
def test_rate_has_no_spike(ask, name, start, end, minutes):
    """Half an hour has the calls of three polls at most, and those of the minutes without one."""
    spans = f"[{end - start}s:1m]"
    found = ask(f"max(max_over_time(rate({calls(name)}[30m]){spans}))", end)
    assert found[""] <= A_MINUTE / MINUTE * (minutes + 48) / 30


@every_scrape
@pytest.mark.parametrize(("repository", "moment"), [("born", BORN), ("late", BORN_LATE)])
def test_the_first_call_of_a_group_is_seen(ask, name, repository, moment):
    """A group with one call in all has an increase of one, however soon the next poll was."""
    for later in (2 * HOUR, 6 * HOUR):
        found = ask(f"sum(increase({calls(name, repository)}[{later}s]))", moment + later)
        assert found[""] == pytest.approx(1, abs=0.25)


def recipes():
    """Return the expressions of the README's Recipes, by their comment."""
    section = README.read_text().partition("\n### Recipes\n")[2].partition("\n## ")[0]
    block = section.partition("```promql\n")[2].partition("```")[0]
    return dict(re.findall(r"# (.+)\n((?:[^#\n].*\n)+)", block))


def test_the_readmes_recipes_are_right_as_they_stand(ask):
    """Typed in, each gives what happened; a variable of Grafana becomes its range."""
    moment = MIDNIGHT + 33 * HOUR
    found = {}
    for comment, recipe in recipes().items():
        expression = recipe.replace("$__range", "6h").replace("$__rate_interval", "1h")
        found[comment.split(",")[0]] = ask(expression, moment)
    about = pytest.approx
    assert found == {
        "calls of a range": about({"x": 720}, rel=0.05),
        "tokens a second over time": about({"steady": 10 / 30, "born": 0, "late": 0}, rel=0.05),
        "violations in the last quarter of an hour": about({"steady": 30}, rel=0.1),
        "latency of the last hour": about({"x": 1.5}),
        "violations per thousand calls of the last day": about(
            {"steady": 1000, "born": 1000, "late": 1000}
        ),
        "all of yesterday": {"x": 2880 + 2},
    }


def test_two_exporters_count_a_call_once_with_the_readmes_recipe(ask):
    """The larger of the two increases is taken before they are added up."""
    (recipe,) = re.findall(r"`(sum\(max without .+?)`", README.read_text())
    recipe = recipe.replace("default", "twice").replace("[1d]", "[6h]")
    assert ask(recipe, MIDNIGHT + 33 * HOUR)[""] == pytest.approx(720, rel=0.05)
