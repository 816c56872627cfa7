"""Write the rules to `config/prometheus`, or others by settings of one's own into any folder."""

import argparse
import sys
from pathlib import Path

from mixin.rules import files
from mixin.settings import SettingsError, load

FOLDER = Path(__file__).parents[1] / "config" / "prometheus"


def main(arguments: list[str] | None = None) -> int:
    """Write the files of rules; return the exit code, 2 for settings that make no sense."""
    parser = argparse.ArgumentParser(prog="python -m mixin", description=__doc__)
    parser.add_argument("--settings", type=Path, help="YAML; see mixin/settings.yml")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the rules go")
    given = parser.parse_args(arguments)
    try:
        settings = load(given.settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    for name, text in files(settings).items():
        (given.folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
