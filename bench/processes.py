"""Starts what is compared, each as a process of its own on loopback, and ends it by its id."""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.api import TOKEN
from bench.measure import PATIENCE, Connection, cpu_seconds
from exporter.config.sections import Config

ROOT = Path(__file__).parent.parent
COMMAND = Path(sys.executable).with_name("flashback-exporter")

_CHECKS = 0.1  # seconds between two looks at whether a poll has finished

_CONFIGURATION = """\
api:
  base_url: "http://{address}"
  authorization: {{credentials: {token}}}
  timeout: 10m
  max_response_size: 4GiB
poll: {{interval: 1000s}}
queries: [{{name: default, max_groups: 100000}}]
"""
_STATE = 'state: {{file: "{state}"}}\n'

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 120;
    keepalive_requests 1000000;
    default_type text/plain;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{
        listen 127.0.0.1:{port};
        root {folder};
        location /gzip {{ add_header Content-Encoding gzip; }}
    }}
}}
"""


@contextmanager
def process(command: Sequence[str | Path], **options: object) -> Iterator[subprocess.Popen[str]]:
    """Run a command until the block ends."""
    child = subprocess.Popen(command, cwd=ROOT, text=True, bufsize=1, **options)  # type: ignore[call-overload] # noqa: S603
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def line_with(pipe: IO[str] | None, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
    """Return the match in the next line of a pipe that holds the pattern.

    Raises TimeoutError where none comes in time.
    """
    assert pipe is not None  # noqa: S101 - for mypy
    end = time.monotonic() + seconds
    while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
        line = pipe.readline()
        if not line:
            raise RuntimeError(f"the process ended before it said {pattern}")
        if match := re.search(pattern, line):
            return match
    raise TimeoutError(f"no line with {pattern} within {seconds:g} s")


class Api:
    """The process that sends recorded bytes."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        """Wait until it serves."""
        self._child = child
        self.address = line_with(child.stdout, r"serving (\S+)")[1]

    def answer(self, block: Path, repetitions: int = 1) -> None:
        """From now on, answer with a block of records so many times."""
        assert self._child.stdin is not None  # noqa: S101 - for mypy
        self._child.stdin.write(f"{block} {repetitions}\n")
        self._child.stdin.flush()
        line_with(self._child.stdout, "set")

    def sent(self) -> tuple[float, float]:
        """Wait for the end of an answer; return when its first and last byte left (monotonic)."""
        match = line_with(self._child.stdout, r"sent (\S+) (\S+)", 10 * PATIENCE)
        return float(match[1]), float(match[2])


class Exporter:
    """The exporter under test."""

    def __init__(self, child: subprocess.Popen[str], api: Api, config: Path) -> None:
        """Wait until it serves; its first poll may be under way."""
        self.pid = child.pid
        self._api = api
        self._config = config
        self.address = line_with(child.stderr, r"msg=serving addresses=\S*?([\d.]+:\d+)")[1]

    def wait_for_poll(self) -> tuple[float, float, float]:
        """Wait for the end of a poll.

        Return when its answer's first and last byte and its result were there.
        """
        first, last = self._api.sent()
        with Connection(self.address) as connection:
            while b"polling now" in (page := connection.get("/")):
                time.sleep(_CHECKS)
        if b"1 query up" not in page.lower():
            raise RuntimeError("a poll failed; what was measured means nothing")
        return first, last, time.monotonic()

    def start_poll(self) -> None:
        """Let it poll at once, and keep its data."""
        poll_again(self._config)
        with Connection(self.address) as connection:
            connection.post("/-/reload")

    def poll(self) -> tuple[float, float]:
        """Return the CPU time and the time of one poll in seconds.

        The reload that begins it is no part of it.
        """
        self.start_poll()
        cpu = cpu_seconds(self.pid)
        first, _, done = self.wait_for_poll()
        return cpu_seconds(self.pid) - cpu, done - first

    def series(self) -> int:
        """Return how many series of AI statistics it serves."""
        with Connection(self.address) as connection:
            match = re.search(
                rb'^flashback_exporter_series\{query="default"\} (\S+)$',
                connection.get(),
                re.MULTILINE,
            )
        return int(float(match[1])) if match else 0


def write_config(path: Path, api: Api, state: Path | None = None) -> None:
    """Write a configuration that polls the recorded API, with a state file or without."""
    text = _CONFIGURATION.format(address=api.address, token=TOKEN)
    if state and "state" in Config.model_fields:
        text += _STATE.format(state=state)
    path.write_text(text)


def poll_again(path: Path) -> None:
    """Change a configuration so that a reload polls at once: by the interval, which keeps data."""
    text = path.read_text()
    path.write_text(re.sub(r"(?<=interval: )\d+", lambda found: f"{int(found[0]) + 1}", text))


def exporter_command(config: Path) -> list[str | Path]:
    """Return the command that starts the exporter as a user does."""
    return [
        COMMAND,
        "--config.file",
        config,
        "--web.listen-address",
        "127.0.0.1:0",
        "--web.enable-lifecycle",
    ]


@contextmanager
def recorded_api() -> Iterator[Api]:
    """Run the recorded API."""
    with process(
        [sys.executable, "-m", "bench.api"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        yield Api(child)


@contextmanager
def exporter(api: Api, folder: Path, state: Path | None = None) -> Iterator[Exporter]:
    """Run the exporter, with a new state file or without one; its first poll has finished."""
    config = folder / "config.yml"
    write_config(config, api, state)
    if state:
        remove(state)
    with process(exporter_command(config), stderr=subprocess.PIPE) as child:
        running = Exporter(child, api, config)
        running.wait_for_poll()
        yield running


def remove(state: Path) -> None:
    """Remove a state file and what SQLite keeps beside it."""
    for path in state.parent.glob(f"{state.name}*"):
        path.unlink()


@contextmanager
def yardstick(api: Api) -> Iterator[str]:
    """Run the exporter of 40 lines and hand out its address; its first poll has finished."""
    environment = os.environ | {"BENCH_URL": f"http://{api.address}", "BENCH_TOKEN": TOKEN}
    with process(
        [sys.executable, "-m", "bench.yardstick"], stdout=subprocess.PIPE, env=environment
    ) as child:
        address = line_with(child.stdout, r"serving (\S+)")[1]
        api.sent()
        yield address


def nginx_path() -> str | None:
    """Return where nginx is, if it is installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """Run nginx over a folder where files named gzip… are sent as compressed; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port))
    with process([nginx_path() or "nginx", "-p", folder, "-c", configuration, "-e", "stderr"]):
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"


def answer_of(code: str, *arguments: str | Path) -> float:
    """Run Python code in a bare interpreter and return the number that it prints."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return float(json.loads(done.stdout))
