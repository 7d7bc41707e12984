"""The events of the gateway, by the product's own way: kept in the inbox, and sent on from there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import async_sessionmaker
from temporalio.client import Client

from client.cancellations import Cancellations
from domain.errors import Unavailable
from providers.books.inbox import SqlInbox
from providers.books.tables import WebhookEventRow
from providers.database.engine import reading, transaction, writing
from providers.inbox.port import Provider, ProviderEvent
from tests.faults.rest import come_to
from tests.system import System
from web.parts import Parts, Temporal
from web.webhooks import EventDispatcher


class _Temporal(Temporal):
    def __init__(self, system: System) -> None:
        super().__init__()
        self._system = system

    async def client(self) -> Client:
        return self._system.client

    async def cancellations(self) -> Cancellations:
        return self._system.library


@dataclass
class _Parts:
    events: SqlInbox
    temporal: _Temporal
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class _Dispatcher(EventDispatcher):
    LONGEST_DELAY = timedelta(seconds=1)


@contextlib.asynccontextmanager
async def dispatching_events(system: System) -> AsyncIterator[None]:
    """As every process of the API does, with shorter pauses."""
    parts = cast("Parts", _Parts(SqlInbox(system.engine), _Temporal(system)))
    dispatching = asyncio.create_task(_Dispatcher(parts).run())
    try:
        yield
    finally:
        dispatching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dispatching


async def receive_failure(system: System, payment: str, refund: str) -> None:
    """The gateway says that a refund has failed."""
    await SqlInbox(system.engine).receive(
        ProviderEvent(
            provider=Provider.STRIPE,
            event_id=f"evt_{refund}",
            kind="refund.failed",
            payment=payment,
            refund=refund,
            may_undo_outcome=True,
        )
    )


_NEWS = (WebhookEventRow.subject, WebhookEventRow.payment_taken, WebhookEventRow.dispute_won)
_PAUSE = 0.25


class GatewayNews(NamedTuple):
    """A refund that has failed, or a payment. `taken`: it says that the payment was taken. `won`: a dispute that the
    merchant has won."""

    subject: str
    taken: bool = False
    won: bool = False


async def find_repeated(system: System, order_id: str) -> list[GatewayNews]:
    """What the product itself wants to hear of once more, which counts as delivered then."""
    async with reading(system.engine).connect() as session:
        due = (WebhookEventRow.order_id == order_id, WebhookEventRow.delivered_at.is_(None))
        found = (await session.execute(select(WebhookEventRow.event_id, *_NEWS).where(*due))).tuples().all()
    if not found:
        return []
    delivered = update(WebhookEventRow).where(WebhookEventRow.event_id.in_([event_id for event_id, *_ in found]))
    while True:
        try:
            async with transaction(async_sessionmaker(writing(system.engine))) as session:
                await session.execute(delivered.values(delivered_at=datetime.now(UTC)))
        except Unavailable:
            await asyncio.sleep(_PAUSE)  # the database is locked
        else:
            return [GatewayNews(subject, taken, won) for _, subject, taken, won in found if subject]


async def count_undelivered(system: System, order_id: str) -> list[int]:
    """For each event of the order that is to be sent on yet: how often that was tried."""
    async with reading(system.engine).connect() as session:
        due = (WebhookEventRow.order_id == order_id, WebhookEventRow.delivered_at.is_(None))
        return list((await session.execute(select(WebhookEventRow.attempts).where(*due))).scalars())


async def wait_for_delivery(system: System, order_id: str, times: int | None = None) -> None:
    """Until each has been tried so often, or is delivered; None: until all are. Raises NotAtRest."""

    async def delivered() -> bool:
        return all(times is not None and tried >= times for tried in await count_undelivered(system, order_id))

    await come_to(delivered, "the events are delivered")
