"""Renders samples into the bytes that a scrape sends, once per change of the data.

They are compressed at once, and the plain text is thrown away: it would take most of the memory.
Whoever asks for plain text gets it inflated again. Compressing is most of the work, so columns with
the same rows and values as before are taken over as they are, such as those of a closed day. The
lines are the same in both formats. All of it goes in steps, between which the event loop goes on.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter

from exporter.metrics import Family
from exporter.output.deflate import Deflated, Deflater, deflated, gzipped, joined
from exporter.output.formats import FORMATS, Format
from exporter.output.samples import Column, Labels, Table
from exporter.steps import collect_new, one_a_step

_ROW = "\n"  # stands for the labels of a row; nothing written between quotes holds it

_Values = tuple[float | None, ...]
_Place = tuple[Family, Labels, Labels]
"""What columns have in common whose samples stand side by side: family and labels."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rows:
    """The labels of a table's rows, in runs: their values, and as they are written."""

    labels: Sequence[str]
    values: Sequence[Sequence[Sequence[str]]]
    written: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Piece:
    """Columns of one place, compressed, and what they are made of.

    `runs` holds, for each run of rows, the values of each column.
    """

    rows: Rows
    runs: Sequence[Sequence[_Values]]
    lines: Deflated
    series: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rendered:
    """Sample lines of a query, or of another source. Each family is in one table."""

    rows: Sequence[Rows]
    pieces: Mapping[_Place, Piece]

    @property
    def series(self) -> int:
        """How many samples there are."""
        return sum(piece.series for piece in self.pieces.values())

    @property
    def parts(self) -> Iterator[object]:
        """Everything large that is held, for whoever frees it in steps."""
        for rows in self.rows:
            yield from rows.values
            yield from rows.written
        for piece in self.pieces.values():
            yield from chain.from_iterable(piece.runs)

    @property
    def families(self) -> Mapping[Family, Sequence[Deflated]]:
        """The lines by their family."""
        families: dict[Family, list[Deflated]] = defaultdict(list)
        for (family, *_), piece in self.pieces.items():
            if piece.series:
                families[family].append(piece.lines)
        return families


NOTHING_RENDERED = Rendered((), {})


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


async def render(tables: Iterable[Table], before: Rendered = NOTHING_RENDERED) -> Rendered:
    """Write samples as lines; `before` is how the same source was rendered last."""
    rows_of: dict[int, Rows] = {}
    pieces: dict[_Place, Piece] = {}
    kept: list[Table] = []

    for table in tables:
        kept.append(table)  # so that no other runs get the number of its own
        rows = rows_of.get(id(table.runs))
        if rows is None:
            rows = await _rows(table, before.rows[len(rows_of) :][:1])
            rows_of[id(table.runs)] = rows
        for place, columns in groupby(table.columns, attrgetter("family", "before", "after")):
            pieces[place] = await _piece(list(columns), rows, before.pieces.get(place))
    return Rendered(tuple(rows_of.values()), pieces)


async def assemble(sources: Sequence[Rendered]) -> Exposition:
    """Put the lines of all sources together, each family's under its HELP and TYPE."""
    families: dict[Family, list[Deflated]] = defaultdict(list)
    for source in sources:
        for family, lines in source.families.items():
            families[family] += lines

    of: dict[Format, Deflated] = {}
    for chosen in FORMATS:
        parts: list[Deflated] = []
        async for family, lines_of_all in one_a_step(families.items()):
            parts.append(joined([deflated(chosen.head(family)), *lines_of_all]))
        of[chosen] = joined(parts)
    return Exposition(of)


async def _rows(table: Table, before: Sequence[Rows]) -> Rows:
    """Write the labels of a table's rows, unless they are the same as before."""
    for rows in before:
        if rows.labels == table.labels and await _same(rows.values, table.runs):
            return rows
    written = [
        tuple([_written(zip(table.labels, row, strict=True)) for row in run])
        async for run in one_a_step(table.runs)
    ]
    return Rows(table.labels, table.runs, written)


async def _piece(columns: Sequence[Column], rows: Rows, before: Piece | None) -> Piece:
    """Write columns whose samples stand side by side, unless they are the same as before."""
    same = before is not None and before.rows is rows
    old = before.runs if before and same else ()
    runs = []
    values_of_runs = zip(*[column.runs for column in columns], strict=True)
    async for number, values in one_a_step(enumerate(values_of_runs)):
        runs.append(values)
        same = same and old[number : number + 1] == (values,)
    collect_new()  # so that it never looks at the values again
    if before and same:
        return before

    lines = Deflater()
    series = 0
    async for run, values in one_a_step(zip(rows.written, runs, strict=True)):
        written = [_lines(*of, run) for of in zip(columns, values, strict=True)]
        series += sum(map(len, written))
        lines.add("".join(chain.from_iterable(zip(*written, strict=True))).encode())
    return Piece(rows, tuple(runs), lines.end(), series)


async def _same(before: Sequence[object], after: Sequence[object]) -> bool:
    """Whether two lists of runs are equal."""
    if len(before) != len(after):
        return False
    async for one, other in one_a_step(zip(before, after, strict=True)):
        if one != other:
            return False
    return True


def _lines(column: Column, values: _Values, rows: Sequence[str]) -> list[str]:
    """Return the lines of one run of a column."""
    parts = [_written(column.before), _ROW if any(rows) else "", _written(column.after)]
    labels = ",".join(filter(None, parts))
    braces = f"{{{labels}}}" if labels else ""
    head, _, tail = f"{column.name}{braces} ".partition(_ROW)

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
