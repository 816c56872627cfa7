"""A long life in short: thousands of polls, mixed with failures, scrapes, hang-ups and reloads.

Memory, file descriptors and threads of the exporter must be as flat at the end as after the first
tenth.
"""

import argparse
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import IO

from bench.measure import median, resident_bytes
from bench.moody_api import moody_api
from bench.processes import exporter_command, line_with, process
from bench.table import Bar, By, Figure, lines, shown

_POLLS = 10_000
_WINDOWS = 10
_SAMPLES_A_WINDOW = 25
_QUERIES = 50
_RELOAD_EVERY = 250  # polls
_MEMORY_BAR = 4 << 20  # half a KiB for each poll would be more
_STALLED = 60.0  # seconds without a poll

_CONFIGURATION = """\
api:
  base_url: "http://{address}"
  login: {{email: soak@example.com, password: soak-password}}
  timeout: 500ms
  max_concurrent_requests: {permits}
poll: {{interval: 1s, max_data_age: 10s}}
queries:
"""
_QUERY = "- {{name: {name}, max_groups: {most}, labels: [{labels}]}}\n"
_LABELS = ("repo_id", "repo_id, llm_type", "repo_ai_api_key_id, host", "llm_model")

_GET = b"GET %s HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n%s\r\n"
_OPENMETRICS = b"Accept: application/openmetrics-text;version=1.0.0\r\n"
_GZIP = b"Accept-Encoding: gzip\r\n"
_REQUESTS = (
    _GET % (b"/metrics", b""),
    _GET % (b"/metrics", _GZIP),
    _GET % (b"/metrics", _OPENMETRICS),
    _GET % (b"/metrics", _OPENMETRICS + _GZIP),
    _GET % (b"/", b""),
    _GET % (b"/-/healthy", b""),
    _GET % (b"/nowhere", b""),
    b"HEAD" + _GET[3:] % (b"/metrics", b""),
    b"\x16\x03\x01 no such thing\r\n\r\n",
)
_UNFINISHED = b"GET /metrics HTTP/1.1\r\nHost"


@dataclass(frozen=True)
class Sample:
    """What the exporter held after so many polls."""

    polls: int
    memory: float
    descriptors: float
    threads: float


@dataclass
class Soak:
    """An exporter under way, and how many polls of each query were seen, gone queries too."""

    pid: int
    address: str
    config: Path
    api: str
    polls: dict[bytes, int] = field(default_factory=dict)
    failures: dict[bytes, int] = field(default_factory=dict)
    reloads: int = 0
    rng: Random = field(default_factory=lambda: Random("soak"))

    def sample(self) -> Sample:
        """Scrape, and look at the process."""
        text = exchange(self.address, _REQUESTS[0])
        _note(self.polls, rb"exporter_polls_total\{query=(.+)\} (\S+)", text)
        _note(self.failures, rb"poll_failures_total\{query=(.+)\} (\S+)", text)
        of_process = Path(f"/proc/{self.pid}")
        return Sample(
            sum(self.polls.values()),
            resident_bytes(self.pid),
            len(list((of_process / "fd").iterdir())),
            len(list((of_process / "task").iterdir())),
        )

    def reload(self) -> None:
        """Change the configuration, for better or, one time in five, for worse."""
        self.reloads += 1
        self.config.write_text(configuration(self.api, self.reloads))
        if self.reloads % 5 == 0:
            self.config.write_text("queries: [{naem: typing-error}]")
        if self.reloads % 2:
            os.kill(self.pid, signal.SIGHUP)
        else:
            exchange(self.address, b"POST" + _GET[3:] % (b"/-/reload", b"Content-Length: 0\r\n"))

    def visit(self, over: threading.Event) -> None:
        """Ask for this and that until it is over; one client in three hangs up in the middle."""
        while not over.is_set():
            request, limit = self.rng.choice(_REQUESTS), None
            if self.rng.random() < 1 / 3:
                limit = self.rng.choice((0, 1, 5_000))
                request = request if limit else _UNFINISHED
            with suppress(OSError):
                exchange(self.address, request, limit)
            time.sleep(0.02)


def main() -> int:
    """Soak, print the curve and the table, and judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument(
        "--polls",
        type=int,
        default=_POLLS,
        help="how many (%(default)s); fewer than 5,000 say little",
    )
    polls = parser.parse_args().polls
    began = time.monotonic()
    with running() as soak:
        samples = list(_samples(soak, polls))
        failed = sum(soak.failures.values())
        print(f"{samples[-1].polls:,} polls, {failed:,} of them failed, {soak.reloads} reloads")
    figures = [
        _figure("resident memory", "memory", samples, "B", _MEMORY_BAR),
        _figure("file descriptors", "descriptors", samples, "", 5),
        _figure("threads", "threads", samples, "", 0),
    ]
    print(*lines(figures), sep="\n")
    missed = sum(figure.missed for figure in figures)
    print(f"{missed} of {len(figures)} bars missed, {time.monotonic() - began:.0f} s")
    return 1 if missed else 0


@contextmanager
def running() -> Iterator[Soak]:
    """Run an exporter against an API of changing moods, and clients that scrape and hang up."""
    over = threading.Event()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, moody_api() as api:
        config = Path(folder) / "config.yml"
        config.write_text(configuration(api, 0))
        with process(exporter_command(config), stderr=subprocess.PIPE) as child:
            address = line_with(child.stderr, r"msg=serving addresses=\S*?([\d.]+:\d+)")[1]
            soak = Soak(child.pid, address, config, api)
            log = threading.Thread(target=_read_log, args=[child.stderr])
            visitor = threading.Thread(target=soak.visit, args=[over])
            log.start()
            visitor.start()
            try:
                yield soak
            finally:
                over.set()
                visitor.join()
                child.terminate()
                log.join()


def configuration(api: str, number: int) -> str:
    """Return the configuration after so many reloads.

    The client is another one now and then, and one query comes and goes.
    """
    queries = [
        _QUERY.format(
            name=f"fresh-{number % 3}" if index == 0 else f"query-{index}",
            most=500 if index == 1 else 20,
            labels=_LABELS[(index + number // 10 * (index < 5)) % len(_LABELS)],
        )
        for index in range(_QUERIES)
    ]
    head = _CONFIGURATION.format(address=api, permits=8 + number % 3)
    return head + "".join(queries)


def exchange(address: str, request: bytes, limit: int | None = None) -> bytes:
    """Send bytes and return the answer.

    After `limit` bytes of it, hang up, every other time with a reset.
    """
    host, _, port = address.rpartition(":")
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        connection.sendall(request)
        while limit is None or len(received) < limit:
            piece = connection.recv(65_536 if limit is None else limit)
            if not piece:
                break
            received += piece
        if limit:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return bytes(received)


def _samples(soak: Soak, polls: int) -> Iterator[Sample]:
    """Yield samples, so many a tenth of the polls, and print a line for each tenth."""
    pace = polls // _WINDOWS / _SAMPLES_A_WINDOW
    samples: list[Sample] = []
    moved = time.monotonic()
    while len(samples) < _WINDOWS * _SAMPLES_A_WINDOW:
        sample = soak.sample()
        if sample.polls >= pace * (len(samples) + 1):
            moved = time.monotonic()
            samples.append(sample)
            yield sample
            if len(samples) % _SAMPLES_A_WINDOW == 0:
                print(_line(samples[-_SAMPLES_A_WINDOW:]), flush=True)
        if sample.polls >= _RELOAD_EVERY * (soak.reloads + 1):
            soak.reload()
        if time.monotonic() - moved > _STALLED:
            raise TimeoutError(f"no poll within {_STALLED:g} s")
        time.sleep(0.1)


def _line(samples: list[Sample]) -> str:
    memory = shown(median([sample.memory for sample in samples]), "B")
    descriptors = median([sample.descriptors for sample in samples])
    threads = median([sample.threads for sample in samples])
    return (
        f"{samples[-1].polls:6,} polls: {memory}, {descriptors:g} descriptors, {threads:g} threads"
    )


def _figure(name: str, column: str, samples: list[Sample], unit: str, limit: float) -> Figure:
    """Return the last tenth beside the second one, value by value in the order of their size."""
    values = [getattr(sample, column) for sample in samples]
    second = sorted(values[_SAMPLES_A_WINDOW : 2 * _SAMPLES_A_WINDOW])
    last = sorted(values[-_SAMPLES_A_WINDOW:])
    return Figure(
        f"{name}, last tenth", last, unit, "second tenth", second, Bar(limit, By.DIFFERENCE)
    )


def _note(counts: dict[bytes, int], pattern: bytes, text: bytes) -> None:
    """Note the latest value of each counter, so that those of a query that has gone still count."""
    counts |= {labels: int(float(value)) for labels, value in re.findall(pattern, text)}


def _read_log(log: IO[str] | None) -> None:
    """Read a log to its end, and show what no answer of an API may bring about."""
    for line in log or ():
        if ("level=error" in line and "not reloaded" not in line) or "Traceback" in line:
            print(line, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
