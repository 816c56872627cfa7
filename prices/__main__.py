"""Write the built-in prices of today into the package, or those of a day into the file given."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path

from prices.library import to_json

FILE = Path(__file__).parents[1] / "exporter" / "prices" / "built_in.json"


def write(file: Path, day: date) -> None:
    """Write the prices in force at the beginning of a UTC day."""
    file.write_text(to_json(day), encoding="utf-8")


if __name__ == "__main__":
    file, day = sys.argv[1:] or (FILE, datetime.now(UTC).date().isoformat())
    write(Path(file), date.fromisoformat(str(day)))
