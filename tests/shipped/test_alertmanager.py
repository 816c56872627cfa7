"""The shipped Alertmanager configuration: who hears what, what silences what, how messages read."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from programs import PATIENCE, alertmanager, get, tool

FOLDER = Path(__file__).parents[2] / "config"
CONFIG = FOLDER / "alertmanager" / "alertmanager.yml"
RULES = sorted((FOLDER / "prometheus").glob("*.rules.yml"))
MESSAGES = Path(__file__).parent / "messages"

ACCOUNT = {"job": "flashback-exporter", "namespace": "monitoring", "cluster": "eu", "account": "a"}
TARGET = {**ACCOUNT, "instance": "localhost:9877"}
QUERY = {**ACCOUNT, "query": "default"}
REPOSITORY = {**QUERY, "repo_id": "checkout-8d1f3a"}
PLACE = {**REPOSITORY, "repo_ai_api_key_id": "checkout-batch-0b7c21"}
WEBHOOKS = "/etc/alertmanager/webhooks"


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
    text = text.replace("- templates/", f"- {CONFIG.parent}/templates/")
    copy.write_text(text.replace(f"api_url_file: {WEBHOOKS}", f"api_url_file: {tmp_path}/none"))
    return copy


def alerts_of_the_rules():
    """Return name and labels of every alert in the rules."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {
        rule["alert"]: rule["labels"]
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    }


def test_it_is_valid():
    """`amtool check-config` finds the routes, the inhibitions, five receivers and the template."""
    assert re.search(
        r"SUCCESS\nFound:\n - global config\n - route\n - \d+ inhibit rules\n"
        r" - 5 receivers\n - 1 templates\n",
        amtool("check-config", CONFIG),
    )


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (
            {"alertname": "FlashbackViolationBurst", "area": "policy", "severity": "warning"},
            "flashback-policy",
        ),
        (
            {"alertname": "FlashbackRequestsBlocked", "area": "policy", "severity": "warning"},
            "flashback-policy",
        ),
        (
            {"alertname": "FlashbackPolicyViolation", "area": "policy", "severity": "info"},
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


def routes():
    """Return the routes of the shipped rules' alerts, each with what it inherits."""
    every = []

    def collect(route, inherited):
        own = {name: value for name, value in route.items() if name != "routes"}
        every.append({**inherited, **own})
        for child in route.get("routes", ()):
            collect(child, {**inherited, **own})

    collect(yaml.safe_load(CONFIG.read_text())["route"], {})
    return every


def route(*matchers):
    """Return the one route with these matchers."""
    (found,) = [one for one in routes() if one.get("matchers") == list(matchers)]
    return found


def seconds(duration):
    """Return how many seconds a duration of one unit has."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[duration[-1]]


def test_high_severity_does_not_wait():
    """High-severity alerts are sent at once, and lesser ones wait longer for them."""
    high = seconds(route('area="policy"', 'severity="critical"')["group_wait"])
    assert high <= 5
    for lesser in (route('area="policy"'), route('area="policy"', 'severity="info"')):
        assert seconds(lesser["group_wait"]) >= 60
        assert lesser["receiver"] == "flashback-policy"


def test_no_single_violation_is_lost_between_two_messages():
    """An alert that joins a group right after its message still fires at the next one."""
    keep = {
        rule["alert"]: rule.get("keep_firing_for", "0s")
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    for name, labels in alerts_of_the_rules().items():
        if labels["area"] == "policy" and labels["severity"] == "info":
            interval = route('area="policy"', 'severity="info"')["group_interval"]
            assert seconds(keep[name]) >= seconds(interval)


def test_overlapping_queries_make_one_message():
    """What two queries report of one repository comes in one message."""
    for one in routes():
        assert "query" not in one["group_by"]


def test_nothing_is_resolved_that_was_not_told():
    """Only alerts on the exporter are resolved, and each of them is a group of its own."""
    receivers = yaml.safe_load(CONFIG.read_text())["receivers"]
    resolving = {
        receiver["name"] for receiver in receivers if receiver["slack_configs"][0]["send_resolved"]
    }
    assert resolving == {"default", "flashback-exporter"}
    for one in routes():
        if one["receiver"] == "flashback-exporter":
            assert one["group_by"] == ["..."]


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
            alert("FlashbackHighSeverityViolation", PLACE),
            [
                alert("FlashbackPolicyViolation", PLACE),
                alert("FlashbackViolationBurst", PLACE),
                alert("FlashbackRequestsBlocked", PLACE),
                alert("FlashbackPolicyViolation", other(PLACE, query="overlapping")),
                alert("FlashbackViolationRatioHigh", REPOSITORY),
            ],
            [
                alert("FlashbackHighSeverityViolation", other(PLACE, repo_ai_api_key_id="b")),
                alert("FlashbackKeyTokensAboveUsual", PLACE),
                *(
                    alert("FlashbackPolicyViolation", other(PLACE, **{label: another}))
                    for label in PLACE.keys() - {"query"}
                    for another in ("another", None)
                ),
            ],
            id="high-severity",
        ),
        pytest.param(
            alert("FlashbackViolationBurst", PLACE),
            [
                alert("FlashbackPolicyViolation", PLACE),
                alert("FlashbackRequestsBlocked", PLACE),
                alert("FlashbackViolationRatioHigh", REPOSITORY),
            ],
            [alert("FlashbackPolicyViolation", other(PLACE, repo_ai_api_key_id="another"))],
            id="burst",
        ),
        pytest.param(
            alert("FlashbackKeyTokensAboveUsual", PLACE),
            [alert("FlashbackTokensAboveUsual", REPOSITORY)],
            [alert("FlashbackTokensAboveUsual", other(REPOSITORY, repo_id="another"))],
            id="leaked-key",
        ),
        pytest.param(
            alert("FlashbackCreditsExhausted", ACCOUNT),
            [
                alert("FlashbackCreditsGoneInADay", ACCOUNT),
                alert("FlashbackTrafficStopped", REPOSITORY),
            ],
            [
                alert("FlashbackTrafficStopped", other(REPOSITORY, account="another")),
                alert("FlashbackCostHigh", QUERY),
            ],
            id="credits-exhausted",
        ),
        pytest.param(
            alert("FlashbackCreditsGoneInADay", ACCOUNT),
            [alert("FlashbackCreditsGoneInAWeek", ACCOUNT)],
            [alert("FlashbackTrafficStopped", REPOSITORY)],
            id="credits-gone-in-a-day",
        ),
        pytest.param(
            alert("FlashbackDataStale", ACCOUNT),
            [
                alert("FlashbackPollsFailing", ACCOUNT),
                alert("FlashbackExporterDown", ACCOUNT),
                alert("FlashbackTokenExpiring", TARGET),
                alert("FlashbackTrafficStopped", REPOSITORY),
                alert("FlashbackExporterAbsent", {}),
            ],
            [
                alert("FlashbackHighSeverityViolation", PLACE),
                alert("FlashbackPollsFailing", other(ACCOUNT, account="another")),
                alert("FlashbackReloadFailed", TARGET),
                {"labels": {"alertname": "DiskFull", **TARGET}},
            ],
            id="data-stale",
        ),
        pytest.param(
            alert("FlashbackSignInFailing", ACCOUNT),
            [
                alert("FlashbackDataStale", ACCOUNT),
                alert("FlashbackTokenExpiring", TARGET),
                alert("FlashbackPollsFailing", ACCOUNT),
            ],
            [
                alert("FlashbackDataStale", other(ACCOUNT, namespace="another")),
                alert("FlashbackPolicyViolation", PLACE),
            ],
            id="sign-in-failing",
        ),
        pytest.param(
            alert("FlashbackPollsFailing", ACCOUNT),
            [alert("FlashbackTokenExpiring", TARGET)],
            [
                alert("FlashbackReloadFailed", TARGET),
                alert("FlashbackTokenExpiring", other(TARGET, job="another")),
            ],
            id="polls-failing",
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
    """Without the files of URLs Alertmanager runs, its log says which file it looks for, and it
    counts the failure that FlashbackMessagesFailing reports.
    """
    failed = r'^alertmanager_notifications_failed_total{integration="slack".*} [1-9]'
    with alertmanager(tmp_path, copied) as running:
        running.send(alert("FlashbackHighSeverityViolation", PLACE))
        running.program.line(
            f"open {tmp_path}/none/flashback-policy-high: no such file or directory"
        )
        running.eventually(
            lambda: re.search(failed, get(f"{running.url}/metrics").decode(), re.MULTILINE)
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
    copied.write_text(re.sub(r"group_wait: \w+", "group_wait: 0s", copied.read_text()))
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
    """The receivers differ in the file with the URL, which is named after them,
    and in whether they tell what is resolved.
    """
    for receiver in yaml.safe_load(CONFIG.read_text())["receivers"]:
        (message,) = receiver["slack_configs"]
        assert message.pop("api_url_file") == f"{WEBHOOKS}/{receiver['name']}"
        assert {value for name, value in message.items() if name != "send_resolved"} == {
            f'{{{{ template "flashback.{part}" . }}}}'
            for part in ("color", "title", "link", "text")
        }


def test_many_alerts_are_cut(tmp_path):
    """Of thirty alerts that fire and eight that are resolved, ten and five are listed,
    and the others counted.
    """
    one = json.loads((MESSAGES / "exporter.json").read_text())
    (firing,) = one["alerts"]
    (resolved,) = json.loads((MESSAGES / "resolved.json").read_text())["alerts"]
    title, _, _, text, _ = rendered({**one, "alerts": [firing] * 30 + [resolved] * 8}, tmp_path)
    assert title.startswith("30 FIRING, 8 RESOLVED: ")
    lines = text.splitlines()
    assert len(lines) == 10 + 1 + 5 + 1
    assert lines[10].startswith("… and more that fire: <http")
    assert lines[10].endswith("|all 30>")
    assert lines[16] == "… and more that are resolved: 8 in all"
    assert len(text) < 16_000  # chats cut or refuse what is much longer
