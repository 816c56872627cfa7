"""A list is cut out of an answer wherever the answer itself was cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.list_cutter import ListCutter
from exporter.errors import PollError, Reason

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\[]{}:,é😀\n'),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet='ab"\\[{', max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def cut(content, places=()):
    """Return the entries of `repos`, and the rest, of a document handed over in pieces."""
    cutter = ListCutter("repos")
    bounds = [0, *sorted(min(place, len(content)) for place in places), len(content)]
    entries = [raw for start, end in pairwise(bounds) for raw in cutter.feed(content[start:end])]
    return entries, bytes(cutter.rest)


@given(
    entries=st.lists(st.dictionaries(st.sampled_from(["id", "name", "x"]), VALUES)),
    more=st.dictionaries(st.sampled_from(["a", "success", "repo"]), VALUES),
    places=st.lists(st.integers(0, 400), max_size=8),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_entries_come_out_whole(entries, more, places, ascii_only, indent):
    """Whatever an entry holds, and wherever pieces end, it is handed out as it is."""
    document = {**more, "repos": entries, "last": more}
    content = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    found, rest = cut(content, places)
    assert [json.loads(raw) for raw in found] == entries
    assert json.loads(rest) == {**document, "repos": []}


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (b'{"repos":[]}', []),
        (b'{"repos" : [ {} , {} ] }', [b"{}", b"{}"]),
        (b'{"repos":null}', []),
        (b'{"repos":{"repos":[{}]}}', []),
        (b'{"x":[{}],"repos":[{"a":1}]}', [b'{"a":1}']),
        (b'{"repos":[1,"{",null,[2],{}]}', [b"[2]", b"{}"]),
        (b'{"x":"\\"repos\\":[{}","repos":[{}]}', [b"{}"]),
        (b'[{"repos":[{}]}]', []),
        (b"<html>{</html>", []),
        (b"", []),
    ],
)
def test_only_the_list_of_that_name_is_cut(content, entries):
    """Lists of other names and in other places stay where they are."""
    for place in range(len(content) + 1):
        assert cut(content, [place])[0] == entries


def test_a_long_entry_is_cut_short():
    """An entry that would take long to decode loses its end, so that it is no JSON any more."""
    (entry, small), _ = cut(b'{"repos":[{"id":"' + b"x" * (1 << 20) + b'"},{"id":"b"}]}')
    assert len(entry) < 1 << 19
    assert small == b'{"id":"b"}'


def test_what_is_no_list_is_not_gathered():
    """An answer that goes on and on around the list is given up."""
    pieces = [b'{"x":"' + b"x" * (1 << 20), b'"}']
    with pytest.raises(PollError) as caught:
        cut(b"".join(pieces))
    assert caught.value.reason is Reason.INVALID_RESPONSE
