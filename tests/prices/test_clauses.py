"""Match clauses: which names they fit."""

import pytest

from exporter.prices.clauses import clause


@pytest.mark.parametrize(
    ("data", "fitting", "other"),
    [
        ({"equals": "o3"}, ["o3"], ["o3-mini", "", "xo3"]),
        ({"starts_with": "o3-"}, ["o3-mini", "o3-"], ["o3", "xo3-"]),
        ({"ends_with": "-tts"}, ["gpt-tts", "-tts"], ["gpt-tts-1", "tts"]),
        ({"contains": "nova"}, ["amazon.nova-pro", "nova"], ["amazon.nov", ""]),
        ({"regex": r"^gpt-\d$"}, ["gpt-4"], ["gpt-4o", "xgpt-4"]),
        ({"or": [{"equals": "a"}, {"equals": "b"}]}, ["a", "b"], ["c", "ab"]),
        ({"and": [{"starts_with": "a"}, {"ends_with": "b"}]}, ["ab", "axb"], ["a", "b"]),
        (
            {"and": [{"starts_with": "a"}, {"or": [{"equals": "ab"}, {"contains": "x"}]}]},
            ["ab", "ax"],
            ["a", "x"],
        ),
        ({"or": []}, [], ["", "a"]),
    ],
)
def test_a_clause_fits_its_names_alone(data, fitting, other):
    """Each kind of clause fits the names that it speaks of and no others."""
    fits = clause(data)
    assert [name for name in fitting + other if fits(name)] == fitting


def test_a_clause_of_an_unknown_kind_is_no_clause():
    """A kind that the library may have some day is not passed over in silence."""
    with pytest.raises(KeyError):
        clause({"sounds_like": "gpt"})
