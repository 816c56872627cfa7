"""The log: never in the way of what is logged, and not drowned by what libraries say."""

import logging
import os
import re
import select
import sys

import pytest
import structlog
from servers import logging_left_as_it_was, surroundings

from exporter import log
from exporter.lines import Lines

ROOM = 1000  # lines that may wait


@pytest.fixture(autouse=True)
def _as_before():
    """Leave no logging behind."""
    with logging_left_as_it_was():
        yield


@pytest.fixture
def pipe():
    """Return a pipe's two ends: what reads, unbuffered, and what writes."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as writer:
        yield reader, writer


def fill(writer):
    """Write into a pipe until nothing more fits, and return how much it was."""
    os.set_blocking(writer.fileno(), False)
    size = 0
    while select.select([], [writer], [], 0)[1]:
        size += os.write(writer.fileno(), b"x" * 4096)
    os.set_blocking(writer.fileno(), True)
    return size


def read(reader, size):
    """Read so many bytes of a pipe."""
    text = b""
    while len(text) < size:
        text += reader.read(size - len(text))
    return text


def test_lines_come_out_in_their_order(pipe):
    """What is written is read, line by line."""
    reader, writer = pipe
    lines = Lines(writer)
    for number in range(100):
        assert lines.write(f"line {number} ü\udcff")
    lines.flush(10)
    expected = "".join(f"line {number} ü\\udcff\n" for number in range(100)).encode()
    assert read(reader, len(expected)) == expected


def test_nobody_waits_for_a_reader(pipe):
    """With a full pipe lines are taken until too many wait, then refused;
    what waited comes out once somebody reads.
    """
    reader, writer = pipe
    size = fill(writer)
    lines = Lines(writer)
    taken = [number for number in range(3 * ROOM) if lines.write(f"{number:04}")]
    assert ROOM <= len(taken) <= ROOM + 1
    lines.flush(0.01)
    read(reader, size)
    assert read(reader, 5 * len(taken)).split() == [b"%04d" % number for number in taken]


def test_a_reader_that_has_gone_is_borne(pipe):
    """Lines for nobody are taken and vanish."""
    reader, writer = pipe
    reader.close()
    lines = Lines(writer)
    assert all(lines.write("line") for _ in range(10))
    lines.flush(10)


def test_a_stream_that_was_closed_takes_nothing():
    """Python has no stream where the descriptor was closed before the start."""
    lines = Lines(None)
    assert all(lines.write("line") for _ in range(3 * ROOM))
    lines.flush(10)


def test_lost_lines_are_counted(pipe, monkeypatch):
    """Once there is room again, the log says how many lines were lost."""
    reader, writer = pipe
    monkeypatch.setattr(sys, "stderr", writer)
    log.configure("info", "logfmt", background=True)
    size = fill(writer)
    logger = structlog.get_logger("exporter.test")
    for number in range(2 * ROOM):
        logger.info("line", number=number)
    read(reader, size)
    text = b""
    while b"number=999 " not in text and b"number=999\n" not in text:
        text += reader.read(65_536)
    log.flush()
    logger.info("and on")
    log.flush()
    text += reader.read(65_536)
    lines = text.decode().splitlines()
    lost = int(re.search(r'level=warning .*msg="(\d+) log lines were lost', text.decode())[1])
    assert lost + len(lines) - 2 == 2 * ROOM
    assert 'msg="and on"' in lines[-1]


@pytest.fixture
def logged():
    """Log as the exporter does; return a function that gives the lines."""
    with surroundings() as lines:
        yield lambda: lines().splitlines()


@pytest.mark.parametrize("name", ["asyncio", "apscheduler.scheduler", "uvicorn.error", "other"])
def test_a_library_says_the_same_once_a_minute(name, logged):
    """A message that repeats is logged once, whatever stands in it;
    the next one says how often it was left out.
    """
    library = logging.getLogger(name)

    def say(seconds, text="job %s is late", *arguments):
        record = library.makeRecord(name, logging.ERROR, "", 0, text, arguments, None)
        record.created = 1_704_110_400.0 + seconds
        library.handle(record)

    for number in range(50):
        say(number, "job %s is late", number)
    say(1, "Task exception was never retrieved\nfuture: <Task 1>")
    say(2, "Task exception was never retrieved\nfuture: <Task 2>")
    say(61, "job %s is late", 99)
    first, another, again = logged()
    assert 'msg="job 0 is late"' in first
    assert "Task 1" in another
    assert 'msg="job 99 is late (and 49 times more before)"' in again


def test_the_exporter_itself_repeats_what_it_has_to_say(logged):
    """The exporter's own lines are all logged."""
    logger = structlog.get_logger("exporter.polling.poll")
    for _ in range(5):
        logger.warning("poll failed", reason="timeout")
    assert len(logged()) == 5


def test_messages_without_end_are_not_remembered(logged):
    """A library that says something new each time is heard, and takes no memory."""
    library = logging.getLogger("asyncio")
    for number in range(500):
        library.error(f"message {number}")
    assert len(logged()) == 500
    (handler,) = [one for one in logging.getLogger().handlers if one.filters]
    (once,) = handler.filters
    assert len(once._said) <= 100


def test_what_strangers_send_is_no_warning(logged):
    """What uvicorn says of bad requests is not logged; what goes wrong in the application is."""
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    (line,) = logged()
    assert "Exception in ASGI application" in line
