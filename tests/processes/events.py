"""Looking at the providers' events: which were kept, and which were delivered to a run."""

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from temporalio.api.enums.v1 import EventType

from domain.messages import RefundEvent
from domain.order import Order
from domain.outcome import State
from domain.step import StepName
from providers.books.tables import WebhookEventRow
from sandbox import built_in
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder, card, line, request
from tests.providers.merchant import Merchant, cancellation
from tests.system import Handle, System, eventually
from tests.workflows.samples import an_id


def settles_later() -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "52.35 USD"),),
        tenders=(card("52.35 USD", card=TestCard.PENDING_REFUND),),
    )


async def holding(engine: AsyncEngine, order: Order) -> None:
    """A database where a cancellation of the order is under way."""
    await built_in.add_order(engine, order, email="buyer@shop.example")
    await Merchant.at(engine).hold(cancellation(order))


async def kept(engine: AsyncEngine, event_id: str) -> WebhookEventRow | None:
    async with AsyncSession(engine) as session:
        return await session.scalar(select(WebhookEventRow).where(WebhookEventRow.event_id == event_id))


async def was_delivered(engine: AsyncEngine, event_id: str) -> None:
    async def delivered() -> bool:
        row = await kept(engine, event_id)
        return row is not None and row.delivered_at is not None

    await eventually(delivered, f"event {event_id} is delivered")


async def signals(handle: Handle) -> list[str]:
    """The event ids of the refund signals in a run's history."""
    history = await handle.fetch_history()
    signalled = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    return [
        TypeAdapter(RefundEvent)
        .validate_json(event.workflow_execution_signaled_event_attributes.input.payloads[0].data)
        .event_id
        for event in history.events
        if event.event_type == signalled
    ]


async def waiting_for_settlement(system: System) -> tuple[SampleOrder, Handle, str, str]:
    """An order whose refund is pending: with its run, its payment and its refund."""
    sample = settles_later()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    refund = next(row.reference for row in progress.steps if row.step is StepName.REVERSE_PAYMENT)
    assert refund is not None
    return sample, handle, system.shop.payments[sample.order_id][0], refund
