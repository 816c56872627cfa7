"""What counters have to be, reckoned another way: from the whole history of a query at once.

The exporter raises marks poll by poll. Here all answers are kept, and a counter is the highest
total of each group and day less its base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from operator import sub

from exporter.metrics import ADDITIVE, AMOUNTS
from exporter.statistics.groups import Key
from exporter.statistics.records import Amounts

ZERO: Amounts = (0,) * AMOUNTS
Answer = Mapping[tuple[int, Key], Amounts]
"""The totals that a poll found, by day and group."""


@dataclass
class Holding:
    """One day from the first good poll that asked for it until it is forgotten."""

    is_base: bool
    answers: list[Mapping[Key, Amounts]] = field(default_factory=list)

    def groups(self) -> set[Key]:
        """Return all groups that there were on that day."""
        return {key for answer in self.answers for key in answer}

    def increase(self, key: Key) -> Amounts:
        """Return the highest total of a group, amount by amount, less its base."""
        totals = [answer.get(key, ZERO) for answer in self.answers]
        base = totals[0] if self.is_base else ZERO
        highest = map(max, zip(*totals, strict=True))
        return tuple(map(sub, highest, base))

    def corrections(self, key: Key) -> int:
        """Return how often a group fell below what it had been."""
        totals = [answer.get(key, ZERO) for answer in self.answers]
        marks = accumulate(totals, lambda one, other: tuple(map(max, one, other)))
        below = [
            any(total[index] < mark[index] for index in ADDITIVE)
            for total, mark in zip(totals, marks, strict=True)
        ]
        return sum(now and not before for before, now in pairwise([False, *below]))


@dataclass
class Reckoning:
    """The whole history of a query since its first good poll."""

    held: dict[int, Holding] = field(default_factory=dict)
    ended: list[Holding] = field(default_factory=list)
    newest_day: int | None = None
    newest_record: int | None = None

    def poll(self, window: Sequence[int], answer: Answer) -> None:
        """Take in a good poll."""
        for day in window:
            if day not in self.held:
                is_base = self.newest_day is None or day <= self.newest_day
                self.held[day] = Holding(is_base)
            totals = {key: amounts for (of_day, key), amounts in answer.items() if of_day == day}
            self.held[day].answers.append(totals)

        self.newest_day = max(window) if self.newest_day is None else max(self.newest_day, *window)
        days = [day for day, _ in answer]
        if days:
            self.newest_record = max(*days, self.newest_record or 0)
        for day in list(self.held):
            if day not in window and self._has_left(day, len(window)):
                self.ended.append(self.held.pop(day))

    def _has_left(self, day: int, days: int) -> bool:
        """Whether a day has left a window that ends with the newest day seen in a record."""
        return self.newest_record is not None and day <= self.newest_record - days

    def increases(self) -> dict[Key, Amounts]:
        """Return what each group has gained in all."""
        found: dict[Key, Amounts] = {}
        for holding in (*self.ended, *self.held.values()):
            for key in holding.groups():
                found[key] = added(found.get(key, ZERO), holding.increase(key))
        return found

    def corrections(self) -> int:
        """Return how often a group fell on a day."""
        every = (*self.ended, *self.held.values())
        return sum(holding.corrections(key) for holding in every for key in holding.groups())


def added(*amounts: Amounts) -> Amounts:
    """Return amounts added up, one by one."""
    return tuple(map(sum, zip(*amounts, strict=True)))
