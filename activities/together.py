"""Reads of the outside world that do not depend on each other, made together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

_AT_ONCE = 10
"""An order may have a hundred parcels, and a carrier slows down whoever asks about all of them in one moment."""


async def read_together(reads: Mapping[str, Callable[[], Awaitable[T]]]) -> dict[str, T]:
    """What each of them reads, by its name. Raises what the first that fails raises; the others are given up."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def read(call: Callable[[], Awaitable[T]]) -> T:
        async with free:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(read(call)) for name, call in reads.items()}
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return {name: task.result() for name, task in tasks.items()}
