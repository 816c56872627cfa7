"""The exporter as it was for a month: what it polled, how it failed, what scrapes would show."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random

from material import at_once
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from exporter.api.auth import LOGIN, REFRESH
from exporter.api.daily import DAILY
from exporter.api.policies import POLICIES
from exporter.clock import SECONDS_A_DAY, midnight, utc_day
from exporter.demo.billing import Billing
from exporter.demo.governance import Found, last_24h
from exporter.demo.run import demo_config
from exporter.demo.simulator import TOKEN_LIFETIME
from exporter.errors import Reason
from exporter.output.about import About
from exporter.output.beside import tables_beside
from exporter.output.samples import Sample, Table, tables
from exporter.output.status import Status
from exporter.output.telemetry import ApiTelemetry, StatusCollector
from exporter.prices.table import Prices
from exporter.statistics.account import (
    AccountState,
    Credits,
    EndpointState,
    Names,
    Policies,
    Policy,
    Reading,
)
from exporter.statistics.counters import Counters
from exporter.statistics.groups import Grouping, Snapshot
from exporter.statistics.records import Record, Rejection, parse_record
from exporter.statistics.state import Outcome, QueryState
from history.company import RENAMED, Size, SizedCompany
from history.remote_write import Labels, Series, Writer

TARGET = {"job": "flashback-exporter", "instance": "127.0.0.1:9877"}
DAYS = 31
POLL_INTERVAL = 300
MAX_DATA_AGE = 3600
IN_DETAIL = 2 * SECONDS_A_DAY
RECENT = 7 * 3600  # seconds in which it scraped every minute
SCRAPE_INTERVAL = 240  # less than the five minutes that Prometheus looks back
_SAMPLES_A_REQUEST = 400_000


# What happened to the exporter, in hours before the end: from, to, and what.
_OUTAGES = (
    (530, 527.5, Reason.NETWORK),
    (221, 220.4, Reason.SERVER_ERROR),
    (50, 49.3, Reason.TIMEOUT),
    (7.2, 6.8, Reason.SERVER_ERROR),
)
_RESTARTS = (400.0, 122.0, 19.0)
_FAILED_RELOAD = (97.0, 96.2)
_REJECTIONS = ((150, 148, Rejection.MISSING_FIELD), (3.4, 2.9, Rejection.NEGATIVE))
_ACCOUNT_OUTAGES = ((75, 73.5), (2.5, 2.2))
_ENDPOINTS = ("/repo", "/workspace", "/ai/llm", "/user/profile", "/credits/balance", POLICIES)
_SKIPPED = (220.5, 49.4)
_BLIPS = (Reason.SERVER_ERROR, Reason.TIMEOUT, Reason.NETWORK, Reason.RATE_LIMITED)
_CODES = {
    Reason.SERVER_ERROR: "503",
    Reason.RATE_LIMITED: "429",
    Reason.TIMEOUT: "error",
    Reason.NETWORK: "error",
}


class _Past:
    """The exporter as it was: polls, fails, restarts, and shows what a scrape would have got."""

    def __init__(
        self, writer: Writer, company: SizedCompany, end: float, size: Size, seed: int
    ) -> None:
        self._writer = writer
        self._company = company
        self._known_names: dict[bool, Names] = {}
        self._credits_of = self._policies_of = 0
        self._end = end
        self._detail_from = end - IN_DETAIL
        self._polls_every = size.polls_every
        self._rng = Random(f"history/{seed}")
        self._records: dict[int, tuple[float, list[Record]]] = {}
        self._queries = [
            query.model_copy(update={"interval": None}) for query in demo_config(1).queries
        ]
        self._known: dict[tuple[str, ...], Series] = {}
        self._process = [(self._series(sample), value) for sample, value in _process_metrics()]
        self._parts: dict[str, tuple[tuple[object, ...] | None, list[Series]]] = {}
        self._counters = {query.name: Counters() for query in self._queries}
        self._account = AccountState(endpoints=dict.fromkeys(_ENDPOINTS, EndpointState(up=True)))
        self._billing = Billing(company)
        self._prices = Prices()

    def start(self, now: float) -> None:
        """Start the process, with all counters at 0."""
        self._started = self._reloaded_at = now
        self._states = {
            query.name: QueryState(query, query.name, POLL_INTERVAL, MAX_DATA_AGE)
            for query in self._queries
        }
        self._requests = ApiTelemetry((DAILY, LOGIN, REFRESH))
        self._renewed(now, LOGIN)

    def _renewed(self, now: float, endpoint: str) -> None:
        self._token_expires_at = now + TOKEN_LIFETIME
        self._requests.observe(endpoint, "200", self._rng.lognormvariate(-1.6, 0.4))

    def poll(self, now: float) -> None:
        """Poll every query, each with its own luck."""
        ago = (self._end - now) / 3600
        if self._token_expires_at - now <= POLL_INTERVAL:
            self._renewed(now, REFRESH)
        reason = next((reason for start, stop, reason in _OUTAGES if start >= ago > stop), None)
        self._ask_about_the_account(now, reason)
        for name, state in self._states.items():
            failed = reason or (self._rng.choice(_BLIPS) if self._rng.random() < 0.003 else None)
            self._states[name] = state.after(self._outcome(state, now, ago, failed))
        if any(moment >= ago > moment - POLL_INTERVAL / 3600 for moment in _SKIPPED):
            self._states["default"] = self._states["default"].after_skip()

    def _outcome(self, state: QueryState, now: float, ago: float, reason: Reason | None) -> Outcome:
        duration = self._rng.lognormvariate(-0.4, 0.35)
        if reason:
            duration = 150.0 if reason is Reason.TIMEOUT else self._rng.uniform(25, 40)
            for _ in range(5):
                self._requests.observe(
                    DAILY, _CODES[reason], 30 if reason is Reason.TIMEOUT else duration / 40
                )
            return Outcome(now, now, duration, {}, None, reason, "made up")
        if self._rng.random() < 0.01:
            self._requests.observe(DAILY, "503", 0.3)
            duration += 1.5
        self._requests.observe(DAILY, "200", duration * 0.8)
        kinds = [
            kind
            for start, stop, kind in _REJECTIONS
            if start >= ago > stop and state.query.name == "default"
        ]
        counters = self._counters[state.query.name]
        return Outcome(
            finished_at=now,
            finished=now,
            duration=duration,
            rejected=dict.fromkeys(kinds, 3),
            snapshot=self._snapshot(state, now),
            counters=counters.shown,
        )

    def _snapshot(self, state: QueryState, now: float) -> Snapshot:
        """Return what a poll finds; long ago not every poll looks, which nobody can see."""
        today = utc_day(now)
        good = state.good.snapshot if state.good else None
        if (
            good
            and now < self._detail_from
            and good.window[0] == today
            and state.polls % self._polls_every
        ):
            return good
        grouping = Grouping(state.query, (today, today - 1))
        types = state.query.filters.llm_type
        for record in (*self._of_day(today, now), *self._of_day(today - 1, midnight(today))):
            if not types or record.dimensions[3] in types:
                grouping.add(record)
        snapshot = at_once(grouping.snapshot(good))
        counters = self._counters[state.query.name]
        at_once(counters.grow(grouping.found, snapshot, now))
        counters.served(now)
        return snapshot

    def _ask_about_the_account(self, now: float, failure: Reason | None) -> None:
        """Learn names, credits and policies; now and then that fails beside the statistics."""
        ago = (self._end - now) / 3600
        if failure or any(start >= ago > stop for start, stop in _ACCOUNT_OUTAGES):
            down = EndpointState(up=False, ever_good=True)
            self._account = replace(self._account, endpoints=dict.fromkeys(_ENDPOINTS, down))
            return
        self._account = AccountState(
            names=self._names(self._end - now > RENAMED),
            credits=Reading(self._credits(now), now + MAX_DATA_AGE),
            policies=Reading(self._policies(now), now + MAX_DATA_AGE),
            endpoints=dict.fromkeys(_ENDPOINTS, EndpointState(up=True, ever_good=True)),
        )

    def _names(self, before: bool) -> Names:
        """Return always the same names, before one of them changes and since."""
        if before not in self._known_names:
            self._known_names[before] = self._company.names(RENAMED + 1 if before else 0)
        return self._known_names[before]

    def _credits(self, now: float) -> Credits:
        """Return what is left, as of the last quarter of an hour: that takes long to compute."""
        known = self._account.credits
        if known and int(now) // 900 == self._credits_of:
            return known.value
        self._credits_of = int(now) // 900
        said = at_once(self._billing.balance(now))
        pending = said["breakdown"]
        assert isinstance(pending, dict)
        return Credits(
            balance=Decimal(str(said["realtimeBalance"])),
            booked_balance=Decimal(str(said["creditBalance"])),
            booked_until=midnight(utc_day(now)),
            pending={category: Decimal(str(amount)) for category, amount in pending.items()},
        )

    def _policies(self, now: float) -> Policies:
        """Return what policies found, as of the last hour, for the same reason."""
        known = self._account.policies
        if known and int(now) // 3600 == self._policies_of:
            return known.value
        self._policies_of = int(now) // 3600
        found = last_24h(self._company, now)
        every = enumerate(self._company.organisation.policies)
        return {one.id: _policy(one.name, found, number) for number, one in every}

    def _of_day(self, day: int, now: float) -> list[Record]:
        """Return a day's records as they stood at some time."""
        if self._records.get(day, (None,))[0] != now:
            self._records.pop(day - 2, None)
            self._records[day] = (
                now,
                [parse_record(raw, {day: 0}) for raw in self._company.records(day, now)],
            )
        return self._records[day][1]

    def scrape(self, now: float) -> None:
        """Write what a scrape at this moment would have brought."""
        if self._started < self._end - 3600 * _FAILED_RELOAD[1] <= now:
            self._reloaded_at = self._end - 3600 * _FAILED_RELOAD[1]
        today = utc_day(now)
        for name, state in self._states.items():
            shown = state.shown(now)
            mark = (shown.snapshot, shown.counters, today)
            if self._is_news(name, mark):
                self._show(now, name, mark, self._samples(tables(shown, today)))
        every = [state.shown(now) for state in self._states.values()]
        about = About.at(now, self._account, self._prices)
        mark = (about.names, about.credits, about.policies, *(one.counters for one in every))
        if self._is_news("beside", mark):
            beside = at_once(tables_beside(about, every))
            self._show(now, "beside", mark, self._samples(beside))
        status = self._status(now)
        families = [*self._requests.registry.collect(), *StatusCollector(status).collect()]
        rest = [
            (self._series(sample), sample.value) for family in families for sample in family.samples
        ]
        series_shown = sum(status.series.values())
        rest += [
            (series, value(now - self._started, now, series_shown))
            for series, value in self._process
        ]
        samples = series_shown + len(rest)
        took = 0.004 + samples / 4e5 * self._rng.uniform(1, 1.5)
        self._show(now, "rest", None, [*rest, *self._of_scrape(1, took)])

    def _is_news(self, part: str, mark: tuple[object, ...]) -> bool:
        """Whether a part shows something else than at the last scrape."""
        before, _ = self._parts.get(part, (None, []))
        if before is None or len(before) != len(mark):
            return True
        return any(_differ(old, new) for old, new in zip(before, mark, strict=True))

    def _status(self, now: float) -> Status:
        ago = (self._end - now) / 3600
        return Status(
            time=now,
            now=now,
            changes=0,
            states=self._states,
            series={name: len(self._parts[name][1]) for name in self._states},
            polling=set(),
            next_polls={},
            scheduler_alive=True,
            state_write_failures=0,
            account=self._account,
            token_expires_at=self._token_expires_at,
            reload_successful=not _FAILED_RELOAD[0] >= ago > _FAILED_RELOAD[1],
            reloaded_at=self._reloaded_at,
        )

    def fail(self, now: float) -> None:
        """Write what Prometheus notes where nobody answers."""
        for name in (*self._states, "beside"):
            self._show(now, name, None, [])
        self._show(now, "rest", None, self._of_scrape(0, 0.001))

    def _of_scrape(self, up: float, duration: float) -> list[tuple[Series, float]]:
        values = {"up": up, "scrape_duration_seconds": duration}
        return [(self._series(Sample(name, {}, value)), value) for name, value in values.items()]

    def _show(
        self,
        now: float,
        part: str,
        mark: tuple[object, ...] | None,
        samples: Sequence[tuple[Series, float]],
    ) -> None:
        """Set the series of a part, and end those that were in it before and are not now."""
        for series, value in samples:
            series.seen = now
            if value != series.value:
                self._writer.set(series, value)
        for series in self._parts.get(part, (None, []))[1]:
            if series.seen != now:
                self._writer.end(series)
        self._parts[part] = mark, [series for series, _ in samples]

    def _samples(self, found: Iterable[Table]) -> list[tuple[Series, float]]:
        return [
            (self._series(sample), float(sample.value))
            for table in found
            for sample in table.samples()
        ]

    def _series(self, sample: Sample) -> Series:
        key = (sample.name, *sample.labels.values())
        series = self._known.get(key)
        if series is None:
            series = self._known[key] = self._writer.of(_labels(sample.name, sample.labels))
        return series


def _differ(old: object, new: object) -> bool:
    """Whether two values are not the same; what is large is so only where it is identical."""
    return old is not new and not (isinstance(new, int) and old == new)


def _policy(name: str, found: Found, number: int) -> Policy:
    totals = found.of(number)
    severities = {level: totals[f"severity{level.capitalize()}"] for level in _SEVERITIES}
    return Policy(name, totals["violations"], totals["alerts"], totals["blocks"], severities)


_SEVERITIES = ("low", "medium", "high")


def _labels(name: str, labels: Mapping[str, str]) -> Labels:
    return tuple(sorted({"__name__": name, **labels, **TARGET}.items()))


def _process_metrics() -> list[tuple[Sample, Callable[[float, float, int], float]]]:
    """Return this process's own metrics, with values that a long-lived exporter would have.

    Their arguments are the seconds since the start, the time, and the number of AI series.
    """
    values: dict[str, Callable[[float, float, int], float]] = {
        "process_cpu_seconds_total": lambda age, now, series: 1.1 + age * 0.004,
        "process_resident_memory_bytes": lambda age, now, series: (
            71e6 + series * 900 + 4e6 * (1 - 2 ** (-age / 7200)) + 6e5 * ((now // 1500) % 5)
        ),
        "process_virtual_memory_bytes": lambda age, now, series: 4.1e8 + series * 900,
        "process_start_time_seconds": lambda age, now, series: now - age,
        "process_open_fds": lambda age, now, series: 13 + (now // 600) % 3,
        "process_max_fds": lambda age, now, series: 1024,
        "python_gc_objects_collected_total": lambda age, now, series: float(int(1500 + age / 3)),
        "python_gc_collections_total": lambda age, now, series: float(int(90 + age / 60)),
    }
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return [
        (sample, values.get(sample.name, lambda age, now, series, value=sample.value: value))
        for family in registry.collect()
        for sample in family.samples
    ]


def moments(end: int, days: int) -> list[int]:
    """Return when Prometheus scraped: every four minutes, every minute in the last seven hours."""
    recent = end - RECENT
    return [
        *range(recent - days * SECONDS_A_DAY, recent, SCRAPE_INTERVAL),
        *range(recent, end + 1, 60),
    ]


def scrapes(writer: Writer, end: int, size: Size, seed: int) -> None:
    """Write the scrapes of the month before `end`."""
    times = moments(end, DAYS)
    past = _Past(writer, SizedCompany(size, seed), end, size, seed)
    restarts = sorted(end - 3600 * hours for hours in _RESTARTS)
    past.start(times[0] - POLL_INTERVAL)
    next_poll = times[0] - POLL_INTERVAL + 2.0
    for number, now in enumerate(times):
        writer.begin(now)
        if number % size.scrapes_every and now < end - IN_DETAIL:
            continue
        if restarts and now >= restarts[0] + 2 * SCRAPE_INTERVAL:
            restarts.pop(0)
            past.start(now - 30)
            next_poll = now - 27.0
        if restarts and now >= restarts[0]:
            past.fail(now)
            continue
        while next_poll <= now:
            past.poll(next_poll)
            next_poll += POLL_INTERVAL
        past.scrape(now)
        writer.flush(_SAMPLES_A_REQUEST)
    writer.flush()
