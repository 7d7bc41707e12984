"""The events of the gateway, by the product's own way: kept in the inbox, and sent on from there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import uuid4

from sqlalchemy import select
from temporalio.client import Client

from client.cancellations import Cancellations
from domain.errors import Unavailable
from providers.books.inbox import SqlInbox
from providers.books.tables import WebhookEventRow
from providers.database.engine import reading
from providers.inbox.port import EventStatus, Provider, ProviderEvent
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


class GatewayNews(NamedTuple):
    """About a payment: a `refund` of it has failed, the merchant has `won` a dispute, it was `taken`, or, without any of
    these, the bank has given it back."""

    payment: str
    refund: str | None = None
    won: str | None = None
    taken: bool = False

    @property
    def subject(self) -> str:
        return self.refund or self.won or self.payment


async def receive_news(system: System, news: GatewayNews) -> EventStatus:
    """The gateway sends an event, and once more as long as the database is locked."""
    event = ProviderEvent(
        provider=Provider.STRIPE,
        event_id=f"evt_{uuid4().hex}",
        kind="refund.failed" if news.refund else "payment changed",
        payment=news.payment,
        refund=news.refund,
        won_dispute=news.won,
        payment_taken=news.taken,
        may_undo_outcome=True,
    )
    while True:
        try:
            return await SqlInbox(system.engine).receive(event)
        except Unavailable:
            await asyncio.sleep(_PAUSE)


_PAUSE = 0.25


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
