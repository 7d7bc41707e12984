"""Rows of the order book as values of the domain."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from domain.errors import ErrorCode, Refused
from domain.money import Money
from domain.order import Order, OrderFlag, OrderLine, Tender
from domain.outcome import CancellationRecord
from domain.shipment import Shipment, ShipmentLine
from providers.order_book.tables import CancellationRow, OrderRow, ShipmentRow


def now() -> datetime:
    return datetime.now(UTC)


async def load_order(session: AsyncSession, order_id: str) -> OrderRow:
    """The order with all its parts. Refused: ORDER_NOT_FOUND."""
    found = await session.scalar(
        select(OrderRow)
        .where(OrderRow.order_id == order_id)
        .options(
            selectinload(OrderRow.lines),
            selectinload(OrderRow.tenders),
            selectinload(OrderRow.shipments).selectinload(ShipmentRow.lines),
        )
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise _not_found(order_id)
    return found


async def lock_order(session: AsyncSession, order_id: str) -> OrderRow:
    """The order's own row, locked until the transaction ends: the first thing that a writing method does. Refused:
    ORDER_NOT_FOUND."""
    found = await session.get(OrderRow, order_id, with_for_update=True)
    if found is None:
        raise _not_found(order_id)
    return found


def _not_found(order_id: str) -> Refused:
    return Refused(
        ErrorCode.ORDER_NOT_FOUND, f"The order book has no order {order_id}. Check the order number and ask again."
    )


async def given_elsewhere(session: AsyncSession, order: OrderRow) -> dict[str, Money]:
    """By tender, what closed cancellations of the order gave back another way than by its provider."""
    records = await session.scalars(
        select(CancellationRow.carried_out).where(CancellationRow.order_id == order.order_id)
    )
    reversals = [reversal for done in records if done for reversal in done.reversals]
    return {
        tender.tender_id: Money.total(
            (one.elsewhere(tender.kind) for one in reversals if one.tender_id == tender.tender_id), order.currency
        )
        for tender in order.tenders
    }


def order_of(row: OrderRow, elsewhere: Mapping[str, Money]) -> Order:
    return Order(
        order_id=row.order_id,
        customer_id=row.customer_id,
        placed_at=row.placed_at,
        currency=row.currency,
        state=row.state,
        lines=tuple(
            OrderLine(
                line_id=line.line_id,
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                total=Money(amount=line.total, currency=row.currency),
                tax=Money(amount=line.tax, currency=row.currency),
                cancelled=line.cancelled,
                condition=line.condition,
            )
            for line in row.lines
        ),
        tenders=tuple(
            Tender(
                tender_id=tender.tender_id,
                kind=tender.kind,
                amount=Money(amount=tender.amount, currency=row.currency),
                reference=tender.reference,
                released=_if_any(tender.released, row.currency),
                elsewhere=elsewhere[tender.tender_id] or None,
            )
            for tender in row.tenders
        ),
        shipments=tuple(_shipment_of(shipment) for shipment in row.shipments),
        shipping=Money(amount=row.shipping, currency=row.currency),
        shipping_credited=Money(amount=row.shipping_credited, currency=row.currency),
        shipping_tax=_if_any(row.shipping_tax, row.currency),
        discount=_if_any(row.discount, row.currency),
        country=row.country,
        flags=frozenset(OrderFlag(flag) for flag in row.flags),
        held_by=row.held_by,
    )


def _if_any(amount: int, currency: str) -> Money | None:
    return Money(amount=amount, currency=currency) if amount else None


def _shipment_of(row: ShipmentRow) -> Shipment:
    return Shipment(
        shipment_id=row.shipment_id,
        lines=tuple(
            ShipmentLine(line_id=part.line_id, quantity=part.quantity - part.taken_out)
            for part in row.lines
            if part.quantity > part.taken_out
        ),
        carrier=row.carrier,
        label_reference=row.label_reference,
        tracking_number=row.tracking_number,
        gift_card=row.gift_card,
        stopped=row.stopped,
    )


def record_of(row: CancellationRow) -> CancellationRecord:
    return CancellationRecord(
        cancellation_id=row.cancellation_id,
        order_id=row.order_id,
        request=row.request,
        decision=row.decision,
        plan=row.plan,
        result=row.result,
        carried_out=row.carried_out,
    )
