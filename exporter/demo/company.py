"""A made-up company whose AI usage the simulator reports.

The same seed, date and time always give the same numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, product
from random import Random

from exporter.clock import SECONDS_A_DAY, midnight
from exporter.metrics import FIELD_KINDS, Kind

RawRecord = dict[str, str | int | float]
"""A record as the API writes it."""

_REPOSITORIES = (
    "support-chat",
    "checkout",
    "search",
    "mobile-app",
    "data-platform",
    "docs-assistant",
    "fraud-review",
    "hr-portal",
    "code-review",
    "marketing",
    "legal-intake",
    "sandbox",
)
_KEYS = ("production", "staging", "batch", "ci", "developer")
_MODELS = (
    # type, model, host, usual input and output tokens of a call, usual latency in ms
    ("openai", "gpt-4o", "api.openai.com", 1900, 420, 1350),
    ("openai", "gpt-4o-mini", "api.openai.com", 1200, 260, 620),
    ("anthropic", "claude-sonnet-4-5", "api.anthropic.com", 2600, 610, 1700),
    ("anthropic", "claude-haiku-4-5", "api.anthropic.com", 1100, 240, 540),
    ("google", "gemini-2.5-pro", "generativelanguage.googleapis.com", 2200, 480, 1500),
    ("google", "gemini-2.5-flash", "generativelanguage.googleapis.com", 900, 210, 430),
    ("aws", "amazon.nova-pro-v1", "bedrock-runtime.eu-central-1.amazonaws.com", 1500, 330, 980),
    ("other", "llama-3.3-70b", "llm.example.internal", 1000, 300, 2100),
)
_PEOPLE = 40
_MODELS_A_REPOSITORY = 6
_SHARE_OF_NEXT_KEY = 0.6  # of what the key before it is used
_BURST = 1800  # seconds
_HOURS = (2, 1, 1, 1, 1, 2, 4, 9, 16, 22, 24, 23, 18, 20, 24, 23, 20, 15, 9, 7, 6, 5, 4, 3)
_WEEK = (1.0, 1.06, 1.08, 1.04, 0.9, 0.34, 0.28)
_GROWTH_A_DAY = 1.002
_GROWTH_FROM = 20_454  # 2026-01-01
_CUMULATIVE = (0, *accumulate(_HOURS))


@dataclass(frozen=True, slots=True)
class _Stream:
    """One combination of the dimensions and how much it is used on an average working day."""

    dimensions: dict[str, str]
    calls: float
    tokens_in: int
    tokens_out: int
    latency: float


@dataclass(frozen=True, slots=True)
class _DayOfStream:
    """What one stream does on one day until its end.

    `violations` are the seconds of the day at which they happen.
    """

    stream: _Stream
    conversation: str
    calls: int
    latency: float
    violations: tuple[int, ...]


class Company:
    """Daily statistics of a believable company.

    It has working hours, quiet weekends, growth, and violations in bursts.
    """

    def __init__(self, seed: int = 1) -> None:
        """Invent the company that belongs to a seed."""
        self._seed = seed
        self._streams = tuple(_streams(Random(f"{seed}")))
        self._day = lru_cache(maxsize=8)(self._whole_day)

    def records(self, day: int, now: float) -> Iterator[RawRecord]:
        """Yield the records of a UTC day (days since 1970) as they stand at a Unix timestamp."""
        second = min(max(now - midnight(day), 0.0), SECONDS_A_DAY)
        share = _share_of_day(second)
        for plan in self._day(day) if second else ():
            calls = round(plan.calls * share)
            happened = sum(moment <= second for moment in plan.violations)
            if calls:
                yield _record(day, plan, calls, happened)

    def _whole_day(self, day: int) -> Sequence[_DayOfStream]:
        rng = Random(f"{self._seed}/{day}")
        weekday = (day + 3) % 7
        level = _WEEK[weekday] * _GROWTH_A_DAY ** (day - _GROWTH_FROM)
        return [_day_of(stream, level, rng) for stream in self._streams]


def _day_of(stream: _Stream, level: float, rng: Random) -> _DayOfStream:
    calls = round(stream.calls * level * rng.lognormvariate(0, 0.25))
    latency = stream.latency * rng.uniform(0.85, 1.2)
    conversation = f"conv-{rng.getrandbits(48):012x}"
    violations = []
    if rng.random() < 0.04:
        start = rng.randrange(SECONDS_A_DAY - _BURST)
        count = rng.randint(2, 24)
        violations = [start + rng.randrange(_BURST) for _ in range(count)]
    return _DayOfStream(stream, conversation, calls, latency, tuple(sorted(violations)))


def _streams(rng: Random) -> Iterator[_Stream]:
    people = [f"user-{rng.getrandbits(48):012x}" for _ in range(_PEOPLE)]
    for name in _REPOSITORIES:
        repository = f"{name}-{rng.getrandbits(24):06x}"
        size = rng.lognormvariate(2.6, 0.9)
        keys = [f"{name}-{key}-{rng.getrandbits(24):06x}" for key in _KEYS]
        models = rng.sample(_MODELS, _MODELS_A_REPOSITORY)
        for (rank, key), used in product(enumerate(keys), models):
            kind, model, host, tokens_in, tokens_out, latency = used
            for user in rng.sample(people, rng.randint(1, 4)):
                dimensions = {
                    "repoId": repository,
                    "aiLlmId": f"{name}-{model}",
                    "repoAiApiKeyId": key,
                    "llmType": kind,
                    "llmModel": model,
                    "host": host,
                    "userUuid": user,
                }
                calls = size * _SHARE_OF_NEXT_KEY**rank * rng.lognormvariate(0.5, 0.8)
                spread = rng.uniform(0.7, 1.4)
                yield _Stream(
                    dimensions,
                    calls,
                    tokens_in=int(tokens_in * spread),
                    tokens_out=int(tokens_out * spread),
                    latency=latency,
                )


def _share_of_day(second: float) -> float:
    """Return how much of a day's usage has happened by a second of the day, from 0 to 1."""
    hour = min(int(second // 3600), 23)
    of_hour = second / 3600 - hour
    return (_CUMULATIVE[hour] + _HOURS[hour] * of_hour) / _CUMULATIVE[-1]


def _record(day: int, plan: _DayOfStream, calls: int, happened: int) -> RawRecord:
    told = _told(plan, calls, happened)
    usual = {Kind.COUNT: calls, Kind.BIG_COUNT: calls, Kind.MEAN: told["latency_ms"]}
    record: RawRecord = {
        "timestamp": midnight(day),
        **plan.stream.dimensions,
        "conversationUuid": plan.conversation,
    }
    for field, kind in FIELD_KINDS.items():
        amount = told.get(field, usual[kind])
        record[field] = str(amount) if kind is Kind.BIG_COUNT else amount
    return record


def _told(plan: _DayOfStream, calls: int, happened: int) -> dict[str, int | float]:
    """Return the amounts that the company has a story for; every other field gets a usual one."""
    stream = plan.stream
    violations = min(happened, calls)
    high = (violations + 3) // 6
    medium = (violations + 1) // 3
    return {
        "apiCalls": calls,
        "tokensIn": calls * stream.tokens_in,
        "tokensOut": calls * stream.tokens_out,
        "llmTokensIn": calls * (stream.tokens_in + 85),
        "llmTokensOut": calls * stream.tokens_out,
        "activeConversations": 1 + calls // 9,
        "policyViolations": violations,
        "numAlerts": high + medium,
        "numBlocks": high,
        "numSeverityLow": violations - high - medium,
        "numSeverityMedium": medium,
        "numSeverityHigh": high,
        "latency_ms": round(plan.latency * (0.9 + 0.1 * min(calls, 100) / 100), 2),
    }
