"""The reader of answers: bytes in, cut anywhere; whole records out."""

import json
from itertools import chain

import pytest

from exporter.api.json_stream import ResponseReader
from exporter.errors import PollError, Reason


def read(*pieces: bytes) -> list[object]:
    """Return everything that the reader makes of these pieces."""
    reader = ResponseReader()
    records = [record for piece in pieces for record in reader.feed(piece)]
    return records + list(reader.close())


def failure(*pieces: bytes) -> str:
    """Return why the reader refuses these pieces."""
    with pytest.raises(PollError) as caught:
        read(*pieces)
    assert caught.value.reason is Reason.INVALID_RESPONSE
    return str(caught.value)


def test_records_come_out_in_order():
    """Every element of `data` is handed out, whatever it is."""
    assert read(b'{"success": true, "data": [{"a": 1}, 2, "x", null, [3.5, true]]}') == [
        {"a": 1},
        2,
        "x",
        None,
        [3.5, True],
    ]


def test_a_record_is_handed_out_as_soon_as_it_is_whole():
    """Nothing waits for the end of the answer."""
    reader = ResponseReader()
    assert list(reader.feed(b'{"data":[{"a":1}')) == [{"a": 1}]
    assert list(reader.feed(b',{"a":2},{"a"')) == [{"a": 2}]


@pytest.mark.parametrize(
    "answer",
    [
        b'{"success":true,"data":[]}',
        b'\xef\xbb\xbf \r\n\t{ "data" : [ ] , "success" : true , "page": {"data": [1]}, "n": -1.5e3 } \n',
        b'{"data":[],"message":null}',
    ],
)
def test_an_answer_without_records_is_good(answer):
    """White space, a byte order mark, unknown members and their order do not matter, nor does a missing `success`."""
    assert read(answer) == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"<html><body>502</body></html>", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"success":true}', "holds no data"),
        (b"{}", "holds no data"),
        (b'{"success":true,"data":null}', "not a list"),
        (b'{"success":true,"data":{"item":[]}}', "not a list"),
        (b'{"success":false,"data":[]}', "success: false"),
        (b'{"data":[{"a":1}],"success":false}', "success: false"),
        (b'{"success":"true","data":[]}', "success: false"),
        (b'{"success":true,"data":[{"a":1}', "not complete"),
        (b'{"success":true,"data":[{"a":1}]', "not complete"),
        (b'{"success":true,"data":[{"a"', "not complete"),
        (b'{"success":true,"data":[]} {', "goes on after its end"),
        (b'{"data":[],"data":[]}', "not valid JSON"),
        (b'{"data":[1 2]}', "not valid JSON"),
        (b'{"data":[]"x":1}', "not valid JSON"),
        (b'{1:2,"data":[]}', "not valid JSON"),
        (b'{"data" []}', "not valid JSON"),
        (b'{"data":[nonsense]}', "not complete"),
    ],
)
def test_an_answer_that_cannot_be_used_is_refused(answer, message):
    """What is wrong with an answer is said in a few words, wherever it is cut."""
    assert message in failure(answer)
    assert message in failure(*(answer[i : i + 1] for i in range(len(answer))))


def test_the_message_of_the_api_is_kept():
    """What the API says about its failure can be quoted."""
    reader = ResponseReader()
    list(reader.feed(b'{"success":false,"message":"no such repository"}'))
    assert reader.message == "no such repository"


def test_odd_numbers_spoil_one_record_alone():
    """NaN, numbers beyond a float and integers of thousands of digits leave the records around them alone."""
    digits = b"9" * 5000
    records = read(
        b'{"data":[{"n":NaN},{"n":1e999},{"n":' + digits + b'},{"n":-' + digits + b'},{"n":1}]}'
    )
    assert [str(record["n"]) for record in records] == ["nan", "inf", "inf", "-inf", "1"]


def test_odd_characters_are_decoded():
    """Lone surrogates, invalid UTF-8, NUL and raw line breaks do not end the answer."""
    answer = b'{"data":["\\ud800","\\udc00x","\\ud83d\\ude00","\xff\xed\xa0\x80","\\u0000","a\nb"]}'
    assert read(answer) == ["\ud800", "\udc00x", "\U0001f600", "\ufffd" * 4, "\0", "a\nb"]


def test_every_cut_gives_the_same():
    """An answer with every kind of token is the same however its bytes are cut in two."""
    answer = '{"x":-12.5e3,"success":true,"data":[{"é":"\\"\\\\😀"},12,-3.25,true,[],{}],"y":"z"}'.encode()
    whole = read(answer)
    assert all(read(answer[:cut], answer[cut:]) == whole for cut in range(len(answer) + 1))


@pytest.mark.parametrize("before", [b"", b'{"a": 1}, '], ids=["first", "second"])
@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_deep_nesting_is_refused(before, depth):
    """Nesting beyond reason ends the poll and nothing else, wherever it stands."""
    assert "nested too deeply" in failure(
        b'{"data":[' + before + b'{"x":' + b"[" * depth + b"]" * depth + b"}, {}]}"
    )


def test_braces_within_records_do_not_end_them():
    """Wherever pieces are cut, neither the end of an object in a record nor a brace in a string ends the record."""
    records = [{"a": "}, {"}, {"b": {"c": {}}}, {"d": "]}"}, [{}], {"e": '\\"}'}]
    answer = json.dumps({"data": records}).encode()
    for cut in range(len(answer)):
        assert read(answer[:cut], answer[cut:]) == records


def test_moderate_nesting_is_read():
    """Nesting that a JSON library would write is no fault."""
    assert read(b'{"data":[{"x":' + b"[" * 50 + b"]" * 50 + b"}]}")


def test_a_huge_record_is_refused_without_being_held():
    """A record of more than a million characters ends the poll while it arrives."""
    reader = ResponseReader()
    list(reader.feed(b'{"data":[{"host":"'))
    with pytest.raises(PollError, match="over a million characters"):
        list(chain.from_iterable(reader.feed(b"x" * 65_536) for _ in range(40)))


def test_endless_white_space_is_not_held():
    """White space before, between and after the records takes no memory."""
    reader = ResponseReader()
    for piece in (b'{"data":[', b" " * 2_000_000, b"1", b" " * 2_000_000, b"]}", b" " * 2_000_000):
        list(reader.feed(piece))
        assert len(reader._text) - reader._position <= 1
    assert list(reader.close()) == []


def test_labels_of_100_kilobytes_are_read():
    """Long strings are read whole; cutting them is not the reader's business."""
    record = {"host": "x" * 100_000, "llmModel": '"\\\n' * 30_000}
    answer = json.dumps({"data": [record]}).encode()
    assert read(*(answer[i : i + 1000] for i in range(0, len(answer), 1000))) == [record]
