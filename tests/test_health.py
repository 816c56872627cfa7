"""The health check of a container: it finds out by itself where the exporter listens, and asks."""

import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import SECRET, write_certificates
from programs import PATIENCE, process

from exporter.health import main, what_is_wrong

TLS = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
CLIENTS = (
    "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
    "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
)
USERS = f"basic_auth_users: {{alice: {SECRET}}}\n"


@contextmanager
def demo(*arguments):
    """Run the demo, and hand out its folder in `/proc` and the ports that it says it serves on."""
    command = [sys.executable, "-m", "exporter", "demo", *arguments]
    with process(*command, ready=r"msg=serving addresses=(.*)\n") as (program, match):
        yield Path(f"/proc/{program.running.pid}"), re.findall(r":(\d+)\b(?!\])", match[1])


LISTENER = """
import signal, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print("ready", flush=True)
if sys.argv[1]:
    listener.accept()[0].sendall(sys.argv[1].encode())
signal.pause()
"""


@contextmanager
def listener(answer=""):
    """Run a process that listens and gives one answer, or none; hand out its folder in `/proc`."""
    with process(sys.executable, "-c", LISTENER, answer, ready="ready", stream="stdout") as (it, _):
        yield Path(f"/proc/{it.running.pid}")


@pytest.mark.parametrize(
    "addresses",
    [
        [],
        ["127.0.0.1:0"],
        ["[::1]:0"],
        ["0.0.0.0:0"],
        ["[::]:0"],
        ["127.0.0.1:0", "[::1]:0"],
    ],
)
def test_every_address_is_found_and_asked(addresses):
    """Whatever the listen addresses are, all of them are asked, and no other."""
    flags = [f"--web.listen-address={address}" for address in addresses or [":0"]]
    with demo(*flags) as (folder, ports):
        assert list(what_is_wrong([folder])) == []
        assert len(ports) == max(1, len(addresses))


@pytest.mark.parametrize("web", [USERS, TLS, TLS + USERS, CLIENTS, CLIENTS + USERS])
def test_passwords_and_certificates_do_not_matter(web, tmp_path):
    """With TLS, passwords and certificates of clients, an exporter that answers is well."""
    write_certificates(tmp_path)
    (tmp_path / "web.yml").write_text(web)
    flags = [f"--web.config.file={tmp_path}/web.yml", "--web.listen-address=127.0.0.1:0"]
    with demo(*flags) as (folder, _):
        assert list(what_is_wrong([folder])) == []


def test_an_error_of_the_server_is_told():
    """An answer of 503 is not well, and neither is one address among good ones that has it."""
    with listener("HTTP/1.1 503 Service Unavailable\r\n\r\n") as folder:
        assert [re.sub(r"\d+:", ":", fault) for fault in what_is_wrong([folder])] == [
            "127.0.0.1 port : status 503"
        ]


def test_an_exporter_that_says_nothing_is_told():
    """A process that accepts nothing is not well, though the kernel lets one connect to it."""
    with listener() as folder:
        (fault,) = what_is_wrong([folder], patience=0.2)
        assert re.fullmatch(r"127\.0\.0\.1 port \d+: timed out", fault)


def test_a_process_that_does_not_listen_is_told():
    """A process that listens nowhere, or has ended, is not well."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as silent:
        expected = ["no exporter of this user listens on any address"]
        assert list(what_is_wrong([Path(f"/proc/{silent.pid}")])) == expected
        silent.stdin.close()
        silent.wait(PATIENCE)
        assert list(what_is_wrong([Path(f"/proc/{silent.pid}")])) == expected


def test_the_exporter_is_found_among_all_processes(capsys):
    """The command asks every exporter of this user, and no other process that listens."""
    with listener("HTTP/1.1 503 Service Unavailable\r\n\r\n"), demo("--web.listen-address=:0"):
        main()
    assert "status 503" not in capsys.readouterr().err
