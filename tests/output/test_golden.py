"""The main job on recorded answers: exactly these bytes in, these lines out, in both formats."""

import asyncio
from pathlib import Path

import httpx
import pytest
from clocks import StillClock
from loopback import served

from exporter.daemon import Exporter
from exporter.demo.simulator import Fault
from exporter.serve import application

GOLDEN = Path(__file__).parent / "golden"
ACCEPT = {
    "txt": "text/plain;version=0.0.4",
    "openmetrics": "application/openmetrics-text;version=1.0.0",
}


async def scrape(name: str, accept: str, api) -> str:
    """Let the API answer with a recording; return what /metrics then says about AI statistics."""
    api.simulator.misbehave(Fault(body=(GOLDEN / name).read_bytes()))
    clock, config = StillClock(), api.config()
    exporter = await Exporter.create(config, lambda: config, clock)
    exporter.start()
    while exporter.status().waiting_for:  # noqa: ASYNC110 - lets the poll go on, waits for no time
        await asyncio.sleep(0)
    async with (
        served(application(exporter)) as (_, url),
        httpx.AsyncClient(base_url=url) as browser,
    ):
        response = await browser.get(
            "/metrics", headers={"Accept": accept, "Accept-Encoding": "identity"}
        )
    await exporter.stop()
    assert response.headers["Content-Type"].startswith(accept.split(";", maxsplit=1)[0])
    lines = response.text.splitlines(keepends=True)
    return "".join(
        line
        for line in lines
        if ("flashback_ai_" in line and "_info" not in line) or line == "# EOF\n"
    )


@pytest.mark.parametrize("form", ACCEPT)
@pytest.mark.parametrize("name", ["published", "two_days", "incomplete"])
async def test_recorded_answers_become_exactly_these_lines(name, form, api):
    """A recorded answer of the API comes out as the exposition that was checked by hand."""
    assert (
        await scrape(f"{name}.json", ACCEPT[form], api) == (GOLDEN / f"{name}.{form}").read_text()
    )


def values(text: str, metric: str, day: str, repository: str) -> str:
    """Return the values of one repository's series of a metric, in their order."""
    found = [
        line.rsplit(" ", 1)[1].strip()
        for line in text.splitlines()
        if line.startswith(f"flashback_ai_daily_{metric}{{")
        and f'day="{day}"' in line
        and f'repo_id="{repository}"' in line
    ]
    return " ".join(found)


async def test_the_golden_values_of_incomplete_records_are_those_computed_by_hand(api):
    """An older server's records count for what they have;
    7 calls of unknown latency do not change the mean of 3.
    """
    text = await scrape("incomplete.json", ACCEPT["txt"], api)
    assert values(text, "api_calls", "today", "shop") == "10"
    assert values(text, "input_tokens", "today", "shop") == "18014398509481986"
    assert values(text, "output_tokens", "today", "shop") == "1005"
    assert values(text, "llm_input_tokens", "today", "shop") == "8"
    assert values(text, "llm_output_tokens", "today", "shop") == "12"
    assert values(text, "policy_violations", "today", "shop") == "1"
    assert values(text, "policy_violations_by_severity", "today", "shop") == "0 1 0"
    assert values(text, "latency_seconds", "today", "shop") == "0.1"
    assert values(text, "latency_seconds", "today", "") == "1.25"
    assert values(text, "api_calls", "today", "") == "2"
    assert values(text, "api_calls", "yesterday", "desk") == "4"
    assert values(text, "latency_seconds", "yesterday", "desk") == ""  # none of the 4 is known


async def test_the_golden_values_are_those_computed_by_hand(api):
    """Two users' records are one group; sums stay exact beyond 2^53;
    the latency is weighted by calls.
    """
    text = await scrape("two_days.json", ACCEPT["txt"], api)

    def value(metric: str, day: str, model: str) -> str:
        found = [
            line.rsplit(" ", 1)[1].strip()
            for line in text.splitlines()
            if line.startswith(f"flashback_ai_daily_{metric}{{")
            and f'day="{day}"' in line
            and f'"{model}"' in line
        ]
        return " ".join(found)

    assert value("input_tokens", "today", "gpt-4") == "18014398509481986"
    assert value("input_tokens", "yesterday", "gpt-4") == "10"
    assert value("api_calls", "today", "gpt-4") == "4"
    assert (
        value("latency_seconds", "today", "gpt-4") == "0.200125"
    )  # (3 * 100 + 1 * 500.5) / 4 / 1000
    assert value("latency_seconds", "today", "claude-3") == ""  # no calls today
    assert value("api_calls", "today", "claude-3") == "0"  # missing today, shown with 0
    assert value("latency_seconds", "yesterday", "claude-3") == "1.25"
    assert value("api_calls", "today", "gemini-1.5") == "0"
    assert value("active_conversations", "today", "gemini-1.5") == "1"
    assert value("policy_violations_by_severity", "today", "gpt-4") == "1 0 1"
