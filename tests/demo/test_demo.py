"""The whole process: `demo` as started by hand, and the daemon with signals and the simulator."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections import defaultdict
from contextlib import asynccontextmanager

import httpx
import pytest
from clocks import FakeClock
from prometheus_client.parser import text_string_to_metric_families

from exporter.api.daily import DAILY
from exporter.demo.simulator import EMAIL, PASSWORD, Fault
from exporter.metrics import DAY_START, METRICS, Kind
from exporter.output.own_metrics import OWN_METRICS

# Each is a request that the process answers, so they end only after it has had time for all else.
TRIES = 20_000
ENDINGS = [signal.SIGTERM, signal.SIGINT]


class Process:
    """A running `flashback-exporter`, and what it says and serves."""

    def __init__(self, process, http):
        self.process = process
        self.http = http
        self.address = ""

    async def printed(self, pattern):
        """Read standard output up to a line that matches, and return the match."""
        return await self._line(self.process.stdout, pattern)

    async def logged(self, message):
        """Read the log up to a message, and return its record."""
        while True:
            line = await self._line(self.process.stderr, ".*")
            record = json.loads(line[0])
            if record["msg"] == message:
                return record

    async def get(self, path):
        """Return the answer to a request."""
        return await self.http.get(f"http://{self.address}{path}")

    async def until(self, condition):
        """Ask the process for its health until something is true."""
        for _ in range(TRIES):
            if await condition():
                return
            await self.get("/-/healthy")
        raise AssertionError("it never came true")

    async def ready(self):
        """Wait until every query has been polled."""

        async def is_ready():
            return (await self.get("/-/ready")).status_code == 200

        await self.until(is_ready)

    async def samples(self, name=""):
        """Return /metrics' samples by name, or those of one name: each as labels and value."""
        samples = defaultdict(list)
        lines = (await self.get("/metrics")).text.splitlines(keepends=True)
        for family in text_string_to_metric_families(
            "".join(line for line in lines if name in line)
        ):
            for sample in family.samples:
                samples[sample.name].append((sample.labels, sample.value))
        return samples

    async def value(self, name):
        """Return the value of a metric that has one sample."""
        ((_, value),) = (await self.samples(name))[name]
        return value

    async def end(self, number):
        """Send a signal; return the exit code, due within five seconds, and the rest of the log."""
        self.process.send_signal(number)
        _, log = await asyncio.wait_for(self.process.communicate(), 5)
        return self.process.returncode, log.decode()

    async def _line(self, stream, pattern):
        async with asyncio.timeout(60):
            while line := (await stream.readline()).decode():
                if match := re.fullmatch(pattern, line.rstrip("\n")):
                    return match
        raise AssertionError(f"it ended before it said {pattern}")


def polls(api):
    """Return the requests for statistics that the simulator saw."""
    return [parameters for endpoint, parameters in api.simulator.requests if endpoint == DAILY]


@asynccontextmanager
async def started(*arguments):
    """Start a command, and make sure that it does not outlive the test."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("FLASHBACK_")
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exporter",
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        try:
            yield Process(process, http)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def demo(*arguments):
    """Start the demo on a free port and wait until it says where to look."""
    async with started("demo", "--web.listen-address", "127.0.0.1:0", *arguments) as process:
        process.address = (await process.printed(r"  metrics  http://(127\.0\.0\.1:\d+)/metrics"))[
            1
        ]
        yield process


@pytest.fixture
def clock():
    """Return a clock that stands still now: the process asks for days by the machine's clock."""
    return FakeClock(time.time())


@pytest.fixture
def daemon(api, tmp_path):
    """Return a context that starts the daemon on a free port, configured for the simulator."""
    path = tmp_path / "exporter.yml"

    def configure(rest=""):
        login = f"{{email: {EMAIL}, password: {PASSWORD}}}"
        path.write_text(f"api: {{base_url: '{api.base_url}', login: {login}}}\n{rest}\n")

    @asynccontextmanager
    async def daemon():
        configure()
        arguments = [
            "--config.file",
            path,
            "--web.listen-address",
            "127.0.0.1:0",
            "--log.format",
            "json",
        ]
        async with started(*arguments) as process:
            (process.address,) = (await process.logged("serving"))["addresses"]
            yield process

    daemon.configure = configure
    return daemon


# The demo


async def test_the_demo_serves_every_metric_for_several_hundred_groups():
    """Without account, network or flag but a port, the demo shows a believable company's data."""
    async with demo() as process:
        await process.ready()
        samples = await process.samples()
        assert {labels["query"]: value for labels, value in samples["flashback_up"]} == {
            "default": 1,
            "users": 1,
        }
        groups = {
            tuple(sorted(labels.items() - {("day", "today"), ("day", "yesterday")}))
            for labels, _ in samples["flashback_ai_daily_api_calls"]
            if labels["query"] == "default"
        }
        assert len(groups) > 300
        for metric in METRICS:
            shown = [
                (labels, value)
                for labels, value in samples[metric.name]
                if labels["query"] == "default"
            ]
            expected = len(groups) * 2 * len(metric.fields)
            if metric.kind is Kind.MEAN:  # absent where there were no calls
                assert 0 < len(shown) <= expected
                assert all(value > 0 for _, value in shown)
            else:
                assert len(shown) == expected
                assert sum(value for _, value in shown) > 0
        assert len(samples[DAY_START.name]) == 4
        for name in OWN_METRICS:
            assert any(sample.startswith(name) for sample in samples), name
        assert not any(value for _, value in samples["flashback_exporter_poll_failures_total"])
        assert not any(value for _, value in samples["flashback_exporter_rejected_records_total"])
        assert not any(value for _, value in samples["flashback_exporter_incomplete_records_total"])
        assert (await process.end(signal.SIGTERM))[0] == 0


async def test_the_demo_says_where_to_look_and_that_its_data_is_made_up():
    """The demo prints the addresses it really has, and that its data is made up,
    there and on its page.
    """
    async with started(
        "demo", "--web.listen-address", "127.0.0.1:0", "--web.telemetry-path", "/numbers"
    ) as process:
        await process.printed(".*made up.*")
        page = (await process.printed("  page     (http://.*/)"))[1]
        metrics = (await process.printed("  metrics  (http://.*/numbers)"))[1]
        assert metrics == f"{page}numbers"
        assert "made up" in (await process.http.get(page)).text
        assert "flashback_up" in (await process.http.get(metrics)).text
        assert (await process.http.get(f"{page}metrics")).status_code == 404


async def test_a_flag_may_stand_before_the_command():
    """`--web.listen-address` means the same before and after `demo`."""
    async with started("--web.listen-address", "127.0.0.1:0", "demo") as process:
        assert (await process.printed("  page     (http://.*/)"))[1].startswith("http://127.0.0.1:")


async def test_the_demo_listens_on_every_address_that_it_is_given():
    """The flag for the address can be repeated."""
    twice = ["--web.listen-address", "127.0.0.1:0"] * 2
    async with started("demo", *twice) as process:
        pages = [(await process.printed("  page     (http://.*/)"))[1] for _ in range(2)]
        assert len(set(pages)) == 2
        for page in pages:
            assert (await process.http.get(page)).status_code == 200


@pytest.mark.parametrize("number", ENDINGS)
async def test_a_signal_ends_the_demo_with_0(number):
    """SIGTERM and SIGINT end a demo that is at rest, with code 0 and without noise."""
    async with demo() as process:
        await process.ready()
        code, log = await process.end(number)
        assert (code, "Traceback" in log) == (0, False)
        assert "level=error" not in log


@pytest.mark.parametrize("number", ENDINGS)
async def test_a_signal_ends_the_demo_during_its_first_poll(number):
    """A signal that comes as soon as the demo has said hello, amid the first polls,
    ends it as quietly.
    """
    async with demo() as process:
        code, log = await process.end(number)
        assert (code, "Traceback" in log) == (0, False)
        assert "level=error" not in log


# The daemon


@pytest.mark.parametrize("number", ENDINGS)
async def test_a_signal_ends_a_poll_whose_answer_never_ends(number, api, daemon):
    """A signal amid a poll whose answer drips in ends the process with 0 within five seconds."""
    api.simulator.misbehave(Fault(body=b" " * 1000, seconds_a_byte=1))

    async def asked():
        return bool(polls(api))

    async with daemon() as process:
        await process.until(asked)
        assert (await process.get("/-/ready")).status_code == 503
        code, log = await process.end(number)
        assert (code, "Traceback" in log) == (0, False)


async def test_a_signal_ends_the_wait_before_another_attempt(api, daemon):
    """A signal amid a pause that the API asked for ends the process with 0 within five seconds."""
    api.simulator.misbehave(Fault(status=503, headers={"Retry-After": "200"}))
    async with daemon() as process:
        await process.logged("trying again")
        code, log = await process.end(signal.SIGTERM)
        assert (code, "Traceback" in log) == (0, False)


async def test_a_signal_ends_a_process_whose_clients_hold_on(daemon):
    """A client that has sent half a request does not keep the process from ending."""
    async with daemon() as process:
        host, port = process.address.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        await process.ready()
        assert (await process.end(signal.SIGTERM))[0] == 0
        writer.close()


async def test_a_good_reload_takes_over_and_keeps_what_did_not_change(api, daemon):
    """SIGHUP brings a new query in; the unchanged one is neither dropped nor asked again."""
    async with daemon() as process:
        await process.ready()
        before = (await process.samples("flashback_ai_daily_api_calls{"))[
            "flashback_ai_daily_api_calls"
        ]
        assert before
        asked = len(polls(api))
        daemon.configure(
            "queries: [{name: default}, {name: models, labels: [llm_model], metrics: [api_calls]}]"
        )
        process.process.send_signal(signal.SIGHUP)
        assert (await process.logged("configuration reloaded"))["queries"] == ["default", "models"]
        after = (await process.samples("flashback_ai_daily_api_calls{"))[
            "flashback_ai_daily_api_calls"
        ]
        assert [sample for sample in after if sample[0]["query"] == "default"] == before
        await process.ready()
        shown = {
            labels["query"]
            for labels, _ in (await process.samples("flashback_ai_daily_api_calls{"))[
                "flashback_ai_daily_api_calls"
            ]
        }
        assert shown == {"default", "models"}
        assert len(polls(api)) == asked + 1
        assert await process.value("flashback_exporter_config_last_reload_successful") == 1
        assert (await process.end(signal.SIGTERM))[0] == 0


async def test_a_bad_reload_changes_nothing_until_a_good_one_follows(api, daemon):
    """SIGHUP with a bad file logs every problem and shows it in a metric; the data stays,
    and a good file heals it.
    """
    async with daemon() as process:
        await process.ready()
        name = "flashback_exporter_config_last_reload_successful"
        since = await process.value(
            "flashback_exporter_config_last_reload_success_timestamp_seconds"
        )
        before = (await process.samples("flashback_ai_daily_api_calls{"))[
            "flashback_ai_daily_api_calls"
        ]
        assert before
        daemon.configure("poll: {days: 8, every: 1m}")
        process.process.send_signal(signal.SIGHUP)
        record = await process.logged("configuration not reloaded")
        assert sorted(re.sub(r".*/", "", problem) for problem in record["problems"]) == [
            "exporter.yml:2:17: poll.every: unknown key",
            "exporter.yml:2:8: poll.days: expected at most 7",
        ]
        assert await process.value(name) == 0
        assert (
            await process.value("flashback_exporter_config_last_reload_success_timestamp_seconds")
            == since
        )
        assert (await process.samples("flashback_ai_daily_api_calls{"))[
            "flashback_ai_daily_api_calls"
        ] == before
        assert (await process.get("/-/ready")).status_code == 200
        daemon.configure()
        process.process.send_signal(signal.SIGHUP)
        await process.logged("configuration reloaded")
        assert await process.value(name) == 1
        assert (await process.samples("flashback_ai_daily_api_calls{"))[
            "flashback_ai_daily_api_calls"
        ] == before
        assert len(polls(api)) == 1
        assert (await process.end(signal.SIGTERM))[0] == 0


async def test_a_reload_of_a_file_that_is_gone_changes_nothing(daemon, tmp_path):
    """A file that was removed is a bad one."""
    async with daemon() as process:
        (tmp_path / "exporter.yml").unlink()
        process.process.send_signal(signal.SIGHUP)
        (problem,) = (await process.logged("configuration not reloaded"))["problems"]
        assert problem.endswith("exporter.yml: cannot be read: No such file or directory")
        assert await process.value("flashback_exporter_config_last_reload_successful") == 0
        assert (await process.end(signal.SIGTERM))[0] == 0
