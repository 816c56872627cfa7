"""The main job on recorded answers: exactly these bytes in, exactly these lines out, in both formats."""

import asyncio
from pathlib import Path

import httpx
import pytest
from clocks import StillClock

from exporter.daemon import Exporter
from exporter.demo.simulator import Fault
from exporter.web.app import create_app

GOLDEN = Path(__file__).parent / "golden"
ACCEPT = {
    "txt": "text/plain;version=0.0.4",
    "openmetrics": "application/openmetrics-text;version=1.0.0",
}


async def scrape(name: str, accept: str, api) -> str:
    """Let the API answer with a recording and return what /metrics then says about AI statistics."""
    api.simulator.misbehave(Fault(body=(GOLDEN / name).read_bytes()))
    clock, config = StillClock(), api.config()
    exporter = await Exporter.create(config, lambda: config, clock)
    exporter.start()
    while exporter.waiting_for:  # noqa: ASYNC110 - lets the poll go on, waits for no time
        await asyncio.sleep(0)
    transport = httpx.ASGITransport(create_app(exporter, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as browser:
        response = await browser.get(
            "/metrics", headers={"Accept": accept, "Accept-Encoding": "identity"}
        )
    await exporter.stop()
    assert response.headers["Content-Type"].startswith(accept.split(";", maxsplit=1)[0])
    lines = response.text.splitlines(keepends=True)
    return "".join(line for line in lines if "flashback_ai_" in line or line == "# EOF\n")


@pytest.mark.parametrize("form", ACCEPT)
@pytest.mark.parametrize("name", ["published", "two_days"])
async def test_recorded_answers_become_exactly_these_lines(name, form, api):
    """A recorded answer of the API comes out as the exposition that was checked by hand."""
    assert (
        await scrape(f"{name}.json", ACCEPT[form], api) == (GOLDEN / f"{name}.{form}").read_text()
    )


async def test_the_golden_values_are_those_computed_by_hand(api):
    """Two users' records are one group; sums stay exact beyond 2^53; the latency is weighted by calls."""
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
