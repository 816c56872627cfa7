"""Compressed text that is put together without being looked at again."""

import gzip
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.output.deflate import Deflated, Deflater, gzipped, joined

texts = st.one_of(
    st.binary(max_size=200),
    st.builds(bytes.__mul__, st.binary(min_size=1, max_size=3), st.integers(0, 150_000)),
)
parts = st.lists(st.lists(texts, max_size=3), max_size=5)


def deflated(bits: list[bytes]) -> Deflated:
    """Compress a text that comes in bits."""
    deflater = Deflater()
    for bit in bits:
        deflater.add(bit)
    return deflater.end()


@given(parts=parts, rest=texts)
@settings(deadline=None, max_examples=60)
def test_joined_texts_are_one_text(parts, rest):
    """Checksum, size and plain text are those of the whole, whatever was joined first; and with a
    rest behind it, it is one gzip member that gzip and zlib read to its end.
    """
    texts = [b"".join(bits) for bits in parts]
    whole, pieces = b"".join(texts), [deflated(bits) for bits in parts]
    for at in {0, len(pieces) // 2, len(pieces)}:
        one = joined([joined(pieces[:at]), joined(pieces[at:])])
        assert (one.crc, one.size) == (zlib.crc32(whole), len(whole))
        assert b"".join(one.inflated()) == whole
        assert all(len(piece) <= 1 << 17 for piece in one.inflated())

        stream = b"".join(gzipped(one, rest))
        reader = zlib.decompressobj(wbits=31)
        assert reader.decompress(stream) == whole + rest == gzip.decompress(stream)
        assert (reader.eof, reader.unused_data) == (True, b"")


def test_a_text_of_more_than_four_gibibytes_has_the_checksum_of_all_of_it():
    """Sizes beyond 32 bits shift a checksum rightly; a gzip stream tells the size modulo 2^32."""
    zeros = deflated([bytes(1 << 20)])
    whole = joined([*[zeros] * (1 << 12), deflated([b"end"])])
    assert whole.size == (1 << 32) + 3
    assert whole.crc == 0xDEF935BF  # zlib.crc32 of all of it, which takes seconds
    assert gzipped(whole, b"")[-1][-4:] == (3).to_bytes(4, "little")
