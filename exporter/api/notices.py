"""What the API says about the end of an endpoint: the headers Deprecation and Sunset."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from exporter.api.exchange import Answer
from exporter.api.pause import http_date
from exporter.clock import iso_date

# A date of structured headers: `@1688169599`.
_UNIX_DATE = re.compile(r"@([0-9]{1,12})")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """An endpoint is to go: since when it is deprecated and when it ends, in Unix seconds.

    0 stands for what the API does not say, or not in a way that can be read. Source: RFC 9745 and
    RFC 8594.
    """

    deprecated_at: float = 0.0
    ends_at: float = 0.0

    def __str__(self) -> str:
        since = f" since {iso_date(self.deprecated_at)}" if self.deprecated_at else ""
        until = f" and ends on {iso_date(self.ends_at)}" if self.ends_at else ""
        return f"is deprecated{since}{until}"


class Notices:
    """The latest notice of each endpoint. The log says once what is new."""

    def __init__(self) -> None:
        self._notices: dict[str, Notice] = {}

    def about(self, endpoint: str) -> Notice | None:
        """Return what the API says about the end of an endpoint; None where it says nothing."""
        return self._notices.get(endpoint)

    @property
    def all(self) -> Mapping[str, Notice]:
        """Every notice, by endpoint."""
        return self._notices

    def heed(self, endpoint: str, answer: Answer) -> None:
        """Take note of the headers of an answer. A failure without them may come from a gateway."""
        said = notice(answer.header("deprecation"), answer.header("sunset"))
        before = self.about(endpoint)
        if said and said != before:
            self._notices[endpoint] = said
            _log.warning(
                "the API is about to drop an endpoint", endpoint=endpoint, notice=str(said)
            )
        if before and not said and answer.status == 200:
            del self._notices[endpoint]
            _log.info("the API is no longer about to drop an endpoint", endpoint=endpoint)


def notice(deprecation: str, sunset: str) -> Notice | None:
    """Return what the two headers say; None where they are empty or say no."""
    deprecated = deprecation.strip().lower() not in ("", "false", "?0")
    if not deprecated and not sunset.strip():
        return None
    return Notice(_date(deprecation), _date(sunset))


def _date(value: str) -> float:
    """Return a date of either form, in Unix seconds; 0 where it is none."""
    unix = _UNIX_DATE.fullmatch(value.strip())
    return float(unix[1]) if unix else max(0.0, http_date(value))
