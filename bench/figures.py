"""The figures: each function measures some, several times, in pairs with what they compare with."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.measure import Connection, cpu_seconds, percentile, resident_bytes
from bench.processes import (
    ROOT,
    Api,
    answer_of,
    exporter,
    exporter_command,
    line_with,
    nginx_path,
    process,
    remove,
    static_server,
    write_config,
    yardstick,
)
from bench.records import HEAD, SERIES_A_GROUP, TAIL, grown, write_block
from bench.table import Bar, Figure, growth

MIB = 1 << 20
NGINX_IS_MISSING = "nginx is not installed: the comparison with a static file server is skipped"

_SCRAPES_A_DAY = 86_400 // 15
_YARDSTICK_REPEAT = 3  # it takes seconds
_RECORDS_A_GROUP = 4  # so that each sum of a day is added to
_POLLS_HELD = 3  # two of them replace one
_PAUSE = 0.002  # seconds between two scrapes while the slowest are looked for
_CPU_OF_LOADS = """
import json, sys, time
content = open(sys.argv[1], "rb").read()
began = time.process_time()
json.loads(content)
print(time.process_time() - began)
"""
_THIRD_PARTY = """
import exporter.cli, json, sys
foreign = [
    name for name, module in sys.modules.items()
    if "site-packages" in (getattr(module, "__file__", "") or "")
]
print(json.dumps(foreign))
"""
_TIME_OF_IMPORT = """
import time
began = time.perf_counter()
import exporter{}
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Bench:
    """Where and against what to measure.

    `growth_bar` limits how a figure grows with ten times the work.
    """

    folder: Path
    api: Api
    say: Callable[[str], None]
    growth_bar: Bar | None = None

    @property
    def state(self) -> Path:
        """A state file, for what is measured with one."""
        return self.folder / "state.db"

    def block(self, groups: int, records: int) -> Path:
        """Return a file with so many recorded records, made once."""
        path = self.folder / f"{groups}-{records}.block"
        if not path.exists():
            self.say(f"recording {records:,} records of {groups:,} groups")
            write_block(path, groups, records)
        return path


def scrapes(
    bench: Bench, series: Sequence[int], repeat: int, bars: Mapping[str, Bar], yardstick_bar: Bar
) -> list[Figure]:
    """Measure scrapes at each number of series against nginx and the yardstick, and a day's cost.

    The bars, for `plain` and `gzip`, are those of the largest number.
    """
    figures: list[Figure] = []
    last: dict[str, Figure] = {}
    for wanted in series:
        groups = wanted // SERIES_A_GROUP
        bench.api.answer(bench.block(groups, 2 * groups))
        largest = wanted == series[-1]
        with ExitStack() as stack:
            running = stack.enter_context(exporter(bench.api, bench.folder))
            name = f"{running.series():,} series"
            bench.say(f"scraping {name}")
            ours = stack.enter_context(Connection(running.address))
            plain = ours.get()
            (bench.folder / "plain.txt").write_bytes(plain)
            (bench.folder / "gzip.gz").write_bytes(ours.get(gzip=True))
            simple = stack.enter_context(Connection(stack.enter_context(yardstick(bench.api))))
            static = None
            if nginx_path():
                static = stack.enter_context(
                    Connection(stack.enter_context(static_server(bench.folder)))
                )
            for kind, file in (("plain", "/plain.txt"), ("gzip", "/gzip.gz")):
                compressed = kind == "gzip"
                ours.seconds(gzip=compressed)
                pairs, cpu = [], 0.0
                for _ in range(repeat):
                    before = cpu_seconds(running.pid)
                    seconds = ours.seconds(gzip=compressed)
                    cpu += cpu_seconds(running.pid) - before
                    pairs.append(
                        (seconds, static.seconds(file, gzip=compressed) if static else 0.0)
                    )
                figure = Figure(
                    f"scrape, {kind}, {name}, {_size(bench.folder / file[1:])}",
                    [mine for mine, _ in pairs],
                    beside="nginx, same bytes" if static else "",
                    others=[other for _, other in pairs] if static else (),
                    bar=bars[kind] if largest and static else None,
                )
                figures.append(figure)
                against = [simple.seconds(gzip=compressed) for _ in range(_YARDSTICK_REPEAT)]
                figures.append(
                    Figure(
                        f"scrape, {kind}, {name}",
                        figure.values[:_YARDSTICK_REPEAT],
                        beside="40 lines with Gauge",
                        others=against,
                        bar=yardstick_bar if largest else None,
                    )
                )
                if largest and len(series) > 1:
                    times = f"{repeat} times {_SCRAPES_A_DAY / repeat:g}"
                    title = f"CPU of a day's scrapes, {kind}, {name} ({times})"
                    figures.append(Figure(title, [cpu / repeat * _SCRAPES_A_DAY]))
                if kind in last:
                    figures.append(
                        growth(f"scrape, {kind}, to {name}", last[kind], figure, bench.growth_bar)
                    )
                last[kind] = figure
    return figures


def polls(
    bench: Bench,
    sizes: Sequence[tuple[int, int, int, Bar | None]],
    memory_bar: Bar,
    memory_growth_bar: Bar,
) -> list[Figure]:
    """Measure polls of (groups, records, times): CPU against json.loads, pace and memory.

    All are with a state file. The last has ten blocks; memory has its bar at the one before.

    Each size has an exporter of its own, but the last, which goes on where the one before it ended.
    """
    figures: list[Figure] = []
    cpus: list[Figure] = []
    memory: list[Figure] = []
    *single, (_, most, times, _) = sizes
    for index, (groups, records, repeat, bar) in enumerate(single):
        block = bench.block(groups, records)
        whole = bench.folder / "answer.json"
        whole.write_bytes(HEAD + grown(block.read_bytes(), 0) + TAIL)
        bench.api.answer(block)
        name = f"{records:,} records, {groups:,} groups"
        bench.say(f"polling {name}")
        is_last = index == len(single) - 1
        with exporter(bench.api, bench.folder, bench.state) as running:
            taken, loads, resident = [], [], []
            for _ in range(repeat):
                taken.append(running.poll())
                resident.append(float(resident_bytes(running.pid)))
                loads.append(min(answer_of(_CPU_OF_LOADS, whole) for _ in range(_YARDSTICK_REPEAT)))
            cpus.append(
                Figure(
                    f"CPU of a poll, {name}",
                    [cpu for cpu, _ in taken],
                    "s",
                    "json.loads",
                    loads,
                    bar,
                )
            )
            figures += [cpus[-1], _pace(records, [seconds for _, seconds in taken])]
            memory.append(Figure(f"resident memory after it, {name}", resident, "B",
                                 bar=memory_bar if is_last else None))  # fmt: skip
            figures.append(memory[-1])
            if is_last:
                bench.say(f"polling {most:,} records")
                bench.api.answer(block, most // records)
                name = f"{most:,} records, {groups:,} groups"
                taken, after = [], []
                for _ in range(times):
                    taken.append(running.poll())
                    after.append(float(resident_bytes(running.pid)))
                cpus.append(Figure(f"CPU of a poll, {name}", [cpu for cpu, _ in taken]))
                figures += [cpus[-1], _pace(most, [seconds for _, seconds in taken])]
                memory.append(Figure(f"resident memory after it, {name}", after, "B"))
                before = resident[-len(after) :]
                beside = f"{records:,} records"
                figures.append(
                    Figure(memory[-1].name, after, "B", beside, before, memory_growth_bar)
                )
        whole.unlink()
    for title, sizes_of in (("CPU of a poll", cpus), ("resident memory after it", memory)):
        for small, large in pairwise(sizes_of):
            figures.append(
                growth(
                    f"{title}, to {large.name.removeprefix(title)[2:]}",
                    small,
                    large,
                    bench.growth_bar,
                )
            )
    return figures


def undisturbed(bench: Bench, groups: int, records: int, repeat: int, bar: Bar) -> list[Figure]:
    """Measure small scrapes while a large poll is read and rendered, against the same when idle.

    The exporter shows a few groups until the large poll ends. Rendering begins with the last byte
    of the answer, give or take what stands in the sockets' buffers.
    """
    small, large = bench.block(10, 20), bench.block(groups, records)
    percentiles: dict[str, list[float]] = {"idle": [], "read": [], "rendered": []}
    worst: dict[str, list[float]] = {"idle": [], "read": [], "rendered": []}
    bench.say(f"small scrapes while {records:,} records are polled")
    for _ in range(repeat):
        bench.api.answer(small)
        with (
            exporter(bench.api, bench.folder, bench.state) as running,
            Connection(running.address) as connection,
        ):
            seconds = {
                "idle": [_paused(connection)[1] for _ in range(500)],
                "read": [],
                "rendered": [],
            }
            bench.api.answer(large)
            size = connection.size
            running.start_poll()
            taken: list[tuple[float, float]] = []
            while connection.size < 2 * size and len(taken) < 100_000:
                taken.append(_paused(connection))
            del taken[-1]  # no small one: the poll is done
            _, last, _ = running.wait_for_poll()
        for began, duration in taken:
            seconds["read" if began < last else "rendered"].append(duration)
        for phase, values in seconds.items():
            percentiles[phase].append(percentile(values, 0.99))
            worst[phase].append(max(values))
    figures = []
    for phase in ("read", "rendered"):
        name = f"of small scrapes while {records:,} records are {phase}"
        beside = "the same when idle"
        figures += [
            Figure(f"99th percentile {name}", percentiles[phase], "s", beside, percentiles["idle"],
                   bar if phase == "read" else None),
            Figure(f"worst {name}", worst[phase], "s", beside, worst["idle"]),
        ]  # fmt: skip
    return figures


def hold_ups(bench: Bench, series: Sequence[int], repeat: int, bar: Bar) -> list[Figure]:
    """Measure how long polls hold up the event loop at a time, garbage collection included."""
    config = bench.folder / "config.yml"
    figures: list[Figure] = []
    for wanted in series:
        groups = wanted // SERIES_A_GROUP
        bench.say(f"polling {wanted:,} series")
        bench.api.answer(bench.block(groups, _RECORDS_A_GROUP * groups))
        gaps = []
        for _ in range(repeat):
            write_config(config, bench.api, bench.state)
            remove(bench.state)
            command = [sys.executable, "-m", "bench.probe", f"{config}", f"{_POLLS_HELD}"]
            with process(command, stdout=subprocess.PIPE) as child:
                for _ in range(_POLLS_HELD):
                    bench.api.sent()
                found = json.loads(line_with(child.stdout, r"{.*}")[0])
            gaps.append(found["gap"])
        title = f"longest hold-up of the event loop, {found['series']:,} series polled"
        figures.append(Figure(title, gaps, bar=bar))
    return figures


def starts(bench: Bench, repeat: int, bar: Bar) -> list[Figure]:
    """Measure from the start of the process to the first answer, and what importing alone takes."""
    bench.say("starting")
    bench.api.answer(bench.block(10, 20))
    config = bench.folder / "config.yml"
    write_config(config, bench.api)
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _THIRD_PARTY], cwd=ROOT, check=True, capture_output=True
    )
    names = ", ".join(name for name in json.loads(found.stdout))
    taken, bare = [], []
    for _ in range(repeat):
        taken.append(_first_answer(bench, config))
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {names}"], cwd=ROOT, check=True)  # noqa: S603
        bare.append(time.perf_counter() - began)
    return [
        Figure(
            "start to the first answer of /metrics", taken, "s", "the same imports alone", bare, bar
        ),
        *(
            Figure(
                f"import exporter{module}",
                [answer_of(_TIME_OF_IMPORT.format(module)) for _ in range(repeat)],
            )
            for module in ("", ".cli")
        ),
    ]


def starts_with_state(bench: Bench, groups: int, repeat: int, bar: Bar) -> list[Figure]:
    """Measure a start with the state of so many groups against one without a state file."""
    kept, config = bench.folder / "kept.db", bench.folder / "config.yml"
    bench.api.answer(bench.block(groups, 2 * groups))
    with exporter(bench.api, bench.folder, bench.state):
        pass
    if not bench.state.exists():
        return []
    shutil.move(bench.state, kept)
    bench.api.answer(bench.block(10, 20))
    bench.say(f"starting with {groups:,} groups")
    taken, without = [], []
    for _ in range(repeat):
        remove(bench.state)
        shutil.copy(kept, bench.state)
        write_config(config, bench.api, bench.state)
        taken.append(_first_answer(bench, config))
        write_config(config, bench.api)
        without.append(_first_answer(bench, config))
    name = f"start to the first answer of /metrics, {groups:,} groups in the state file"
    return [Figure(name, taken, "s", "no state file", without, bar)]


def _first_answer(bench: Bench, config: Path) -> float:
    """Return how long it takes from the start of the process to its first answer of /metrics."""
    began = time.perf_counter()
    with process(exporter_command(config), stderr=subprocess.PIPE) as child:
        address = line_with(child.stderr, r"msg=serving addresses=\S*?([\d.]+:\d+)")[1]
        with Connection(address) as connection:
            connection.get()
        seconds = time.perf_counter() - began
        # Its first poll may only now be under way; ended before, it would never be answered.
        bench.api.sent()
    return seconds


def _paused(connection: Connection) -> tuple[float, float]:
    """Return when a small scrape began (monotonic) and how long it took, after a pause."""
    time.sleep(_PAUSE)
    began = time.monotonic()
    return began, connection.seconds()


def _pace(records: int, seconds: Sequence[float]) -> Figure:
    return Figure(
        f"records per second, {records:,} records", [records / taken for taken in seconds], "/s"
    )


def _size(file: Path) -> str:
    return f"{file.stat().st_size / MIB:.2f} MiB"
