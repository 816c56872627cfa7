"""Runs the benchmark, prints its table and exits with 1 where a bar is missed."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import (
    MIB,
    NGINX_IS_MISSING,
    Bench,
    hold_ups,
    polls,
    scrapes,
    starts,
    starts_with_state,
    undisturbed,
)
from bench.processes import nginx_path, recorded_api
from bench.table import Bar, By, Figure, lines
from exporter.clock import utc_day

_LINEAR = Bar(12)  # ten times the work may take ten times as much, and a little for noise


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="under 30 seconds, small sizes, bars for a tenfold slip",
    )
    short = parser.parse_args().short
    began, day = time.monotonic(), utc_day(time.time())
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, recorded_api() as api:
        bench = Bench(Path(folder), api, _say, None if short else _LINEAR)
        figures = list(_short(bench) if short else _whole(bench))
    print(*lines(figures), sep="\n")
    if not nginx_path():
        print(NGINX_IS_MISSING)
    missed = sum(figure.missed for figure in figures)
    if utc_day(time.time()) != day:
        print("UTC midnight passed meanwhile, so that the records are a day too old: run it again")
        missed += 1
    print(f"{missed} of {sum(figure.bar is not None for figure in figures)} bars missed, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    return 1 if missed else 0


def _whole(bench: Bench) -> Iterator[Figure]:
    yield from starts(bench, 10, Bar(1.5))
    yield from starts_with_state(bench, 10_000, 5, Bar(1, By.DIFFERENCE))
    yield from scrapes(
        bench, (1_300, 13_000, 130_000), 40, {"plain": Bar(6), "gzip": Bar(1.5)}, Bar(1)
    )
    yield from hold_ups(bench, (130_000, 1_300_000), 5, Bar(0.010, By.VALUE))
    yield from undisturbed(bench, 10_000, 100_000, 5, Bar(0.010, By.DIFFERENCE))
    sizes = [
        (100, 1_000, 10, None),
        (1_000, 10_000, 5, None),
        (10_000, 100_000, 5, Bar(2.2)),
        (10_000, 1_000_000, 2, None),
    ]
    yield from polls(bench, sizes, Bar(160 * MIB, By.VALUE), Bar(16 * MIB, By.DIFFERENCE))


def _short(bench: Bench) -> Iterator[Figure]:
    yield from starts(bench, 3, Bar(5))
    yield from scrapes(bench, (13_000,), 20, {"plain": Bar(15), "gzip": Bar(100)}, Bar(0.5))
    sizes = [(500, 5_000, 3, Bar(25)), (500, 50_000, 1, None)]
    yield from polls(bench, sizes, Bar(640 * MIB, By.VALUE), Bar(64 * MIB, By.DIFFERENCE))


def _say(word: str) -> None:
    print(f"... {word}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
