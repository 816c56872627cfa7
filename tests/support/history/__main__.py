"""Makes a data directory with a month of history that any Prometheus can serve."""

import argparse
import json
import shutil
import tempfile
import time
import urllib.request
from pathlib import Path

import names
import programs

from history.company import SIZES, Size
from history.past import scrapes
from history.recordings import recordings
from history.remote_write import Writer, open_url

FLAGS = (  # nothing is compacted while the history comes in, and all of it stays, however old
    "--web.enable-remote-write-receiver",
    "--web.enable-admin-api",
    "--storage.tsdb.min-block-duration=70d",
    "--storage.tsdb.max-block-duration=70d",
    "--storage.tsdb.retention.time=100y",
)


def fill(url: str, end: int, size: Size, seed: int) -> tuple[int, int]:
    """Write the whole history into a Prometheus that runs with FLAGS;
    return how many samples and scraped series.

    Recordings and alerts begin a day later, for they look back a day.
    """
    writer = Writer(url)
    scrapes(writer, end, size, seed)
    return writer.samples + recordings(url, names.rules(), end, size), writer.series


def main() -> None:
    """Make a data directory that any Prometheus can serve."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where the data goes; it must not exist yet")
    parser.add_argument(
        "--end",
        type=int,
        default=int(time.time()) // 60 * 60,
        help="Unix time at which it ends: now",
    )
    parser.add_argument("--seed", type=int, default=1, help="which company: 1")
    what = "how many repositories, or as little as the tests need: 20"
    parser.add_argument("--size", choices=SIZES, default="20", help=what)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        with programs.prometheus(place, "{}", *FLAGS) as running:
            size = SIZES[options.size]
            samples, series = fill(running.url, options.end, size, options.seed)
            request = urllib.request.Request(
                f"{running.url}/api/v1/admin/tsdb/snapshot", method="POST"
            )
            with open_url(request, timeout=60) as response:
                name = json.load(response)["data"]["name"]
        shutil.move(place / "data" / "snapshots" / name, options.folder)
    print(
        f"{samples:,} samples, {series:,} scraped series, in {time.monotonic() - began:.0f} s\n"
        f"prometheus --config.file=/dev/null --storage.tsdb.path={options.folder} "
        "--storage.tsdb.retention.time=100y "
        f"--web.listen-address=127.0.0.1:9090\nThe history ends at {options.end}."
    )


if __name__ == "__main__":
    main()
