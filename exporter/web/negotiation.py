"""What a client would like to get, by the headers of its request (RFC 9110, section 12.5)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from exporter.output.formats import OPENMETRICS, TEXT, Format

_OPENMETRICS_VERSIONS = ("1.0.0", "0.0.1")


class Choice(NamedTuple):
    """One entry of an Accept header; `quality` is 0 for what the client does not want."""

    name: str
    options: Mapping[str, str]
    quality: float


def preferred_format(accept: Sequence[str]) -> Format:
    """Return OpenMetrics where Accept headers rank it (up to 1.0.0) at least as high as text."""
    openmetrics = text = 0.0
    for choice in _choices(accept):
        if _is_openmetrics(choice):
            openmetrics = max(openmetrics, choice.quality)
        elif choice.name == "text/plain":
            text = max(text, choice.quality)

    return OPENMETRICS if openmetrics > 0 and openmetrics >= text else TEXT


def _is_openmetrics(choice: Choice) -> bool:
    known = choice.options.get("version", "1.0.0") in _OPENMETRICS_VERSIONS
    return choice.name == "application/openmetrics-text" and known


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Whether Accept-Encoding headers allow gzip."""
    qualities = {choice.name: choice.quality for choice in _choices(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _choices(headers: Sequence[str]) -> Iterator[Choice]:
    for entry in ",".join(headers).lower().split(","):
        name, *given = entry.split(";")
        options = dict(map(_option, given))
        yield Choice(name.strip(), options, _quality(options.get("q", "1")))


def _option(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.strip(), value.strip(' "\t')


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
