"""The shipped Alertmanager configuration: who hears what, what silences what, how messages read."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from programs import PATIENCE, alertmanager, tool

FOLDER = Path(__file__).parents[2] / "config"
CONFIG = FOLDER / "alertmanager" / "alertmanager.yml"
RULES = FOLDER / "prometheus" / "flashback.rules.yml"
MESSAGES = Path(__file__).parent / "messages"

TARGET = {"job": "flashback-exporter", "instance": "localhost:9877"}
QUERY = {**TARGET, "query": "default"}
GROUP = {
    **QUERY,
    "repo_id": "checkout-8d1f3a",
    "repo_ai_api_key_id": "checkout-batch-0b7c21",
    "llm_type": "openai",
    "llm_model": "gpt-4o",
}


def amtool(*arguments):
    """Return what amtool prints."""
    done = subprocess.run(
        [tool("amtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commands(program):
    """Return the commands for a program that the configuration's head names, as lists of words."""
    lines = re.findall(rf"^#   ({program} (?:[^\\\n]|\\\n#)*)$", CONFIG.read_text(), re.MULTILINE)
    return [shlex.split(line.replace("\\\n#", "")) for line in lines]


@pytest.fixture
def copied(tmp_path):
    """Return a copy of the configuration that can send nothing: its webhooks' folder is missing."""
    copy = tmp_path / CONFIG.name
    text = CONFIG.read_text()
    copy.write_text(text.replace("- templates/", f"- {CONFIG.parent}/templates/"))
    (command,) = commands("sed")
    *command, file = (word.replace("/where/they/are", f"{tmp_path}/none") for word in command)
    assert file == CONFIG.name
    subprocess.run([*command, copy], check=True, timeout=PATIENCE)
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert [line for line in copy.read_text().splitlines() if line.startswith("#")] == comments
    receivers = yaml.safe_load(copy.read_text())["receivers"]
    assert len(receivers) == 5
    for receiver in receivers:
        (message,) = receiver["slack_configs"]
        assert message["api_url_file"] == f"{tmp_path}/none/{receiver['name']}"
    return copy


def alerts_of_the_rules():
    """Return name and labels of every alert in the rules."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {
        rule["alert"]: rule["labels"]
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    }


def test_it_is_valid():
    """`amtool check-config` finds the routes, the inhibitions, five receivers and the template."""
    assert re.search(
        r"SUCCESS\nFound:\n - global config\n - route\n - \d inhibit rules\n"
        r" - 5 receivers\n - 1 templates\n",
        amtool("check-config", CONFIG),
    )


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (
            {"alertname": "FlashbackPolicyViolation", "area": "policy", "severity": "warning"},
            "flashback-policy",
        ),
        (
            {"alertname": "FlashbackRequestsBlocked", "area": "policy", "severity": "warning"},
            "flashback-policy",
        ),
        (
            {"alertname": "FlashbackViolationsConcentrated", "area": "policy", "severity": "info"},
            "flashback-policy",
        ),
        (
            {
                "alertname": "FlashbackHighSeverityViolation",
                "area": "policy",
                "severity": "critical",
            },
            "flashback-policy-high",
        ),
        (
            {"alertname": "FlashbackLatencyHigh", "area": "usage", "severity": "warning"},
            "flashback-usage",
        ),
        (
            {"alertname": "FlashbackTrafficStopped", "area": "usage", "severity": "critical"},
            "flashback-usage",
        ),
        (
            {"alertname": "FlashbackExporterDown", "area": "exporter", "severity": "critical"},
            "flashback-exporter",
        ),
        (
            {"alertname": "FlashbackTokenExpiring", "area": "exporter", "severity": "warning"},
            "flashback-exporter",
        ),
        (
            {"alertname": "FlashbackGroupsFolded", "area": "exporter", "severity": "info"},
            "flashback-exporter",
        ),
        ({"alertname": "FlashbackOfYourOwn", "severity": "warning"}, "default"),
        ({"alertname": "FlashbackOfYourOwn", "area": "elsewhere"}, "default"),
        ({"alertname": "DiskFull", "severity": "critical"}, "default"),
        ({"alertname": "NotOurs", "area": "policy", "severity": "critical"}, "default"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()),
)
def test_who_hears_of_it(labels, receiver):
    """Every area has its receiver, high severity one of its own; the default one gets the rest."""
    given = [f"{name}={value}" for name, value in labels.items()]
    assert amtool("config", "routes", "test", f"--config.file={CONFIG}", *given) == f"{receiver}\n"


def test_every_alert_of_the_rules_has_a_receiver():
    """No alert of the shipped rules ends at the default receiver; each goes to that of its area."""
    alerts = alerts_of_the_rules()
    assert alerts
    for name, labels in alerts.items():
        high = labels["area"] == "policy" and labels["severity"] == "critical"
        given = (f"alertname={name}", *(f"{key}={value}" for key, value in labels.items()))
        receiver = amtool("config", "routes", "test", f"--config.file={CONFIG}", *given)
        assert receiver == f"flashback-{labels['area']}{'-high' if high else ''}\n", name


def test_high_severity_does_not_wait():
    """High-severity alerts are sent at once, other policy alerts wait for them;
    both are one message per repository.
    """
    everything = yaml.safe_load(CONFIG.read_text())["route"]["routes"][0]["routes"]
    routes = {route["receiver"]: route for route in everything}
    assert routes["flashback-policy-high"]["group_wait"] == "0s"
    assert routes["flashback-policy"]["group_wait"] == "30s"
    for name in ("flashback-policy-high", "flashback-policy"):
        assert routes[name]["group_by"] == ["job", "query", "repo_id"]


def test_info_about_the_exporter_is_said_once_a_day(tmp_path):
    """Of the exporter's alerts those of severity info have a route of their own,
    and only the interval differs.
    """
    routes = yaml.safe_load(CONFIG.read_text())["route"]["routes"][0]["routes"]
    (route,) = [route for route in routes if route["receiver"] == "flashback-exporter"]
    assert route["repeat_interval"] == "4h"
    assert route["routes"] == [{"matchers": ['severity="info"'], "repeat_interval": "1d"}]
    # amtool says which receiver, not which route: here the inner one has a receiver of its own
    copy = tmp_path / CONFIG.name
    text, found = re.subn(
        r'(?m)^( +)- matchers: \[severity="info"\]$',
        r"\g<0>\n\1  receiver: default",
        CONFIG.read_text(),
    )
    assert found == 1
    copy.write_text(text)
    for severity, receiver in (("info", "default"), ("warning", "flashback-exporter")):
        given = ("alertname=FlashbackGroupsFolded", "area=exporter", f"severity={severity}")
        assert (
            amtool("config", "routes", "test", f"--config.file={copy}", *given) == f"{receiver}\n"
        )


def test_inhibitions_name_alerts_that_exist():
    """Every alert that an inhibition names is in the rules."""
    inhibitions = yaml.safe_load(CONFIG.read_text())["inhibit_rules"]
    matchers = [
        text
        for rule in inhibitions
        for side in ("source_matchers", "target_matchers")
        for text in rule[side]
    ]
    named = {name for text in matchers for name in re.findall(r'alertname!?="(\w+)"', text)}
    assert named <= alerts_of_the_rules().keys()


def alert(alertname, labels, **more):
    """Return an alert that has the labels which the rules give it."""
    return {
        "labels": {"alertname": alertname, **labels, **alerts_of_the_rules()[alertname], **more}
    }


def name(alert):
    """Return what tells an alert from the others: its labels."""
    return json.dumps(alert["labels"], sort_keys=True)


def other(labels, **more):
    """Return the labels with some of them changed, or left out where None."""
    return {label: value for label, value in {**labels, **more}.items() if value is not None}


@pytest.mark.parametrize(
    ("source", "silenced", "heard"),
    [
        pytest.param(
            alert("FlashbackHighSeverityViolation", GROUP),
            [alert("FlashbackPolicyViolation", GROUP)],
            [
                alert("FlashbackRequestsBlocked", GROUP),
                *(
                    alert("FlashbackPolicyViolation", other(GROUP, **{label: another}))
                    for label in GROUP
                    for another in ("another", None)
                ),
            ],
            id="high-severity",
        ),
        pytest.param(
            alert("FlashbackHighSeverityViolation", QUERY),
            [alert("FlashbackPolicyViolation", QUERY)],
            [alert("FlashbackPolicyViolation", GROUP)],
            id="high-severity-of-a-query-without-labels",
        ),
        pytest.param(
            alert("FlashbackExporterDown", TARGET),
            [
                alert("FlashbackDataStale", QUERY),
                alert("FlashbackPollsFailing", QUERY, reason="network"),
                alert("FlashbackSignInFailing", QUERY, reason="auth"),
                alert("FlashbackTrafficStopped", QUERY),
            ],
            [
                alert("FlashbackPolicyViolation", GROUP),
                alert("FlashbackHighSeverityViolation", other(GROUP, llm_model="another")),
                alert("FlashbackDataStale", other(QUERY, instance="another")),
                alert("FlashbackPollsFailing", other(QUERY, job="another"), reason="network"),
                alert("FlashbackExporterDown", other(TARGET, instance="a third")),
                {"labels": {"alertname": "DiskFull", **TARGET}},
            ],
            id="exporter-down",
        ),
        pytest.param(
            alert("FlashbackExporterAbsent", {}),
            [alert("FlashbackDataStale", QUERY), alert("FlashbackTrafficStopped", QUERY)],
            [
                alert("FlashbackPolicyViolation", GROUP),
                {"labels": {"alertname": "DiskFull", **TARGET}},
            ],
            id="exporter-absent",
        ),
        pytest.param(
            alert("FlashbackDataStale", QUERY),
            [alert("FlashbackPollsFailing", QUERY, reason="timeout")],
            [
                alert("FlashbackPollsFailing", other(QUERY, query="users"), reason="timeout"),
                alert("FlashbackRecordsRejected", QUERY, reason="negative"),
            ],
            id="data-stale",
        ),
        pytest.param(
            alert("FlashbackPollsFailing", QUERY, reason="network"),
            [alert("FlashbackTokenExpiring", TARGET)],
            [
                alert("FlashbackReloadFailed", TARGET),
                alert("FlashbackTokenExpiring", other(TARGET, job="another")),
            ],
            id="polls-failing",
        ),
        pytest.param(
            alert("FlashbackSignInFailing", QUERY, reason="auth"),
            [alert("FlashbackTokenExpiring", TARGET)],
            [
                alert("FlashbackDataStale", QUERY),
                alert("FlashbackTokenExpiring", other(TARGET, instance="another")),
                alert("FlashbackReloadFailed", TARGET),
            ],
            id="sign-in-failing",
        ),
    ],
)
def test_what_silences_what(tmp_path, copied, source, silenced, heard):
    """A running Alertmanager silences what follows from an alert that it knows,
    and nothing beside that.
    """
    with alertmanager(tmp_path, copied) as running:
        running.send(source, *silenced, *heard)
        expected = {name(one): "suppressed" for one in silenced} | {
            name(one): "active" for one in [source, *heard]
        }

        def states():
            found = {name(one): one["status"]["state"] for one in running.api("alerts")}
            ready = found.keys() >= expected.keys() and all(
                found[name(one)] == "suppressed" for one in silenced
            )
            return found if ready else None

        assert running.eventually(states) == expected


def test_it_runs_before_there_is_a_webhook(tmp_path, copied):
    """Without the files of URLs Alertmanager runs, and its log says which file it looks for."""
    with alertmanager(tmp_path, copied) as running:
        running.send(alert("FlashbackHighSeverityViolation", GROUP))
        running.program.line(
            f"open {tmp_path}/none/flashback-policy-high: no such file or directory"
        )


def test_a_build_without_its_own_templates_is_skipped(tmp_path, monkeypatch):
    """A build that looks for its default templates elsewhere and finds none is no failure."""
    program = tmp_path / "alertmanager"
    program.write_text(
        '#!/bin/sh\necho "open /usr/share/of/its/own/default.tmpl: '
        'no such file or directory" >&2\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    needed = r"needs /usr/share/of/its/own/default\.tmpl"
    with pytest.raises(pytest.skip.Exception, match=needed), alertmanager(tmp_path, CONFIG):
        pass


def test_a_receiver_can_be_tried(tmp_path, copied):
    """The command at the head of the configuration sends an alert to the receiver that it names."""
    (command,) = (words for words in commands("amtool") if words[1:3] == ["alert", "add"])
    assert command[-1] == "--alertmanager.url=http://localhost:9093"
    copied.write_text(copied.read_text().replace("group_wait: 30s", "group_wait: 0s"))
    with alertmanager(tmp_path, copied) as running:
        amtool(*command[1:-1], f"--alertmanager.url={running.url}")
        running.program.line(f"open {tmp_path}/none/flashback-exporter: no such file or directory")


def rendered(data, tmp_path):
    """Return title, address, colour, text and fallback of a message as Alertmanager sends it."""
    (tmp_path / "data.json").write_text(json.dumps(data))
    message = yaml.safe_load(CONFIG.read_text())["receivers"][0]["slack_configs"][0]
    return [
        amtool(
            "template",
            "render",
            f"--template.glob={CONFIG.parent}/templates/*.tmpl",
            f"--template.data={tmp_path}/data.json",
            f"--template.text={message[part]}",
        )
        for part in ("title", "title_link", "color", "text", "fallback")
    ]


@pytest.mark.parametrize("case", sorted(MESSAGES.glob("*.json")), ids=lambda path: path.stem)
def test_messages(case, tmp_path):
    """Each recorded alert becomes exactly the message beside it: title, address, colour, text."""
    title, address, color, text, fallback = rendered(json.loads(case.read_text()), tmp_path)
    assert f"{title}\n{address}\n{color}\n\n{text}" == case.with_suffix(".txt").read_text()
    assert fallback == title


def test_all_receivers_send_the_same_message():
    """The receivers differ in the file with the URL alone, which is named after them."""
    for receiver in yaml.safe_load(CONFIG.read_text())["receivers"]:
        (message,) = receiver["slack_configs"]
        assert message.pop("api_url_file") == f"/etc/alertmanager/webhooks/{receiver['name']}"
        assert message["send_resolved"] is True
        assert {value for name, value in message.items() if name != "send_resolved"} == {
            f'{{{{ template "flashback.{part}" . }}}}'
            for part in ("color", "title", "link", "text")
        }


def test_many_alerts_are_cut(tmp_path):
    """Of thirty alerts that fire and eight that are resolved, ten and five are listed,
    and the others counted.
    """
    one = json.loads((MESSAGES / "several.json").read_text())
    firing, resolved = (
        next(alert for alert in one["alerts"] if alert["status"] == status)
        for status in ("firing", "resolved")
    )
    title, _, _, text, _ = rendered({**one, "alerts": [firing] * 30 + [resolved] * 8}, tmp_path)
    assert title.startswith("30 FIRING, 8 RESOLVED: ")
    lines = text.splitlines()
    assert len(lines) == 10 + 1 + 5 + 1
    assert lines[10].startswith("… and more that fire: <http")
    assert lines[10].endswith("|all 30>")
    assert lines[16] == "… and more that are resolved: 8 in all"
    assert len(text) < 16_000  # chats cut or refuse what is much longer
