"""Takes measurements: other processes' CPU time and memory, scrapes, medians and spreads."""

import socket
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 120.0  # seconds for any one answer

_BUFFER = 1 << 20


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process, by the clock of clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is at least as large as such a share of them all."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


class Connection:
    """One HTTP/1.1 connection that is kept, as Prometheus keeps its own; reopened once closed."""

    def __init__(self, address: str) -> None:
        """Prepare; the first request connects."""
        self.size = 0
        """How many bytes the latest body had."""
        host, _, port = address.rpartition(":")
        self._place = (host, int(port))
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(_BUFFER))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._close()

    def seconds(self, path: str = "/metrics", *, gzip: bool = False) -> float:
        """Return how long one GET takes, from first byte to last; the body is not kept."""
        began = time.perf_counter()
        self._exchange("GET", path, gzip=gzip, keep=None)
        return time.perf_counter() - began

    def get(self, path: str = "/metrics", *, gzip: bool = False) -> bytes:
        """Return the body of an answer, still compressed where it came so."""
        body: list[bytes] = []
        self._exchange("GET", path, gzip=gzip, keep=body)
        return b"".join(body)

    def post(self, path: str) -> None:
        """Send a POST without a body."""
        self._exchange("POST", path, gzip=False, keep=None)

    def _exchange(self, method: str, path: str, *, gzip: bool, keep: list[bytes] | None) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(self._place, timeout=PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        encoding = "gzip" if gzip else "identity"
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        accept = f"Accept-Encoding: {encoding}\r\n"
        request = f"{method} {path} HTTP/1.1\r\nHost: bench\r\n{accept}{length}\r\n"
        self._socket.sendall(request.encode())
        head, rest = self._head(self._socket)
        if keep is not None:
            keep.append(rest)
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        status = int(head.split(" ", 2)[1])
        if status != 200 or (fields.get("content-encoding", "identity") == "gzip") is not gzip:
            raise RuntimeError(f"{method} {path}: {head}")
        left = int(fields["content-length"]) - len(rest) if "content-length" in fields else None
        self.size = len(rest)
        while left is None or left > 0:
            size = self._socket.recv_into(self._buffer, 0 if left is None else min(left, _BUFFER))
            if not size:
                break
            self.size += size
            if keep is not None:
                keep.append(bytes(self._buffer[:size]))
            left = None if left is None else left - size
        if left:
            raise RuntimeError(f"{method} {path}: the answer ended {left} bytes too early")
        if left is None or head.startswith("HTTP/1.0") or fields.get("connection") == "close":
            self._close()

    def _head(self, connection: socket.socket) -> tuple[str, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            if not piece:
                raise RuntimeError("the server closed the connection")
            received += piece
        head, rest = received.split(b"\r\n\r\n", 1)
        return head.decode(), rest

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
