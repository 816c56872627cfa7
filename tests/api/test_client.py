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

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
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
from exporter.api.client import DAILY, FlashbackClient
from exporter.config.sections import Api
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
        client.daily_statistics({"repoId": "a,b"}, 2000) as body,
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
    """A redirect is not followed, neither for a question nor for a sign-in: no other host sees token or password."""
    async with raw_server(GOOD) as elsewhere:
        redirect = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode()
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
    "reply", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"HTTP/1.1 502 Bad\r\n\r\n", b"garbage\r\n\r\n"]
)
async def test_a_proxy_that_refuses_is_a_network_failure(clock, reply):
    """A proxy that does not build the tunnel breaks the connection."""
    async with (
        raw_server(reply) as proxy,
        connected(None, clock, base_url="https://127.0.0.1:1", proxy_url=proxy.url) as client,
    ):
        error = await failure(client, clock)
    assert (error.reason, error.retryable) == (Reason.NETWORK, True)


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
    """A connection that breaks before or within the answer may be tried again, and is a failure of the network."""
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
    """A certificate authority, servers that it vouches for, and what a client needs to trust them."""

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


def sloppy_authority(folder):
    """Return a server's context whose authority leaves out formalities of RFC 5280, as many private ones do."""

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
    """An authority whose basicConstraints is not critical is trusted where ca_file names it, as by Prometheus."""
    async with (
        raw_server(GOOD, tls=sloppy_authority(tmp_path)) as server,
        connected(
            None, clock, base_url=server.url, tls_config={"ca_file": tmp_path / "ca.pem"}
        ) as client,
    ):
        assert await fetch(client, clock) == statistics()


async def test_an_intermediate_authority_may_be_trusted_without_its_root(clock, tls):
    """Where ca_file names an intermediate authority alone, its servers are trusted, as by Prometheus."""
    tls.ca = tls.ca.create_child_ca()
    tls.ca.cert_pem.write_to_path(tls.folder / "ca.pem")
    async with (
        raw_server(GOOD, tls=tls.server()) as server,
        connected(None, clock, base_url=server.url, tls_config=tls.trusting) as client,
    ):
        assert await fetch(client, clock) == statistics()


@pytest.mark.parametrize("fault", ["unknown authority", "another name"])
async def test_a_certificate_that_is_not_trusted_is_a_tls_failure(clock, tls, fault):
    """An unknown authority or another host's certificate fails as tls, is not retried, and nothing was sent."""
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
    """Answer one connection as servers outside asyncio do: a handshake that fails ends with an alert."""
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
    """A server that wants a client certificate answers to one, and without it the failure is tls in each version."""
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


@pytest.mark.parametrize("fault", ["missing", "not PEM", "key of another certificate", "folder"])
async def test_tls_files_that_cannot_be_used_are_reported_at_once(clock, tls, fault, tmp_path):
    """A client with unusable TLS files is not made: the configuration is at fault and says where."""
    tls_config = tls.trusting | tls.client_certificate()
    if fault == "missing":
        tls_config["cert_file"] = str(tmp_path / "nothing")
    elif fault == "not PEM":
        (tmp_path / "ca.pem").write_text("nothing")
    elif fault == "folder":
        tls_config["ca_file"] = str(tmp_path)
    else:
        trustme.CA().issue_cert("another").private_key_pem.write_to_path(tmp_path / "key.pem")
    api = Api.model_validate({"authorization": {"credentials": "token"}, "tls_config": tls_config})
    with pytest.raises(ConfigError, match=r"api\.tls_config"):
        FlashbackClient(api, clock, lambda *_: None)


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
    """A server that accepts the connection and never answers the TLS handshake fails as timeout, and is hung up on."""
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
    """Bytes that keep coming, in headers or body, do not prolong the time that a request may take."""
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
    """The body comes in pieces of at most 64 KiB, compressed or not, and none is lost at their borders."""
    content = b"x" * size
    for one in (answer(200, content), _encoded(gzip.compress(content))):
        async with (
            connected(fake_api(one), clock) as client,
            client.daily_statistics({}, 2000) as body,
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
    """An answer of exactly max_response_size is taken; one byte more fails as too_large, compressed or not."""
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
    """One value that never ends within an answer fails as invalid_response before much of it is read."""
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
    """A gibibyte of zeros, packed into a megabyte, is cut off at the limit without ever being held."""
    api = fake_api(_encoded(_bomb(1025)))
    read = pieces = 0
    async with asyncio.timeout(DEADLINE * 4), connected(api, clock, timeout="1m") as client:
        before = highest = _resident()
        reason = None
        try:
            async with client.daily_statistics({}, 2000) as body:
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
    """The observer hears of each request once: where it went, what the answer was, and how long it took."""
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
        async with client.daily_statistics({}, 2000) as body:
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
    """A host in another script whose form for DNS cannot be made is the fault of the address that names it."""
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
