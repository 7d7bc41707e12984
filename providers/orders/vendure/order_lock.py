"""One change at a time of each order, within this process.

Vendure takes no condition for a call that takes units out of a line, or that packs a withdrawn pick again. So both read
first what has happened already, and then do the rest. A second call that reads in between would do it twice.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from domain.errors import OutcomeUnknown

_SETTLE_SECONDS = 3.0
"""How long nobody reads after a lost answer: Vendure may still be working on that call."""

_Result = TypeVar("_Result")


class OrderLock:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
        self.not_before = 0.0

    @property
    def is_unused(self) -> bool:
        return not self.waiting and self.not_before <= time.monotonic()

    async def finish(self, call: Coroutine[Any, Any, _Result]) -> _Result:
        """The call's result. A caller that is cancelled still waits for its end: the call was sent, and the next attempt
        would read too early."""
        task = asyncio.ensure_future(call)
        try:
            return await asyncio.shield(task)
        finally:
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            if not task.cancelled() and isinstance(task.exception(), OutcomeUnknown):
                self.not_before = time.monotonic() + _SETTLE_SECONDS


_LOCKS: dict[tuple[str, str], OrderLock] = {}
"""By the shop's address and the order: adapters of the same shop share them."""


# Rule: A worker changes an order in Vendure by one call at a time
@contextlib.asynccontextmanager
async def lock_order(url: str, order_id: str) -> AsyncIterator[OrderLock]:
    """Wait until nothing else in this process changes the order, and until a call whose answer was lost is over."""
    for name in [name for name, lock in _LOCKS.items() if lock.is_unused]:
        del _LOCKS[name]
    order_lock = _LOCKS.setdefault((url, order_id), OrderLock())
    order_lock.waiting += 1
    try:
        async with order_lock.lock:
            await asyncio.sleep(max(order_lock.not_before - time.monotonic(), 0))
            yield order_lock
    finally:
        order_lock.waiting -= 1
