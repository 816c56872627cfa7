"""From the API to the chat: simulator, exporter, Prometheus, Alertmanager, and a chat that listens.

Rules, template, routes, inhibitions and receivers are the shipped ones. So that nobody waits for
minutes, copies of the files differ in this and in nothing else: Prometheus scrapes and evaluates
every second, alerts that wait (`for:`) wait a second, Alertmanager's groups wait a second, and
addresses are those of the test.
"""

import asyncio
import json
import re
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import programs
import pytest
import yaml
from material import raw_record
from programs import PATIENCE, get, process

from exporter.clock import SystemClock, midnight, utc_day
from exporter.demo.organisation import Organisation
from exporter.demo.simulator import EMAIL, PASSWORD, Simulator
from exporter.web.server import addresses, bind, serving

CONFIG = Path(__file__).parents[2] / "config"
LINKS = "<Runbook> · <Dashboard> · <Silence>\n"


class Ledger:
    """Stands in for the simulator's company: two of its repositories with the same calls every day,
    and what is entered.
    """

    def __init__(self):
        self.organisation = Organisation(seed=1)
        self._repositories = {
            repository.name: repository
            for repository in self.organisation.repositories
            if repository.name in ("checkout", "search")
        }
        self._entered = {}

    def violations(self, repository, severity, number):
        """Enter violations of today."""
        today = utc_day(time.time())
        self._entered[repository, today] = {
            "policyViolations": number,
            f"numSeverity{severity}": number,
        }

    def usage(self, day, now):
        """Return nothing that credits or policies would tell of."""
        return ()

    def records(self, day, now):
        """Yield the records of a day, as a company does."""
        for name, repository in self._repositories.items():
            dimensions = {
                "repoId": repository.id,
                "repoAiApiKeyId": repository.keys[0].id,
                "llmType": "openai",
                "llmModel": "gpt-4o",
            }
            yield raw_record(
                timestamp=midnight(day),
                apiCalls=10_000,
                **dimensions,
                **self._entered.get((name, day), {}),
            )


class Api:
    """A simulator in a thread of its own."""

    def __init__(self, company):
        sockets = bind(("127.0.0.1", 0))
        self.url = f"http://{addresses(sockets)[0]}"
        self._server = serving(Simulator(company, SystemClock()).app)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve(sockets=sockets))
        )
        self._thread.start()

    def stop(self):
        """Stop answering; from now on connections are refused."""
        self._server.should_exit = True
        self._thread.join()


class Chat(ThreadingHTTPServer):
    """Takes messages as Slack's webhooks do; each receiver posts to a path of its own."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Post)
        self.messages = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def take(self, path, message):
        """Keep a message."""
        with self._news:
            self.messages.append((path.removeprefix("/"), message))
            self._news.notify_all()

    def wait_for(self, number):
        """Wait until so many messages have come."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.messages) >= number, PATIENCE), (
                self.messages
            )

    def stop(self):
        """Stop listening."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Post(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.take(
            self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@contextmanager
def stopping(service):
    """Hand out a service and stop it in the end."""
    try:
        yield service
    finally:
        service.stop()


@contextmanager
def exporter(folder, api_url):
    """Run the exporter against an API, polling every two seconds; hand out its address."""
    config = {
        "api": {"base_url": api_url, "login": {"email": EMAIL, "password": PASSWORD}},
        "poll": {"interval": "2s"},
    }
    (folder / "exporter.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, "-m", "exporter", f"--config.file={folder}/exporter.yml"]
    with process(
        *command, "--web.listen-address=127.0.0.1:0", ready=r"msg=serving .*(127\.0\.0\.1:\d+)"
    ) as (
        run,
        match,
    ):
        run.eventually(lambda: get(f"http://{match[1]}/-/ready"))
        yield match[1]


def copied(source, target, *changes):
    """Copy a shipped file with some patterns replaced, each of which must be there."""
    text = source.read_text()
    for pattern, replacement in changes:
        text, number = re.subn(pattern, replacement, text)
        assert number, f"{source} has no {pattern}"
    target.write_text(text)


def prometheus_config(folder, address, *alertmanagers):
    """Return the shipped prometheus.yml for an exporter at this address and every second,
    with the rules beside it.
    """
    source = CONFIG / "prometheus"
    copied(
        source / "flashback.rules.yml",
        folder / "flashback.rules.yml",
        (r"\bfor: (?!20m)\w+", "for: 1s"),  # the rules themselves take a moment to begin
        (r"\binterval: \w+", "interval: 1s"),
    )
    copied(source / "messages.rules.yml", folder / "messages.rules.yml")
    config = yaml.safe_load((source / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (exporters,) = config["scrape_configs"][0]["static_configs"]
    exporters |= {"targets": [address], "labels": {"instance": exporters["targets"][0]}}
    del config["scrape_configs"][1:]
    config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": alertmanagers}]
    return json.dumps(config)  # JSON is YAML


@dataclass
class Stack:
    """All of it, running."""

    ledger: Ledger
    api: Api
    prometheus: programs.Prometheus
    alertmanager: programs.Alertmanager
    chat: Chat

    def go_on(self):
        """Wait until rules were evaluated, and Alertmanager looked at its groups, a few times."""
        enough = [
            grown(self.prometheus, "prometheus_rule_group_iterations_total", 12),
            grown(self.alertmanager, "alertmanager_nflog_queries_total", 8),
        ]
        self.prometheus.eventually(lambda: all(counter() for counter in enough) or None)

    def receivers(self):
        """Return which receivers have got messages, each as often as it has."""
        return sorted(receiver for receiver, _ in self.chat.messages)


def grown(program, counter, much):
    """Return a function that says whether a counter of a program has grown so much since."""

    def count():
        found = re.findall(
            rf"^{counter}(?:{{.*}})? (\S+)$", get(f"{program.url}/metrics").decode(), re.MULTILINE
        )
        return sum(map(float, found))

    wanted = count() + much
    return lambda: count() >= wanted


@pytest.fixture
def stack(tmp_path):
    """Start everything in its order."""
    webhooks = tmp_path / "webhooks"
    webhooks.mkdir()
    ledger = Ledger()
    with (
        stopping(Api(ledger)) as api,
        exporter(tmp_path, api.url) as address,
        stopping(Chat()) as chat,
    ):
        for receiver in yaml.safe_load((CONFIG / "alertmanager" / "alertmanager.yml").read_text())[
            "receivers"
        ]:
            (webhooks / receiver["name"]).write_text(
                f"http://127.0.0.1:{chat.server_port}/{receiver['name']}\n"
            )
        copied(
            CONFIG / "alertmanager" / "alertmanager.yml",
            tmp_path / "alertmanager.yml",
            (r"api_url_file: /etc/alertmanager/webhooks", f"api_url_file: {webhooks}"),
            (r"templates/(?=flashback)", f"{CONFIG}/alertmanager/templates/"),
            (r"group_wait: [1-9]\w+", "group_wait: 1s"),
            (r"group_interval: \w+", "group_interval: 1s"),
        )
        with (
            programs.alertmanager(tmp_path, tmp_path / "alertmanager.yml") as alertmanager,
            programs.prometheus(
                tmp_path,
                prometheus_config(tmp_path, address, alertmanager.url.removeprefix("http://")),
            ) as prometheus,
        ):
            yield Stack(ledger, api, prometheus, alertmanager, chat)


def read(message):
    """Return title, colour and text of a message as a reader sees them, with links as <text>."""
    (attachment,) = message["attachments"]
    return (
        attachment["title"],
        attachment.get("color"),
        re.sub(r"<http[^|>]*\|(\w+)>", r"<\1>", attachment["text"]),
    )


def without_numbers(told):
    """Return what a message says with a # for each number: over a few seconds it is not exact.
    IDs become #, too.
    """
    return tuple(re.sub(r"(: |about )\d+|\b[0-9a-f-]{36}\b", r"\1#", part) for part in told)


def test_from_the_api_to_the_chat(stack):
    """Violations arrive at their receivers, rendered, once, the gravest alone;
    a stopped API brings a health alert and no policy alert.
    """
    recorded = "repo_key:flashback_ai_policy_violations:increase1h"
    stack.prometheus.eventually(lambda: stack.prometheus.query(f"count({recorded} == 0) == 2"))
    assert stack.prometheus.query('ALERTS{alertstate="firing"}') is None

    stack.ledger.violations("checkout", "Low", 12)
    stack.ledger.violations("search", "High", 30)
    stack.chat.wait_for(2)
    stack.go_on()
    assert stack.receivers() == ["flashback-policy", "flashback-policy-high"], stack.chat.messages
    messages = dict(stack.chat.messages)
    assert without_numbers(read(messages["flashback-policy"])) == (
        "WARNING: Policy violations in checkout, key production: #",
        "warning",
        (
            "Policy violations in the last hour: about #; query default, repository checkout (#), "
            f"key production (#). {LINKS}"
        ),
    )
    assert without_numbers(read(messages["flashback-policy-high"])) == (
        "CRITICAL: Policy violations of high severity in search, key production: #",
        "danger",
        (
            "Policy violations of high severity in the last hour: about #, in all: #; query "
            f"default, repository search (#), key production (#). {LINKS}"
        ),
    )
    alerts = {
        one["labels"]["alertname"]: one["status"]["state"]
        for one in stack.alertmanager.api("alerts")
    }
    assert alerts == {
        "FlashbackViolationBurst": "active",
        "FlashbackHighSeverityViolation": "active",
    }

    stack.api.stop()
    stack.chat.wait_for(3)
    stack.go_on()
    expected = ["flashback-exporter", "flashback-policy", "flashback-policy-high"]
    assert stack.receivers() == expected, stack.chat.messages
    title, color, text = read(dict(stack.chat.messages)["flashback-exporter"])
    assert (title, color) == ("WARNING: Polls fail (job flashback-exporter)", "warning")
    assert text == (
        "Polls fail (job flashback-exporter), with their reasons of the last day: default "
        f"(network). The last good data is still served until it is too old. {LINKS}"
    )
