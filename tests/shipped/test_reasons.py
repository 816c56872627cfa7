"""A reason for a failed poll is known wherever people meet one."""

import re
from pathlib import Path

import pytest

from exporter.config.sections import Query
from exporter.errors import Reason
from exporter.statistics.state import QueryState
from grafana import looks

RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"
ROWS = re.findall(r"^\| (`[a-z_`, ]+`) \| .+ \|$", RUNBOOK.read_text(), re.MULTILINE)
EXPLAINED = [reason for row in ROWS for reason in re.findall(r"`(\w+)`", row)]
EACH = pytest.mark.parametrize("reason", Reason)


@EACH
def test_the_runbook_explains_it(reason):
    """One row of the runbook says what usually causes it."""
    assert EXPLAINED.count(reason.value) == 1


@EACH
def test_the_dashboard_has_a_colour_for_it(reason):
    """Its line in the graph of failures always looks the same."""
    assert reason in looks.REASONS


@EACH
def test_it_is_counted_from_zero(reason):
    """Its series is there before it first happens, so that Prometheus sees the first one."""
    state = QueryState(Query(), "account", interval=300.0, max_data_age=3600.0)
    assert state.failures[reason] == 0


def test_no_other_is_explained():
    """The runbook has no row of a reason that there is not."""
    assert set(EXPLAINED) == set(Reason)
