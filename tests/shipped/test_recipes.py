"""The README's recipes about credits, in the real promtool."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from programs import tool

from exporter.clock import SECONDS_A_DAY
from exporter.demo.billing import Billing
from exporter.demo.company import Company

README = (Path(__file__).parents[2] / "README.md").read_text()
SUNDAY = 1_704_024_000  # 2023-12-31 12:00 UTC, before a Monday with a purchase at 08:00
DAY = 1440  # minutes
STEP = 5


def recipe(comment):
    """Return the expression below a comment of the README."""
    return re.search(rf"\n# {comment}[^\n]*\n(.*?)\n(?:\n|```)", README, re.DOTALL)[1]


SPENT = recipe("credits spent in the last day")
HOURS_LEFT = recipe("hours until the credits are used up")


def falling(minutes, bought=(), late=0, gap=range(0)):
    """Return a balance a minute that falls by 1 every five, and rises by 500 when that is bought;
    None in a gap.
    """
    return [
        None
        if minute in gap
        else 10_000 - (minute + 2 - late) // STEP + 500 * sum(minute >= when for when in bought)
        for minute in range(minutes)
    ]


@pytest.fixture
def evaluated(tmp_path):
    """Return a function that finds out whether an expression has a value, give or take something,
    at the end of some exporters' balances.
    """

    def evaluated(expression, wanted, *balances, give=0.001):
        series = [
            {
                "series": f'flashback_credits_balance{{job="a", instance="{number}"}}',
                "values": " ".join("_" if value is None else str(value) for value in balance),
            }
            for number, balance in enumerate(balances)
        ]
        question = {
            "expr": f"abs(({expression}) - {wanted}) <= bool {give}",
            "eval_time": f"{len(balances[0]) - 1}m",
            "exp_samples": [{"labels": '{job="a"}', "value": 1}],
        }
        test = {"interval": "1m", "input_series": series, "promql_expr_test": [question]}
        path = tmp_path / "test.yml"
        path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
        command = [tool("promtool"), "test", "rules", path]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout

    return evaluated


def test_what_is_used_is_spent(evaluated):
    """A balance that falls by one every five minutes is 288 a day."""
    evaluated(SPENT, 288, falling(2 * DAY))


@pytest.mark.parametrize("bought", [[2000], [2003, 2004], [1500, 2700]])
def test_what_is_bought_or_granted_is_not_taken_off(evaluated, bought):
    """A purchase and a grant change what was spent by no more than their own steps."""
    evaluated(SPENT, 288 - len(bought) / 2, falling(2 * DAY, bought), give=len(bought) / 2)


def test_a_gap_loses_nothing(evaluated):
    """What was used while nothing was scraped for 40 minutes is seen after it."""
    evaluated(SPENT, 288, falling(2 * DAY, gap=range(2000, 2040)))


def test_two_exporters_are_one_account(evaluated):
    """Replicas that read the balance at different moments, one of which ends, count once."""
    first = falling(2 * DAY, gap=range(2200, 2 * DAY))
    evaluated(SPENT, 288, first, falling(2 * DAY, late=1), give=1)


async def test_a_booking_at_midnight_and_a_purchase(evaluated):
    """Over the simulator's Monday, with a booking and a purchase, what was used is spent."""
    billing = Billing(Company())
    balances = []
    for minute in range(0, DAY + 2 * STEP, STEP):
        balance = (await billing.balance(SUNDAY + 60 * minute))["realtimeBalance"]
        balances += [balance] * STEP
    steps = [one - two for one, two in pairwise(balances)]
    used = sum(step for step in steps if step > 0)
    assert min(steps) < -100
    assert SUNDAY % SECONDS_A_DAY == SECONDS_A_DAY / 2
    evaluated(SPENT, used, balances, give=0.02 * used)


def test_the_hours_left_are_those_of_the_rate(evaluated):
    """At twelve credits an hour, what is left lasts for a twelfth of it in hours."""
    balances = falling(2 * DAY, [2000])
    evaluated(HOURS_LEFT, balances[-1] / 12, balances, give=5)


def test_the_hours_left_are_known_soon(evaluated):
    """Six hours after the first scrape the rate is that of the six hours."""
    balances = falling(DAY // 4)
    evaluated(HOURS_LEFT, balances[-1] / 12, balances, give=20)
