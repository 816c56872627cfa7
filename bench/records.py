"""Makes recorded answers of the API: the simulator's records, as many groups as asked for."""

import json
import re
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from random import Random

from exporter.clock import midnight, utc_day
from exporter.config.sections import Query
from exporter.demo.company import Company, RawRecord
from exporter.metrics import DIMENSIONS, FIELD_KINDS

SERIES_A_GROUP = 3 * len(FIELD_KINDS)  # on two days, and as counters
SEPARATOR = b", "
HEAD, TAIL = b'{"success": true, "data": [', b"]}"
GROWTH = b"@@"
"""Stands for two digits at the end of each amount of today, which grow from answer to answer."""

_MONDAY = 20_458  # 2026-01-05: the days whose numbers are told as those of yesterday and today
_AMOUNT = re.compile(rf'("(?:{"|".join(FIELD_KINDS)})": "?[1-9][0-9.]*)'.encode())
_GROUP = tuple(DIMENSIONS[label] for label in Query().labels)


def raw_records(groups: int, records: int, today: int | None = None) -> Iterator[RawRecord]:
    """Yield so many records: every group in turn, each of another user.

    Its rounds are of yesterday and of today in turn.
    """
    now = utc_day(time.time()) if today is None else today
    rng = Random(f"{groups}")
    pool = list(islice(_pairs(), groups))
    for index in range(records):
        turn, place = divmod(index, groups)
        record = pool[place][turn % 2]
        user, conversation = f"user-{rng.getrandbits(48):012x}", f"conv-{rng.getrandbits(48):012x}"
        yield {
            **record,
            "timestamp": midnight(now - 1 + turn % 2),
            "userUuid": user,
            "conversationUuid": conversation,
        }


def write_block(path: Path, groups: int, records: int) -> None:
    """Write records as JSON with SEPARATOR between them and GROWTH in those of today.

    HEAD, such blocks with SEPARATOR between them, and TAIL make an answer.
    """
    today = midnight(utc_day(time.time()))
    with path.open("wb") as file:
        for index, record in enumerate(raw_records(groups, records)):
            text = json.dumps(record).encode()
            if record["timestamp"] == today:
                text = _AMOUNT.sub(rb"\1" + GROWTH, text)
            file.write((SEPARATOR if index else b"") + text)


def grown(block: bytes, answers: int) -> bytes:
    """Return a block as it is after so many answers."""
    return block.replace(GROWTH, b"%02d" % (answers % 100))


def _pairs() -> Iterator[tuple[RawRecord, RawRecord]]:
    """Yield, for each group of one company after the other, a record of each of two days."""
    for seed in count(1):
        company = Company(seed)
        first, second = (
            {_key(record): record for record in company.records(day, midnight(day + 1))}
            for day in (_MONDAY, _MONDAY + 1)
        )
        yield from ((first[key], second[key]) for key in first if key in second)


def _key(record: RawRecord) -> tuple[str | int | float, ...]:
    return tuple(record[name] for name in _GROUP)
