"""Renders samples into the bytes that a scrape sends, once per change of the data.

They are compressed at once, and the plain text is thrown away: it would take most of the memory.
Whoever asks for plain text gets it inflated again. The sample lines are the same in both formats,
so one rendering serves both. All of it goes in small steps, between which the event loop goes on.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from exporter.metrics import Family
from exporter.output.deflate import Deflated, Deflater, deflated, gzipped, joined
from exporter.output.formats import FORMATS, Format
from exporter.output.samples import Column, Table
from exporter.steps import one_a_step

_ROW = "\n"  # stands for the labels of a row; nothing written between quotes holds it

_Rows = Sequence[Sequence[str]]
"""The labels of each row as they are written, in runs."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rendered:
    """Sample lines by their family, and how many they are."""

    families: Mapping[Family, Deflated]
    series: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Exposition:
    """What is served beside the exporter's own metrics, as finished bytes of each format."""

    _of: Mapping[Format, Deflated]

    def compressed(self, chosen: Format, rest: bytes) -> tuple[bytes, ...]:
        """Return one whole gzip stream of the samples and `rest`."""
        return gzipped(self._of[chosen], rest)

    def plain(self, chosen: Format) -> Iterator[bytes]:
        """Yield the samples as text, in pieces of 128 KiB or less."""
        return self._of[chosen].inflated()

    def size(self, chosen: Format) -> int:
        """Return how many bytes the samples are as text."""
        return self._of[chosen].size


async def render(tables: Iterable[Table]) -> Rendered:
    """Write the samples of a query, or of another source, as lines; each family is in one table."""
    families: dict[Family, Deflated] = {}
    runs: object = None
    rows: _Rows = []
    series = 0

    for table in tables:
        if table.runs is not runs:
            runs, rows = table.runs, await _written_rows(table)
        for family, columns in groupby(table.columns, attrgetter("family")):
            lines = Deflater()
            for column in columns:
                series += await _render_column(column, rows, lines)
            families[family] = lines.end()
    return Rendered({family: lines for family, lines in families.items() if lines.size}, series)


async def assemble(sources: Sequence[Rendered]) -> Exposition:
    """Put the lines of all sources together, each family's under its HELP and TYPE."""
    families: dict[Family, list[Deflated]] = defaultdict(list)
    for source in sources:
        for family, lines in source.families.items():
            families[family].append(lines)

    of: dict[Format, Deflated] = {}
    for chosen in FORMATS:
        parts: list[Deflated] = []
        async for family, lines_of_all in one_a_step(families.items()):
            parts.append(joined([deflated(chosen.head(family)), *lines_of_all]))
        of[chosen] = joined(parts)
    return Exposition(of)


async def _written_rows(table: Table) -> _Rows:
    return [
        [_written(zip(table.labels, row, strict=True)) for row in run]
        async for run in one_a_step(table.runs)
    ]


async def _render_column(column: Column, rows: _Rows, lines: Deflater) -> int:
    """Write one column, and return how many samples it has."""
    series = 0
    async for run, values in one_a_step(zip(rows, column.runs, strict=True)):
        written = _lines(column, run, values)
        series += len(written)
        lines.add("".join(written).encode())
    return series


def _lines(column: Column, rows: Sequence[str], values: Sequence[float | None]) -> list[str]:
    """Return the lines of one run of a column."""
    parts = [_written(column.before), _ROW if any(rows) else "", _written(column.after)]
    labels = ",".join(filter(None, parts))
    head, _, tail = f"{column.name}{{{labels}}} ".partition(_ROW)

    lines = [
        f"{head}{row}{tail}{value}\n"
        for row, value in zip(rows, values, strict=True)
        if value is not None
    ]
    if math.inf in values:
        return [line.replace(" inf\n", " +Inf\n") for line in lines]
    return lines


def _written(labels: Iterable[tuple[str, str]]) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels])


def _escaped(value: str) -> str:
    """Return a label value as it stands between quotes in both formats."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
