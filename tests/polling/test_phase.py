"""When regular polls are due: moments that follow from the day, the interval and a name alone."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.polling.phase import MAX_SHIFT, Phase

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)

intervals = st.floats(1, 3 * 86_400, allow_nan=False) | st.sampled_from([60, 420, 86_400, 90_000])
moments = st.integers(10**15, 4 * 10**15).map(lambda number: EPOCH + number * MICROSECOND)


def of_days(interval: float, name: str = "query", days: int = 1) -> list[datetime]:
    """Return the moments of some days."""
    phase = Phase(interval, name)
    found = [phase.get_next_fire_time(None, MIDNIGHT - MICROSECOND)]
    while found[-1] < MIDNIGHT + days * DAY:
        found.append(phase.get_next_fire_time(found[-1], found[-1]))
    return found[:-1]


@pytest.mark.parametrize("interval", [60, 120, 300, 900, 3600, 86_400])
def test_an_interval_that_divides_the_day_has_one_distance(interval):
    """Moments are half an interval and up to a tenth after midnight, and then one each interval."""
    found = of_days(interval, days=3)
    assert len(found) == 3 * 86_400 // interval
    assert {later - one for one, later in pairwise(found)} == {interval * SECOND}
    shift = (found[0] - MIDNIGHT) / (interval * SECOND)
    assert 0.5 <= shift <= 0.5 + MAX_SHIFT


@pytest.mark.parametrize("interval", [7 * 60, 11 * 60, 13 * 3600, 0.7 * 86_400])
def test_an_interval_that_does_not_divide_the_day_begins_anew_at_midnight(interval):
    """Each day has the same moments, and over midnight two are half an interval apart or more."""
    found = of_days(interval, days=3)
    a_day = len(found) // 3
    assert [moment + DAY for moment in found[:-a_day]] == found[a_day:]
    distances = {(later - one) / (interval * SECOND) for one, later in pairwise(found)}
    assert 0.5 <= min(distances) <= max(distances) <= 1.5 + MAX_SHIFT


def test_an_interval_longer_than_a_day_goes_on_over_midnight():
    """Polls every 36 hours are due every 36 hours, wherever in the day that is."""
    found = of_days(36 * 3600, days=9)
    assert len(found) == 6
    assert {later - one for one, later in pairwise(found)} == {1.5 * DAY}


@given(interval=intervals, name=st.text(max_size=3), now=moments)
@settings(deadline=None, max_examples=200)
def test_the_next_moment_is_always_later(interval, name, now):
    """Asked at a moment itself, a microsecond before or any time, the answer is the next one."""
    phase = Phase(interval, name)
    moment = phase.get_next_fire_time(None, now)
    after = phase.get_next_fire_time(moment, moment)
    assert now < moment < after
    assert phase.get_next_fire_time(None, moment - MICROSECOND) == moment
    assert phase.get_next_fire_time(None, after - MICROSECOND) == after
    assert (after - moment).total_seconds() >= interval / 2 - 1e-6


def test_replicas_poll_together_and_other_queries_at_other_moments():
    """The name alone decides: not the process, and not when it was started."""
    assert of_days(300, "one") == of_days(300, "one")
    first = {of_days(300, f"{number}")[0] for number in range(100)}
    assert len(first) > 95
    spread = (max(first) - min(first)) / (300 * SECOND)
    assert MAX_SHIFT * 0.9 < spread <= MAX_SHIFT
