"""The shape of the configuration: frozen sections with every key, its default and its limits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, Field, PrivateAttr

from exporter.config.api_section import Api
from exporter.config.places import Places
from exporter.config.price_list import OwnPrice
from exporter.config.types import (
    Duration,
    File,
    FilterValues,
    Interval,
    IntervalOrOff,
    Settings,
    Whole,
    distinct,
    one_of,
    seconds_or,
)
from exporter.errors import Problem
from exporter.metrics import DIMENSIONS, METRICS

Label = Annotated[str, one_of(DIMENSIONS)]
MetricName = Annotated[str, one_of(metric.short_name for metric in METRICS)]

_MAX_FILTERS = 50_000


class Polling(Settings):
    """When to poll and how many days to ask for."""

    interval: Interval = 300.0
    days: Annotated[Whole, Field(ge=1, le=7)] = 2
    max_data_age: Annotated[Duration, Field(gt=0)] = 3600.0


class Filters(Settings):
    """Which records the API returns; it joins repo_id, ai_llm_id and repo_ai_api_key_id with OR."""

    repo_id: FilterValues = ()
    ai_llm_id: FilterValues = ()
    repo_ai_api_key_id: FilterValues = ()
    hosts: FilterValues = ()
    llm_type: FilterValues = ()
    llm_model: FilterValues = ()
    user_uuid: FilterValues = ()
    conversation_uuid: FilterValues = ()

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield where the address of a request would be longer than HTTP clients send."""
        lists = [values for values in given.values() if isinstance(values, list | tuple)]
        texts = (f"{value}," for values in lists for value in values)
        length = sum(len(quote(text, safe="", errors="replace")) for text in texts)
        if length > _MAX_FILTERS:
            limit = f"one request takes {_MAX_FILTERS} characters of them at most"
            yield Problem("", f"expected fewer values: {limit}")


class Query(Settings):
    """One question to the API and how its answer is shown."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.:/ -]+$")] = "default"
    interval: Interval | None = None
    filters: Filters = Filters()
    labels: Annotated[tuple[Label, ...], AfterValidator(distinct)] = tuple(
        label for label in DIMENSIONS if label not in ("user_uuid", "conversation_uuid")
    )
    metrics: Annotated[tuple[MetricName, ...], AfterValidator(distinct), Field(min_length=1)] = (
        tuple(metric.short_name for metric in METRICS)
    )
    counters: bool = True
    max_groups: Annotated[Whole, Field(ge=1)] = 10_000


class State(Settings):
    """What survives a restart."""

    file: File | None = None


class AccountNames(Settings):
    """When to ask for the names of what the statistics show; 0 for never."""

    interval: IntervalOrOff = 3600.0


class AccountFigures(Settings):
    """When to ask for what changes by the minute; 0 for never."""

    interval: IntervalOrOff = 300.0


class Account(Settings):
    """What to ask about the account beside the statistics."""

    names: AccountNames = AccountNames()
    credits: AccountFigures = AccountFigures()
    policies: AccountFigures = AccountFigures()


class Pricing(Settings):
    """What models cost you; for those that `file` leaves out, built-in prices are taken."""

    file: File | None = None


class Config(Settings):
    """The whole configuration."""

    api: Api
    poll: Polling = Polling()
    queries: Annotated[tuple[Query, ...], Field(min_length=1)] = (Query(),)
    state: State = State()
    account: Account = Account()
    prices: Pricing = Pricing()
    _own_prices: tuple[OwnPrice, ...] = PrivateAttr(default=())
    _places: Places = PrivateAttr(default_factory=Places)

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield where names are not different, or data would be too old before the next poll."""
        queries = given.get("queries")
        sections = [_keys(query) for query in queries] if isinstance(queries, list) else [{}]
        yield from _repeated_names(sections)
        yield from _long_intervals(_keys(given.get("poll")), sections)

    def given_at(self, places: Places) -> "Config":
        """Return this configuration, knowing where its keys were given."""
        self._places = places
        return self

    def with_prices(self, entries: tuple[OwnPrice, ...]) -> "Config":
        """Return this configuration, knowing what the file with prices says."""
        self._own_prices = entries
        return self

    @property
    def own_prices(self) -> tuple[OwnPrice, ...]:
        """What the file with prices says, as it was when the configuration was read."""
        return self._own_prices

    @property
    def places(self) -> Places:
        """Where the keys were given."""
        return self._places

    def interval(self, query: Query) -> float:
        """Return the seconds between two polls of a query."""
        return self.poll.interval if query.interval is None else query.interval


def _keys(section: Any) -> Mapping[str, Any]:
    """Return the keys of a section; none where it is no section, which is reported elsewhere."""
    return section if isinstance(section, Mapping) else {}


def _repeated_names(queries: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    unnamed = Query().name
    names = set()
    for number, query in enumerate(queries):
        name = str(query.get("name", unnamed))
        if name in names:
            yield Problem(f"queries[{number}].name", "expected a different name for each")
        names.add(name)


def _long_intervals(
    poll: Mapping[str, Any], queries: Sequence[Mapping[str, Any]]
) -> Iterator[Problem]:
    """Yield where data would be too old before the next poll."""
    default = Polling()
    age = seconds_or(poll.get("max_data_age"), default.max_data_age)
    usual = seconds_or(poll.get("interval"), default.interval)
    for number, query in enumerate(queries):
        own = query.get("interval")
        key = "poll.interval" if own is None else f"queries[{number}].interval"
        interval = usual if own is None else seconds_or(own, default.interval)
        if interval >= age:
            yield Problem(key, "expected an interval shorter than poll.max_data_age")
