"""One request to the API: how it is sent, what it may cost, and how it breaks."""

import asyncio
import gzip
import os
import socket
import ssl
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from servers import (
    BASE_URL,
    OK,
    answer,
    connected,
    failure,
    fake_api,
    fetch,
    hang_up,
    in_turn,
    poll,
    raw_server,
    reset,
    signed_in,
    silence,
    statistics,
    surroundings,
    then,
    tunnel,
    without_end,
)

from exporter.api.auth import LOGIN, REFRESH
from exporter.api.client import FlashbackClient
from exporter.api.daily import DAILY
from exporter.config.api_section import Api
from exporter.demo.simulator import Fault
from exporter.errors import ConfigError, PollError, Reason

DEADLINE = 5  # real seconds, far more than anything below takes
GOOD = OK + b"Connection: close\r\n\r\n" + statistics()
LOGIN_DATA = {"email": "me", "password": "secret"}
MIB = 1 << 20


@pytest.fixture(autouse=True)
def logged():
    """Return a function that returns what was logged so far, at any level."""
    with surroundings() as lines:
        yield lines


# --- what is sent


async def test_a_question_carries_what_the_api_wants(clock):
    """A question is a GET with the bearer token, accepts JSON and gzip, and says who asks."""
    api = fake_api()
    async with (
        connected(api, clock) as client,
        client.ask(DAILY, {"repoId": "a,b"}, 2000) as body,
    ):
        assert b"".join([piece async for piece in body]) == statistics()
    request = api["daily"].calls.last.request
    assert request.method == "GET"
    assert request.url == f"{BASE_URL}{DAILY}?repoId=a%2Cb"
    assert request.headers["authorization"] == "Bearer token"
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "gzip"
    assert request.headers["user-agent"].startswith("flashback-exporter/")


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_a_path_in_the_base_url_is_kept(clock, path):
    """Where the base URL has a path, endpoints stand behind it."""
    async with (
        raw_server(GOOD) as server,
        connected(None, clock, base_url=server.url + path) as client,
    ):
        await fetch(client, clock)
    assert server.requests[0].startswith(f"GET {path.rstrip('/')}{DAILY} HTTP/1.1\r\n")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_another_host_gets_nothing(clock, status):
    """A redirect is not followed, neither for a question nor for a sign-in:
    no other host sees token or password.
    """
    async with raw_server(GOOD) as elsewhere:
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/\r\n"
        redirect = f"{head}Content-Length: 0\r\n\r\n".encode()
        async with raw_server(redirect) as server:
            async with connected(None, clock, base_url=server.url) as client:
                assert (await failure(client, clock)).reason is Reason.INVALID_RESPONSE
            async with connected(None, clock, base_url=server.url, login=LOGIN_DATA) as client:
                assert (await failure(client, clock)).reason is Reason.INVALID_RESPONSE
        assert len(server.requests) == 2
        assert elsewhere.connections == 0


async def test_proxies_of_the_environment_are_not_used(clock, monkeypatch):
    """Neither a proxy nor a password that only the environment names takes part in a request."""
    async with raw_server(GOOD) as proxy, raw_server(GOOD) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        async with connected(None, clock, base_url=server.url) as client:
            assert await fetch(client, clock) == statistics()
    assert (proxy.connections, server.connections) == (0, 1)


async def test_a_netrc_file_is_not_used(clock, monkeypatch, tmp_path):
    """A password in ~/.netrc does not replace the token."""
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with raw_server(GOOD) as server, connected(None, clock, base_url=server.url) as client:
        await fetch(client, clock)
    assert "authorization: bearer token" in server.requests[0].lower()


async def test_a_configured_proxy_is_used(clock):
    """A plain request goes to the proxy whole, with the proxy's own password."""
    async with raw_server(GOOD) as proxy:
        proxy_url = proxy.url.replace("//", "//me:secret@")
        async with connected(
            None, clock, base_url="http://127.0.0.1:1", proxy_url=proxy_url
        ) as client:
            assert await fetch(client, clock) == statistics()
    assert proxy.requests[0].startswith(f"GET http://127.0.0.1:1{DAILY} HTTP/1.1\r\n")
    assert "proxy-authorization: basic bwu6c2vjcmv0" in proxy.requests[0].lower()


async def test_a_tunnel_through_a_proxy_does_not_show_it_the_token(clock, tls):
    """Over https the proxy sees a CONNECT and nothing of the request itself."""
    async with (
        raw_server(GOOD, tls=tls.server()) as server,
        raw_server(tunnel(server.port)) as proxy,
        connected(
            None, clock, base_url=server.url, proxy_url=proxy.url, tls_config=tls.trusting
        ) as client,
    ):
        assert await fetch(client, clock) == statistics()
    assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} ")
    assert "Bearer" not in proxy.requests[0]
    assert "Bearer token" in server.requests[0]


@pytest.mark.parametrize(
    ("reply", "retryable", "words"),
    [
        (b"HTTP/1.1 407 Who are you\r\n\r\n", False, "the proxy wants another user and password"),
        (b"HTTP/1.1 502 Bad\r\n\r\n", True, "the proxy refused to connect: HTTP 502 Bad"),
        (b"garbage\r\n\r\n", True, "is not HTTP"),
    ],
)
async def test_a_proxy_that_refuses_is_a_network_failure(clock, reply, retryable, words):
    """A proxy that builds no tunnel breaks the connection,
    and one that wants a password is not asked again.
    """
    async with (
        raw_server(reply) as proxy,
        connected(None, clock, base_url="https://127.0.0.1:1", proxy_url=proxy.url) as client,
    ):
        error = await failure(client, clock)
    assert (error.reason, error.retryable) == (Reason.NETWORK, retryable)
    assert words in str(error)


async def test_a_proxy_that_wants_a_password_is_named_over_plain_http_too(clock):
    """Without a tunnel, the proxy's refusal comes as an answer like any other:
    it is not taken for the API's.
    """
    async with (
        raw_server(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n") as proxy,
        connected(None, clock, base_url="http://127.0.0.1:1", proxy_url=proxy.url) as client,
    ):
        error = await failure(client, clock)
    assert (error.reason, error.retryable) == (Reason.NETWORK, False)
    assert "api.proxy_url" in str(error)


async def test_a_proxy_that_cannot_be_reached_is_to_blame_itself(clock):
    """What breaks before there is a tunnel is the proxy, and the message does not name the API's
    host for it.
    """
    refused = f"http://127.0.0.1:{await _closed_port()}"
    async with connected(
        None, clock, base_url="https://api.example.com", proxy_url=refused
    ) as client:
        assert str(await failure(client, clock)) == "cannot reach the proxy: Connection refused"
    async with (
        raw_server(hang_up) as proxy,
        connected(None, clock, base_url="https://api.example.com", proxy_url=proxy.url) as client,
    ):
        assert str(await failure(client, clock)).startswith("the proxy closed the connection")


async def test_what_breaks_behind_a_tunnel_is_not_the_proxy(clock, tls):
    """Once there is a tunnel, the host behind it is to blame."""
    async with (
        raw_server(hang_up, tls=tls.server("other.example.com")) as server,
        raw_server(tunnel(server.port)) as proxy,
        connected(
            None, clock, base_url=server.url, proxy_url=proxy.url, tls_config=tls.trusting
        ) as client,
    ):
        message = str(await failure(client, clock))
    assert message.startswith("the certificate of 127.0.0.1 through the proxy is not trusted")


async def test_a_proxy_with_tls_is_trusted_as_the_api_is(clock, tls):
    """`tls_config` holds for the certificate of a proxy too, and where that is not trusted, the
    proxy is named.
    """
    async with raw_server(GOOD, tls=tls.server()) as proxy:
        api = {"base_url": "http://127.0.0.1:1", "proxy_url": proxy.url}
        async with connected(None, clock, **api, tls_config=tls.trusting) as client:
            assert await fetch(client, clock) == statistics()
        async with connected(None, clock, **api) as client:
            error = await failure(client, clock)
    assert error.reason is Reason.TLS
    assert str(error).startswith("the certificate of the proxy is not trusted")


# --- connections that break


async def _closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_a_refused_connection_is_a_network_failure(clock):
    """Where nobody listens, the poll tries again and fails as network."""
    url = f"http://127.0.0.1:{await _closed_port()}"
    async with connected(None, clock, base_url=url) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.NETWORK
    assert len(clock.sleeps) == 4


@pytest.mark.parametrize(
    "behaviour",
    [
        reset,
        hang_up,
        then(b"", reset),
        then(OK, reset),
        then(OK + b"Content-Length: 100\r\n\r\n{", reset),
        OK + b"Content-Length: 100\r\n\r\n{",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{    \r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK
        + b"Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n"
        + gzip.compress(statistics())[:50],
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ],
    ids=[
        "reset at once",
        "closed after the request",
        "reset after the request",
        "reset in the headers",
        "reset in the body",
        "body shorter than its length",
        "chunks cut off",
        "chunks that are none",
        "gzip shorter than its length",
        "not HTTP",
        "endless header",
        "no valid length",
    ],
)
async def test_a_connection_that_breaks_is_a_network_failure(clock, behaviour):
    """A connection that breaks before or within the answer may be tried again,
    and is a failure of the network.
    """
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(behaviour) as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        error = await failure(client, clock)
    assert (error.reason, error.retryable) == (Reason.NETWORK, True)


async def test_a_broken_connection_is_tried_again_and_survived(clock):
    """A reset and a cut-off body cost two attempts, not the poll."""
    async with (
        raw_server(then(b"", reset), OK + b"Content-Length: 9999\r\n\r\n{", GOOD) as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert len(server.requests) == 3


async def test_a_kept_connection_that_was_closed_meanwhile_does_no_harm(clock):
    """A server that closes idle connections costs at most one attempt."""
    good = OK + b"Content-Length: %d\r\n\r\n" % len(statistics()) + statistics()
    async with raw_server(good) as server, connected(None, clock, base_url=server.url) as client:
        for _ in range(3):
            assert (await poll(client, clock)).reason is None


async def test_a_host_name_that_does_not_exist_is_a_network_failure(clock):
    """A name without an address fails as network, with the resolver's words."""

    class Nowhere:
        async def async_handler(self, request):
            raise httpx.ConnectError("failed") from socket.gaierror(
                socket.EAI_NONAME, "Name or service not known"
            )

    async with connected(Nowhere(), clock) as client:
        error = await failure(client, clock)
    assert (error.reason, error.retryable) == (Reason.NETWORK, True)
    assert "Name or service not known" in str(error)


# --- TLS


class Tls:
    """A certificate authority, servers it vouches for, and what a client needs to trust them."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = trustme.CA()
        self.ca.cert_pem.write_to_path(folder / "ca.pem")
        self.trusting = {"ca_file": str(folder / "ca.pem")}

    def server(self, name="127.0.0.1", *, client_certificates=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(name).configure_cert(context)
        if client_certificates:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_certificate(self):
        issued = self.ca.issue_cert("client")
        issued.private_key_pem.write_to_path(self.folder / "key.pem")
        issued.cert_chain_pems[0].write_to_path(self.folder / "cert.pem")
        return {
            "cert_file": str(self.folder / "cert.pem"),
            "key_file": str(self.folder / "key.pem"),
        }


@pytest.fixture
def tls(tmp_path):
    return Tls(tmp_path)


async def test_a_certificate_of_a_trusted_authority_is_good(clock, tls):
    """With ca_file, a server with a certificate of that authority is talked to."""
    async with (
        raw_server(GOOD, tls=tls.server()) as server,
        connected(None, clock, base_url=server.url, tls_config=tls.trusting) as client,
    ):
        assert await fetch(client, clock) == statistics()


@pytest.mark.parametrize("fault", ["unknown authority", "another name"])
async def test_a_certificate_that_is_not_trusted_is_a_tls_failure(clock, tls, fault):
    """An unknown authority or another host's certificate fails as tls, is not retried,
    and nothing was sent.
    """
    name = "127.0.0.1" if fault == "unknown authority" else "api.example.com"
    trust = {} if fault == "unknown authority" else tls.trusting
    async with (
        raw_server(GOOD, tls=tls.server(name)) as server,
        connected(None, clock, base_url=server.url, tls_config=trust) as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.TLS
    assert "certificate" in outcome.message
    assert (server.requests, clock.sleeps) == ([], [])


async def test_verification_can_be_turned_off(clock, tls):
    """With insecure_skip_verify, any certificate is taken."""
    async with (
        raw_server(GOOD, tls=tls.server("api.example.com")) as server,
        connected(
            None, clock, base_url=server.url, tls_config={"insecure_skip_verify": True}
        ) as client,
    ):
        assert await fetch(client, clock) == statistics()


async def test_a_server_without_tls_behind_https_is_a_tls_failure(clock):
    """A server that answers the handshake in plain HTTP fails as tls."""

    async def plain(server, reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()

    async with (
        raw_server(plain) as server,
        connected(None, clock, base_url=server.url.replace("http:", "https:")) as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.TLS


def _answer_one(listener, context):
    """Answer one connection as servers outside asyncio do:
    a handshake that fails ends with an alert.
    """
    connection, _ = listener.accept()
    connection.settimeout(DEADLINE)
    with context.wrap_socket(
        connection, server_side=True, do_handshake_on_connect=False
    ) as secured:
        try:
            secured.do_handshake()
            secured.recv(65_536)
            secured.sendall(GOOD)
        except ssl.SSLError:
            secured.shutdown(socket.SHUT_WR)
            while secured.recv(65_536):
                pass


@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"]
)
@pytest.mark.parametrize("certificate", [True, False], ids=["with certificate", "without"])
async def test_a_client_certificate_opens_the_door(clock, tls, version, certificate):
    """A server that wants a client certificate answers to one,
    and without it the failure is tls in each version.
    """
    context = tls.server(client_certificates=True)
    context.minimum_version = context.maximum_version = version
    tls_config = tls.trusting | (tls.client_certificate() if certificate else {})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(asyncio.to_thread(_answer_one, listener, context))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with connected(None, clock, base_url=url, tls_config=tls_config) as client:
            outcome = await poll(client, clock, seconds=DEADLINE)
        await serving
    assert outcome.reason is (None if certificate else Reason.TLS)


def _encrypted(key):
    """Return a key that is protected by a password."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )


@pytest.mark.parametrize(
    ("key", "content", "words"),
    [
        ("ca_file", None, "cannot be read: No such file or directory"),
        ("ca_file", b"nothing", "holds no certificates in PEM form"),
        ("ca_file", b"", "holds no certificates in PEM form"),
        ("cert_file", None, "cannot be read: No such file or directory"),
        ("cert_file", b"nothing", "holds no certificate in PEM form"),
        ("key_file", None, "cannot be read: No such file or directory"),
        ("key_file", b"nothing", "holds no private key in PEM form"),
        ("key_file", "another", "holds the key of another certificate than the one in cert_file"),
        ("key_file", "encrypted", "holds a key that is encrypted: expected one without a password"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_tls_files_that_cannot_be_used_are_reported_at_once(clock, tls, key, content, words):
    """A client with an unusable TLS file is not made: the message says which it is, and why."""
    tls_config = tls.trusting | tls.client_certificate()
    path = Path(tls_config[key])
    if content == "another":
        content = trustme.CA().issue_cert("another").private_key_pem.bytes()
    if content == "encrypted":
        content = _encrypted(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)
    api = Api.model_validate({"authorization": {"credentials": "token"}, "tls_config": tls_config})
    with pytest.raises(ConfigError) as caught:
        FlashbackClient(api, clock, lambda *_: None)
    assert [str(problem) for problem in caught.value.problems] == [
        f"api.tls_config.{key}: {path} {words}"
    ]


def test_every_tls_file_and_address_is_reported_together(clock, tls, tmp_path):
    """What is wrong with files and addresses is told at once; a folder and a pipe are no files."""
    os.mkfifo(tmp_path / "pipe")
    tls_config = {"ca_file": tmp_path, "cert_file": tmp_path / "pipe", "key_file": tmp_path / "no"}
    api = Api(
        base_url="https://xn--", authorization={"credentials": "token"}, tls_config=tls_config
    )
    with pytest.raises(ConfigError) as caught:
        FlashbackClient(api, clock, lambda *_: None)
    assert [problem.where for problem in caught.value.problems] == [
        "api.tls_config.ca_file",
        "api.tls_config.cert_file",
        "api.tls_config.key_file",
        "api.base_url",
    ]


def test_a_certificate_file_may_hold_its_key(clock, tls, tmp_path):
    """Without key_file the key is looked for beside the certificate, and missed if not there."""
    files = tls.client_certificate()
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(Path(files[name]).read_bytes() for name in ("key_file", "cert_file")))
    for cert_file, good in ((str(both), True), (files["cert_file"], False)):
        tls_config = {"cert_file": cert_file}
        api = Api(authorization={"credentials": "token"}, tls_config=tls_config)
        if good:
            FlashbackClient(api, clock, lambda *_: None)
            continue
        with pytest.raises(ConfigError, match="holds no private key in PEM form"):
            FlashbackClient(api, clock, lambda *_: None)


async def test_an_authority_in_a_file_is_the_only_one(clock, tls, monkeypatch, tmp_path):
    """With ca_file the system's authorities are not trusted any more."""
    another = tmp_path / "another.pem"
    trustme.CA().cert_pem.write_to_path(another)
    monkeypatch.setenv("SSL_CERT_FILE", tls.trusting["ca_file"])
    async with raw_server(GOOD, tls=tls.server()) as server:
        async with connected(None, clock, base_url=server.url) as client:
            assert await fetch(client, clock) == statistics()
        async with connected(
            None, clock, base_url=server.url, tls_config={"ca_file": str(another)}
        ) as client:
            assert (await failure(client, clock)).reason is Reason.TLS


async def test_an_authority_that_another_one_vouches_for_is_trusted(clock, tls, tmp_path):
    """A file with an intermediate authority alone is enough, on every Python:
    nothing above it is asked for.
    """
    child = tls.ca.create_child_ca()
    child.cert_pem.write_to_path(tmp_path / "child.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    child.issue_cert("127.0.0.1").configure_cert(context)
    trust = {"ca_file": str(tmp_path / "child.pem")}
    async with (
        raw_server(GOOD, tls=context) as server,
        connected(None, clock, base_url=server.url, tls_config=trust) as client,
    ):
        assert await fetch(client, clock) == statistics()


def sloppy_authority(folder):
    """Return a server's context whose authority leaves out formalities of RFC 5280,
    as many private ones do.
    """

    def certificate(subject, key, extension):
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        return (
            x509.CertificateBuilder(authority, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=False)
            .sign(authority_key, hashes.SHA256())
        )

    authority = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    basic = x509.BasicConstraints(ca=True, path_length=None)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    files = {
        "ca.pem": certificate("authority", authority_key, basic).public_bytes(Encoding.PEM),
        "server.pem": certificate("server", key, names).public_bytes(Encoding.PEM),
        "key.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "key.pem")
    return context


async def test_a_private_authority_may_leave_out_formalities(clock, tmp_path):
    """An authority whose basicConstraints is not critical is trusted where ca_file names it,
    as by Prometheus.
    """
    async with (
        raw_server(GOOD, tls=sloppy_authority(tmp_path)) as server,
        connected(
            None, clock, base_url=server.url, tls_config={"ca_file": tmp_path / "ca.pem"}
        ) as client,
    ):
        assert await fetch(client, clock) == statistics()


# --- time


async def test_no_answer_is_a_timeout(clock):
    """A server that reads the request and says nothing fails as timeout, and may be asked again."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(b"", silence)) as server,
        connected(None, clock, base_url=server.url, timeout="100ms") as client,
    ):
        error = await failure(client, clock)
    assert (error.reason, error.retryable) == (Reason.TIMEOUT, True)


async def test_a_handshake_without_end_is_a_timeout(clock):
    """A server that accepts the connection and never answers the TLS handshake fails as timeout,
    and is hung up on.
    """
    async with (
        asyncio.timeout(2),
        raw_server(silence) as server,
        connected(
            None, clock, base_url=server.url.replace("http:", "https:"), timeout="100ms"
        ) as client,
    ):
        error = await failure(client, clock)
        await server.left.wait()
    assert error.reason is Reason.TIMEOUT


async def test_a_connection_that_is_never_accepted_is_a_timeout(clock):
    """A server too busy to accept connections fails as timeout."""
    fillers = []
    with socket.create_server(("127.0.0.1", 0), backlog=0) as busy:
        for _ in range(4):
            fillers.append(socket.socket())
            fillers[-1].setblocking(False)
            with suppress(BlockingIOError):
                fillers[-1].connect(busy.getsockname())
        url = f"http://127.0.0.1:{busy.getsockname()[1]}"
        async with (
            asyncio.timeout(DEADLINE),
            connected(None, clock, base_url=url, timeout="100ms") as client,
        ):
            error = await failure(client, clock)
    for filler in fillers:
        filler.close()
    assert (error.reason, error.retryable) == (Reason.TIMEOUT, True)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX: ", OK + b"\r\n", OK + b"Content-Encoding: gzip\r\n\r\n"]
)
async def test_the_total_time_holds_for_a_server_that_drips(clock, start):
    """Bytes that keep coming, in headers or body, do not prolong a request's time."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(
            then(start + gzip.compress(statistics())[:10] * (b"gzip" in start), without_end(b" "))
        ) as server,
        connected(None, clock, base_url=server.url, timeout="100ms") as client,
    ):
        error = await failure(client, clock)
    assert error.reason in (
        Reason.TIMEOUT,
        Reason.NETWORK if b"X: " in start else Reason.INVALID_RESPONSE,
    )


async def test_a_slow_answer_of_the_simulator_is_a_timeout(clock, api):
    """An API that dawdles over each byte is given up at the configured time."""
    api.simulator.misbehave(Fault(body=statistics(), seconds_a_byte=0.01))
    settings = api.config(api={"timeout": "200ms"}).api
    client = FlashbackClient(settings, clock, lambda *_: None)
    async with asyncio.timeout(DEADLINE):
        error = await failure(client, clock)
        await client.aclose()
    assert error.reason is Reason.TIMEOUT


# --- compression and size


def _encoded(content, encoding="gzip"):
    return answer(200, content, headers={"Content-Encoding": encoding})


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", " gzip "])
@pytest.mark.parametrize("members", [1, 2, 50])
async def test_gzip_is_read_whatever_its_members(clock, encoding, members):
    """A gzip stream of one or several members is decompressed whole."""
    content = os.urandom(50_000)
    step = len(content) // members
    packed = b"".join(
        gzip.compress(content[start : start + step]) for start in range(0, len(content), step)
    )
    async with connected(fake_api(_encoded(packed, encoding)), clock) as client:
        assert await fetch(client, clock) == content


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072, 3 * MIB])
async def test_pieces_are_small_whatever_the_compression(clock, size):
    """The body comes in pieces of at most 64 KiB, compressed or not,
    and none is lost at their borders.
    """
    content = b"x" * size
    for one in (answer(200, content), _encoded(gzip.compress(content))):
        async with (
            connected(fake_api(one), clock) as client,
            client.ask(DAILY, {}, 2000) as body,
        ):
            pieces = [piece async for piece in body]
        assert max(map(len, pieces)) <= 65_536
        assert sum(map(len, pieces)) == size


PACKED = gzip.compress(statistics())


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"", "gzip"),
        (PACKED[:5], "gzip"),
        (PACKED[: len(PACKED) // 2], "gzip"),
        (PACKED[:-1], "gzip"),
        (PACKED[:-8] + bytes(8), "gzip"),
        (PACKED + b"garbage", "gzip"),
        (PACKED + PACKED[:-1], "gzip"),
        (statistics(), "gzip"),
        (zlib.compress(statistics()), "gzip"),
        (zlib.compress(statistics()), "deflate"),
        (statistics(), "br"),
        (statistics(), "unheard-of"),
        (gzip.compress(PACKED), "gzip, gzip"),
    ],
    ids=[
        "nothing",
        "header cut off",
        "cut off half-way",
        "last byte missing",
        "wrong checksum",
        "garbage behind",
        "second member cut off",
        "not compressed",
        "zlib called gzip",
        "deflate",
        "brotli",
        "unknown",
        "twice",
    ],
)
async def test_a_broken_or_unknown_encoding_is_an_invalid_response(clock, content, encoding):
    """What cannot be decompressed, or was not asked for, fails as invalid_response."""
    async with connected(fake_api(_encoded(content, encoding)), clock) as client:
        assert (await failure(client, clock)).reason is Reason.INVALID_RESPONSE


@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
@pytest.mark.parametrize(("size", "reason"), [(100_000, None), (100_001, Reason.TOO_LARGE)])
async def test_the_size_limit_counts_decompressed_bytes(clock, packed, size, reason):
    """An answer of exactly max_response_size is taken; one byte more fails as too_large,
    compressed or not.
    """
    content = statistics().ljust(size)
    api = fake_api(_encoded(gzip.compress(content)) if packed else answer(200, content))
    async with connected(api, clock, max_response_size=100_000) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is reason
    assert api["daily"].call_count == 1


async def test_an_answer_without_end_is_too_large(clock):
    """A server that never stops sending is cut off at the limit."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(OK + b"\r\n{", without_end(b" " * 65_536))) as server,
        connected(None, clock, base_url=server.url, max_response_size="10MiB") as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("padding", [b'"', b"[", b"7"], ids=["text", "list", "number"])
async def test_a_value_without_end_costs_little(clock, padding):
    """One value that never ends fails as invalid_response before much of it is read."""
    content = b'{"data": [' + padding + (b"7" if padding == b"7" else b"1,") * (8 * MIB)
    async with (
        asyncio.timeout(DEADLINE),
        connected(fake_api(answer(200, content)), clock) as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.INVALID_RESPONSE
    assert "over a million characters" in outcome.message


def _resident():
    with open("/proc/self/statm") as file:  # noqa: PTH123 - the kernel's file, read as such
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _bomb(mebibytes):
    """Return a gzip stream of so many MiB of zeros: one compressed MiB, again and again."""
    compressor = zlib.compressobj(9, wbits=31)
    first = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return first + again * (mebibytes - 1)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")  # noqa: PTH110
async def test_a_gzip_bomb_costs_no_memory(clock):
    """A gibibyte of zeros, packed into a megabyte, is cut off at the limit and never held."""
    api = fake_api(_encoded(_bomb(1025)))
    read = pieces = 0
    async with asyncio.timeout(DEADLINE * 4), connected(api, clock, timeout="1m") as client:
        before = highest = _resident()
        reason = None
        try:
            async with client.ask(DAILY, {}, 2000) as body:
                async for piece in body:
                    read += len(piece)
                    pieces += 1
                    highest = max(highest, _resident()) if pieces % 100 == 0 else highest
        except PollError as error:
            reason = error.reason
    assert reason is Reason.TOO_LARGE
    assert 1023 * MIB < read <= 1024 * MIB
    assert highest - before < 32 * MIB


# --- bookkeeping


async def test_every_request_is_counted_by_endpoint_and_code(clock):
    """The observer hears of each request once: where it went, the answer, and how long it took."""
    api = fake_api(answer(401), answer(503))
    api.post(LOGIN).mock(side_effect=in_turn(signed_in(refreshToken="r")))
    api.post(REFRESH).mock(side_effect=in_turn(signed_in("b")))
    seen = []
    async with connected(api, clock, lambda *call: seen.append(call), login=LOGIN_DATA) as client:
        await failure(client, clock)
    assert [call[:2] for call in seen] == [
        (LOGIN, "200"),
        (DAILY, "401"),
        (REFRESH, "200"),
        (DAILY, "503"),
    ]


async def test_a_request_without_an_answer_is_counted_as_error(clock):
    """Where no status came, the code is `error`."""
    seen = []
    async with (
        raw_server(hang_up) as server,
        connected(None, clock, lambda *call: seen.append(call[:2]), base_url=server.url) as client,
    ):
        await failure(client, clock)
    assert seen == [(DAILY, "error")]


async def test_a_request_lasts_until_its_answer_is_read(clock):
    """The observed duration reaches from the sending of the request to the end of its body."""
    api = fake_api()

    def slow(request):
        clock.move(2)
        return answer()

    api["daily"].mock(side_effect=slow)
    seen = []
    async with connected(api, clock, lambda *call: seen.append(call)) as client:
        async with client.ask(DAILY, {}, 2000) as body:
            async for _ in body:
                clock.move(3)
        assert len(seen) == 1
    assert seen == [(DAILY, "200", 5.0)]


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_requests_at_once_than_configured(clock, limit):
    """However many queries ask, no more than max_concurrent_requests are under way."""
    api = fake_api()
    under_way, most = 0, 0

    async def busy(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return answer()

    api["daily"].mock(side_effect=busy)
    async with connected(api, clock, max_concurrent_requests=limit) as client:
        await asyncio.gather(*[fetch(client, clock) for _ in range(10)])
    assert most == limit


async def test_a_good_poll_of_the_simulator(clock, api):
    """A poll of the simulator, over real HTTP with sign-in and gzip, gives groups."""
    client = FlashbackClient(api.config().api, clock, lambda *_: None)
    outcome = await poll(client, clock)
    await client.aclose()
    assert outcome.reason is None
    assert len(outcome.snapshot.groups) > 200


async def test_a_client_that_was_never_used_closes(clock):
    """Closing a client that sent nothing is fine."""
    async with connected(fake_api(), clock) as client:
        assert client.wait == 0
        assert client.token_expires_at == 0


async def test_cookies_are_not_kept(clock):
    """What the API sets as cookies does not pile up in later requests."""
    api = fake_api(
        *[answer(headers={"Set-Cookie": f"c{number}={'x' * 3000}; Path=/"}) for number in range(3)]
    )
    async with connected(api, clock) as client:
        for _ in range(3):
            await fetch(client, clock)
    assert [call.request.headers.get("Cookie") for call in api["daily"].calls] == [None] * 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "https://xn--"),
        ("base_url", "https://\u2603.net"),
        ("base_url", "https://b\xfccher..example"),
        ("proxy_url", "http://user:canary@xn--"),
        ("proxy_url", "http://user:canary@\u2603.net:3128"),
    ],
)
def test_a_host_that_has_no_form_for_dns_is_named(clock, key, value):
    """A host in another script whose form for DNS cannot be made is the
    fault of the address that names it.
    """
    api = Api(authorization={"credentials": "x"}, **{key: value})
    with pytest.raises(ConfigError) as caught:
        FlashbackClient(api, clock, lambda *_: None)
    (problem,) = caught.value.problems
    assert problem.where == f"api.{key}"
    assert "canary" not in str(problem)


@pytest.mark.parametrize(
    "host",
    ["a", "a_b.c-", "A.example.", "xn--bcher-kva.example", "b\xfccher.example", "1.2.3.4", "[::1]",
     "[fe80::1%eth0]", "[::ffff:1.2.3.4]", "a" * 63 + ".a"],
)  # fmt: skip
@pytest.mark.parametrize("rest", ["", ":1", ":080", "/", ":65535/v1/\xfc", "//a%20b/..", "/%zz"])
async def test_an_address_that_the_configuration_takes_can_be_asked(clock, host, rest):
    """What the configuration takes for an address, HTTP takes too."""

    async def nothing():
        yield b""

    api = Api(base_url=f"https://{host}{rest}", authorization={"credentials": "x"})
    transport = httpx.MockTransport(lambda request: httpx.Response(400, content=nothing()))
    client = FlashbackClient(api, clock, lambda *_: None, transport)
    assert (await failure(client, clock)).reason is Reason.BAD_REQUEST
    await client.aclose()


# --- one connection, one request

STRAY = OK + b"Content-Length: 3\r\n\r\n{7}"
COMPLETE = OK + b"Content-Length: %d\r\n\r\n" % len(statistics()) + statistics()


@pytest.mark.parametrize(
    "first",
    [
        COMPLETE,
        OK
        + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(statistics())
        + statistics()
        + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + COMPLETE,
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["length", "chunked", "204", "304", "404", "503", "103 before", "HTTP/1.0"],
)
async def test_bytes_behind_an_answer_are_not_the_next_one(clock, first):
    """Whatever a server sends behind its answer, the next question gets an answer of its own."""

    async def first_and_more(server, reader, writer):
        await server.read(reader)
        writer.write(first + STRAY)
        await writer.drain()
        while await reader.read(65_536):
            server.requests.append("a second request on one connection")

    async with (
        asyncio.timeout(DEADLINE),
        raw_server(first_and_more, GOOD) as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        with suppress(PollError):
            await fetch(client, clock)
        assert await fetch(client, clock) == statistics()
    assert (server.connections, len(server.requests)) == (2, 2)


async def test_bytes_behind_a_401_are_not_the_answer_to_the_replay(clock):
    """The replay after a renewal, and the sign-in before it, have connections of their own too."""
    signed = b'{"success": true, "accessToken": "%s"}'

    def answering(body, status=b"200 OK"):
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        return then(head + body + STRAY, silence)

    async with (
        asyncio.timeout(DEADLINE),
        raw_server(
            answering(signed % b"one"),
            answering(b"", b"401 No"),
            answering(signed % b"two"),
            COMPLETE,
        ) as server,
        connected(None, clock, base_url=server.url, login=LOGIN_DATA) as client,
    ):
        assert await fetch(client, clock) == statistics()
    assert server.connections == 4


async def test_a_tunnel_serves_one_request(clock, tls):
    """Through a proxy every question has a tunnel of its own,
    and bytes in it are not the next answer either.
    """
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(COMPLETE + STRAY, silence), COMPLETE, tls=tls.server()) as server,
        raw_server(tunnel(server.port)) as proxy,
        connected(
            None, clock, base_url=server.url, proxy_url=proxy.url, tls_config=tls.trusting
        ) as client,
    ):
        for _ in range(2):
            assert await fetch(client, clock) == statistics()
    assert (proxy.connections, server.connections) == (2, 2)


async def test_a_plain_proxy_serves_one_request_a_connection(clock):
    """What a proxy sends behind an answer over plain http is not the next one."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(COMPLETE + STRAY, silence), COMPLETE) as proxy,
        connected(None, clock, base_url="http://127.0.0.1:1", proxy_url=proxy.url) as client,
    ):
        for _ in range(2):
            assert await fetch(client, clock) == statistics()
    assert proxy.connections == 2


async def test_bytes_before_a_question_are_not_its_answer(clock):
    """Nothing is left of a connection that a server goes on writing to after its answer,
    however long it stays.
    """
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(then(COMPLETE, without_end(STRAY)), COMPLETE) as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        for _ in range(2):
            assert await fetch(client, clock) == statistics()
        await server.left.wait()


# --- answers that are cut off

CUT = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "start",
    [
        CUT + b"\r\n" + statistics()[:-5],
        CUT + b"\r\n",
        OK + b"Connection: close\r\n\r\n" + statistics()[:-5],
        CUT + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(statistics())[:-3],
    ],
    ids=["HTTP/1.0", "before its first byte", "HTTP/1.1", "gzip"],
)
async def test_an_answer_without_length_that_is_cut_off_is_tried_again(clock, start):
    """Where only the connection's end ends an answer, an incomplete one is a broken connection."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(start, start, GOOD) as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        outcome = await poll(client, clock)
        assert outcome.reason is None
    assert len(server.requests) == 3
    async with raw_server(start) as server, connected(None, clock, base_url=server.url) as client:
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.NETWORK
    assert "ended in the middle of the answer" in outcome.message


@pytest.mark.parametrize("body", [b"<html>", b'{"data": 7}', statistics() + b"!", b"[]"])
async def test_an_answer_without_length_that_is_wrong_is_not_tried_again(clock, body):
    """A body that is complete as it is, and no good, is an invalid answer however it ends."""
    async with (
        raw_server(CUT + b"\r\n" + body) as server,
        connected(None, clock, base_url=server.url) as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is Reason.INVALID_RESPONSE
    assert len(server.requests) == 1


async def test_a_sign_in_without_length_that_is_cut_off_is_tried_again(clock):
    """The answer to a sign-in is treated alike."""
    whole = b'{"success": true, "accessToken": "one"}'
    async with (
        raw_server(CUT + b"\r\n" + whole[:-9], CUT + b"\r\n" + whole, GOOD) as server,
        connected(None, clock, base_url=server.url, login=LOGIN_DATA) as client,
    ):
        outcome = await poll(client, clock)
    assert outcome.reason is None
    assert len(server.requests) == 3


# --- what went wrong, in words


async def test_an_answer_that_leads_nowhere_is_no_redirect(clock):
    """A 304 is answered to nobody's question here, but nothing of the address is wrong for it."""
    message = await _message(clock, b"HTTP/1.1 304 Not Modified\r\n\r\n")
    assert message == "HTTP 304"


async def _message(clock, behaviour, seconds=60, **api):
    """Return what a question to a server that behaves so ends with, in words."""
    async with (
        asyncio.timeout(DEADLINE),
        raw_server(behaviour) as server,
        connected(None, clock, **{"base_url": server.url, **api}) as client,
    ):
        return str(await failure(client, clock, seconds))


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x50", "not HTTP"),
        (b"220 mail.example.com ESMTP\r\n\r\n", "not HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\nInvalid SSH identification string.\r\n", "another protocol"),
        (b"<html>It works</html>\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "the headers of what 127.0.0.1 answered"),
        (b"HTTP/1.1 200 OK\r\nX: ", "closed the connection without a complete answer"),
        (hang_up, "closed the connection without a complete answer"),
        (then(b"", reset), "Connection reset by peer"),
        (OK + b"Content-Length: 100\r\n\r\n{", "broke off"),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            "broke off, or is not HTTP from there on",
        ),
    ],
    ids=[
        "SSH",
        "an alert of TLS",
        "mail",
        "SSH that hangs up",
        "HTTP/0.9",
        "endless header",
        "half a head",
        "nothing",
        "reset",
        "half",
        "chunks",
    ],
)
async def test_a_broken_answer_is_told_in_words(clock, behaviour, words):
    """The message says whether what answered is no HTTP server, or broke off."""
    assert words in await _message(clock, behaviour)


async def test_refused_connections_are_told_in_the_words_of_the_system(clock):
    """The message says what the system said, once for all addresses of a host."""
    port = await _closed_port()
    async with connected(None, clock, base_url=f"http://127.0.0.1:{port}") as client:
        assert str(await failure(client, clock)) == "cannot reach 127.0.0.1: Connection refused"
    async with connected(None, clock, base_url=f"http://localhost:{port}") as client:
        assert "cannot reach localhost: Connection refused" in str(await failure(client, clock))


async def test_several_addresses_that_fail_in_different_ways_are_told(clock):
    """Where each address of a host fails in its own way, all of them are told."""

    class Nowhere:
        async def async_handler(self, request):
            several = OSError("All connection attempts failed")
            several.__cause__ = ExceptionGroup(
                "several",
                [ConnectionRefusedError(111, "Connect call failed ('::1', 1)"), OSError(113, "x")],
            )
            raise httpx.ConnectError("All connection attempts failed") from several

    async with connected(Nowhere(), clock) as client:
        message = str(await failure(client, clock))
    assert message == "cannot reach api.example.com: Connection refused, No route to host"


async def test_a_server_without_tls_is_told(clock):
    """Where what answers on the other side does not speak TLS, the message says so."""

    async def plain(server, reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()

    async with raw_server(plain) as server:
        message = await _message(clock, plain, base_url=server.url.replace("http:", "https:"))
    assert "does not speak TLS" in message


async def test_a_timeout_says_what_took_too_long(clock):
    """The message tells connecting, waiting and reading apart, with the time that there was."""
    assert await _message(clock, then(b"", silence), timeout="200ms") == (
        "no complete answer within 0.2 s: timed out while waiting for the answer"
    )
    assert await _message(clock, then(OK + b"\r\n{", silence), timeout="200ms") == (
        "no complete answer within 0.2 s: timed out while reading the answer"
    )
    async with raw_server(silence) as server:
        secured = server.url.replace("http:", "https:")
        message = await _message(clock, silence, base_url=secured, timeout="200ms")
    assert message == "no connection within 0.09 s: timed out while connecting"
    async with raw_server(silence) as proxy:
        message = await _message(
            clock, silence, base_url="https://127.0.0.1:1", proxy_url=proxy.url, timeout="200ms"
        )
    assert message == "no complete answer within 0.2 s: timed out while connecting"


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        (then(b"", silence), Reason.TIMEOUT, "timed out while waiting"),
        (hang_up, Reason.NETWORK, "closed the connection"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Reason.SERVER_ERROR, "HTTP 500"),
        (OK + b"Content-Length: 6\r\n\r\n<html>", Reason.INVALID_RESPONSE, "not JSON"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", Reason.AUTH, "HTTP 401"),
    ],
    ids=["timeout", "network", "500", "not JSON", "401"],
)
async def test_a_sign_in_that_fails_names_its_endpoint(clock, behaviour, reason, words):
    """Whatever a sign-in fails with, the message says that it was the sign-in."""
    async with (
        raw_server(behaviour) as server,
        connected(None, clock, base_url=server.url, login=LOGIN_DATA, timeout="300ms") as client,
    ):
        error = await failure(client, clock)
    assert error.reason is reason
    assert str(error).startswith(f"POST {LOGIN}: ")
    assert words in str(error)


async def test_a_token_of_a_login_that_is_refused_at_once_hints_at_mfa(clock):
    """An account with MFA gets a token that is refused everywhere: the message says what helps."""
    for status in (401, 403):
        api = fake_api(answer(status))
        api.post(LOGIN).mock(side_effect=in_turn(signed_in("abcdefgh"), signed_in("ijklmnop")))
        async with connected(api, clock, login=LOGIN_DATA) as client:
            error = await failure(client, clock)
        assert error.reason is Reason.AUTH
        assert "MFA" in str(error)
        assert "refresh_token_file" in str(error)


async def test_a_token_that_was_good_before_does_not_hint_at_mfa(clock):
    """Where tokens of the login have worked, something else is wrong."""
    api = fake_api(answer(), answer(403))
    api.post(LOGIN).mock(side_effect=in_turn(signed_in("abcdefgh")))
    async with connected(api, clock, login=LOGIN_DATA) as client:
        await fetch(client, clock)
        assert "MFA" not in str(await failure(client, clock))


async def test_a_sign_in_without_a_token_hints_at_mfa(clock):
    """A sign-in that succeeds and brings no token is for a person to look at,
    and not repeated for minutes.
    """
    api = fake_api()
    login = api.post(LOGIN).mock(side_effect=in_turn(answer(200, {"success": True})))
    async with connected(api, clock, login=LOGIN_DATA) as client:
        for _ in range(2):
            error = await failure(client, clock)
            assert error.reason is Reason.AUTH
            assert "e-mail address is not verified" in str(error)
            assert "MFA" in str(error)
    assert login.call_count == 1
