"""Rows of the order book as values of the domain."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from domain.case import Case
from domain.earlier import EarlierReversal
from domain.errors import ErrorCode, Refused
from domain.facts import Entry
from domain.money import Money
from domain.order import Order, OrderFlag, OrderLine, Tender
from domain.shipment import Shipment, ShipmentLine
from providers.order_book.tables import CancellationRow, FactRow, OrderRow, ShipmentRow, TenderRow


def now() -> datetime:
    return datetime.now(UTC)


async def load_order(session: AsyncSession, order_id: str, *, lock: bool = False) -> OrderRow:
    """The order with all its parts; its own row can be locked as `lock_order` does. Refused: ORDER_NOT_FOUND."""
    asked = select(OrderRow).with_for_update() if lock else select(OrderRow)
    found = await session.scalar(
        asked.where(OrderRow.order_id == order_id)
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


async def earlier_cases(session: AsyncSession, order_id: str) -> list[Case]:
    """The order's cancellations that have closed it, and those that have ended without it: they may have left something with
    the customer."""
    over = (
        select(FactRow.cancellation_id)
        .join(CancellationRow, CancellationRow.cancellation_id == FactRow.cancellation_id)
        .where(CancellationRow.order_id == order_id, FactRow.kind.in_(("order_closed", "ended")))
    )
    return await cases_of(session, over)


def _earlier_of(tender: TenderRow, cases: Sequence[Case]) -> tuple[EarlierReversal, ...]:
    """What they did to the payment that the tender has now. What was reserved anew by a roll-back is as much as was left; of
    the payment before, only what was paid back is still to be given back."""
    found: list[EarlierReversal] = []
    for case in cases:
        for reversal in case.reversals:
            if reversal.tender_id != tender.tender_id:
                continue
            is_of_now = reversal.planned.tender.reference == tender.reference
            view = reversal.as_earlier if is_of_now else reversal.before_payment_was_replaced
            found.append(view(case.cancellation_id, undone=not case.ever_closed))
    return tuple(earlier for earlier in found if earlier.released or earlier.due or earlier.paid_back)


async def earlier_reversals(
    session: AsyncSession, order_id: str, reference: str, *, but: str
) -> tuple[EarlierReversal, ...]:
    tenders = await session.scalars(
        select(TenderRow).where(TenderRow.order_id == order_id, TenderRow.reference == reference)
    )
    cases = [case for case in await earlier_cases(session, order_id) if case.cancellation_id != but]
    return tuple(earlier for tender in tenders for earlier in _earlier_of(tender, cases))


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


def order_of(row: OrderRow, earlier: Sequence[Case]) -> Order:
    """With what its `earlier` cancellations did laid over it."""
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
                earlier_reversals=_earlier_of(tender, earlier),
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
