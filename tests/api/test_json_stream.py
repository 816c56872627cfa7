"""The reader of answers: bytes in, cut anywhere; whole records out."""

import json
from itertools import chain

import pytest
from material import raw_record

from exporter.api.json_stream import ResponseReader
from exporter.errors import PollError, Reason
from exporter.statistics.rows import Row


def read(*pieces: bytes) -> list[object]:
    """Return everything that the reader makes of these pieces."""
    reader = ResponseReader(Row)
    records = [record for piece in pieces for record in fed(reader, piece)]
    return records + list(chain.from_iterable(reader.close()))


def fed(reader: ResponseReader, piece: bytes) -> list[object]:
    """Return the records that a piece completes."""
    return list(chain.from_iterable(reader.feed(piece)))


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
    reader = ResponseReader(Row)
    assert fed(reader, b'{"data":[{"a":1}') == [{"a": 1}]
    assert fed(reader, b',{"a":2},{"a"') == [{"a": 2}]


@pytest.mark.parametrize(
    "answer",
    [
        b'{"success":true,"data":[]}',
        (
            b'\xef\xbb\xbf \r\n\t{ "data" : [ ] , "success" : true , '
            b'"page": {"data": [1]}, "n": -1.5e3 } \n'
        ),
        b'{"data":[],"message":null}',
    ],
)
def test_an_answer_without_records_is_good(answer):
    """White space, a byte order mark, unknown members and their order do not matter,
    nor does a missing `success`.
    """
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
    reader = ResponseReader(Row)
    fed(reader, b'{"success":false,"message":"no such repository"}')
    assert reader.message == "no such repository"


def test_odd_numbers_spoil_one_record_alone():
    """NaN, numbers beyond a float and integers of thousands of digits spare the records around."""
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
    text = '{"x":-12.5e3,"success":true,"data":[{"é":"\\"\\\\😀"},12,-3.25,true,[],{}],"y":"z"}'
    answer = text.encode()
    whole = read(answer)
    assert all(read(answer[:cut], answer[cut:]) == whole for cut in range(len(answer) + 1))


@pytest.mark.parametrize(
    "before", [b"", b'{"a": 1}, ', b"1, " * 5_000], ids=["first", "second", "after many"]
)
@pytest.mark.parametrize("depth", [500, 10_000, 200_000])
def test_deep_nesting_is_refused(before, depth):
    """Nesting beyond reason ends the poll and nothing else, on every Python, wherever it stands."""
    assert "nested too deeply" in failure(
        b'{"data":[' + before + b'{"x":' + b"[" * depth + b"]" * depth + b"}, {}]}"
    )


def test_braces_within_records_do_not_end_them():
    """Wherever pieces are cut, no object's end or brace in a string within a record ends it."""
    records = [{"a": "}, {"}, {"b": {"c": {}}}, {"d": "]}"}, [{}], {"e": '\\"}'}]
    answer = json.dumps({"data": records}).encode()
    for cut in range(len(answer)):
        assert read(answer[:cut], answer[cut:]) == records


@pytest.mark.parametrize("before", [b"", b'{"a": 1}, '], ids=["first", "second"])
@pytest.mark.parametrize("depth", [50, 499])
def test_moderate_nesting_is_read(before, depth):
    """Nesting that a JSON library would write is no fault, and neither are many values side by
    side.
    """
    deep = b'{"x":' + b"[" * depth + b"]" * depth + b"}"
    wide = b'{"x":[' + b"[[]]," * 5_000 + b"{}]}"
    assert read(b'{"data":[' + before + b", ".join([deep, wide, deep]) + b"]}")


def test_a_huge_record_is_refused_without_being_held():
    """A record of more than a million characters ends the poll while it arrives."""
    reader = ResponseReader(Row)
    fed(reader, b'{"data":[{"host":"')
    with pytest.raises(PollError, match="over a million characters"):
        read(b'{"data":[{"host":"', *[b"x" * 65_536] * 40)


def test_endless_white_space_is_not_held():
    """White space before, between and after the records takes no memory."""
    reader = ResponseReader(Row)
    for piece in (b'{"data":[', b" " * 2_000_000, b"1", b" " * 2_000_000, b"]}", b" " * 2_000_000):
        fed(reader, piece)
        assert len(reader._text) - reader._position <= 1
    assert list(chain.from_iterable(reader.close())) == []


def test_labels_of_100_kilobytes_are_read():
    """Long strings are read whole; cutting them is not the reader's business."""
    record = {"host": "x" * 100_000, "llmModel": '"\\\n' * 30_000}
    answer = json.dumps({"data": [record]}).encode()
    assert read(*(answer[i : i + 1000] for i in range(0, len(answer), 1000))) == [record]


ONE_PIECE = 65_536


@pytest.mark.parametrize(
    "values",
    [
        b"1," * 32_768,
        b"[]," * 21_845,
        b"{}," * 21_845,
        b'"",' * 21_845,
        b"{}," * 21_000 + b'{"a":' + b"9" * 5000 + b"},",
        b"{}," * 20_000 + b"[]," * 1_800,
    ],
    ids=["numbers", "lists", "objects", "strings", "an integer without end", "mixed"],
)
def test_tiny_values_are_handed_out_in_short_lists(values):
    """Thousands of values in one piece come out a few at a time, in their order,
    so that others can run in between.
    """
    reader = ResponseReader(Row)
    lists = list(reader.feed(b'{"data":[' + values))
    assert max(map(len, lists)) <= 512
    found = [record for records in lists for record in records]
    whole = json.loads(b"[" + values[:-1].replace(b"9" * 5000, b"1e999") + b"]")
    assert found == whole


def test_thousands_of_members_are_passed_over_in_steps():
    """What is no record gives others their turn as well."""
    reader = ResponseReader(Row)
    members = b",".join(b'"%d":{}' % number for number in range(8_000))
    assert len(list(reader.feed(b"{" + members))) > 8_000 / 512


@pytest.mark.parametrize("part", [b"[],", b"{},", b"1,"])
def test_a_record_of_many_values_is_refused(part):
    """A record that would take long to decode ends the poll before it does."""
    assert "or 40,000 values" in failure(b'{"data":[[', *[part * 20_000] * 10)


def test_a_long_record_of_many_values_is_read():
    """A thousand times as many values as a record has are no fault."""
    record = {f"{number:0>40}": [number, {}] for number in range(5_000)}
    answer = json.dumps({"data": [record, 1]}).encode()
    pieces = [answer[i : i + ONE_PIECE] for i in range(0, len(answer), ONE_PIECE)]
    assert read(*pieces) == [record, 1]


@pytest.mark.parametrize("between", [",", ", ", ",\n  ", " ,\t"])
@pytest.mark.parametrize("tail", ["]}", "]}\n", "\n ]\n}", '], "message": "x"}'])
def test_usual_records_come_as_rows(between, tail):
    """Records as the API documents them are decoded together, wherever pieces are cut."""
    count = 400
    text = between.join([json.dumps(raw_record(region="eu", tags=[]))] * count)
    answer = f'{{"success": true, "data": [{text}{tail}'.encode()
    pieces = [answer[i : i + ONE_PIECE] for i in range(0, len(answer), ONE_PIECE)]
    assert len(pieces) > 2
    assert sum(isinstance(record, Row) for record in read(*pieces)) == count


def test_an_odd_record_is_handed_out_with_its_neighbours():
    """What is odd in one record leaves those of other pieces as they are."""
    usual, odd = (json.dumps(raw_record(host=host)).encode() for host in ("h", None))
    pieces = [b'{"data":[' + usual, usual, odd, usual, usual + b"]}"]
    kinds = [type(record) for record in read(*[piece + b"," for piece in pieces[:-1]], pieces[-1])]
    assert kinds == [Row, Row, dict, Row, Row]
