"""`GET /aistats/daily`: the statistics, one record for each day and combination of dimensions."""

from collections.abc import AsyncGenerator
from typing import Any

from exporter.api.client import FlashbackClient
from exporter.api.json_stream import ResponseReader
from exporter.clock import iso_instant, midnight
from exporter.config.sections import Filters
from exporter.errors import PollError, Reason
from exporter.metrics import FILTERS
from exporter.statistics.rows import Row
from exporter.steps import give_way

DAILY = "/aistats/daily"

_GONE = {
    404: f"; if api.base_url and the account are right, the API has no {DAILY} any more",
    410: f"; the API has no {DAILY} any more: look for a newer exporter",
}


async def daily_records(
    client: FlashbackClient, filters: Filters, window: tuple[int, ...], deadline: float
) -> AsyncGenerator[list[Any], None]:
    """Ask for the records of a window of days (newest first), and yield them as they arrive.

    Each is a Row or, where something in it or near it is odd, any JSON value. Ends before
    `deadline` (monotonic). Raises PollError, with the API's own words where it says why its answer
    cannot be used. A caller that stops early closes the generator (`contextlib.aclosing`).
    """
    reader = ResponseReader(Row)
    try:
        async with client.ask(DAILY, _parameters(filters, window), deadline) as body:
            async for piece in body:  # which lets others run before each
                for number, records in enumerate(reader.feed(piece)):
                    if number:
                        await give_way()
                    yield records
            for records in reader.close():
                yield records
                await give_way()
    except PollError as error:
        if error.status in _GONE:
            message = f"{error}{_GONE[error.status]}"
            raise PollError(error.reason, message, status=error.status) from error
        said = client.quotable(reader.message)
        if error.reason is Reason.INVALID_RESPONSE and said:
            raise PollError(error.reason, f"{error}: {said}") from error
        raise


def _parameters(filters: Filters, window: tuple[int, ...]) -> dict[str, str]:
    given = {
        FILTERS[name]: ",".join(values) for name, values in filters.model_dump().items() if values
    }
    if "llmType" in given:
        given["llmType"] = given["llmType"].upper()
    start, end = midnight(window[-1]), midnight(window[0] + 1) - 1
    return {"startDate": iso_instant(start), "endDate": iso_instant(end, milliseconds=999), **given}
