"""TLS on real sockets: certificates that change, clients of every kind, and nothing in the log."""

import asyncio
import logging
import socket
import ssl
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trustme
from certificates import SECRET, write_certificates
from clocks import SkippingLoop
from loopback import PATIENCE, served
from servers import surroundings
from starlette.responses import PlainTextResponse

from exporter.web.access import Access
from exporter.web.connections import Connections
from exporter.web.limits import (
    ANSWER_PATIENCE,
    HANDSHAKE_PATIENCE,
    IDLE_PATIENCE,
    REQUEST_PATIENCE,
    STALL_PATIENCE,
)

TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
VERIFIED = TLS + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
IF_GIVEN = TLS + "  client_ca_file: ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = 30_000_000
PIECE = b"x" * 60_000
MANY = 200


@pytest.fixture
def anyio_backend():
    """Run the tests of this module in a loop whose time can be skipped."""
    return "asyncio", {"loop_factory": SkippingLoop}


@pytest.fixture
def certificates(tmp_path):
    """Return a folder with certificates."""
    return write_certificates(tmp_path)


@pytest.fixture(autouse=True)
def logged(caplog):
    """See that strangers leave nothing in the log above debug; return what was logged so far."""
    with surroundings() as lines:
        yield lines
        meant = ("level=debug", "read again", "too many connections")
        assert not [line for line in lines().splitlines() if not any(it in line for it in meant)]
    assert [record.message for record in caplog.records if record.levelno >= logging.INFO] == []


async def app(scope, receive, send):
    """Answer `Hello.`, or 30 MB in pieces where /large is asked for."""
    if scope["path"] != "/large":
        await PlainTextResponse("Hello.")(scope, receive, send)
        return
    headers = [(b"content-length", str(LARGE).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(LARGE // len(PIECE)):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(certificates, text=TLS, most=None):
    """Serve with a web configuration; hand out the port."""
    path = certificates.folder / "web.yml"
    path.write_text(text)
    connections = Connections(most) if most else None
    async with served(app, connections, Access(path)) as (_, url):
        yield int(url.rpartition(":")[2])


@asynccontextmanager
async def connected(port, tls=None, first=b""):
    """Connect, with TLS or without, send a beginning and hand out the streams."""
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    try:
        writer.write(first)
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(port, tls):
    """Ask over a new connection, within the second that is promised; return the answer's end."""
    async with asyncio.timeout(1), connected(port, tls, REQUEST) as (reader, _):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        return await reader.readexactly(6)


async def refused(port, tls):
    """Whether a connection is closed without an answer."""
    try:
        async with asyncio.timeout(PATIENCE), connected(port, tls, REQUEST) as (reader, _):
            return await reader.read() == b""
    except (ssl.SSLError, ConnectionError):
        return True


async def closed(reader):
    """Wait until the server has closed a connection, and return what it had sent before."""
    async with asyncio.timeout(HANDSHAKE_PATIENCE / 2):
        try:
            return await reader.read()
        except (ssl.SSLError, ConnectionError):
            return b""


def certificate_of(writer):
    """Return the serial number of the certificate that the server showed."""
    return writer.get_extra_info("peercert")["serialNumber"]


async def test_a_scrape_with_tls(certificates):
    """With TLS and HTTP/1.1 an answer comes; TLS 1.2 is the oldest version."""
    async with serving(certificates) as port:
        client = certificates.client()
        client.set_alpn_protocols(["h2", "http/1.1"])
        assert await ask(port, client) == b"Hello."
        async with connected(port, client) as (_, writer):
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await ask(port, client) == b"Hello."


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize(("least", "good"), [("TLS10", True), ("TLS11", True), ("TLS12", False)])
async def test_old_versions_need_to_be_permitted(certificates, least, good):
    """A client of TLS 1.1 is served where min_version says so, and nowhere else."""
    client = certificates.client()
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(certificates, f"{TLS}  min_version: {least}\n") as port:
        if good:
            assert await ask(port, client) == b"Hello."
        else:
            assert await refused(port, client)


async def test_tls_1_3_alone(certificates):
    """min_version TLS13 refuses 1.2."""
    async with serving(certificates, f"{TLS}  min_version: TLS13\n") as port:
        client = certificates.client()
        assert await ask(port, client) == b"Hello."
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await refused(port, client)


async def test_a_new_certificate_for_the_next_handshake(certificates):
    """A renewed certificate is shown to the next client, and who is connected stays."""
    async with serving(certificates) as port:
        client = certificates.client()
        async with connected(port, client) as (reader, writer):
            before = certificate_of(writer)
            certificates.issue("new", "localhost")
            (certificates.folder / "new.pem").replace(certificates.folder / "cert.pem")
            (certificates.folder / "new-key.pem").replace(certificates.folder / "key.pem")
            async with connected(port, client) as (_, other):
                assert certificate_of(other) != before
            writer.write(REQUEST)
            assert b" 200 " in await reader.readline()


async def test_client_certificates(certificates):
    """Who has to show a certificate of the authority is refused without one, or with a stranger's."""
    certificates.issue("friend", "friend.example")
    certificates.issue("stranger", "friend.example", authority=trustme.CA())
    async with serving(certificates, VERIFIED) as port:
        assert await ask(port, certificates.client("friend")) == b"Hello."
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name in (None, "stranger"):
                client = certificates.client(name)
                client.maximum_version = version
                assert await refused(port, client)


async def test_client_certificates_if_given(certificates):
    """Who need not show a certificate is served without one, and refused with a stranger's."""
    certificates.issue("friend", "friend.example")
    certificates.issue("stranger", "friend.example", authority=trustme.CA())
    async with serving(certificates, IF_GIVEN) as port:
        assert await ask(port, certificates.client("friend")) == b"Hello."
        assert await ask(port, certificates.client()) == b"Hello."
        assert await refused(port, certificates.client("stranger"))


async def test_no_authority_is_trusted_where_the_file_has_none(certificates):
    """An empty client_ca_file lets in nobody, and the machine's authorities do not step in for it."""
    certificates.issue("friend", "friend.example")
    async with serving(certificates, VERIFIED.replace("ca.pem", "nothing.pem")) as port:
        assert await refused(port, certificates.client("friend"))
        assert await refused(port, certificates.client())


async def test_a_certificate_may_be_its_own_authority(certificates):
    """As in Go, a client's certificate that stands in client_ca_file itself is good."""
    certificates.issue("friend", "friend.example", authority=trustme.CA())
    certificates.issue("other", "friend.example", authority=trustme.CA())
    async with serving(certificates, VERIFIED.replace("ca.pem", "friend.pem")) as port:
        assert await ask(port, certificates.client("friend")) == b"Hello."
        assert await refused(port, certificates.client("other"))


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("friend.example", "friend.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("friend@example.com", "friend@example.com"),
    ],
)
async def test_allowed_names(certificates, name, allowed):
    """A certificate needs one of the names in the list, of a host, an address or a mailbox."""
    certificates.issue("friend", name, "another.example")
    certificates.issue("stranger", "stranger.example")
    text = f"{VERIFIED}  client_allowed_sans: [x.example, '{allowed}']\n"
    async with serving(certificates, text) as port:
        assert await ask(port, certificates.client("friend")) == b"Hello."
        assert await refused(port, certificates.client("stranger"))


async def test_allowed_names_where_no_certificate_is_given(certificates):
    """Where names are asked for, who shows no certificate is refused; an empty list refuses everybody."""
    certificates.issue("friend", "friend.example")
    async with serving(
        certificates, f"{IF_GIVEN}  client_allowed_sans: [friend.example]\n"
    ) as port:
        assert await ask(port, certificates.client("friend")) == b"Hello."
        assert await refused(port, certificates.client())
    async with serving(certificates, f"{VERIFIED}  client_allowed_sans: []\n") as port:
        assert await refused(port, certificates.client("friend"))


async def test_a_resumed_session_is_checked_as_well(certificates):
    """A client that resumes a session still has the name that its certificate had."""
    certificates.issue("friend", "friend.example")
    client = certificates.client("friend")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    loop = asyncio.get_running_loop()

    def scrape(port, session):
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
            client.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
        ):
            secure.sendall(REQUEST)
            return secure.recv(100), secure.session, secure.session_reused

    text = f"{VERIFIED}  client_allowed_sans: [friend.example]\n"
    async with serving(certificates, text) as port:
        _, session, _ = await loop.run_in_executor(None, scrape, port, None)
        answer, _, reused = await loop.run_in_executor(None, scrape, port, session)
        assert reused
        assert b" 200 " in answer


@pytest.mark.parametrize(
    "first", [REQUEST, b"\0" * 1000, b"\x16\x03\x01\xff\xff", b"\n", b"\x80\x2e\x01"]
)
async def test_what_is_not_tls_is_closed(certificates, first):
    """Plain text or garbage on a port with TLS ends that connection and no other."""
    async with serving(certificates) as port:
        async with connected(port, None, first) as (reader, writer):
            asyncio.get_running_loop().call_soon(writer.write_eof)
            assert b"HTTP/1.1 200" not in await closed(reader)
        assert await ask(port, certificates.client()) == b"Hello."


async def test_tls_on_a_plain_port_is_closed(certificates):
    """A TLS client on a port without TLS is refused."""
    async with served(app) as (_, url):
        assert await refused(int(url.rpartition(":")[2]), certificates.client())


async def test_clients_that_go_away_at_any_moment(certificates):
    """A client that hangs up or resets in the middle of a handshake, a request or an answer leaves no trace."""
    async with serving(certificates) as port:
        for first in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
            for _ in range(5):
                async with connected(port, None, first):
                    await asyncio.sleep(0)
        for first in (b"", b"GET", REQUEST, REQUEST.replace(b"/ ", b"/large ")):
            for _ in range(5):
                async with connected(port, certificates.client(), first) as (reader, _):
                    if b"large" in first:
                        await reader.read(100_000)
        assert await ask(port, certificates.client()) == b"Hello."


async def test_silent_clients_hold_up_nobody_and_are_closed(certificates):
    """200 clients without a handshake and 200 silent after it: a scrape answers, and each has its ten seconds."""
    loop = asyncio.get_running_loop()
    client = certificates.client()
    async with serving(certificates) as port, AsyncExitStack() as stack:
        silent = [
            (await stack.enter_async_context(connected(port, tls, first)))[0]
            for tls, first in ((None, b""), (client, b"GET / HTTP/1.1\r\nHost: lo"))
            for _ in range(MANY)
        ]
        await ask(port, client)
        loop.skip(HANDSHAKE_PATIENCE - 2)
        await ask(port, client)
        assert not any(reader.at_eof() for reader in silent)
        loop.skip(max(HANDSHAKE_PATIENCE, REQUEST_PATIENCE))
        assert set(await asyncio.gather(*map(closed, silent))) == {b""}
        await ask(port, client)


async def test_a_request_has_its_time_after_the_handshake(certificates):
    """The seconds that a handshake took are not taken from the request."""
    loop = asyncio.get_running_loop()
    async with serving(certificates) as port, AsyncExitStack() as stack:
        reader, writer = await stack.enter_async_context(connected(port))
        await ask(port, certificates.client())
        loop.skip(HANDSHAKE_PATIENCE - 1)
        await writer.start_tls(certificates.client(), server_hostname="localhost")
        loop.skip(REQUEST_PATIENCE - 1)
        await ask(port, certificates.client())
        writer.write(REQUEST)
        assert b" 200 " in await reader.readline()


async def test_an_idle_connection_may_rest_between_two_scrapes(certificates):
    """Two scrapes a minute apart go over one connection; two minutes of silence end it."""
    loop = asyncio.get_running_loop()
    async with (
        serving(certificates) as port,
        connected(port, certificates.client()) as (reader, writer),
    ):
        for _ in range(2):
            writer.write(REQUEST)
            await reader.readuntil(b"Hello.")
            loop.skip(60)
            await ask(port, certificates.client())
        loop.skip(IDLE_PATIENCE - 60)
        assert await closed(reader) == b""


async def test_clients_that_read_nothing_hold_up_nobody_and_are_closed(certificates):
    """50 clients that never read 30 MB: a scrape answers, and they are cut off when their time is up."""
    loop = asyncio.get_running_loop()
    client = certificates.client()
    async with serving(certificates) as port, AsyncExitStack() as stack:
        deaf = []
        for _ in range(50):
            pair = await stack.enter_async_context(connected(port, client))
            pair[1].transport.pause_reading()
            pair[1].write(REQUEST.replace(b"/ ", b"/large "))
            deaf.append(pair)
        await ask(port, client)
        loop.skip(STALL_PATIENCE)
        await ask(port, client)
        loop.skip(ANSWER_PATIENCE)
        await ask(port, client)
        for reader, writer in deaf:
            writer.transport.resume_reading()
            assert len(await closed(reader)) < LARGE


async def test_a_slow_reader_has_its_whole_answer(certificates):
    """A client that takes 30 MB with pauses gets every byte, also where the connection ends behind it."""
    first = b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with (
        serving(certificates) as port,
        connected(port, certificates.client(), first) as (reader, _),
    ):
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"content-length: {LARGE}".encode() in head.lower()
        taken = 0
        while piece := await reader.read(1 << 20):
            taken += len(piece)
            await asyncio.sleep(0)
        assert taken == LARGE


async def test_connections_with_tls_count(certificates):
    """Where all places are taken by handshakes that do not end, the longest of them is closed for a newcomer."""
    async with serving(certificates, most=10) as port, AsyncExitStack() as stack:
        silent = [(await stack.enter_async_context(connected(port)))[0] for _ in range(10)]
        for longest in silent[:3]:
            newcomer = connected(port, certificates.client(), REQUEST)
            reader, _ = await stack.enter_async_context(newcomer)
            await reader.readuntil(b"Hello.")
            assert await closed(longest) == b""


async def test_handshakes_that_fail_give_back_their_places(certificates, logged):
    """After many clients that do not speak TLS, all places are there for those who do."""
    async with serving(certificates, most=3) as port:
        for _ in range(10):
            async with connected(port, None, REQUEST) as (reader, _):
                await closed(reader)
        assert await ask(port, certificates.client()) == b"Hello."
    assert "too many connections" not in logged()


async def test_the_end_comes_with_clients_connected(certificates):
    """The server ends within its grace, whatever clients with TLS are doing."""
    client = certificates.client()
    text = f"{TLS}basic_auth_users: {{a: {SECRET}}}\n"
    async with AsyncExitStack() as stack, asyncio.timeout(4), serving(certificates, text) as port:
        for tls, first in (
            (None, b""),
            (None, b"\x16\x03\x01"),
            (client, b""),
            (client, b"GET"),
            (client, REQUEST.replace(b"/ ", b"/large ")),
        ):
            _, writer = await stack.enter_async_context(connected(port, tls, first))
            writer.transport.pause_reading()
