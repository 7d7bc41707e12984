"""The providers' events in the order book, on both databases: kept once, matched with their orders, claimed by one."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from domain.shipment import Shipment
from providers.order_book.events import SqlProviderEvents
from providers.order_book.port import EventStatus, Provider, ProviderEvent
from providers.order_book.tables import WebhookEventRow
from sandbox import books
from tests.providers import order_book_samples as samples


async def test_one_event_is_kept_once_and_claimed_by_one(database: AsyncEngine) -> None:
    events = SqlProviderEvents(database)
    parcel = Shipment(shipment_id="S1", lines=(), carrier="UPS", label_reference="shp_1", tracking_number="1Z1")
    await books.add_order(database, samples.order(shipments=(parcel,)), email="buyer@shop.example")
    event = ProviderEvent(
        provider=Provider.STRIPE, event_id="evt_1", kind="refund.updated", payment="pi_1", refund="re_1"
    )
    assert not await events.is_known(Provider.STRIPE, "evt_1")
    statuses = await asyncio.gather(*(events.receive(event) for _ in range(8)))
    assert sorted(statuses) == [EventStatus.ACCEPTED, *[EventStatus.REPEATED] * 7]
    assert await events.is_known(Provider.STRIPE, "evt_1")
    assert not await events.is_known(Provider.EASYPOST, "evt_1")
    same_id = ProviderEvent(provider=Provider.EASYPOST, event_id="evt_1", kind="tracker.updated", shipment="shp_1")
    assert await events.receive(same_id) is EventStatus.ACCEPTED, "two providers may use the same id"

    now = (await _rows(database))[0].received_at
    soon = now.replace(year=now.year + 1)
    claims = await asyncio.gather(*(events.claim_due(soon, 10) for _ in range(4)))
    claimed = [one for claim in claims for one in claim]
    assert sorted((one.provider, one.order_id, one.subject) for one in claimed) == [
        (Provider.EASYPOST, "O-1", None),
        (Provider.STRIPE, "O-1", "re_1"),
    ]
    by_provider = {one.provider: one for one in claimed}
    await events.mark_delivered(by_provider[Provider.STRIPE], soon)
    await give_up(database, "evt_1", Provider.EASYPOST)
    assert await events.claim_due(soon.replace(year=soon.year + 1), 10) == []
    await events.forget_before(soon)
    assert await _rows(database) == []


@pytest.mark.parametrize(
    "about",
    [
        {"provider": Provider.STRIPE, "kind": "refund.failed", "payment": "pi_1", "refund": "re_1"},
        {"provider": Provider.EASYPOST, "kind": "tracker.updated", "shipment": "shp_1"},
        {"provider": Provider.EASYPOST, "kind": "tracker.updated", "tracking_number": "1Z1"},
    ],
    ids=["payment", "label", "parcel"],
)
async def test_an_event_is_matched_with_the_order_that_comes_later(
    database: AsyncEngine, about: dict[str, Any]
) -> None:
    """M29: once, and no other one with it."""
    events = SqlProviderEvents(database)
    mine = ProviderEvent(event_id="evt_1", may_undo_outcome=True, **about)
    assert await events.receive(mine) is EventStatus.UNMATCHED
    await events.receive(
        ProviderEvent(provider=Provider.STRIPE, event_id="evt_2", kind="refund.failed", payment="pi_9")
    )
    await events.receive(ProviderEvent(provider=Provider.STRIPE, event_id="evt_3", kind="charge.updated"))
    assert await events.match_orders() == 0
    parcel = Shipment(shipment_id="S1", lines=(), carrier="UPS", label_reference="shp_1", tracking_number="1Z1")
    await books.add_order(database, samples.order(shipments=(parcel,)), email="buyer@shop.example")
    assert await events.match_orders() == 1
    assert await events.match_orders() == 0
    [due] = await events.claim_due(datetime.now(UTC), 10)
    assert (due.event_id, due.order_id, due.may_undo_outcome) == ("evt_1", "O-1", True)


async def give_up(engine: AsyncEngine, event_id: str, provider: Provider = Provider.STRIPE) -> None:
    """As a person does."""
    async with AsyncSession(engine) as session:
        one = (WebhookEventRow.event_id == event_id, WebhookEventRow.provider == provider)
        await session.execute(update(WebhookEventRow).where(*one).values(given_up_why="settled by phone"))
        await session.commit()


async def _rows(engine: AsyncEngine) -> list[WebhookEventRow]:
    async with AsyncSession(engine) as session:
        return [*(await session.scalars(select(WebhookEventRow)))]
