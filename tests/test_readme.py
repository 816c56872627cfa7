"""The README says what the code does."""

import re
import tomllib
from pathlib import Path

from exporter.config.environment import Environment
from exporter.config.sections import Account, Config, Query
from exporter.config.types import Settings
from exporter.metrics import DAY_START, METRICS, Kind
from exporter.output.beside import BESIDE
from exporter.output.own_metrics import OWN_METRICS
from exporter.polling.account import intervals

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SECTIONS = {section.__name__: section for section in Settings.__subclasses__()}


def rows(heading: str, table: int = 1) -> list[list[str]]:
    """Return the cells of a table below a heading, the first one or another, without its head."""
    section = re.split(r"\n#+ ", README.split(f"\n{heading}\n", 1)[1])[0]
    tables = [part for part in section.split("\n\n") if part.lstrip().startswith("|")]
    lines = tables[table - 1].strip().splitlines()
    return [
        [cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")]
        for line in lines[2:]
    ]


def test_the_table_of_ai_metrics_is_the_codes():
    """Every gauge of the AI statistics is listed with its API fields,
    its way of combining and its meaning.
    """
    expected = [
        [metric.name, ", ".join(metric.fields.values()), metric.kind.value, metric.text]
        for metric in METRICS
    ]
    assert rows("### AI statistics") == [
        *expected,
        [DAY_START.name, "", "", "The UTC midnight at which the day began"],
    ]


def test_the_table_of_counters_is_the_codes():
    """Every counter is listed by the names of its samples, with the gauge beside it."""
    suffixes = {"counter": ["_total"], "summary": ["_sum", "_count"]}
    expected = [
        [", ".join(counter.name + suffix for suffix in suffixes[counter.type]), metric.name]
        for metric in METRICS
        if (counter := metric.counter)
    ]
    assert rows("### AI statistics", 2) == expected


def test_the_table_of_what_stands_beside_is_the_codes():
    """Names, account, credits, policies and prices are listed with labels, sources and meaning."""
    assert rows("### Names, credits, policies and prices") == [
        [metric.name, ", ".join(metric.labels), metric.source, metric.help] for metric in BESIDE
    ]


def test_the_table_of_what_is_asked_is_the_codes():
    """Every endpoint about the account is listed with the key that turns it off."""
    listed = {key: set(paths.split(", ")) for paths, key, _ in rows("## The account")}
    turned_off = {}
    for name in Account.model_fields:
        account = Account.model_validate({name: {"interval": "0s"}})
        off = {path for path, interval in intervals(account).items() if not interval}
        turned_off[f"account.{name}.interval"] = off
    assert listed == turned_off


def test_the_table_of_own_metrics_is_the_codes():
    """Every metric about the exporter is listed with its type, labels and meaning."""
    assert rows("### The exporter itself") == [
        [metric.name, metric.type, ", ".join(metric.labels), metric.help.replace("`", "")]
        for metric in OWN_METRICS.values()
    ]


def test_every_setting_is_listed():
    """The table of settings has every key of the configuration, and no other."""

    def keys(model, prefix: str = "") -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            inner = re.findall(r"exporter\.config\.\w*sections?\.(\w+)", str(field.annotation))
            if inner and name != "filters":
                found |= keys(SECTIONS[inner[0]], f"{prefix}{name}.")
            else:
                found.add(prefix + name)
        return found

    listed = {name.strip() for row in rows("## Configuration") for name in row[0].split(",")}
    assert listed == keys(Config)


def test_every_dependency_has_a_reason():
    """The table of dependencies lists those of pyproject.toml, each with why it is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = sum(project["dependency-groups"].values(), project["project"]["dependencies"])
    names = {re.match(r"[\w-]+", entry)[0].lower() for entry in wanted}
    table = {
        name.strip().lower(): row[1]
        for row in rows("## Dependencies")
        for name in row[0].split(",")
    }
    assert table.keys() == names
    assert all(table.values())


def test_the_table_of_variables_is_the_codes():
    """Every environment variable is listed: in the README, for Compose and in the example."""
    known = {f"FLASHBACK_{field.upper()}" for field in Environment.model_fields}
    listed = {
        word for row in rows("## Configuration", 2) for word in re.findall(r"FLASHBACK_\w+", row[0])
    }
    assert listed == known
    example = (ROOT / "config" / "flashback-exporter.yml").read_text()
    assert set(re.findall(r"FLASHBACK_\w+", example)) == known
    passed_on = re.findall(r"- (FLASHBACK_\w+)", (ROOT / "compose.yaml").read_text())
    assert {*passed_on, "FLASHBACK_REFRESH_TOKEN_FILE"} == known  # which needs a volume of its own


def test_the_arithmetic_of_series_is_the_codes():
    """So many series has a group for each day and beside them, and so many labels each of them."""
    growing = README.split("\n## Growing\n")[1]
    ((gauges, counters, all_of_two_days),) = re.findall(
        r"has (\d+) series for each day and (\d+) counters beside them: .*\n(\d+) series", growing
    )
    assert int(gauges) == sum(len(metric.fields) for metric in METRICS)
    found = [metric for metric in METRICS if metric.counter]
    sums_and_counts = [2 if one.kind is Kind.MEAN else len(one.fields) for one in found]
    assert int(counters) == sum(sums_and_counts)
    assert int(all_of_two_days) == 2 * int(gauges) + int(counters)
    (labels,) = re.findall(r"label_limit: \d+ +# (\d+) of the exporter's own", growing)
    usual = Query().labels
    assert int(labels) == len({"query", "day", "severity", *usual})
