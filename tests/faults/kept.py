"""Requests that the product keeps until another cancellation of their order has ended, and then sends by itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from sqlalchemy import select

from client.deferred import DeferredRequestDispatcher
from providers.books.tables import DeferredRequestRow
from providers.database.engine import reading
from tests.faults.rest import come_to
from tests.system import System

_EVERY = timedelta(seconds=0.5)


async def count_sendings(system: System, order_id: str) -> list[int]:
    """For each request of the order that the product still has to send: how often it was sent in vain."""
    async with reading(system.engine).connect() as session:
        unsent = (DeferredRequestRow.order_id == order_id, DeferredRequestRow.sent_at.is_(None))
        return list((await session.execute(select(DeferredRequestRow.attempts).where(*unsent))).scalars())


async def wait_for_sending(system: System, order_id: str, times: int | None = None) -> None:
    """Until each has been sent so often, or need not be sent any more; None: until all are. Raises NotAtRest."""

    async def sent() -> bool:
        return all(times is not None and count >= times for count in await count_sendings(system, order_id))

    await come_to(sent, "the requests that are kept are sent")


@contextlib.asynccontextmanager
async def sending_kept(system: System) -> AsyncIterator[None]:
    """As every worker process does beside its steps."""
    sending = asyncio.create_task(DeferredRequestDispatcher(system.books, system.library).run(_EVERY))
    try:
        yield
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
