"""Keeps what outlives the configuration of a query: in memory, and in the state file if any."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from exporter.clock import SECONDS_A_DAY, Clock
from exporter.statistics.account import Names
from exporter.statistics.kept import Kept
from exporter.statistics.state import Outcome
from exporter.store.copy import Good
from exporter.store.state_file import StateFile

_SECONDS_UNUSED = 7 * SECONDS_A_DAY


class Keeper:
    """What is kept of each query, by its name."""

    def __init__(self, clock: Clock, file: StateFile | None = None) -> None:
        """Begin with nothing; `open` finds what a file holds."""
        self._clock = clock
        self._file = file
        self._kept: dict[str, Kept] = {}

    @classmethod
    async def open(cls, path: Path | None, clock: Clock) -> "Keeper":
        """Return a keeper that knows what is in a state file. Raises StateError."""
        keeper = cls(clock, StateFile(path, clock) if path else None)
        if keeper._file:
            keeper._kept = await keeper._file.open()
        return keeper

    @property
    def write_failures(self) -> int:
        """How often the state file could not be written."""
        return self._file.write_failures if self._file else 0

    @property
    def is_failing(self) -> bool:
        """Whether the state file could not be written the last time."""
        return self._file is not None and self._file.is_failing

    def kept(self, name: str, source: str) -> Kept:
        """Return what is kept of a query; nothing yet, where it has asked something else."""
        kept = self._kept.get(name)
        if kept is None or kept.source != source:
            kept = self._kept[name] = Kept(source)
        return kept

    async def keep(self, name: str, outcome: Outcome) -> bool:
        """Keep what a good poll changed, and return whether it may be served now.

        It may not where the query was begun anew while the poll was under way.
        """
        kept, snapshot, changes = self._kept.get(name), outcome.snapshot, outcome.changes
        if kept is None or outcome.counters is not kept.counters.shown:
            return False
        if snapshot is not None and changes is not None:
            if self._file:
                await self._file.write(name, kept, Good(outcome.finished_at, snapshot, changes))
            kept.good = replace(outcome, changes=None)
        return True

    def names(self, source: str) -> Names:
        """Return the names of an account that the state file holds."""
        return self._file.names(source) if self._file else Names()

    async def keep_names(self, source: str, names: Names) -> None:
        """Keep an account's names. Where nothing is known yet, there is nothing to keep."""
        if self._file and names != Names():
            await self._file.write_names(source, names)

    def served(self, names: Collection[str]) -> None:
        """Note that the counters of these queries are being served as they are."""
        for name in names:
            if name in self._kept:
                self._kept[name].counters.served(self._clock.monotonic())

    async def forget(self, used: Collection[str]) -> None:
        """Forget the queries that are not used and were not polled for a week."""
        oldest = self._clock.time() - _SECONDS_UNUSED
        for name in self._kept.keys() - used:
            good = self._kept[name].good
            if good is None or good.finished_at < oldest:
                del self._kept[name]
                if self._file:
                    await self._file.forget(name)

    async def close(self) -> None:
        """Close the state file, which lets another exporter have it."""
        if self._file:
            await self._file.close()
