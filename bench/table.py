"""The table of figures: what was measured several times, what it is compared with, and its bar."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.measure import median

_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "B": ((float(1 << 20), "MiB"), (1024.0, "KiB")),
}
_COLUMNS = ("figure", "median", "spread", "beside", "median", "ratio", "spread", "bar", "")


class By(Enum):
    """What a bar limits: the figure, its ratio to the one beside it, or the difference of both."""

    VALUE = "at most {}"
    RATIO = "at most {}x"
    DIFFERENCE = "at most {} more"


@dataclass(frozen=True)
class Bar:
    """The most that the median of a figure may be, in the figure's unit or as a ratio."""

    limit: float
    by: By = By.RATIO


@dataclass(frozen=True)
class Figure:
    """Measurements of one thing, in `unit`.

    `others` are those of the thing `beside` it, pair by pair.
    """

    name: str
    values: Sequence[float]
    unit: str = "s"
    beside: str = ""
    others: Sequence[float] = ()
    bar: Bar | None = None

    @property
    def ratios(self) -> list[float]:
        """The ratio of each pair."""
        return (
            [value / other for value, other in zip(self.values, self.others, strict=True)]
            if self.others
            else []
        )

    @property
    def judged(self) -> float:
        """What the bar is about: the median of the values, of the ratios, or of the differences."""
        by = self.bar.by if self.bar else By.VALUE
        if by is By.RATIO:
            return median(self.ratios)
        others = self.others if by is By.DIFFERENCE else [0.0] * len(self.values)
        return median([value - other for value, other in zip(self.values, others, strict=True)])

    @property
    def missed(self) -> bool:
        """Whether the bar is missed."""
        return self.bar is not None and self.judged > self.bar.limit

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        bar = verdict = ""
        if self.bar:
            limit = (
                f"{self.bar.limit:g}"
                if self.bar.by is By.RATIO
                else shown(self.bar.limit, self.unit)
            )
            bar, verdict = self.bar.by.value.format(limit), "MISSED" if self.missed else "met"
        ratios = self.ratios
        return (
            self.name,
            shown(median(self.values), self.unit),
            _spread(self.values, self.unit),
            self.beside,
            shown(median(self.others), self.unit) if self.others else "",
            f"{median(ratios):.2f}x" if ratios else "",
            _spread(ratios, "x") if ratios else "",
            bar,
            verdict,
        )


def growth(name: str, small: Figure, large: Figure, bar: Bar | None) -> Figure:
    """Return how a figure grows from one size of work to ten times of it."""
    others = [median(small.values)] * len(large.values)
    return Figure(f"growth: {name}", large.values, large.unit, "a tenth of the work", others, bar)


def shown(value: float, unit: str) -> str:
    """Return a value with three significant digits, in a unit of its size."""
    if unit == "x":
        return f"{value:.2f}x"
    scales = _SCALES.get(unit, ((1.0, unit),))
    scale, name = next((each for each in scales if abs(value) >= each[0]), scales[-1])
    return f"{_digits(value / scale)} {name}"


def lines(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield the lines of the table."""
    rows = [_COLUMNS, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = [cell.ljust(width) if column in (0, 3, 7, 8) else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        yield "  ".join(cells).rstrip()


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(values: Sequence[float], unit: str) -> str:
    least, most = shown(min(values), unit), shown(max(values), unit)
    return f"{least} to {most}"
