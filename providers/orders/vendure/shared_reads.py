"""Reads of the same thing at the same moment are one read."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Reads(Generic[T]):
    """Those of one thing: one is under way, and whoever comes meanwhile waits for the `next` one."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.next: asyncio.Task[T] | None = None


class SharedReads(Generic[T]):
    """An order of sixty parcels is read for each of them. A read that has begun may be older than what a caller has done
    since, so only one that has not begun yet is shared."""

    def __init__(self) -> None:
        self._reads: dict[str, _Reads[T]] = {}

    async def read(self, name: str, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` returns or raises. The thing with this `name` is read once at a time."""
        reads = self._reads.setdefault(name, _Reads())
        if reads.next is None:
            reads.next = asyncio.create_task(self._read(name, reads, read))
            reads.next.add_done_callback(_retrieve_failure)
        return await asyncio.shield(reads.next)

    async def _read(self, name: str, reads: _Reads[T], read: Callable[[], Awaitable[T]]) -> T:
        async with reads.lock:
            reads.next = None  # whoever comes from now on reads anew
            try:
                return await read()
            finally:
                if reads.next is None:
                    self._reads.pop(name, None)


def _retrieve_failure(read: asyncio.Task[T]) -> None:
    """All who waited for it may have been given up meanwhile; then nobody else retrieves it."""
    if not read.cancelled():
        read.exception()
