"""Rows of the order book as values of the domain."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import Entry
from domain.money import Money
from domain.order import Order, OrderFlag, OrderLine, Tender
from domain.reversal import Reversal
from domain.shipment import Shipment, ShipmentLine
from providers.order_book.tables import CancellationRow, FactRow, OrderRow, ShipmentRow


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
    found = await session.get(OrderRow, order_id, with_for_update=True, populate_existing=True)
    if found is None:
        raise _not_found(order_id)
    return found


def _not_found(order_id: str) -> Refused:
    return Refused(
        ErrorCode.ORDER_NOT_FOUND, f"The order book has no order {order_id}. Check the order number and ask again."
    )


@dataclass(frozen=True)
class GivenBack:
    """What earlier cancellations did to one tender: what they released of its reservation, refunded in all, and gave
    back another way than by its provider without taking it back."""

    released: Money
    refunded: Money
    elsewhere: Money


async def given_back(session: AsyncSession, order: OrderRow) -> dict[str, GivenBack]:
    """By tender, from the facts of the order's cancellations: those that closed the order, and those that have ended
    without it and left something with the customer."""
    over = (
        select(FactRow.cancellation_id)
        .join(CancellationRow, CancellationRow.cancellation_id == FactRow.cancellation_id)
        .where(CancellationRow.order_id == order.order_id, FactRow.kind.in_(("order_closed", "ended")))
    )
    cases = await cases_of(session, over)
    closed = [reversal for case in cases if case.ever_closed for reversal in case.reversals]
    undone = [reversal for case in cases if not case.ever_closed for reversal in case.reversals]

    def total(tender_id: str, reversals: Sequence[Reversal], amount: Callable[[Reversal], Money]) -> Money:
        return Money.total((amount(r) for r in reversals if r.tender_id == tender_id), order.currency)

    return {
        tender.tender_id: GivenBack(
            released=total(tender.tender_id, closed, lambda reversal: reversal.released),
            refunded=total(tender.tender_id, closed, lambda reversal: reversal.refunded),
            elsewhere=total(tender.tender_id, closed, lambda reversal: reversal.elsewhere)
            + total(tender.tender_id, undone, lambda reversal: reversal.kept_elsewhere),
        )
        for tender in order.tenders
    }


async def cases_of(session: AsyncSession, cancellations: Select[str]) -> list[Case]:
    """The cases of these cancellations, read at once."""
    found = await session.execute(
        select(FactRow.cancellation_id, FactRow.content)
        .where(FactRow.cancellation_id.in_(cancellations))
        .order_by(FactRow.cancellation_id, FactRow.seq)
    )
    entries: dict[str, list[Entry]] = {}
    for cancellation, entry in found.tuples():
        entries.setdefault(cancellation, []).append(entry)
    return [Case(facts) for facts in entries.values()]


def order_of(row: OrderRow, given: Mapping[str, GivenBack]) -> Order:
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
                released=given[tender.tender_id].released or None,
                elsewhere=given[tender.tender_id].elsewhere or None,
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
