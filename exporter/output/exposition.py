"""Renders snapshots into the bytes that a scrape sends, once per change of the data.

The sample lines of a gauge are the same in the text format 0.0.4 and in OpenMetrics 1.0, so one rendering serves both.
Everything here works in small steps that let the event loop go on in between.
"""

import asyncio
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from exporter.clock import midnight
from exporter.config.sections import Query
from exporter.metrics import (
    AMOUNTS,
    DAY_START,
    DAY_START_HELP,
    FIELD_INDEX,
    METRICS,
    WEIGHT_INDEX,
    Kind,
    Metric,
)
from exporter.statistics.groups import Snapshot
from exporter.statistics.records import MAX_NUMBER, MEAN_SCALE
from exporter.steps import in_steps, let_go

_LINES_A_STEP = 256
_PIECE = 1 << 20  # bytes; a longer one would take long to put together
_COMPRESSION_LEVEL = 2  # half the time of level 4, 8 % more bytes
_NOTHING = (0,) * AMOUNTS


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RenderedQuery:
    """The sample lines of one query on one day, for each metric that it shows, and how many they are.

    Compared by identity: comparing the lines would be one long step.
    """

    lines: Mapping[str, Sequence[bytes]]
    series: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Exposition:
    """The AI statistics of all queries as finished bytes, plain in pieces and as the beginning of a gzip stream."""

    plain: tuple[bytes, ...]
    _compressed: tuple[bytes, ...]
    _compressor: "zlib._Compress"

    def compressed(self, rest: bytes) -> tuple[bytes, ...]:
        """Return one whole gzip stream of the statistics and `rest`, in pieces; only `rest` costs anything."""
        compressor = self._compressor.copy()
        return *self._compressed, compressor.compress(rest) + compressor.flush()


def escaped(value: str) -> str:
    """Return a label value as it stands between quotes in both formats."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def day_label(offset: int) -> str:
    """Return the value of the label `day` for a day so many days ago."""
    return ("today", "yesterday")[offset] if offset < 2 else f"today-{offset}"


async def render_query(query: Query, snapshot: Snapshot, today: int) -> RenderedQuery:
    """Render the days of the window that ends at `today` (days since 1970), as far as the snapshot knows them.

    Days after the snapshot's newest are shown as 0, for nothing is known to have happened on them; days before its
    oldest are left out.
    """
    window = [
        today - offset
        for offset in range(len(snapshot.days))
        if today - offset >= snapshot.days[-1]
    ]
    head = f'query="{escaped(query.name)}",day="'
    labels = [
        '"' + "".join(f',{n}="{escaped(v)}"' for n, v in zip(query.labels, key, strict=True))
        async for key in in_steps(snapshot.groups)
    ]
    lines: dict[str, list[bytes]] = {
        metric.name: [] for metric in METRICS if metric.short_name in query.metrics
    }
    series = len(window)
    for day in window:
        index = snapshot.days.index(day) if day in snapshot.days else None
        amounts = [
            days[index] or _NOTHING if index is not None else _NOTHING
            async for days in in_steps(snapshot.groups.values())
        ]
        for metric in METRICS:
            if metric.name not in lines:
                continue
            samples = _samples(
                metric, f"{metric.name}{{{head}{day_label(today - day)}", labels, amounts
            )
            while step := list(islice(samples, _LINES_A_STEP)):
                series += len(step)
                lines[metric.name].append("".join(step).encode())
                await asyncio.sleep(0)
    await let_go(labels)
    starts = "".join(
        f'{DAY_START}{{{head}{day_label(today - day)}"}} {midnight(day)}\n' for day in window
    )
    return RenderedQuery({**lines, DAY_START: [starts.encode()]}, series)


async def assemble(queries: Sequence[RenderedQuery]) -> Exposition:
    """Put the lines of all queries together, each metric's under its HELP and TYPE, and compress them."""
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, wbits=31)
    plain = []
    compressed = []
    pending = bytearray()
    for name, text in [(metric.name, metric.help) for metric in METRICS] + [
        (DAY_START, DAY_START_HELP)
    ]:
        pieces = [piece for query in queries for piece in query.lines.get(name, ())]
        if pieces:
            plain += [f"# HELP {name} {text}\n# TYPE {name} gauge\n".encode(), *pieces]
    for piece in plain:
        pending += compressor.compress(piece)
        if len(pending) >= _PIECE:
            compressed.append(bytes(pending))
            pending.clear()
        await asyncio.sleep(0)
    pending += compressor.flush(zlib.Z_SYNC_FLUSH)
    return Exposition(tuple(plain), (*compressed, bytes(pending)), compressor)


def _samples(
    metric: Metric, head: str, labels: Sequence[str], amounts: Sequence[tuple[int, ...]]
) -> Iterator[str]:
    """Yield the lines of one metric on one day: each group's, for each value that the metric is split by."""
    for split, field in metric.fields.items():
        index = FIELD_INDEX[field]
        tail = f',{metric.split_by}="{split}"}} ' if metric.split_by else "} "
        if metric.kind is Kind.MEAN:
            weight, scale = WEIGHT_INDEX[field], metric.divisor * MEAN_SCALE
            for group, amount in zip(labels, amounts, strict=True):
                if amount[weight]:
                    mean = amount[index] / (amount[weight] * scale)
                    yield f"{head}{group}{tail}{mean!r}\n"
        else:
            for group, amount in zip(labels, amounts, strict=True):
                yield f"{head}{group}{tail}{_integer(amount[index])}\n"


def _integer(value: int) -> int | str:
    return value if value <= MAX_NUMBER else "+Inf"
