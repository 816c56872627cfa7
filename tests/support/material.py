"""Records and little programs that many tests need."""

from collections.abc import Iterable

import httpx

from exporter.api.client import FlashbackClient
from exporter.config.api_section import Api
from exporter.config.sections import Query
from exporter.metrics import DIMENSIONS, FIELD_KINDS, Kind
from exporter.output.exposition import Exposition, assemble, render
from exporter.output.samples import tables
from exporter.polling.poll import Plan, Poll
from exporter.statistics.groups import Snapshot
from exporter.statistics.state import Shown

DAY = 19_723  # 2024-01-01, the day at which the tests' clock stands
API = Api(base_url="https://api.example.com", authorization={"credentials": "token"})


def raw_record(**fields: object) -> dict[str, object]:
    """Return a valid record of today as the API sends it, with some fields of one's own."""
    record: dict[str, object] = {
        "timestamp": DAY * 86_400,
        **dict.fromkeys(DIMENSIONS.values(), "x"),
        **{field: "0" if kind is Kind.BIG_COUNT else 0 for field, kind in FIELD_KINDS.items()},
    }
    return record | fields


def answering(content: bytes) -> httpx.MockTransport:
    """Return a transport that answers every request with 200 and this content."""
    return httpx.MockTransport(lambda _: httpx.Response(200, stream=httpx.ByteStream(content)))


async def polled(content: bytes, clock, query: Query | None = None, days: int = 2) -> Snapshot:
    """Return the snapshot of a poll that got this content."""
    client = FlashbackClient(API, clock, lambda *_: None, answering(content))
    plan = Plan(query or Query(), "", days, 300, client)
    outcome = await Poll(plan, 60, clock).run()
    await client.aclose()
    assert outcome.snapshot is not None, outcome.message
    return outcome.snapshot


async def exposed(snapshot: Snapshot, query: Query | None = None, today: int = DAY) -> Exposition:
    """Return the exposition of one query's snapshot."""
    return await assemble([await render(tables(shown(snapshot, query), today))])


def shown(snapshot: Snapshot, query: Query | None = None, counters=None) -> Shown:
    """Return what a query shows after a poll that came to this."""
    return Shown(query or Query(), snapshot, counters or {}, together=True)


def at_once(coroutine):
    """Return what a coroutine comes to that waits for nothing but lets others run now and then."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as done:
        return done.value


def text(pieces: Iterable[bytes]) -> str:
    """Return the pieces of an exposition as one text."""
    return b"".join(pieces).decode()
