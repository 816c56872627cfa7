"""What a status other than 200 means: its reason, its own words, and how long it asks to wait."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from exporter.api.body import json_object
from exporter.api.exchange import Answer
from exporter.api.pause import retry_after
from exporter.errors import PollError, Reason

# Seconds for the body of an answer that is a failure anyway.
_PATIENCE = 2.0
_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
_REASONS = {
    400: Reason.BAD_REQUEST,
    401: Reason.AUTH,
    403: Reason.AUTH,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    410: Reason.NOT_FOUND,
    429: Reason.RATE_LIMITED,
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def failure(status: int, message: str) -> PollError:
    """Return the error that a status stands for."""
    return PollError(_reason(status), message, retryable=status in _RETRYABLE, status=status)


def seconds_to_wait(answer: Answer, now: float) -> float:
    """Return how long a failure asks to be left alone; 0 where it does not say."""
    if answer.status not in _RETRYABLE:
        return 0.0
    return retry_after(answer.header("retry-after"), answer.header("date"), now)


def advice(status: int, wait: float) -> str:
    """Return what to add to the message of a status; nothing where there is nothing to say."""
    if wait:
        return f"; the API asked to wait {wait:.0f} s"
    if status in _REDIRECTS:
        return "; redirects are not followed, check api.base_url"
    return ""


async def words_in(answer: Answer, timeout: float) -> str:
    """Return what the body of a failure says, unchecked; nothing where it breaks or takes long."""
    content = await answer.beginning(min(_PATIENCE, timeout / 8))
    with suppress(PollError):
        return words(json_object(content))
    return ""


def words(answer: Mapping[str, Any]) -> str:
    """Return what the API says about a failure, unchecked."""
    said = (answer.get(key) for key in ("error_code", "message"))
    texts = [text for text in said if isinstance(text, str) and text]
    return ": ".join(texts)


def _reason(status: int) -> Reason:
    if status >= 500:
        return Reason.SERVER_ERROR
    if status < 400:
        return Reason.INVALID_RESPONSE
    return _REASONS.get(status, Reason.BAD_REQUEST)
