"""One change at a time of each order, within this process.

Vendure takes units out of a line, and packs a withdrawn pick again, without any condition. So both look first whether that
has happened, and then do the rest. A second one that looks in between would do it too.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from domain.errors import OutcomeUnknown

_SETTLE_SECONDS = 3.0
"""After a call whose answer was lost: Vendure may be working on it still."""

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
        """The call's result. Who is cancelled meanwhile waits for its end: it was sent, and the next one would look too
        early."""
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
"""By address of the shop and order: adapters of the same shop share them."""


# Rule: A worker changes an order in Vendure by one call at a time
@contextlib.asynccontextmanager
async def lock_order(url: str, order_id: str) -> AsyncIterator[OrderLock]:
    """Wait until nothing else in this process changes the order, and until a call that was lost is over."""
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
