"""Long work in small steps, so that scrapes go on meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

_T = TypeVar("_T")
_STEP = 256


async def in_steps(items: Iterable[_T]) -> AsyncIterator[_T]:
    """Yield the items of a long loop, letting others run at every 256th."""
    for number, item in enumerate(items):
        if number % _STEP == 0:
            await asyncio.sleep(0)
        yield item


async def let_go(items: list[_T]) -> None:
    """Empty a long list a few items at a time: freeing what a million objects hold takes long if done at once."""
    while items:
        del items[-_STEP:]
        await asyncio.sleep(0)
