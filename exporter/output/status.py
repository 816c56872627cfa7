"""How the exporter is doing, told once for all who ask: metrics, page, readiness and log."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from exporter.prices.built_in import BuiltIn, built_in
from exporter.statistics.account import AccountState
from exporter.statistics.state import QueryState


@dataclass(frozen=True, slots=True, eq=False)
class Status:
    """The exporter at one moment: `time` by the wall clock, `now` by the monotonic one, in seconds.

    It is made to be read at once: whoever keeps one keeps all data of that moment. `changes` is
    enough to know later whether `states` and `series` are still the same.
    """

    time: float
    now: float
    changes: int
    """How often what is published has changed."""
    states: Mapping[str, QueryState]
    series: Mapping[str, int]
    """How many series of AI statistics each query shows."""
    polling: Set[str]
    """The queries of which a poll is under way."""
    next_polls: Mapping[str, float]
    """Seconds until each query is polled next; one that is not scheduled has none."""
    scheduler_alive: bool
    account: AccountState
    """What is known of the account, and how its endpoints fare."""
    token_expires_at: float
    """When the access token in use expires, in Unix seconds; 0 where that is not known."""
    state_write_failures: int
    """How often the state file could not be written."""
    reload_successful: bool
    """Whether the last reload was good."""
    reloaded_at: float
    """When a good configuration came in, in Unix seconds."""
    account_intervals: Mapping[str, float] = field(default_factory=dict)
    """Seconds between two questions to each endpoint about the account; 0 where it is off."""
    notices: Mapping[str, str] = field(default_factory=dict)
    """What the API says about the end of endpoints, by endpoint."""
    state_is_failing: bool = False
    """Whether the last write failed, so that a restart would begin anew."""
    built_in_prices: BuiltIn = field(default_factory=built_in)

    @property
    def waiting_for(self) -> list[str]:
        """The queries whose first poll has not finished yet."""
        return [name for name, state in self.states.items() if not state.polls]
