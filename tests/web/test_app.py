"""The web application over a real socket, on a simulator."""

import asyncio
import gzip
import re
import zlib
from functools import partial

import httpx
import pytest
import trustme
import yaml
from clocks import HandClock
from loopback import ACCOUNT_OFF, Gate, configuration, polled, running, served, until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from servers import record, statistics

from exporter.config.load import load_config
from exporter.demo.company import Company
from exporter.demo.simulator import EMAIL, PASSWORD, Fault, Simulator
from exporter.errors import Reason
from exporter.metrics import OPTIONAL_FIELDS, PREFIX
from exporter.output.formats import OPENMETRICS, TEXT
from exporter.output.own_metrics import OWN_METRICS
from exporter.statistics.records import Rejection

ACCEPT_OF_PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
ACCEPT_OF_PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
MEDIA_TYPES = [TEXT.media_type, OPENMETRICS.media_type]
ACCEPT_OF_PROMETHEUS_3_FOR_TEXT = "text/plain;version=0.0.4;q=0.5,*/*;q=0.4"
ACCEPT_OF_PROMETHEUS_3_WITH_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
    "encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
FEW_GROUPS = {"name": "few", "labels": ["llm_type"]}


@pytest.fixture(scope="module")
def anyio_backend():
    """Run the whole module in one event loop: tests that only look can share an exporter."""
    return "asyncio"


@pytest.fixture
def clock():
    """Return a clock that moves by hand alone, also for those who sleep."""
    return HandClock()


@pytest.fixture
async def gate(clock):
    """Serve a simulator behind a gate."""
    simulator = Simulator(Company(), clock)
    gate = Gate(simulator.app)
    async with served(gate) as (gate.server, url):
        gate.simulator, gate.config = simulator, partial(configuration, url)
        yield gate
        gate.open()


@pytest.fixture(scope="module")
async def idle():
    """Return a client of an exporter that has polled once and does nothing but answer."""
    clock = HandClock()
    simulator = Simulator(Company(), clock)
    async with (
        served(simulator.app) as (_, url),
        running(configuration(url, queries=[FEW_GROUPS]), clock) as (_, client),
    ):
        await polled(client)
        yield client


async def get_raw(client, path, method="GET", **headers):
    """Send a request with these headers alone; return the answer and its body as it was sent."""
    given = [
        (name.replace("_", "-"), value.encode("latin-1"))
        for name, value in headers.items()
        if value is not None
    ]
    response = await client.send(
        httpx.Request(method, client.base_url.join(path), headers=given), stream=True
    )
    body = b"".join([piece async for piece in response.aiter_raw()])
    await response.aclose()
    return response, body


def ai_samples(families):
    """Return the AI statistics among parsed metrics: labels to value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


def own_samples(text):
    """Return the samples of a text exposition: name to pairs of labels and value."""
    found = {}
    for family in parse_text(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(text, name, **labels):
    """Return the value of the one sample of that name and those labels."""
    (found,) = [
        number for given, number in own_samples(text)[name] if labels.items() <= given.items()
    ]
    return found


async def test_the_format_follows_the_accept_header(idle):
    """OpenMetrics is sent to those who rank it highest, the text format to everybody else."""
    wanted = {
        None: TEXT,
        "": TEXT,
        "*/*": TEXT,  # curl
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": TEXT,  # a browser
        ACCEPT_OF_PROMETHEUS_2: OPENMETRICS,
        ACCEPT_OF_PROMETHEUS_3: OPENMETRICS,
        ACCEPT_OF_PROMETHEUS_3_FOR_TEXT: TEXT,
        ACCEPT_OF_PROMETHEUS_3_WITH_PROTOBUF: OPENMETRICS,
        "application/openmetrics-text": OPENMETRICS,
        "Application/OpenMetrics-Text; Version=1.0.0": OPENMETRICS,
        'application/openmetrics-text; version="1.0.0"': OPENMETRICS,
        "application/openmetrics-text;version=2.0.0": TEXT,
        "application/openmetrics-text;q=0.1,text/plain;q=0.2": TEXT,
        "text/plain;q=0.1,application/openmetrics-text;q=0.2": OPENMETRICS,
        "application/openmetrics-text;q=0": TEXT,
        "application/openmetrics-text;q=nan": TEXT,
        "application/openmetrics-text;q=;;,,;=,/": TEXT,
        "\xff\xfe;q=\xb2": TEXT,
    }
    formats = {one.media_type: one for one in (TEXT, OPENMETRICS)}
    found = {}
    for accept in wanted:
        response, body = await get_raw(idle, "/metrics", accept=accept)
        assert response.status_code == 200
        found[accept] = formats[response.headers["content-type"]]
        assert body.endswith(b"# EOF\n") == (found[accept] == OPENMETRICS)
    assert found == wanted


async def test_gzip_follows_the_accept_encoding_header(idle):
    """The answer is compressed for those who accept gzip, and says so; caches learn it varies."""
    wanted = {
        None: None,
        "": None,
        "gzip": "gzip",
        "GZIP": "gzip",
        "deflate, gzip;q=0.5": "gzip",
        "gzip;q=0.001": "gzip",
        "*": "gzip",
        "identity": None,
        "br, zstd": None,
        "gzip;q=0": None,
        "gzip; q=0.000, *": None,
        "*;q=0": None,
        "identity, *;q=0": None,
        "gzip;q=none": None,
    }
    found = {}
    for accept_encoding in wanted:
        response, body = await get_raw(idle, "/metrics", accept_encoding=accept_encoding)
        found[accept_encoding] = response.headers.get("content-encoding")
        assert body.startswith(b"\x1f\x8b") == (found[accept_encoding] is not None)
        assert {"accept", "accept-encoding"} == set(
            response.headers["vary"].lower().replace(" ", "").split(",")
        )
    assert found == wanted


@pytest.mark.parametrize("accept", MEDIA_TYPES)
async def test_content_length_is_that_of_the_body_and_head_sends_all_but_the_body(idle, accept):
    """GET announces exactly what it sends; HEAD has the same headers and no body."""
    for encoding in ("identity", "gzip"):
        got, body = await get_raw(idle, "/metrics", accept=accept, accept_encoding=encoding)
        head, nothing = await get_raw(
            idle, "/metrics", "HEAD", accept=accept, accept_encoding=encoding
        )
        assert int(got.headers["content-length"]) == len(body)
        assert nothing == b""
        assert head.status_code == got.status_code == 200
        varies = {"content-length", "date"}  # the process's own figures move on between the two
        assert {k: v for k, v in head.headers.items() if k not in varies} == {
            k: v for k, v in got.headers.items() if k not in varies
        }
        assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("accept", MEDIA_TYPES)
async def test_the_compressed_answer_is_one_gzip_member_of_the_same_statistics(idle, accept):
    """A reader that stops after the first gzip member has all the bytes of the plain answer."""
    _, plain = await get_raw(idle, "/metrics", accept=accept, accept_encoding="identity")
    _, compressed = await get_raw(idle, "/metrics", accept=accept, accept_encoding="gzip")
    decompressor = zlib.decompressobj(wbits=31)
    first_member = decompressor.decompress(compressed)
    assert decompressor.eof
    assert decompressor.unused_data == b""
    assert gzip.decompress(compressed) == first_member

    def statistics(body):
        return [line for line in body.splitlines() if PREFIX.encode() in line]

    assert len(statistics(plain)) > 100
    assert statistics(plain) == statistics(first_member)
    # The exporter's own figures are those of another moment; all else is the same to the last line.
    assert [line.split(b" ")[:-1] for line in plain.splitlines()] == [
        line.split(b" ")[:-1] for line in first_member.splitlines()
    ]


async def test_both_formats_parse_and_say_the_same(idle):
    """prometheus_client's parsers read both formats and find the same AI statistics in them."""
    text, openmetrics = [
        (await idle.get("/metrics", headers={"Accept": media_type})).text
        for media_type in MEDIA_TYPES
    ]
    statistics = ai_samples(parse_text(text))
    assert statistics == ai_samples(parse_openmetrics(openmetrics))
    assert len(statistics) > 100
    assert own_samples(text).keys() >= {
        "process_cpu_seconds_total",
        "python_info",
        "python_gc_collections_total",
    }


async def test_no_sample_carries_a_timestamp_and_no_series_comes_twice(idle):
    """Each line is a series and a value, and every series is there once."""
    lines = [
        line for line in (await idle.get("/metrics")).text.splitlines() if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"\S+?(\{.*\})? \S+", line) for line in lines)
    assert len({line.rpartition(" ")[0] for line in lines}) == len(lines)


async def test_each_family_is_announced_once_and_is_in_one_piece(idle):
    """HELP and TYPE come once for each metric and all of its samples right after them,
    for two queries as for one.
    """
    lines = (await idle.get("/metrics")).text.splitlines()
    announced = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(announced) == len(set(announced))
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == announced


async def test_the_series_figure_counts_the_lines_of_a_query(clock, gate):
    """flashback_exporter_series is the number of AI statistics lines that this
    very answer holds for a query.
    """
    queries = [
        FEW_GROUPS,
        {
            "name": "default",
            "filters": {"llm_type": ["aws"]},
            "metrics": ["latency_seconds", "policy_violations_by_severity"],
        },
        {"name": "empty", "filters": {"repo_id": ["there is no such repository"]}},
        {"name": "no labels", "labels": [], "metrics": ["api_calls"]},
    ]
    async with running(gate.config(queries=queries, poll={"days": 3}), clock) as (_, client):
        await polled(client)
        text = (await client.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith(PREFIX)]
    for query in queries:
        name = query["name"]
        mine = [line for line in lines if f'query="{name}"' in line]
        assert value(text, "flashback_exporter_series", query=name) == len(mine) > 0
    assert value(text, "flashback_exporter_series", query="no labels") == 3 + 3 + 1
    assert value(text, "flashback_exporter_series", query="empty") == 3


async def test_own_metrics_exist_before_the_first_poll_has_finished(clock, gate):
    """The first scrape already has every metric about the exporter, with every reason at 0."""
    gate.close()
    config = gate.config(queries=[FEW_GROUPS, {"name": "other"}])
    async with running(config, clock) as (_, client):
        text = (await client.get("/metrics")).text
        found = own_samples(text)
        gate.open()
    suffix = {"histogram": "_count"}
    missing = [
        name
        for name, metric in OWN_METRICS.items()
        if name + suffix.get(metric.type, "") not in found
    ]
    assert missing == ["flashback_exporter_account_up"]  # nothing has been asked yet
    for query in ("few", "other"):
        for name, label, values in (
            ("flashback_exporter_poll_failures_total", "reason", Reason),
            ("flashback_exporter_rejected_records_total", "reason", Rejection),
            ("flashback_exporter_incomplete_records_total", "field", OPTIONAL_FIELDS),
        ):
            counts = {
                labels[label]: count for labels, count in found[name] if labels["query"] == query
            }
            assert counts == dict.fromkeys(map(str, values), 0)
        for name in (
            "flashback_up",
            "flashback_exporter_polls_total",
            "flashback_exporter_last_poll_timestamp_seconds",
        ):
            assert value(text, name, query=query) == 0
        assert value(text, "flashback_exporter_poll_interval_seconds", query=query) == 300
    assert value(text, "flashback_exporter_config_last_reload_successful") == 1
    assert (
        value(text, "flashback_exporter_config_last_reload_success_timestamp_seconds")
        == clock.time()
    )
    assert not [line for line in text.splitlines() if line.startswith(PREFIX)]


async def test_a_request_counts_before_its_poll_has_ended(clock, gate):
    """A request that was answered shows at the next scrape, though its poll goes on."""
    gate.close()
    gate.simulator.misbehave(Fault(status=500))
    async with running(gate.config(queries=[FEW_GROUPS]), clock) as (_, client):
        await gate.arrival()
        before = own_samples((await client.get("/metrics")).text)[
            "flashback_exporter_api_requests_total"
        ]
        gate.let_one_pass()
        await clock.asleep(2)  # the watch over the clock, and the poll before it tries again
        text = (await client.get("/metrics")).text
    assert "500" not in {labels["code"] for labels, _ in before}
    assert value(text, "flashback_exporter_api_requests_total", code="500") == 1
    assert value(text, "flashback_exporter_polls_total", query="few") == 0


async def test_a_scrape_does_not_wait_for_the_api(clock, gate):
    """While a poll hangs, scrapes and every other page answer, with the data of the poll before."""
    config = gate.config(queries=[FEW_GROUPS])
    async with running(config, clock) as (_, client):
        await polled(client)
        await gate.arrival()
        before = (await client.get("/metrics")).text
        gate.close()
        await clock.asleep()
        clock.wall -= 3600
        clock.move(1)
        await gate.arrival()
        async with asyncio.timeout(5):
            meanwhile = (await client.get("/metrics")).text
            pages = [await client.get(path) for path in ("/", "/-/healthy", "/-/ready")]
        gate.open()
    assert [page.status_code for page in pages] == [200, 200, 200]
    assert ai_samples(parse_text(meanwhile)) == ai_samples(parse_text(before))
    assert len(ai_samples(parse_text(before))) > 100


class TestHealth:
    async def test_healthy_once_the_scheduler_runs(self, idle):
        """/-/healthy answers 200 while process and scheduler live."""
        response = await idle.get("/-/healthy")
        assert response.status_code == 200
        assert response.text == "Healthy.\n"

    async def test_not_healthy_without_a_scheduler(self, clock, gate):
        """/-/healthy answers 503 once the scheduler has ended, though the web server still runs."""
        async with running(gate.config(queries=[FEW_GROUPS]), clock) as (exporter, client):
            await polled(client)
            await exporter.stop()
            assert (await client.get("/-/healthy")).status_code == 503

    async def test_ready_after_the_first_poll_of_every_query(self, clock, gate):
        """/-/ready names the queries that it waits for, and is 200 once the last was polled."""
        gate.close()
        config = gate.config(queries=[FEW_GROUPS, {"name": "late", "labels": []}])
        async with running(config, clock) as (_, client):
            both = await client.get("/-/ready")
            await gate.arrival()
            await gate.arrival()
            gate.let_one_pass()
            one = await until(client, "/-/ready", lambda response: response.text != both.text)
            gate.open()
            await polled(client)
        assert both.status_code == one.status_code == 503
        assert "few" in both.text
        assert "late" in both.text
        assert ("few" in one.text) != ("late" in one.text)

    async def test_ready_after_a_first_poll_that_failed(self, clock, gate):
        """A first poll that ends badly makes the exporter ready too: it has something to tell."""
        gate.simulator.misbehave(Fault(status=404))
        async with running(gate.config(queries=[FEW_GROUPS]), clock) as (_, client):
            await polled(client)
            text = (await client.get("/metrics")).text
        assert value(text, "flashback_up", query="few") == 0
        assert (
            value(text, "flashback_exporter_poll_failures_total", query="few", reason="not_found")
            == 1
        )


class TestReload:
    @pytest.fixture
    def file(self, tmp_path, gate):
        """Return a configuration file that can be rewritten."""

        class File:
            path = tmp_path / "flashback-exporter.yml"

            def write(self, *queries, **sections):
                api = {
                    "base_url": gate.config().api.base_url,
                    "login": {"email": EMAIL, "password": PASSWORD},
                }
                content = {
                    "api": api | sections.pop("api", {}),
                    "queries": list(queries),
                    "account": ACCOUNT_OFF,
                    **sections,
                }
                self.path.write_text(yaml.safe_dump(content))

            def load(self):
                return load_config(self.path)

        file = File()
        file.write(FEW_GROUPS)
        return file

    def running(self, file, clock, lifecycle=True):
        """Run an exporter on a configuration file."""
        return running(file.load(), clock, file.load, lifecycle=lifecycle)

    async def test_off_unless_asked_for(self, file, clock):
        """Without --web.enable-lifecycle a reload over HTTP is refused, says how to allow it,
        and does nothing.
        """
        async with self.running(file, clock, lifecycle=False) as (exporter, client):
            file.write({"name": "another"})
            response = await client.post("/-/reload")
        assert response.status_code == 403
        assert "--web.enable-lifecycle" in response.text
        assert list(exporter.status().states) == ["few"]

    async def test_the_api_is_left_alone_after_a_reload_too(self, file, gate, clock):
        """A Retry-After that has not passed yet holds for the client of the new configuration."""
        gate.simulator.misbehave(Fault(status=429, headers={"Retry-After": "3600"}))
        async with self.running(file, clock) as (_, client):
            await polled(client)
            file.write(FEW_GROUPS, api={"timeout": "20s"})
            assert (await client.post("/-/reload")).status_code == 200
            failures = partial(
                value,
                name="flashback_exporter_poll_failures_total",
                query="few",
                reason="rate_limited",
            )
            await until(client, "/metrics", lambda response: failures(response.text) == 2)
        assert gate.arrivals.qsize() == 1

    async def test_a_reload_reads_certificates_again(self, file, clock, tmp_path):
        """Certificates that were replaced behind the same name are used after a reload."""
        authority = tmp_path / "ca.pem"
        trustme.CA().cert_pem.write_to_path(authority)
        file.write(FEW_GROUPS, api={"tls_config": {"ca_file": str(authority)}})
        async with self.running(file, clock) as (_, client):
            await polled(client)
            assert (await client.post("/-/reload")).status_code == 200
            authority.write_text("no certificate")
            response = await client.post("/-/reload")
        assert response.status_code == 500
        assert "api.tls_config" in response.text

    async def test_counts_of_incomplete_records_go_on_after_a_reload(self, file, gate, clock):
        """What was counted for a query stays counted where a reload lets it ask something else."""
        body = statistics(record(userUuid=None), record(userUuid=None, latency_ms=None), record())
        gate.simulator.misbehave(Fault(body=body), Fault(body=body))
        lacking = partial(value, name="flashback_exporter_incomplete_records_total", query="few")
        async with self.running(file, clock) as (_, client):
            await polled(client)
            before = (await client.get("/metrics")).text
            file.write(FEW_GROUPS | {"filters": {"llm_type": ["openai"]}})
            assert (await client.post("/-/reload")).status_code == 200
            at_once = (await client.get("/metrics")).text
            await until(
                client, "/metrics", lambda response: lacking(response.text, field="userUuid") == 4
            )
        assert lacking(before, field="userUuid") == lacking(at_once, field="userUuid") == 2
        assert lacking(before, field="latency_ms") == 1
        assert lacking(before, field="host") == 0

    async def test_a_good_configuration_takes_over(self, file, clock):
        """A new query is polled at once, one gone leaves nothing, one as before keeps its data."""
        file.write(FEW_GROUPS, {"name": "leaves"})
        async with self.running(file, clock) as (_, client):
            await polled(client)
            before = (await client.get("/metrics")).text
            file.write(FEW_GROUPS, {"name": "comes", "labels": []})
            clock.wall += 2
            response = await client.post("/-/reload")
            at_once = (await client.get("/metrics")).text
            await polled(client)
            after = (await client.get("/metrics")).text
        assert response.status_code == 200
        assert 'query="leaves"' in before
        assert 'query="leaves"' not in at_once
        for text in (at_once, after):
            assert [
                line
                for line in text.splitlines()
                if line.startswith(PREFIX) and 'query="few"' in line
            ] == [
                line
                for line in before.splitlines()
                if line.startswith(PREFIX) and 'query="few"' in line
            ]
            assert value(text, "flashback_exporter_polls_total", query="few") == 1
        assert value(after, "flashback_up", query="comes") == 1
        assert (
            value(after, "flashback_exporter_config_last_reload_success_timestamp_seconds")
            == clock.time()
        )

    async def test_a_bad_configuration_changes_nothing(self, file, clock):
        """A bad file answers 500 with every reason, the metric says so, data stay;
        a good one mends it.
        """
        async with self.running(file, clock) as (_, client):
            await polled(client)
            before = (await client.get("/metrics")).text
            file.path.write_text(file.path.read_text() + "nonsense: true\npoll: {days: 99}\n")
            clock.wall += 5
            bad = await client.post("/-/reload")
            meanwhile = (await client.get("/metrics")).text
            file.write(FEW_GROUPS)
            good = await client.post("/-/reload")
            after = (await client.get("/metrics")).text
        assert bad.status_code == 500
        assert "nonsense" in bad.text
        assert "poll.days" in bad.text
        assert PASSWORD not in bad.text
        successful = "flashback_exporter_config_last_reload_successful"
        when = "flashback_exporter_config_last_reload_success_timestamp_seconds"
        assert [value(text, successful) for text in (before, meanwhile, after)] == [1, 0, 1]
        assert value(meanwhile, when) == value(before, when) == value(after, when) - 5
        assert (
            ai_samples(parse_text(meanwhile))
            == ai_samples(parse_text(before))
            == ai_samples(parse_text(after))
        )
        assert good.status_code == 200

    async def test_a_file_that_is_gone(self, file, clock):
        """A configuration file that cannot be read is a reload that failed like any other."""
        async with self.running(file, clock) as (_, client):
            file.path.unlink()
            response = await client.post("/-/reload")
        assert response.status_code == 500
        assert "No such file" in response.text

    async def test_a_certificate_that_cannot_be_used(self, file, clock, tmp_path):
        """Files that the configuration names are tried as well before anything changes."""
        async with self.running(file, clock) as (exporter, client):
            await polled(client)
            (tmp_path / "ca.pem").write_text("not a certificate")
            file.write({"name": "another"}, api={"tls_config": {"ca_file": "ca.pem"}})
            response = await client.post("/-/reload")
        assert response.status_code == 500
        assert "tls_config" in response.text
        assert list(exporter.status().states) == ["few"]

    async def test_a_hundred_reloads_at_once(self, file, clock, gate):
        """Reloads that come together are all carried out;
        an unchanged query is neither polled again nor emptied.
        """
        async with self.running(file, clock) as (_, client):
            await polled(client)
            responses = await asyncio.gather(*[client.post("/-/reload") for _ in range(100)])
            text = (await client.get("/metrics")).text
        assert {response.status_code for response in responses} == {200}
        assert value(text, "flashback_exporter_polls_total", query="few") == 1
        assert len(ai_samples(parse_text(text))) > 100
        assert gate.arrivals.qsize() == 1

    async def test_a_poll_under_way_ends_as_it_began(self, file, clock, gate):
        """A poll that a reload overtakes finishes with its old question, unshown;
        a poll with the new one follows.
        """
        gate.close()
        async with self.running(file, clock) as (_, client):
            old = await gate.arrival()
            file.write(FEW_GROUPS | {"filters": {"llm_type": ["openai"]}})
            reload = await client.post("/-/reload")
            gate.let_one_pass()
            new = await gate.arrival()
            between = (await client.get("/metrics")).text
            gate.open()
            after = await until(client, "/metrics", lambda response: PREFIX in response.text)
        assert reload.status_code == 200
        assert "llmType" not in old
        assert new["llmType"] == "OPENAI"
        assert PREFIX not in between
        assert 'llm_type="openai"' in after.text
        assert 'llm_type="anthropic"' not in after.text
        assert gate.most_inside == 1

    async def test_a_changed_api_section_waits_for_the_poll_under_way(self, file, clock, gate):
        """The poll under way keeps its connection, the next one uses another with the same tokens,
        none is left.
        """
        gate.close()
        async with self.running(file, clock) as (_, client):
            await gate.arrival()
            file.write(FEW_GROUPS, api={"timeout": "29s"})
            reload = await client.post("/-/reload")
            gate.let_one_pass()
            await gate.arrival()
            gate.open()
            text = (
                await until(
                    client,
                    "/metrics",
                    lambda response: (
                        value(response.text, "flashback_exporter_polls_total", query="few") == 2
                    ),
                )
            ).text
            await clock.asleep(2)
            clock.move(1)
            await until(client, "/-/healthy", lambda _: not gate.server.server_state.connections)
        assert reload.status_code == 200
        failures = own_samples(text)["flashback_exporter_poll_failures_total"]
        assert not any(count for _, count in failures)
        assert (
            value(text, "flashback_exporter_api_requests_total", endpoint="/user/login", code="200")
            == 1
        )

    async def test_a_stop_right_after_a_reload_leaves_no_connection(self, file, clock, gate):
        """Connections of the configuration before are closed as well when the
        exporter ends soon after a reload.
        """
        gate.close()
        async with self.running(file, clock) as (exporter, client):
            await gate.arrival()
            file.write(FEW_GROUPS, api={"timeout": "29s"})
            await client.post("/-/reload")
            gate.let_one_pass()
            await gate.arrival()
            await clock.asleep(2)
            await exporter.stop()
            gate.open()
            async with asyncio.timeout(5):
                await until(client, "/metrics", lambda _: not gate.server.server_state.connections)

    async def test_a_changed_query_waits_and_does_not_fail(self, file, clock, gate):
        """Between a reload that changes a query and its next poll the page says that it waits,
        not that it fails.
        """
        async with self.running(file, clock) as (_, client):
            await polled(client)
            gate.close()
            file.write(FEW_GROUPS | {"labels": ["llm_model"]})
            await client.post("/-/reload")
            page = (await client.get("/")).text
            gate.open()
        assert "waiting" in page
        assert "failing" not in re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL)


class TestPaths:
    async def test_what_is_served_and_what_is_not(self, idle):
        """404 where there is nothing, 405 with the allowed methods where the method is wrong."""
        wanted = {
            ("GET", "/"): 200,
            ("HEAD", "/"): 200,
            ("HEAD", "/-/healthy"): 200,
            ("HEAD", "/-/ready"): 200,
            ("GET", "/metrics?name[]=up"): 200,
            ("GET", "/metrics/"): 404,
            ("GET", "/nothing"): 404,
            ("GET", "/-/"): 404,
            ("GET", "/../etc/passwd"): 404,
            ("POST", "/metrics"): 405,
            ("DELETE", "/"): 405,
            ("PUT", "/-/healthy"): 405,
            ("POST", "/-/ready"): 405,
            ("GET", "/-/reload"): 405,
            ("OPTIONS", "/metrics"): 405,
        }
        found = {}
        for method, path in wanted:
            response = await idle.request(method, path)
            found[method, path] = response.status_code
            assert ("allow" in response.headers) == (response.status_code == 405)
        assert found == wanted

    async def test_another_telemetry_path(self, clock, gate):
        """--web.telemetry-path moves the metrics, and the page's link with them."""
        async with running(gate.config(queries=[FEW_GROUPS]), clock, telemetry_path="/a/b") as (
            _,
            client,
        ):
            moved = await client.get("/a/b")
            gone = await client.get("/metrics")
            page = await client.get("/")
        assert moved.headers["content-type"] == TEXT.media_type
        assert gone.status_code == 404
        assert 'href="/a/b"' in page.text

    async def test_one_connection_serves_one_request_after_another(self, idle):
        """A connection is kept for the next scrape."""
        async with httpx.AsyncClient(
            base_url=idle.base_url, limits=httpx.Limits(max_connections=1)
        ) as client:
            streams = set()
            for path in ("/metrics", "/", "/nothing", "/metrics"):
                response = await client.get(path)
                streams.add(response.extensions["network_stream"].get_extra_info("client_addr"))
        assert len(streams) == 1
