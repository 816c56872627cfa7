"""Sends series to a Prometheus by remote write: protobuf and snappy, as far as that needs them."""

import struct
import urllib.request
from collections.abc import Sequence

open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
"""Opens an address without any proxy."""

_STALE = struct.pack("<Q", 0x7FF0000000000002)  # Prometheus's mark for a series that has ended

Labels = tuple[tuple[str, str], ...]
"""A series: its labels, the name among them, sorted."""


class Series:
    """One series on its way to Prometheus: what waits to be sent,
    and since which moment it has its present value.
    """

    __slots__ = ("head", "seen", "since", "value", "waiting")

    def __init__(self, labels: Labels) -> None:
        self.head = b"".join(
            _field(10, _field(10, name.encode()) + _field(18, value.encode()))
            for name, value in labels
        )
        self.waiting = bytearray()
        self.value: float | None = None
        self.since = 0
        self.seen = 0


class Writer:
    """Sends series to a Prometheus by remote write. Moments come in order;
    a value costs little until it changes.
    """

    def __init__(self, url: str, moments: Sequence[float] = ()) -> None:
        self._url = url
        self._all: dict[Labels, Series] = {}
        self._moments = [_moment(timestamp) for timestamp in moments]
        self._sent_until = 0
        self.samples = 0

    @property
    def series(self) -> int:
        """How many series there have been."""
        return len(self._all)

    def of(self, labels: Labels) -> Series:
        """Return the series with these labels."""
        if labels not in self._all:
            self._all[labels] = Series(labels)
        return self._all[labels]

    def begin(self, timestamp: float) -> None:
        """Begin the next moment; every series that is not set or ended keeps its value."""
        self._moments.append(_moment(timestamp))

    def set(self, series: Series, value: float) -> None:
        """Give a series a value from this moment on."""
        self._settle(series)
        series.value = value

    def end(self, series: Series) -> None:
        """End a series at this moment, with the mark that Prometheus itself would leave."""
        if series.value is not None:
            self._settle(series)
            series.value = None
            series.waiting += b"\x12\x10\x09" + _STALE + self._moments[-1]

    def put(self, series: Series, spans: Sequence[tuple[int, int, float]]) -> None:
        """Give a series values from one moment to before another, by number, with ends between."""
        for number, (start, end, value) in enumerate(spans):
            series.value, series.since = value, start
            self._settle(series, now=end)
            followed = number + 1 < len(spans) and spans[number + 1][0] == end
            if end < len(self._moments) and not followed:
                series.waiting += b"\x12\x10\x09" + _STALE + self._moments[end]
        series.value = None

    def _settle(self, series: Series, *, now: int | None = None) -> None:
        """Note the samples a series has had with its present value, up to before this moment."""
        end = len(self._moments) - 1 if now is None else now
        if series.value is not None and end > series.since:
            start = b"\x12\x10\x09" + struct.pack("<d", series.value)
            series.waiting += start + start.join(self._moments[series.since : end])
            self.samples += end - series.since
        series.since = end

    def flush(self, at_least: int = 0) -> None:
        """Send what there is, if that is about so many samples."""
        now = len(self._moments)
        if (now - self._sent_until) * len(self._all) < at_least:
            return
        self._sent_until = now
        body = []
        for series in self._all.values():
            self._settle(series, now=now)
            if series.waiting:
                body.append(_field(10, series.head + series.waiting))
                series.waiting = bytearray()
        headers = {
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        request = urllib.request.Request(
            f"{self._url}/api/v1/write", _uncompressed(b"".join(body)), headers
        )
        with open_url(request, timeout=60):
            pass


def _moment(timestamp: float) -> bytes:
    return b"\x10" + _varint(round(timestamp * 1000))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _varint(len(content)) + content


def _uncompressed(content: bytes) -> bytes:
    """Return snappy's block format, in literals alone."""
    pieces = [content[start : start + 65_536] for start in range(0, len(content), 65_536)]
    return _varint(len(content)) + b"".join(
        b"\xf4" + struct.pack("<H", len(piece) - 1) + piece for piece in pieces
    )
