"""One close at a time of each order, within this process.

Vendure takes units out of a line without any condition, so a close looks how many have left, and takes out the rest. A
second one that looks in between would take them out too.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from domain.errors import OutcomeUnknown

_QUIET = 3.0
"""Seconds after a call whose answer was lost: Vendure may be working on it still."""

_Result = TypeVar("_Result")


class Turn:
    """Whose turn it is with an order."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted_by = 0
        self.quiet_until = 0.0

    @property
    def is_over(self) -> bool:
        return not self.wanted_by and self.quiet_until <= time.monotonic()

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
                self.quiet_until = time.monotonic() + _QUIET


_TURNS: dict[tuple[str, str], Turn] = {}
"""By shop and order: adapters of the same shop share them."""


# Rule: Of a shop without conditions, one close of an order is made at a time in each worker
@contextlib.asynccontextmanager
async def one_at_a_time(shop: str, order_id: str) -> AsyncIterator[Turn]:
    """Wait until nobody else of this process closes the order, and until a call that was lost is over."""
    for name in [name for name, turn in _TURNS.items() if turn.is_over]:
        del _TURNS[name]
    turn = _TURNS.setdefault((shop, order_id), Turn())
    turn.wanted_by += 1
    try:
        async with turn.lock:
            await asyncio.sleep(max(turn.quiet_until - time.monotonic(), 0))
            yield turn
    finally:
        turn.wanted_by -= 1
