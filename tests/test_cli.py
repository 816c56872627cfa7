"""The command line: arguments, exit codes, what is printed, and `check`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import anyio.to_thread
import pytest
import trustme
from clocks import FakeClock
from programs import process
from servers import logging_left_as_it_was

from exporter import __version__
from exporter.api.credits import BALANCE
from exporter.api.daily import DAILY
from exporter.api.llms import LLMS
from exporter.api.policies import POLICIES
from exporter.api.profile import PROFILE
from exporter.api.workspaces import WORKSPACES
from exporter.cli import main
from exporter.demo.company import Company
from exporter.demo.simulator import EMAIL, PASSWORD, Fault
from exporter.polling.account import ACCOUNT_ENDPOINTS
from exporter.web.server import addresses, bind, bound, parse_address

CANARY = "canary"
ANYWHERE = "--web.listen-address=127.0.0.1:0"
READ_ONLY = "/sys/kernel/uevent_seqnum"  # a file with one line that nobody can change, root neither


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Each command finds no variables of the machine, and leaves no logging behind."""
    for name in [name for name in os.environ if name.upper().startswith("FLASHBACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    with logging_left_as_it_was():
        yield


@pytest.fixture
def clock():
    """Return a clock that stands still now: `check --live` asks by the machine's clock."""
    return FakeClock(time.time())


@pytest.fixture
def run(capfd):
    """Return a function that runs a command in-process and gives exit code, output and errors."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse ends bad usage, --help and --version
            code = end.code
        out, err = capfd.readouterr()
        assert CANARY not in out + err
        return code, out, err

    return run


@pytest.fixture
def configuration(tmp_path):
    """Return a function that writes a configuration file, a good one by default; gives its path."""

    def configuration(content="api: {login: {email: me@example.com, password: canary}}\n"):
        path = tmp_path / "exporter.yml"
        path.write_text(content)
        return path

    return configuration


@pytest.fixture
def live(configuration, api, run):
    """Return a function that runs `check --live` against the simulator, beside its event loop."""

    async def live(password=PASSWORD, rest=""):
        login = f"{{email: {EMAIL}, password: {password}}}"
        path = configuration(
            f"api: {{base_url: '{api.base_url}', login: {login}, timeout: 10s}}\n{rest}"
        )
        return await anyio.to_thread.run_sync(run, "check", "--live", "--config.file", path)

    return live


# Usage


def test_the_version_is_printed(run):
    """--version prints name and version on standard output."""
    assert run("--version") == (0, f"flashback-exporter {__version__}\n", "")


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (
            ["--help"],
            {"--config.file", "--web.config.file", "--web.listen-address", "--web.telemetry-path",
             "--web.enable-lifecycle", "--log.level", "--log.format", "--version", "--help"},
        ),
        (
            ["check", "--help"],
            {"--config.file", "--web.config.file", "--live", "--log.level", "--log.format",
             "--help"},
        ),
        (
            ["demo", "--help"],
            {"--web.config.file", "--web.listen-address", "--web.telemetry-path", "--log.level",
             "--log.format",
             "--help"},
        ),
        (["-h"], {"--help"}),
    ],
)  # fmt: skip
def test_help_names_every_flag(command, flags, run):
    """--help prints the flags of a command on standard output."""
    code, out, err = run(*command)
    assert (code, err) == (0, "")
    assert flags <= set(re.findall(r"--[\w.-]+", out))


@pytest.mark.parametrize(
    "spelling",
    [
        ["-config.file={}"],
        ["-config.file", "{}"],
        ["--config.file={}"],
        ["-config.file={}", "-log.level=warning", "-log.format", "json"],
        ["-log.level", "WARN", "--config.file", "{}"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("before", [True, False])
def test_flags_are_spelled_with_one_dash_too(spelling, before, configuration, run):
    """A flag means the same with one dash, as Go's library takes it,
    before and after the command.
    """
    path = configuration()
    flags = [part.format(path) for part in spelling]
    arguments = [*flags, "check"] if before else ["check", *flags]
    assert run(*arguments) == (0, f"SUCCESS: {path} is a valid configuration\n", "")


@pytest.mark.parametrize("flag", ["-version", "-help", "-h"])
def test_single_dashes_ask_for_help_and_version_too(flag, run):
    """-version, -help and -h are --version and --help."""
    code, out, err = run(flag)
    assert (code, err) == (0, "")
    assert "flashback-exporter" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["-config"],
        ["-config.fil=exporter.yml"],
        ["-no.such.flag"],
        ["-hv"],
        ["-log.level=loud"],
        ["serve"],
        ["--no.such.flag"],
        ["--config"],
        ["--config.file"],
        ["--config.file="],
        ["--config.fil=exporter.yml"],
        ["--live"],
        ["check", "exporter.yml"],
        ["check", "--web.listen-address=:80"],
        ["demo", "--config.file=exporter.yml"],
        ["--log.level=verbose"],
        ["--log.format=xml"],
        ["--web.telemetry-path=metrics"],
        ["--web.telemetry-path="],
        ["--web.telemetry-path=/-/metrics"],
        ["--web.telemetry-path=/{metrics}"],
        ["--web.telemetry-path=/metrics?x"],
        ["--web.listen-address=9877"],
        ["--web.listen-address=localhost"],
        ["--web.listen-address="],
        ["--web.listen-address=:65536"],
        ["--web.listen-address=:-1"],
        ["--web.listen-address=:http"],
        ["--web.listen-address=::1:9877"],
        ["--web.listen-address=[::1]"],
        ["--web.listen-address=[::1:9877"],
        ["--web.listen-address=http://localhost:9877"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2(arguments, run):
    """Bad usage ends with code 2, prints the usage on standard error, and starts nothing."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: flashback-exporter")
    assert re.search(r"^flashback-exporter.*: error: ", err, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9877", ("", 9877)),
        ("localhost:9877", ("localhost", 9877)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("exporter.example.com:65535", ("exporter.example.com", 65535)),
        ("[::1]:9877", ("::1", 9877)),
        ("[::]:9877", ("::", 9877)),
        ("[fe80::1%eth0]:9877", ("fe80::1%eth0", 9877)),
    ],
)
def test_listen_addresses_are_written_as_in_prometheus(text, address):
    """A listen address is host:port, [IPv6]:port or :port."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("host", "shown", "reached"),
    [("0.0.0.0", "0.0.0.0", "localhost"), ("127.0.0.1", "127.0.0.1", "127.0.0.1")],
)
def test_what_is_bound_and_how_it_is_reached_are_told_apart(host, shown, reached):
    """The log names what is bound, maybe all addresses; links name what this machine can open."""
    sockets = bind((host, 0))
    port = sockets[0].getsockname()[1]
    assert bound(sockets) == [f"{shown}:{port}"]
    assert addresses(sockets) == [f"{reached}:{port}"]
    for listener in sockets:
        listener.close()


@pytest.mark.parametrize("command", [[], ["demo"]])
def test_a_taken_port_ends_with_1_and_says_what_to_do(command, configuration, run):
    """A port that another process uses ends the command with code 1 and a hint."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        file = [] if command else ["--config.file", configuration()]
        code, out, err = run(*command, *file, "--web.listen-address", f"127.0.0.1:{port}")
    assert (code, out) == (1, "")
    assert err.startswith(
        f"flashback-exporter: cannot listen on 127.0.0.1:{port}: Address already in use"
    )
    assert "--web.listen-address" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "address", ["a..b:9877", f"{'a' * 64}.example:9877", "[::zz]:9877", "not a name:9877"]
)
def test_an_address_that_cannot_be_had_is_named(address, configuration, run):
    """A listen address without a host ends the command with a line that names it, no traceback."""
    code, out, err = run("--config.file", configuration(), "--web.listen-address", address)
    assert code in (1, 2)
    assert out == ""
    assert address in err
    assert "Traceback" not in err


# Configuration


@pytest.mark.parametrize("command", [[], ["check"]])
def test_a_bad_configuration_ends_with_2_and_lists_everything(command, configuration, run):
    """Every problem of a bad configuration is printed on standard error at once,
    each on its line with its place.
    """
    path = configuration(
        "api:\n  login: {email: me@example.com, password: canary, pass: canary}\n"
        "  timeout: 3\npoll: {days: 9}\n"
    )
    code, out, err = run(*command, "--config.file", path)
    assert (code, out) == (2, "")
    assert sorted(err.splitlines()) == [
        f"flashback-exporter: {path}:2:52: api.login.pass: unknown key",
        (
            f"flashback-exporter: {path}:3:3: api.timeout: "
            "expected a duration such as 30s, 5m or 1h30m"
        ),
        f"flashback-exporter: {path}:4:8: poll.days: expected at most 7",
    ]


@pytest.mark.parametrize("command", [[], ["check"]])
def test_a_missing_configuration_ends_with_2(command, tmp_path, run):
    """A configuration file that is not there is bad configuration."""
    code, _, err = run(*command, "--config.file", tmp_path / "missing.yml")
    assert code == 2
    assert (
        err == f"flashback-exporter: {tmp_path}/missing.yml: "
        "cannot be read: No such file or directory\n"
    )


@pytest.mark.parametrize("command", [[], ["check"]])
def test_nothing_configured_ends_with_2_and_names_the_ways_to_sign_in(command, run):
    """Without file and variables the command says which ones it needs."""
    code, _, err = run(*command)
    assert code == 2
    assert "expected a way to sign in" in err
    assert "FLASHBACK_EMAIL" in err


@pytest.mark.parametrize("before", [True, False])
def test_check_accepts_a_good_configuration(before, configuration, run):
    """`check` says that a configuration is valid, wherever the flag stands, and asks nobody."""
    path = configuration()
    arguments = ["--config.file", path, "check"] if before else ["check", "--config.file", path]
    assert run(*arguments) == (0, f"SUCCESS: {path} is a valid configuration\n", "")


def test_check_accepts_an_environment(run, monkeypatch):
    """`check` without a file checks the environment."""
    monkeypatch.setenv("FLASHBACK_EMAIL", "me@example.com")
    monkeypatch.setenv("FLASHBACK_PASSWORD", CANARY)
    assert run("check") == (0, "SUCCESS: the environment is a valid configuration\n", "")


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("authorization: {credentials_file: missing}", ["api.authorization.credentials_file"]),
        ("authorization: {credentials_file: latin}", ["api.authorization.credentials_file"]),
        ("login: {email: a, password_file: missing}", ["api.login.password_file"]),
        ("login: {email: a, password_file: empty}", ["api.login.password_file"]),
        ("login: {email: a, password_file: two_lines}", ["api.login.password_file"]),
        ("refresh_token_file: missing", ["api.refresh_token_file"]),
        (
            "login: {email: a, password_file: missing}, refresh_token_file: empty",
            ["api.login.password_file", "api.refresh_token_file"],
        ),
        ("login: {email: a, password: canary}, tls_config: {ca_file: missing}", ["api.tls_config"]),
        ("login: {email: a, password: canary}, tls_config: {ca_file: empty}", ["api.tls_config"]),
        (
            "login: {email: a, password: canary}, tls_config: {cert_file: missing}",
            ["api.tls_config"],
        ),
        (
            "login: {email: a, password_file: missing}, tls_config: {ca_file: missing}",
            ["api.login.password_file", "api.tls_config"],
        ),
    ],
)
def test_check_reads_the_files_that_a_configuration_names(
    api, expected, configuration, run, tmp_path
):
    """`check` reports every secret and TLS file that can never work, at the line of its key."""
    (tmp_path / "empty").touch()
    (tmp_path / "latin").write_text("can\xe4ry")
    (tmp_path / "two_lines").write_text("canary\ncanary")
    path = configuration(f"# a comment\napi: {{{api}}}")
    code, out, err = run("check", "--config.file", path)
    assert code == 2
    assert "SUCCESS" not in out
    assert len(err.splitlines()) == len(expected)
    for key, line in zip(expected, err.splitlines(), strict=True):
        assert re.match(rf"flashback-exporter: {path}:2:\d+: {key}", line)


@pytest.mark.parametrize("command", [[ANYWHERE], ["check"]])
def test_a_tls_file_that_cannot_be_used_is_reported_at_its_line(command, configuration, run):
    """The daemon, too, says in which line the file is named that it cannot use."""
    path = configuration(
        "api:\n  login: {email: a, password: canary}\n  tls_config:\n    ca_file: missing\n"
    )
    code, _, err = run(*command, "--config.file", path)
    assert code == 2
    assert re.match(rf"flashback-exporter: {path}:[34]:\d: api\.tls_config", err)


@pytest.mark.parametrize("command", [[ANYWHERE], ["check"]])
def test_an_address_that_only_the_client_refuses_is_reported_at_its_line(
    command, configuration, run
):
    """A name without a form for DNS is reported like any problem, with the address it is in."""
    path = configuration(
        "api:\n  login: {email: a, password: canary}\n  proxy_url: 'http://me:canary@\u2603.net'\n"
    )
    code, _, err = run(*command, "--config.file", path)
    assert code == 2
    assert err.startswith(f"flashback-exporter: {path}:3:3: api.proxy_url: expected the name")


# What is odd


ODD = [
    (
        "  timeout: 20s\n",
        "poll: {interval: 20s}\n",
        "3:3: api.timeout: longer than 90 % of the interval of query default, when a poll ends",
    ),
    (
        "",
        "queries:\n  - interval: 30s\n",
        "api.timeout: longer than 90 % of the interval of query default, when a poll ends",
    ),
    (
        "",
        "queries: [{filters: {llm_type: [openai, Mistral, AWS]}}]\n",
        (
            "3:41: queries[0].filters.llm_type[1]:"
            " none of the known OPENAI, ANTHROPIC, GOOGLE, AWS, OTHER"
        ),
    ),
    (
        "",
        "queries: [{filters: {hosts: ['${HOST}']}}]\n",
        (
            "3:30: queries[0].filters.hosts[0]:"
            " ${…} is taken as it stands, not replaced from the environment"
        ),
    ),
    (
        "  tls_config: {ca_file: '${canary}.pem'}\n",
        "",
        "3:16: api.tls_config.ca_file: ${…} is taken as it stands, not replaced",
    ),
    (
        "  proxy_url: 'http://me:${canary}@proxy'\n",
        "",
        "3:3: api.proxy_url: ${…} is taken as it stands, not replaced",
    ),
]


@pytest.mark.parametrize(("api", "rest", "expected"), ODD)
def test_check_warns_of_what_is_odd(api, rest, expected, configuration, run, tmp_path):
    """What is legal but hardly meant is a warning with its place on standard error;
    the code is 0.
    """
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "${canary}.pem")
    path = configuration(f"api:\n  login: {{email: a, password: x}}\n{api}{rest}")
    code, out, err = run("check", "--config.file", path)
    assert (code, len(err.splitlines())) == (0, 1)
    assert "SUCCESS" in out
    assert err.startswith(f"WARNING: {path}:")
    assert expected in err


def test_check_warns_of_prices_for_a_provider_that_the_api_does_not_know(
    configuration, run, tmp_path
):
    """A price of such a provider is one of no series: which entry it is, is said."""
    known = "- {llm_type: openai, model: x, input: 1, output: 2}\n"
    (tmp_path / "prices.yml").write_text(known + known.replace("openai", "OPNAI"))
    path = configuration("api:\n  login: {email: a, password: x}\nprices:\n  file: prices.yml\n")
    code, out, err = run("check", "--config.file", path)
    assert code == 0
    assert "SUCCESS" in out
    types = "OPENAI, ANTHROPIC, GOOGLE, AWS, OTHER"
    place = f"{path}:4:3: prices.file"
    assert err == f"WARNING: {place}: [1].llm_type is none of the known {types}\n"


def test_check_fails_on_faults_of_the_file_with_prices(configuration, run, tmp_path):
    """A fault in the file with prices is a fault of the configuration."""
    (tmp_path / "prices.yml").write_text("- {llm_type: OPENAI, model: x, input: 1}\n")
    path = configuration("api:\n  login: {email: a, password: x}\nprices:\n  file: prices.yml\n")
    code, _, err = run("check", "--config.file", path)
    assert code == 2
    fault = "[0].output: required key is missing"
    assert err == f"flashback-exporter: {tmp_path}/prices.yml:1:3: {fault}\n"


def test_check_does_not_warn_of_what_is_usual(configuration, run):
    """The documented example, with every provider by name, is not odd."""
    example = (Path(__file__).parents[1] / "config" / "flashback-exporter.yml").read_text()
    known = "llm_type: [openai, Anthropic, GOOGLE, aws, other]"
    text = example.replace("llm_type: []", known).replace("password_file: /run", "password: /run")
    assert known in text
    assert run("check", "--config.file", configuration(text))[::2] == (0, "")


def test_check_fails_where_the_only_refresh_token_cannot_be_saved(configuration, run):
    """A token that is spent by use and cannot be replaced works once: it is refused unspent."""
    if not Path(READ_ONLY).exists():
        pytest.skip(f"needs {READ_ONLY}")
    path = configuration(f"api:\n  refresh_token_file: {READ_ONLY}\n")
    code, _, err = run("check", "--live", "--config.file", path)
    assert code == 2
    place = f"flashback-exporter: {path}:2:3: api.refresh_token_file: "
    assert err.startswith(f"{place}new tokens cannot be saved in {READ_ONLY}: ")
    assert len(err.splitlines()) == 1


def test_check_warns_where_a_refresh_token_beside_a_login_cannot_be_saved(configuration, run):
    """Beside a login the exporter goes on without the file, so it is a warning."""
    path = configuration(
        "api:\n  login: {email: a, password: canary}\n  refresh_token_file: /missing/token\n"
    )
    code, _, err = run("check", "--config.file", path)
    assert code == 0
    assert err.startswith(
        f"WARNING: {path}:3:3: api.refresh_token_file: "
        "new tokens cannot be saved in /missing/token: "
    )


def test_check_does_not_ask_for_a_refresh_token_that_is_still_to_come(configuration, run):
    """Beside a login, the refresh token file need not be there before the first sign-in."""
    path = configuration("api: {login: {email: a, password: canary}, refresh_token_file: later}")
    assert run("check", "--config.file", path)[0] == 0


# Against the API


async def test_a_live_check_says_what_would_result(live, api):
    """`check --live` makes one request per query and prints records, groups and series."""
    queries = (
        "queries: [{name: all}, {name: few, labels: [llm_type], metrics: [api_calls, alerts]}]"
    )
    code, out, err = await live(rest=queries)
    assert (code, err) == (0, "")
    valid, first, second, *account = out.splitlines()
    assert valid.endswith("exporter.yml is a valid configuration")
    result = (
        r"SUCCESS: query (\w+): (\d+) records, (\d+) groups \(0 folded into other\),"
        r" (\d+) series, 0 records left out"
    )
    name, records, groups, series = re.match(result, first).groups()
    assert name == "all"
    assert int(records) > int(groups) > 300
    assert int(series) > int(groups) * 2 * 10
    name, same_records, groups, series = re.match(result, second).groups()
    assert (name, same_records, groups) == ("few", records, "5")
    # groups, days and metrics; groups and counters; when each day began
    assert int(series) == 5 * 2 * 2 + 5 * 2 + 2
    assert [endpoint for endpoint, _ in api.simulator.requests].count(DAILY) == 2
    assert len(account) == len(ACCOUNT_ENDPOINTS)


async def test_a_live_check_says_what_is_known_of_the_account(live):
    """For each endpoint about the account it prints what it gave, and who the account is."""
    code, out, err = await live()
    assert (code, err) == (0, "")
    patterns = [
        "/repo: 12 repositories, 72 API keys",
        "/workspace: 3 workspaces",
        "/ai/llm: 72 LLM configurations",
        f"/user/profile: role owner; organisation {Company().organisation.id}",
        r"/credits/balance: balance [\d,.]+, booked balance [\d,.]+",
        r"/v2/stats/policies/breakdown/rules: \d policies in the last 24 hours",
    ]
    for line, pattern in zip(out.splitlines()[2:], patterns, strict=True):
        assert re.fullmatch(f"SUCCESS: account {pattern}", line)


async def test_a_live_check_says_why_an_endpoint_gives_nothing(live, api):
    """What is refused, broken or turned off is named with its reason, and the code stays 0."""
    api.simulator.misbehave(Fault(status=404, body=b"{}"), endpoint=LLMS)
    api.simulator.misbehave(Fault(status=500, body=b"{}"), endpoint=BALANCE)
    api.simulator.misbehave(Fault(body=b"[1"), endpoint=WORKSPACES)
    code, out, err = await live(rest="account: {policies: {interval: 0s}}")
    assert code == 0
    assert "WARNING: account /ai/llm: not_found: HTTP 404; it is optional" in err
    assert "WARNING: account /credits/balance: server_error: HTTP 500; it is optional" in err
    assert "WARNING: account /workspace: invalid_response: " in err
    assert f"OFF: account {POLICIES}: turned off in the configuration" in out
    assert "SUCCESS: account /repo: " in out


async def test_a_live_check_says_that_a_role_sees_a_part(live, api):
    """Where the role does not see the whole organisation, that stands beside it."""
    body = json.dumps({"data": {"orgId": "o\x1b[2J", "orgRole": 1}}).encode()
    api.simulator.misbehave(Fault(body=body), endpoint=PROFILE)
    code, out, _ = await live()
    assert code == 0
    role = "role billing, which does not see the whole organisation: numbers may be partial"
    assert f"SUCCESS: account /user/profile: {role}; organisation o [2J" in out


async def test_a_live_check_says_that_an_endpoint_will_go(live, api):
    """Deprecation and Sunset are a warning; the statistics count as before."""
    headers = {"Deprecation": "@1700000000", "Sunset": "Mon, 01 Jul 2030 00:00:00 GMT"}
    api.simulator.misbehave(Fault(headers=headers, body=b'{"data": []}'))
    code, _, err = await live()
    assert code == 0
    said = "the API says that it is deprecated since 2023-11-14 and ends on 2030-07-01"
    assert f"WARNING: /aistats/daily: {said}" in err


@pytest.mark.parametrize("status", [404, 410])
async def test_a_live_check_says_that_the_statistics_are_gone(live, api, status):
    """A 404 or 410 to the statistics fails, says what it may mean, and the account is told."""
    api.simulator.misbehave(Fault(status=status, body=b"{}"))
    code, out, err = await live()
    assert code == 1
    assert f"FAILED: query default: not_found: HTTP {status}" in err
    assert "the API has no /aistats/daily any more" in err
    assert "SUCCESS: account /user/profile: role owner" in out


async def test_a_live_check_with_a_wrong_password_ends_with_1(live, api):
    """A refused sign-in is a failure of the run: code 1, the API's own reason, and no password."""
    code, out, err = await live(password=CANARY, rest="queries: [{name: one}, {name: two}]")
    assert code == 1
    assert "is a valid configuration" in out
    assert "SUCCESS: query" not in out
    failed = [line for line in err.splitlines() if line.startswith("FAILED: ")]
    assert [line.split(":")[1] for line in failed] == [" query one", " query two"]
    assert all(": auth: " in line and "INVALID_PASSWORD" in line for line in failed)
    assert not api.simulator.requests


async def test_a_live_check_goes_on_after_a_failed_query(live, api):
    """One query that fails does not hide what the others give, but the code is 1."""
    api.simulator.misbehave(Fault(status=400))
    code, out, err = await live(rest="queries: [{name: one}, {name: two}]")
    assert code == 1
    assert "FAILED: query one: bad_request: HTTP 400 as requested" in err
    assert "SUCCESS: query two: " in out


async def test_a_live_check_warns_of_filters_that_no_record_matches(live):
    """A mistyped filter gives no record and no error, so it is a warning, at the filter's line."""
    rest = "queries:\n  - {name: all}\n  - {name: none, filters: {hosts: [nowhere.example.com]}}\n"
    code, out, err = await live(rest=rest)
    assert code == 0
    assert "SUCCESS: query none: 0 records" in out
    assert re.fullmatch(r"WARNING: \S+:4:18: queries\[1\]\.filters: no record matches them\n", err)


async def test_a_live_check_of_an_api_that_is_not_there_ends_with_1(configuration, run):
    """An address where nobody listens ends with code 1, in the time of one request."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = configuration(
        f"api: {{base_url: 'http://127.0.0.1:{port}', timeout: 200ms, "
        "login: {email: a, password: canary}}"
    )
    code, _, err = await anyio.to_thread.run_sync(run, "check", "--live", "--config.file", path)
    assert code == 1
    assert (
        "FAILED: query default: network: POST /user/login: "
        "cannot reach 127.0.0.1: Connection refused" in err
    )


# Logs and the process


@pytest.fixture
def refused(configuration, api, run):
    """Return a function that runs, with flags, a live check whose sign-in the simulator refuses."""

    async def refused(*flags):
        login = f"{{email: {EMAIL}, password: canary}}"
        path = configuration(f"api: {{base_url: '{api.base_url}', login: {login}}}")
        _, _, err = await anyio.to_thread.run_sync(
            run, "check", "--live", "--config.file", path, *flags
        )
        return [line for line in err.splitlines() if not line.startswith("FAILED: ")]

    return refused


async def test_logs_are_logfmt(refused):
    """A log line is logfmt: when, how severe, where from, what."""
    (line,) = await refused()
    assert re.match(
        r'ts=\S+Z level=warning logger=exporter\.polling\.poll msg="poll failed" .*reason=auth',
        line,
    )


async def test_logs_are_json_on_request(refused):
    """--log.format=json makes a log line a JSON object."""
    (line,) = await refused("--log.format=json")
    record = json.loads(line)
    assert (record["level"], record["msg"], record["reason"]) == ("warning", "poll failed", "auth")


async def test_log_flags_may_stand_before_the_command(configuration, api, run):
    """A flag means the same before and after `check`."""
    path = configuration(
        f"api: {{base_url: '{api.base_url}', login: {{email: a, password: canary}}}}"
    )
    arguments = ["--log.level=error", "--log.format=json", "check", "--live", "--config.file", path]
    code, _, err = await anyio.to_thread.run_sync(run, *arguments)
    assert code == 1
    assert [line for line in err.splitlines() if not line.startswith("FAILED: ")] == []


@pytest.mark.parametrize("flag", ["--log.level=warn", "--log.level=warning", "-log.level=WARNING"])
async def test_warnings_have_two_names(flag, refused):
    """warn, as Prometheus spells it, and warning mean the same."""
    (line,) = await refused(flag)
    assert "level=warning" in line


async def test_less_is_logged_on_request(refused):
    """--log.level=error leaves out what is less severe."""
    assert await refused("--log.level=error") == []


@pytest.mark.parametrize(
    "start", [["-m", "exporter"], ["-c", "from exporter.cli import main; raise SystemExit(main())"]]
)
def test_the_exit_code_is_that_of_the_process(start):
    """`python -m exporter` and the installed command end the process with the command's code."""
    process = subprocess.run(
        [sys.executable, *start, "check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 2
    assert process.stdout == ""
    assert "expected a way to sign in" in process.stderr


@pytest.mark.parametrize("buffered", [True, False])
def test_an_answer_that_nobody_takes_ends_with_1(buffered, configuration):
    """Where the disk behind standard output is full, one line says so."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {} if buffered else {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "exporter", "check", "--config.file", configuration()]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    assert process.returncode == 1
    assert process.stderr == (
        "flashback-exporter: standard output cannot be written to: No space left on device\n"
    )


def test_a_complaint_that_nobody_takes_leaves_the_exit_code():
    """Where standard error cannot be written to, a bad configuration still ends with 2."""
    command = [sys.executable, "-m", "exporter", "check", "--config.file", "/nowhere/at/all.yml"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=full, check=False)
    assert process.returncode == 2


def test_names_that_the_locale_lacks_are_escaped(configuration, tmp_path):
    """Where standard output has no letter for a name, the answer still comes."""
    path = tmp_path / "größe.yml"
    path.write_bytes(configuration().read_bytes())
    process = subprocess.run(
        [sys.executable, "-m", "exporter", "check", "--config.file", path],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1"},
    )
    assert process.returncode == 0
    assert rb"gr\xf6\xdfe.yml is a valid configuration" in process.stdout


# The daemon's first words


@pytest.fixture
def daemon(configuration):
    """Return a function that runs the daemon with flags until it logs a line; gives the match."""

    @contextmanager
    def daemon(content, wanted, *flags):
        listen = "--web.listen-address=127.0.0.1:0"
        file = f"--config.file={configuration(content)}"
        command = [sys.executable, "-m", "exporter", listen, file, *flags]
        with process(*command, ready=wanted) as running:
            yield running

    return daemon


TWO_QUERIES = """
api: {base_url: 'http://127.0.0.1:1', login: {email: me@example.com, password: canary}}
queries: [{name: default}, {name: everything else, interval: 20s}]
"""


def test_the_start_says_what_runs(daemon):
    """The log's first line says version and queries; lists are written as people write them."""
    with daemon(TWO_QUERIES, r"msg=serving addresses=(127\.0\.0\.1:\d+)\n") as (program, _):
        start = program.line(r"msg=starting.*")[0]
    assert f"version={__version__}" in start
    assert 'queries="default, everything else"' in start
    assert CANARY not in program.text


def test_lists_stay_lists_in_json(daemon):
    """In JSON a list is a list."""
    with daemon(TWO_QUERIES, r'\{.*"serving".*\}', "--log.format=json") as (program, serving):
        start = json.loads(program.line(r'\{.*"starting".*\}')[0])
    assert start["queries"] == ["default", "everything else"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", *json.loads(serving[0])["addresses"])


def test_the_daemon_warns_of_what_is_odd_at_start_and_reload(daemon):
    """What `check` warns of is logged at the start, and when the configuration is read anew."""
    odd = 'msg="odd configuration" oddity="{}'
    with daemon(TWO_QUERIES, "msg=serving") as (program, _):
        program.line(odd.format(r"\S+/exporter\.yml:2:1: api\.timeout: longer than 90 %"))
        path = Path(re.search(r"oddity=\"(\S+exporter\.yml)", program.text)[1])
        path.write_text(TWO_QUERIES.replace("interval: 20s", "filters: {llm_type: [mistral]}"))
        program.running.send_signal(signal.SIGHUP)
        program.line('msg="configuration reloaded"')
        program.line(odd.format(r"\S+:3:\d+: queries\[1\]\.filters\.llm_type\[0\]: none of the"))


def test_a_reload_names_the_line_of_a_tls_file(daemon):
    """A file that cannot be used is reported at a reload as at the start: by the line naming it."""
    with daemon(TWO_QUERIES, "msg=serving") as (program, _):
        path = Path(re.search(r"oddity=\"(\S+exporter\.yml)", program.text)[1])
        path.write_text(TWO_QUERIES.replace("api: {", "api: {tls_config: {ca_file: missing}, "))
        program.running.send_signal(signal.SIGHUP)
        line = program.line(r'msg="configuration not reloaded" .*\n')[0]
    assert re.search(r"exporter\.yml:2:\d+: api\.tls_config", line)
