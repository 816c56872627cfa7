"""A made-up company whose AI usage the simulator reports.

The same seed, date and time always give the same numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, product
from random import Random
from typing import NamedTuple

from exporter.clock import SECONDS_A_DAY, midnight
from exporter.demo.organisation import Organisation, new_id
from exporter.metrics import FIELD_KINDS, Kind

RawRecord = dict[str, str | int | float]
"""A record as the API writes it."""

_PEOPLE = 40
_BURST = 1800  # seconds
_HOURS = (2, 1, 1, 1, 1, 2, 4, 9, 16, 22, 24, 23, 18, 20, 24, 23, 20, 15, 9, 7, 6, 5, 4, 3)
_WEEK = (1.0, 1.06, 1.08, 1.04, 0.9, 0.34, 0.28)
_GROWTH_A_DAY = 1.002
# 2026-01-01.
_GROWTH_FROM = 20_454
_CUMULATIVE = (0, *accumulate(_HOURS))


@dataclass(frozen=True, slots=True)
class Stream:
    """One combination of the dimensions and how much it is used on an average working day."""

    dimensions: dict[str, str]
    calls: float
    tokens_in: int
    tokens_out: int
    latency: float


@dataclass(frozen=True, slots=True)
class DayOfStream:
    """What one stream does on one day until its end.

    `violations` are the seconds of the day at which they happen, and `policy` numbers the one that
    finds the first of them.
    """

    stream: Stream
    conversation: str
    calls: int
    latency: float
    violations: tuple[int, ...]
    policy: int


class Usage(NamedTuple):
    """What a stream has done on a day by a moment of it: calls, and the violations in them."""

    plan: DayOfStream
    calls: int
    violations: int


class Company:
    """Daily statistics of a believable company.

    It has working hours, quiet weekends, growth, and violations in bursts.
    """

    def __init__(self, seed: int = 1) -> None:
        """Invent the company that belongs to a seed."""
        self.organisation = Organisation(seed)
        self._seed = seed
        self._streams = tuple(_streams(Random(f"{seed}"), self.organisation))
        self._day = lru_cache(maxsize=16)(self._whole_day)

    def records(self, day: int, now: float) -> Iterator[RawRecord]:
        """Yield the records of a UTC day (days since 1970) as they stand at a Unix timestamp."""
        return (_record(day, usage) for usage in self.usage(day, now))

    def usage(self, day: int, now: float) -> Iterator[Usage]:
        """Yield what lies behind these records."""
        second = min(max(now - midnight(day), 0.0), SECONDS_A_DAY)
        share = _share_of_day(second)
        for plan in self._day(day) if second else ():
            calls = round(plan.calls * share)
            happened = sum(moment <= second for moment in plan.violations)
            if calls:
                yield Usage(plan, calls, min(happened, calls))

    def _whole_day(self, day: int) -> Sequence[DayOfStream]:
        rng = Random(f"{self._seed}/{day}")
        growth = growth_until(day)
        level = _WEEK[(day + 3) % 7] * growth
        plans = []
        for stream in self._streams:
            calls = round(stream.calls * level * rng.lognormvariate(0, 0.25))
            latency = stream.latency * rng.uniform(0.85, 1.2)
            conversation = new_id(rng)
            violations: tuple[int, ...] = ()
            if rng.random() < 0.04:
                start, count = rng.randrange(SECONDS_A_DAY - _BURST), rng.randint(2, 24)
                violations = tuple(sorted(start + rng.randrange(_BURST) for _ in range(count)))
            policy = rng.randrange(len(self.organisation.policies))
            plan = DayOfStream(stream, conversation, calls, latency, violations, policy)
            plans.append(plan)
        return plans


def growth_until(day: int) -> float:
    """Return how much more the company uses on a day than at the beginning of 2026."""
    return float(_GROWTH_A_DAY ** (day - _GROWTH_FROM))


def _streams(rng: Random, organisation: Organisation) -> Iterator[Stream]:
    people = [new_id(rng) for _ in range(_PEOPLE)]
    for repository in organisation.repositories:
        size = rng.lognormvariate(2.6, 0.9)
        weights = [0.6**rank for rank in range(len(repository.keys))]
        keys = zip(repository.keys, weights, strict=True)
        for (key, weight), (llm, used) in product(keys, repository.llms.items()):
            kind, model, host, tokens_in, tokens_out, latency = used
            for user in rng.sample(people, rng.randint(1, 4)):
                dimensions = {
                    "repoId": repository.id,
                    "aiLlmId": llm.id,
                    "repoAiApiKeyId": key.id,
                    "llmType": kind,
                    "llmModel": model,
                    "host": host,
                    "userUuid": user,
                }
                calls = size * weight * rng.lognormvariate(0.5, 0.8)
                spread = rng.uniform(0.7, 1.4)
                yield Stream(
                    dimensions,
                    calls,
                    tokens_in=int(tokens_in * spread),
                    tokens_out=int(tokens_out * spread),
                    latency=latency,
                )


def _share_of_day(second: float) -> float:
    """Return how much of a day's usage has happened by a second of the day, from 0 to 1."""
    hour = min(int(second // 3600), 23)
    return (_CUMULATIVE[hour] + _HOURS[hour] * (second / 3600 - hour)) / _CUMULATIVE[-1]


def high_of(violations: int) -> int:
    """Return how many of a stream's first violations of a day are of high severity."""
    return (violations + 3) // 6


def medium_of(violations: int) -> int:
    """Return how many of a stream's first violations of a day are of medium severity."""
    return (violations + 1) // 3


def _record(day: int, usage: Usage) -> RawRecord:
    plan, calls, _ = usage
    told = _told(usage)
    usual = {Kind.COUNT: calls, Kind.BIG_COUNT: calls, Kind.MEAN: told["latency_ms"]}
    amounts = {field: told.get(field, usual[kind]) for field, kind in FIELD_KINDS.items()}
    written = {
        field: str(amount) if FIELD_KINDS[field] is Kind.BIG_COUNT else amount
        for field, amount in amounts.items()
    }
    return {
        "timestamp": midnight(day),
        **plan.stream.dimensions,
        "conversationUuid": plan.conversation,
        **written,
    }


def _told(usage: Usage) -> dict[str, int | float]:
    """Return the amounts that the company has a story for; every other field gets a usual one."""
    plan, calls, violations = usage
    stream = plan.stream
    high, medium = high_of(violations), medium_of(violations)
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
