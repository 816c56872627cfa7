"""The table of metrics: a new metric is one new row."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exporter"

ROWS = """
    Metric("cached_tokens", "Cached tokens", {"": "cachedTokens"}, Kind.BIG_COUNT),
    Metric("first_token_seconds", "Time to the first token", {"": "ttft_us"}, Kind.MEAN,
           divisor=10**6),
    Metric("retries", "Retries", {"": "retries"}, required=True),
)
"""

PROGRAM = """
import json
from material import DAY, at_once, exposed, raw_record, text
from servers import record
from exporter.config.sections import Query
from exporter.demo.company import Company
from exporter.metrics import OPTIONAL_FIELDS
from exporter.output.formats import TEXT
from exporter.statistics.groups import Grouping
from exporter.statistics.records import RejectedRecordError, parse_record

metrics = ["cached_tokens", "first_token_seconds", "latency_seconds"]
query = Query(labels=["repo_id"], metrics=metrics)
grouping = Grouping(query, (DAY,))
for fields in (
    {"apiCalls": 3, "cachedTokens": "9007199254740993", "ttft_us": 200_000, "latency_ms": None},
    {"apiCalls": 1, "cachedTokens": None, "ttft_us": "600000", "latency_ms": 1500},
    {"apiCalls": 7, "cachedTokens": 1, "ttft_us": None, "latency_ms": None},
):
    grouping.add(parse_record(raw_record(**fields), grouping.window))
try:
    parse_record(raw_record(retries=None), grouping.window)
except RejectedRecordError as error:
    rejected = str(error)
lines = text(at_once(exposed(at_once(grouping.snapshot()), query)).plain(TEXT)).splitlines()
print(json.dumps({
    "values": {line.partition("{")[0]: float(line.split()[-1]) for line in lines if line[0] != "#"},
    "optional": [
        field for field in ("cachedTokens", "ttft_us", "retries") if field in OPTIONAL_FIELDS
    ],
    "rejected": rejected,
    "made": [[one[field] for field in ("cachedTokens", "ttft_us", "retries")]
             for one in (raw_record(), record(),
                         next(Company(1).records(DAY, (DAY + 1) * 86_400)))],
}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Return what a copy of the package says once its table has three more rows."""
    folder = tmp_path_factory.mktemp("more-metrics")
    shutil.copytree(PACKAGE, folder / "exporter")
    table = folder / "exporter" / "metrics.py"
    before, end, after = table.read_text().partition("\n)\n\nDAY_START")
    assert end
    table.write_text(before + ROWS + "\n\nDAY_START" + after)
    support = Path(__file__).parent / "support"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(support)))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_new_count_is_added_up_and_shown(told):
    """A count of a new row comes from its field, exact, and 0 where it is lacking."""
    assert told["values"]["flashback_ai_daily_cached_tokens"] == 2**53 + 2


def test_a_second_mean_has_its_own_weight_and_unit(told):
    """Each mean is weighted by the calls that it is known for, and shown in its own unit."""
    assert told["values"]["flashback_ai_daily_first_token_seconds"] == 0.3
    assert told["values"]["flashback_ai_daily_latency_seconds"] == 1.5


def test_the_row_says_whether_its_field_may_be_missing(told):
    """A record that lacks a required field is left out; any other field is counted as lacking."""
    assert told["optional"] == ["cachedTokens", "ttft_us"]
    assert told["rejected"] == "missing_field retries"


def test_made_up_records_have_the_new_fields(told):
    """The simulator's company and the records of the tests take their fields from the table."""
    zero, one, company = told["made"]
    assert zero == ["0", 0, 0]
    assert one == ["10", 250, 1]
    assert int(company[0]) == company[2] > 0
    assert company[1] > 0
