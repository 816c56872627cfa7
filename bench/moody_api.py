"""A Flashback API of changing moods: its groups come and go, and many answers go wrong."""

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

from exporter.api.daily import DAILY
from exporter.clock import SECONDS_A_DAY
from exporter.demo.company import RawRecord

_TOKEN_LIFETIME = 30  # seconds: tokens are renewed all the time
_HANG = 0.8  # seconds, more than the exporter's patience
_REPOSITORIES_AT_A_TIME = 400
_NEW_ONES_A_SECOND = 5
_REPOSITORIES = 1_000  # that come and go in turn; the marks of all are kept until their day ends

_MOODS = {
    "good": 600,
    "compressed": 150,
    "empty": 20,
    "big": 10,
    "odd_records": 30,
    "token_forgotten": 10,
    "refused": 10,
    "server_error": 40,
    "asked_to_wait": 1,
    "not_json": 15,
    "cut": 30,
    "cut_compressed": 15,
    "reset": 15,
    "hang": 5,
}


class MoodyApi(BaseHTTPRequestHandler):
    """Signs in whoever asks, and answers a GET with the latest token in the mood of the moment."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    rng = Random("moody")
    token = ""
    issued = 0

    def do_POST(self) -> None:
        """Sign in or refresh; one refresh in ten is refused, one request in twenty fails."""
        self.rfile.read(int(self.headers["Content-Length"]))
        dice = self.rng.random()
        if dice < 0.05:
            self._send(500, b"<html>no</html>")
        elif dice < 0.15 and self.path.endswith("refresh"):
            self._send(401, b'{"success": false, "error_code": "INVALID_REFRESH_TOKEN"}')
        else:
            kind = type(self)
            kind.issued += 1
            kind.token = f"access-token-{kind.issued:09}"
            answer = {
                "success": True,
                "accessToken": kind.token,
                "refreshToken": f"refresh-token-{kind.issued:09}",
                "expiresAt": int(time.time()) + _TOKEN_LIFETIME,
            }
            self._send(200, json.dumps(answer).encode())

    def do_GET(self) -> None:
        """Answer in one of the moods."""
        if not self.path.startswith(DAILY):
            self._send(404, b"{}")
        elif self.headers["Authorization"] != f"Bearer {self.token}":
            self._send(401, b'{"success": false, "error_code": "TOKEN_EXPIRED"}')
        else:
            (mood,) = self.rng.choices(list(_MOODS), list(_MOODS.values()))
            getattr(self, f"_{mood}")()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Log nothing."""

    def _good(self) -> None:
        self._send(200, self._answer(self.rng.randrange(1, 60)))

    def _compressed(self) -> None:
        content = gzip.compress(self._answer(self.rng.randrange(1, 300)), 1)
        self._send(200, content, {"Content-Encoding": "gzip"})

    def _empty(self) -> None:
        self._send(200, self._answer(0))

    def _big(self) -> None:
        self._send(200, self._answer(3_000))

    def _odd_records(self) -> None:
        odd = b'{"data": [null, 7, "x", [], {}, {"timestamp": "soon"}, {"timestamp": 1e999}, '
        self._send(200, odd + self._answer(5).partition(b"[")[2])

    def _token_forgotten(self) -> None:
        type(self).token = ""
        self._send(401, b'{"success": false, "error_code": "TOKEN_EXPIRED"}')

    def _refused(self) -> None:
        self._send(self.rng.choice((400, 403, 404, 302, 418)), b'{"message": "no"}')

    def _server_error(self) -> None:
        self._send(self.rng.choice((500, 502, 503, 504)), b"<html>" + b"no" * 10_000)

    def _asked_to_wait(self) -> None:
        self._send(429, b"{}", {"Retry-After": "1"})

    def _not_json(self) -> None:
        self._send(200, self.rng.choice((b"<html>", b'{"data": [1 2]}', b"[" * 5_000, b"\xff\xfe")))

    def _cut(self) -> None:
        self._send(200, self._answer(20), cut=self.rng.random())

    def _cut_compressed(self) -> None:
        content = gzip.compress(self._answer(20), 1)
        self._send(200, content, {"Content-Encoding": "gzip"}, cut=self.rng.random())

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _hang(self) -> None:
        time.sleep(_HANG)
        self.close_connection = True

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        cut: float | None = None,
    ) -> None:
        """Send an answer, or such a share of it before the connection is closed."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if cut is not None:
            content = content[: int(cut * len(content))]
            self.close_connection = True
        self.wfile.write(content)

    def _answer(self, records: int) -> bytes:
        made = [self._record() for _ in range(records)]
        return json.dumps({"success": True, "data": made}).encode()

    def _record(self) -> RawRecord:
        """Return a record of a repository that is there at the moment, of today or yesterday."""
        now, rng = time.time(), self.rng
        first = int(now * _NEW_ONES_A_SECOND)
        repository = (first + rng.randrange(_REPOSITORIES_AT_A_TIME)) % _REPOSITORIES
        return {
            "timestamp": int(now) - rng.randrange(2) * SECONDS_A_DAY,
            "repoId": f"repo-{repository}",
            "aiLlmId": f"llm-{repository % 7}",
            "repoAiApiKeyId": f"key-{repository}-{rng.randrange(2)}",
            "llmType": rng.choice(("openai", "anthropic", "größer")),
            "llmModel": f"model-{repository % 11}",
            "host": "api.example.com",
            "tokensIn": str(rng.getrandbits(60)),
            "tokensOut": str(rng.getrandbits(20)),
            "llmTokensIn": "1500",
            "llmTokensOut": "800",
            "activeConversations": rng.randrange(9),
            "apiCalls": rng.randrange(99),
            "policyViolations": rng.randrange(3),
            "numAlerts": 1,
            "numBlocks": 0,
            "numSeverityLow": 0,
            "numSeverityMedium": 1,
            "numSeverityHigh": 1,
            "latency_ms": rng.random() * 1000,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients may hang up."""


@contextmanager
def moody_api() -> Iterator[str]:
    """Serve until the block ends, and hand out the address."""
    server = _Server(("127.0.0.1", 0), MoodyApi)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
