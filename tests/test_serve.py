"""The process as a whole: signals from its first moment, and standard streams unread or missing."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from programs import PATIENCE, Program, get, post

COMMAND = [sys.executable, "-m", "exporter", "demo", "--web.listen-address=127.0.0.1:0"]
END = 5  # seconds in which the process has to end


@contextmanager
def running(*command, **streams):
    """Run a command, and see that it does not stay."""
    given = {"stdin": subprocess.DEVNULL, **streams}
    with subprocess.Popen(command, **given) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process, number=signal.SIGTERM):
    """Send a signal and return the exit code, which has to come within the promised time."""
    began = time.monotonic()
    process.send_signal(number)
    code = process.wait(PATIENCE)
    assert time.monotonic() - began < END
    return code


@contextmanager
def full_pipe():
    """Hand out the reading and the writing end of a pipe into which nothing more fits."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "wb") as writer:
        os.set_blocking(writing, False)
        while select.select([], [writer], [], 0)[1]:
            os.write(writing, b"." * 4096)
        os.set_blocking(writing, True)
        yield reader, writer


def port_of(text):
    """Return the port that a program says it serves on."""
    return int(text[1])


# Streams


@pytest.fixture
def config(tmp_path):
    """Return the flags for an exporter whose API is not there."""
    path = tmp_path / "exporter.yml"
    path.write_text(
        "api: {base_url: 'http://127.0.0.1:9', login: {email: a, password: b}}\n"
        "poll: {interval: 2s}\n"
    )
    return [f"--config.file={path}", "--log.level=debug", "--web.enable-lifecycle"]


def test_a_full_pipe_as_standard_error_holds_up_nothing():
    """With nobody reading the log, the demo serves, reloads and ends in time;
    what was logged can be read later.
    """
    with full_pipe() as (reader, writer):
        command = [*COMMAND, "--log.level=debug", "--web.enable-lifecycle"]
        with running(*command, stdout=subprocess.PIPE, stderr=writer) as process:
            output = Program(process, process.stdout)
            port = port_of(output.line(r"metrics  http://127\.0\.0\.1:(\d+)/metrics"))
            for _ in range(20):
                post(f"http://127.0.0.1:{port}/-/reload", {})
            assert b"flashback_up" in get(f"http://127.0.0.1:{port}/metrics")
            text = b""
            while b"configuration reloaded" not in text:
                text += reader.read(65_536)
            assert b"msg=serving" in text
            assert ended(process) == 0
            output.end()


def test_a_full_pipe_as_standard_error_does_not_hold_up_the_end():
    """With nobody ever reading the log, SIGTERM ends the process in time."""
    with (
        full_pipe() as (_, writer),
        running(*COMMAND, stdout=subprocess.PIPE, stderr=writer) as process,
    ):
        output = Program(process, process.stdout)
        output.line("Ctrl-C")
        assert ended(process) == 0
        output.end()


def test_a_full_pipe_as_standard_output_holds_up_nothing():
    """With nobody reading the demo's greeting, it serves and ends in time."""
    with (
        full_pipe() as (_, writer),
        running(*COMMAND, stdout=writer, stderr=subprocess.PIPE) as process,
    ):
        output = Program(process, process.stderr)
        port = port_of(output.line(r"msg=serving .*127\.0\.0\.1:(\d+)"))
        assert b"flashback_up" in get(f"http://127.0.0.1:{port}/metrics")
        assert ended(process) == 0
        output.end()


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_borne(closed):
    """Without standard streams it serves on the port it was given; no socket gets log lines."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (
        f'exec "{sys.executable}" -m exporter demo --web.listen-address=127.0.0.1:{port} {closed}'
    )
    with (
        open(os.devnull, "wb") as nothing,  # noqa: PTH123
        running("bash", "-c", command, stdout=nothing, stderr=nothing) as process,
    ):
        answer = eventually(lambda: get(f"http://127.0.0.1:{port}/metrics"))
        assert b"flashback_up" in answer
        streams = [Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)]
        assert not [stream for stream in streams if stream != Path(os.devnull)]
        assert ended(process) == 0


def test_a_reader_of_the_log_that_goes_away_is_borne():
    """A broken pipe as standard error ends nothing."""
    reading, writing = os.pipe()
    with running(*COMMAND, stdout=subprocess.PIPE, stderr=writing) as process:
        os.close(writing)
        os.close(reading)
        output = Program(process, process.stdout)
        port = port_of(output.line(r"metrics  http://127\.0\.0\.1:(\d+)/metrics"))
        assert b"flashback_up" in get(f"http://127.0.0.1:{port}/metrics")
        assert ended(process) == 0
        output.end()


def eventually(asked):
    """Ask again and again until there is an answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            return asked()
        except OSError:
            select.select([], [], [], 0.05)
    raise AssertionError("no answer")


# Signals


@contextmanager
def started(*arguments, until):
    """Start the program and hand it out once Python says that it has imported something."""
    command = [sys.executable, "-v", "-m", "exporter", *arguments]
    with running(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        output = Program(process, process.stderr)
        output.line(until)
        yield process
        process.kill()
        output.join()


MOMENTS = [
    "import 'argparse'",
    "import 'structlog'",
    "import 'httpx'",
    "import 'pydantic'",
    "import 'uvicorn'",
    "import 'exporter.web.app'",
]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_starting_ends_the_process_well(number, moment, config):
    """SIGTERM and SIGINT end the process with 0 also while it is still being imported."""
    with started(*config, "--web.listen-address=127.0.0.1:0", until=moment) as process:
        assert ended(process, number) == 0


@pytest.mark.parametrize("moment", MOMENTS[::2])
def test_a_hangup_while_starting_is_a_reload(moment):
    """SIGHUP that comes too early waits until there is something to reload."""
    with running(
        sys.executable, "-v", *COMMAND[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        output = Program(process, process.stderr)
        output.line(moment)
        process.send_signal(signal.SIGHUP)
        output.line("msg=serving")
        output.line("configuration reloaded")
        assert ended(process) == 0
        output.end()


def test_a_check_that_is_interrupted_has_not_succeeded(config):
    """An interrupted `check` does not end with 0, whenever the signal comes."""
    with started("check", config[0], until=MOMENTS[0]) as process:
        assert ended(process, signal.SIGINT) != 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_more_signals_while_ending_change_nothing(second):
    """Whoever asks twice gets the same end: code 0, in time."""
    with running(*COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        output = Program(process, process.stderr)
        output.line("msg=serving")
        process.send_signal(signal.SIGTERM)
        output.line("msg=ending")
        for _ in range(20):
            process.send_signal(second)
        assert process.wait(PATIENCE) == 0
        output.end()
        assert "Traceback" not in output.text


def test_slow_clients_do_not_hold_up_the_end():
    """SIGTERM ends the process with 0 in time though clients take nothing of large answers,
    and quietly.
    """
    with (
        running(*COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process,
        ExitStack() as stack,
    ):
        output = Program(process, process.stderr)
        port = port_of(output.line(r"msg=serving .*127\.0\.0\.1:(\d+)"))
        output.eventually(lambda: get(f"http://127.0.0.1:{port}/-/ready"))
        for _ in range(20):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
        assert ended(process) == 0
        output.end()
        assert not re.search("level=(warning|error)|Traceback", output.text)
