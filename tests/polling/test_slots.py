"""Moments at which everybody asks."""

import pytest

from exporter.polling.slots import Slots

MIDNIGHT = 1_704_067_200


def test_moments_lie_in_the_middle_of_intervals_since_midnight():
    """Without a shift, an interval of five minutes has its first moment at 00:02:30."""
    slots = Slots(300)
    assert slots.seconds_to_next(MIDNIGHT) == 150
    assert slots.seconds_to_next(MIDNIGHT + 150) == 300
    assert slots.number(MIDNIGHT + 149) + 1 == slots.number(MIDNIGHT + 150)
    assert slots.number(MIDNIGHT + 150) == slots.number(MIDNIGHT + 449)


@pytest.mark.parametrize("interval", [1, 7, 300, 3600, 172_800])
def test_the_same_thing_is_due_at_the_same_moments(interval):
    """A thing is late by less than a tenth of the interval, and by the same in every process."""
    one = Slots.of(("https://a", None, "names"), interval)
    assert one == Slots.of(("https://a", None, "names"), interval)
    assert 0 <= one.late < 0.1
    assert one.late != Slots.of(("https://a", None, "credits"), interval).late
    now = MIDNIGHT + 12_345.6
    pause = one.seconds_to_next(now)
    assert 0 < pause <= interval
    assert one.number(now + pause + 1e-3) == one.number(now) + 1


def test_moments_do_not_depend_on_the_process():
    """The shift is no hash that Python changes from process to process."""
    assert Slots.of(("a", None), 300).late == pytest.approx(0.0819, abs=0.0001)
