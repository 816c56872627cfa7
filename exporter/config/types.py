"""What the configuration is made of: durations, sizes, paths, texts, and its sections' base."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from exporter.config.places import dotted
from exporter.errors import Problem

_DURATION_UNITS = {
    "y": 31_536_000,
    "w": 604_800,
    "d": 86_400,
    "h": 3_600,
    "m": 60,
    "s": 1,
    "ms": 0.001,
}
_DURATION = re.compile(
    "".join(rf"(?:(?P<{unit}>\d+){unit})?" for unit in _DURATION_UNITS), re.ASCII
)
# As in Prometheus: 2^63 nanoseconds.
_MAX_DURATION = 2**63 / 1e9
_SIZE_UNITS = {
    "": 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SIZE = re.compile(rf"(\d+) ?({'|'.join(_SIZE_UNITS)})", re.ASCII)


def parse_duration(value: Any) -> float:
    """Return a Prometheus duration such as `30s` or `1h30m` in seconds.

    ValueError says what was expected.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) < 100 else None
    if not match or not value:
        raise ValueError("expected a duration such as 30s, 5m or 1h30m")
    counts = match.groupdict(default="0")
    seconds = sum(int(counts[unit]) * size for unit, size in _DURATION_UNITS.items())
    if seconds > _MAX_DURATION:
        raise ValueError("expected a duration of less than 292 years")
    return seconds


def _a_second_or_more(seconds: float) -> float:
    if seconds < 1:
        raise ValueError("expected at least 1s")
    return seconds


def _none_or_a_second(seconds: float) -> float:
    if 0 < seconds < 1:
        raise ValueError("expected at least 1s, or 0s to turn it off")
    return seconds


def _parse_size(value: Any) -> int:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    match = _SIZE.fullmatch(text) if len(text) < 100 else None
    if match is None:
        raise ValueError("expected a size such as 512MiB or 1GiB")
    size = int(match[1]) * _SIZE_UNITS[match[2]]
    if size < 1024:
        raise ValueError("expected at least 1KiB")
    return size


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Relative paths start at the configuration file's folder, as they do in Prometheus."""
    if path == Path() or "\0" in str(path):
        raise ValueError("expected a path")
    return Path(info.context or ".") / path


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return a list in which no entry stands twice."""
    if len(set(values)) < len(values):
        raise ValueError("expected each entry once")
    return values


def one_of(known: Iterable[str]) -> AfterValidator:
    """Return a validator for texts out of a list."""
    names = tuple(known)

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return value

    return AfterValidator(check)


def _filter_value(value: str) -> str:
    if "," in value or not value.strip():
        raise ValueError("expected a text without commas, which the API uses to separate values")
    if _SURROGATE.search(value):
        raise ValueError("expected text without surrogates")
    return value


def usable_secret(value: SecretStr) -> SecretStr:
    """Return a secret that stands in the configuration itself."""
    text = value.get_secret_value().strip()
    if not text:
        raise ValueError("expected a secret, but it is empty")
    if not text.isprintable():
        raise ValueError("expected one line without control characters")
    return value


def usable_token(value: SecretStr) -> SecretStr:
    """Return a bearer token, which stands in a header."""
    if not usable_secret(value).get_secret_value().strip().isascii():
        raise ValueError("expected a bearer token of ASCII characters, as HTTP carries them")
    return value


def seconds_or(value: Any, default: float) -> float:
    """Return a duration; the default where it is missing, or wrong and reported elsewhere."""
    try:
        return default if value is None else parse_duration(value)
    except ValueError:
        return default


Duration = Annotated[float, BeforeValidator(parse_duration)]
Interval = Annotated[Duration, AfterValidator(_a_second_or_more)]
IntervalOrOff = Annotated[Duration, AfterValidator(_none_or_a_second)]
Size = Annotated[int, BeforeValidator(_parse_size)]
Whole = Annotated[int, Field(strict=True)]
File = Annotated[Path, AfterValidator(_beside_the_file)]
FilterValues = tuple[Annotated[str, AfterValidator(_filter_value)], ...]


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, every problem at once, never with input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Problem]:  # noqa: ARG003 - for the sections
        """Yield what is wrong with a section as a whole, each with its key within the section.

        `given` are its keys as they were read, without nulls.
        """
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _all_problems(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Report what is wrong with the whole beside what is wrong with its parts."""
        found: list[Problem] = []
        if isinstance(data, Mapping):
            given = {key: value for key, value in data.items() if value is not None}
            found = list(cls.contradictions(given))
        try:
            if not found:
                return handler(data)
            handler(data)
        except ValidationError as error:
            found += _of_parts(error, {problem.where for problem in found})
        details = [
            InitErrorDetails(
                type=PydanticCustomError("problem", "{message}", {"message": problem.message}),
                loc=(problem.where,) if problem.where else (),
                input=None,
            )
            for problem in found
        ]
        raise ValidationError.from_exception_data(cls.__name__, details, hide_input=True)


def faults(error: ValidationError) -> Iterator[Problem]:
    """Yield what is wrong with what was read, each with its key."""
    for detail in error.errors(include_input=False):
        yield Problem(dotted(detail["loc"]), _in_words(detail))


def _of_parts(error: ValidationError, told: set[str]) -> Iterator[Problem]:
    """Yield what is wrong with the parts of a section, but for the keys already told of."""
    details = error.errors(include_input=False)
    wrong = {dotted(detail["loc"]) for detail in details}
    for detail in details:
        key = dotted(detail["loc"])
        # pydantic leaves wrong entries out of a list, and then calls it too short.
        entries_wrong = any(other.startswith(f"{key}[") for other in wrong)
        left_short = detail["type"] == "too_short" and entries_wrong
        if key not in told and not left_short:
            yield Problem(key, _in_words(detail))


_WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "required key is missing",
    "tuple_type": "expected a list",
    "too_short": "expected at least one entry",
    "string_type": (
        "expected text, in quotes where YAML takes it for a number, a date, true or null"
    ),
    "string_unicode": "expected text without surrogates",
    "string_too_short": "expected text",
    "string_too_long": "expected at most {max_length} characters",
    "string_pattern_mismatch": "expected letters, digits, spaces and any of _.:/-",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "model_type": "expected keys and values",
    "path_type": "expected a path",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than_equal": "expected at most {le}",
}


def _in_words(detail: ErrorDetails) -> str:
    words = _WORDS.get(detail["type"])
    if words is None:
        return detail["msg"].removeprefix("Value error, ")
    return words.format(**detail.get("ctx", {}))
