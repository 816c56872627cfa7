"""The sample of `/metrics` in the documents is like what the demo serves now."""

from pathlib import Path

from shipping.sample import SAMPLE, sample, shape

ROOT = Path(__file__).parents[2]


def test_the_sample_is_of_today():
    """Names, types, helps and labels are those of a demo that runs now."""
    assert shape((ROOT / SAMPLE).read_text()) == shape(sample()), (
        "`make shipped` has to be run again"
    )
