"""A Flashback API that sends recorded bytes, as a process of its own: `python -m bench.api`.

It prints its port, takes `<block file> <repetitions>` on standard input as what to answer from then
on, and prints when the first and last byte of each answer went out (by the monotonic clock, which
all processes share). Today's amounts grow from answer to answer.
"""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

from bench.records import HEAD, SEPARATOR, TAIL, grown
from exporter.api.daily import DAILY

TOKEN = "bench-token"  # noqa: S105 - nothing is behind it
_STEP = 1 << 18


class RecordedApi(BaseHTTPRequestHandler):
    """Answers who asks for the statistics with the token: by the block that is set.

    It offers nothing about the account.
    """

    protocol_version = "HTTP/1.1"
    block = b""
    repetitions = 1
    answers = count()

    def do_GET(self) -> None:
        """Send the recorded answer, each block in small steps."""
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.send_error(401)
            return
        if not self.path.startswith(DAILY):
            self.send_error(404)
            return
        block, repetitions = grown(self.block, next(self.answers)), self.repetitions
        length = (
            len(HEAD) + repetitions * (len(block) + len(SEPARATOR)) - len(SEPARATOR) + len(TAIL)
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        began = time.monotonic()
        view = memoryview(block)
        for repetition in range(repetitions):
            self.wfile.write(SEPARATOR if repetition else HEAD)
            for start in range(0, len(view), _STEP):
                self.wfile.write(view[start : start + _STEP])
        self.wfile.write(TAIL)
        print(f"sent {began} {time.monotonic()}", flush=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Log nothing."""


def main() -> None:
    """Serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), RecordedApi)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"serving 127.0.0.1:{server.server_port}", flush=True)
    for line in sys.stdin:
        path, repetitions = line.split()
        RecordedApi.block, RecordedApi.repetitions = Path(path).read_bytes(), int(repetitions)
        print("set", flush=True)
    server.shutdown()


if __name__ == "__main__":
    main()
