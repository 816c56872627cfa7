"""The flag `--web.config.file` in the whole program: start, check, signals, addresses, and a real Prometheus."""

import base64
import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from certificates import SECRET, write_certificates
from programs import PATIENCE, process, prometheus, tool

from exporter.web.access import Access

README = (Path(__file__).parent.parent / "README.md").read_text()
COMMAND = [sys.executable, "-m", "exporter"]
GOOD = "api: {base_url: 'http://127.0.0.1:9', login: {email: a, password: b}}\n"
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
USERS = f"basic_auth_users:\n  alice: {SECRET}\n"
ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice:secret").decode()}
END = 5  # seconds in which the process has to end


@pytest.fixture
def certificates(tmp_path):
    """Return a folder with certificates."""
    return write_certificates(tmp_path)


@pytest.fixture
def flags(certificates):
    """Return a function that writes both files and gives the flags that name them."""

    def flags(web, content=GOOD):
        folder = certificates.folder
        (folder / "exporter.yml").write_text(content)
        (folder / "web.yml").write_text(web)
        return [f"--config.file={folder}/exporter.yml", f"--web.config.file={folder}/web.yml"]

    return flags


def run(*arguments):
    """Run a command to its end and return exit code, output and error output."""
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stdout, done.stderr


@contextmanager
def exporter(*arguments, addresses=("127.0.0.1:0",)):
    """Run the exporter until it serves; hand out the program and its ports."""
    listen = [f"--web.listen-address={address}" for address in addresses]
    with process(*COMMAND, *listen, *arguments, ready=r"msg=serving addresses=(.*)\n") as (
        it,
        match,
    ):
        yield it, [int(port) for port in re.findall(r":(\d+)\b(?!\])", match[1])]


def status(port, context=None, host="127.0.0.1", path="/-/healthy", headers=ALICE):
    """Return the status of an answer, over TLS where there is a context."""
    kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
    options = {"context": context} if context else {}
    connection = kind(host, port, timeout=PATIENCE, **options)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("command", [[], ["check"]])
def test_a_broken_file_ends_with_2_and_lists_everything(flags, command):
    """Faults of both files come together, one line each, at the start and in `check`."""
    broken = flags(
        TLS.replace("cert.pem", "none.pem") + "  min_version: TLS13\n", "api: {timeout: x}\n"
    )
    code, out, err = run(*command, *broken)
    assert (code, out) == (2, "")
    assert "exporter.yml:1:7: api.timeout" in err
    assert "tls_server_config.cert_file: " in err
    assert all(line.startswith("flashback-exporter: ") for line in err.splitlines())


@pytest.mark.parametrize("command", [[], ["check"], ["demo"]])
def test_a_key_that_is_not_supported_ends_with_2(flags, command):
    """A key of exporter-toolkit's format that is not supported is named, in one line."""
    broken = flags("rate_limit: {interval: 1s}\n")[command == ["demo"] :]
    code, _, err = run(*command, *broken)
    assert code == 2
    assert err.endswith("web.yml:1:1: rate_limit: this key is not supported by this exporter\n")
    assert len(err.splitlines()) == 1


def test_check_accepts_a_good_file_and_warns_of_an_odd_one(flags):
    """`check` says that the file is good; what is odd is a warning beside it."""
    code, out, err = run("check", *flags("tls_server_config: {min_version: TLS13}\n"))
    assert code == 0
    assert re.search(r"SUCCESS: \S+/web\.yml is a valid web configuration", out)
    assert re.fullmatch(
        r"WARNING: \S+/web\.yml: tls_server_config: TLS is off without cert_file\n", err
    )


def test_two_addresses_with_tls_and_passwords(flags, certificates):
    """IPv4 and IPv6 are served alike: with TLS alone, and to nobody without a password."""
    client = certificates.client()
    with exporter(*flags(TLS + USERS), addresses=("127.0.0.1:0", "[::1]:0")) as (program, ports):
        for host, port in zip(("127.0.0.1", "::1"), ports, strict=True):
            assert status(port, client, host) == 200
            assert status(port, client, host, headers={}) == 401
            with pytest.raises((ConnectionError, http.client.BadStatusLine)):
                status(port, None, host)
        assert "msg=protecting tls=true users=1\n" in program.text


def test_a_taken_port_with_tls_ends_with_1(flags):
    """With TLS too, a port in use is one line and exit 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"--web.listen-address=127.0.0.1:{taken.getsockname()[1]}"
        code, _, err = run(listen, *flags(TLS))
    assert code == 1
    assert "Address already in use" in err
    assert len(err.splitlines()) == 1


def test_sigterm_with_clients_connected(flags, certificates):
    """With silent, half-way and idle clients, plain and TLS, SIGTERM ends the process with 0 in time."""
    client = certificates.client()
    with (
        exporter(*flags(TLS + USERS), "--log.level=debug") as (program, (port,)),
        ExitStack() as stack,
    ):
        for first in (
            None,
            b"",
            b"GET / HTTP",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            if first is not None:
                secure = client.wrap_socket(plain, server_hostname="localhost")
                stack.enter_context(secure).sendall(first)
        began = time.monotonic()
        program.running.send_signal(signal.SIGTERM)
        assert program.running.wait(PATIENCE) == 0
        assert time.monotonic() - began < END
        program.join()
    assert "Traceback" not in program.text
    assert "secret" not in program.text


def test_an_expensive_hash_does_not_hold_up_the_end(flags):
    """While a hash is computed that takes many seconds, SIGTERM ends the process with 0 in time."""
    expensive = USERS.replace("$04$", "$17$")
    with exporter(*flags(expensive)) as (program, (port,)), ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            header = f"Authorization: {ALICE['Authorization']}"
            client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n".encode())
        assert status(port, headers={}) == 401
        began = time.monotonic()
        program.running.send_signal(signal.SIGTERM)
        assert program.running.wait(PATIENCE) == 0
        assert time.monotonic() - began < END
        program.join()
    assert "level=error" not in program.text


def test_a_change_is_taken_up_and_a_broken_one_is_said(flags, certificates):
    """Without a restart a new user may read; an emptied file changes nothing, and the log says so once."""
    with exporter(*flags(USERS)) as (program, (port,)):
        path = certificates.folder / "web.yml"
        path.write_text(USERS.replace("alice", "bob"))
        assert status(port) == 401
        path.write_text(USERS)
        assert status(port) == 200
        path.write_text("")
        assert [status(port), status(port, headers={})] == [200, 401]
        path.write_text(TLS + USERS)
        assert [status(port), status(port, headers={})] == [200, 401]
        program.line("TLS is switched on by a restart only")
    assert len(re.findall("the last good one stays", program.text)) == 2


USER_IDS = GOOD + "queries: [{labels: [user_uuid]}]\n"


@pytest.mark.parametrize(
    ("address", "web", "warned"),
    [
        ("0.0.0.0:0", "", True),
        (":0", "", True),
        ("0.0.0.0:0", USERS, False),
        ("0.0.0.0:0", TLS, True),
        ("127.0.0.1:0", "", False),
        ("[::1]:0", "", False),
    ],
)
def test_user_ids_for_everybody_are_a_warning(flags, address, web, warned):
    """Labels that tell of single users, readable beyond this machine without a password, are a warning."""
    with exporter(*flags(web, USER_IDS), addresses=[address]) as (program, _):
        pass
    assert ("anybody who reaches the port can read about single users" in program.text) == warned


def test_user_ids_that_a_reload_switches_on_are_a_warning(flags, certificates):
    """The warning comes with the reload that switches them on."""
    with exporter(*flags(""), addresses=["0.0.0.0:0"]) as (program, _):
        assert "single users" not in program.text
        (certificates.folder / "exporter.yml").write_text(USER_IDS)
        program.running.send_signal(signal.SIGHUP)
        program.line("read about single users.*labels=user_uuid")


def test_the_demo_takes_it_too(flags, certificates):
    """The demo serves with TLS and says https."""
    command = [*COMMAND, "demo", "--web.listen-address=127.0.0.1:0", flags(TLS + USERS)[1]]
    page = r"page     https://127\.0\.0\.1:(\d+)/"
    with process(*command, ready=page, stream="stdout") as (_, match):
        assert status(int(match[1]), certificates.client()) == 200


def test_the_example_of_the_readme_is_good(certificates, tmp_path):
    """The example is good for the exporter and for promtool, and its hash is one."""
    (example,) = [
        text for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "users" in text
    ]
    certificates.issue("server", "localhost")
    (tmp_path / "ca.pem").rename(tmp_path / "clients.pem")
    path = tmp_path / "web.yml"
    path.write_text(example)
    assert Access(path).config.authenticates
    promtool = [tool("promtool"), "check", "web-config", path]
    assert subprocess.run(promtool, check=False, capture_output=True).returncode == 0


def test_a_real_prometheus_scrapes_with_tls_password_and_certificate(flags, certificates, tmp_path):
    """Prometheus scrapes with everything that the file can ask for."""
    certificates.issue("prometheus", "prometheus.example")
    web = (
        TLS
        + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
        + "  client_allowed_sans: [prometheus.example]\n  min_version: TLS13\n"
        + USERS
    )
    with exporter(*flags(web)) as (_, (port,)):
        config = f"""
scrape_configs:
  - job_name: flashback
    scrape_interval: 1s
    scheme: https
    basic_auth: {{username: alice, password: secret}}
    tls_config: {{ca_file: ca.pem, cert_file: prometheus.pem, key_file: prometheus-key.pem, server_name: localhost}}
    static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""
        with prometheus(tmp_path, config) as running:
            (_, up), *_ = running.eventually(lambda: running.query('up{job="flashback"} == 1'))
            assert up == 1
