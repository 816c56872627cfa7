"""Long work in small steps, so that scrapes go on meanwhile.

Everything runs on one event loop. Whatever takes longer than a millisecond or two gives way in
between, in one of these forms. A step of small items has 256 of them.

- `in_steps`: a loop over small items, as groups or lines are.
- `one_a_step`: a loop over items that are a step's work each, as a piece of text to compress is.
- `in_runs`: parts small items into lists that are a step's work each, for code that awaits nothing.
- `let_go` and `empty`: free what a long list or dictionary holds.
- `give_way`: one turn for the others, where none of these loops fits.

Collecting garbage is one step, as long as there are objects to look at. So the daemon sets aside
what stays (`spare_what_stays`), and polls look at what is new while it is little (`collect_new`)
and at all the rest when their sums are gone (`collect_all`).
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

_T = TypeVar("_T")

ITEMS_A_STEP = 256


async def give_way() -> None:
    """Let others run that are ready to."""
    await asyncio.sleep(0)


async def one_a_step(items: Iterable[_T]) -> AsyncIterator[_T]:
    """Yield the items of a loop, letting others run before each."""
    for item in items:
        await give_way()
        yield item


async def in_steps(items: Iterable[_T]) -> AsyncIterator[_T]:
    """Yield the items of a long loop, letting others run before every 256th."""
    async for run in one_a_step(in_runs(items)):
        for item in run:
            yield item


def in_runs(items: Iterable[_T], size: int = ITEMS_A_STEP) -> Iterator[list[_T]]:
    """Yield lists of 256 items, or of another number, and at last one of those that are left."""
    remaining = iter(items)
    while run := list(islice(remaining, size)):
        yield run


async def let_go(items: list[_T]) -> None:
    """Empty a list. Freeing what a million objects hold takes long if it is done at once."""
    while items:
        del items[-ITEMS_A_STEP:]
        await give_way()


async def empty(items: dict[Any, Any]) -> None:
    """Empty a dictionary, for the same reason."""
    async for _ in in_steps(range(len(items))):
        items.popitem()


def spare_what_stays() -> None:
    """Let no garbage collection look at what is there already, nor at everything by itself."""
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1_000_000)


def collect_new() -> None:
    """Collect garbage among what has come since the last time.

    The collector's own count does not tell how many sums are new, for each takes the place of one.
    """
    gc.collect(1)


def collect_all() -> None:
    """Collect garbage among everything but what was set aside."""
    gc.collect()
