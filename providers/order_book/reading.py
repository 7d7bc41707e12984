"""Rows of the order book as values of the domain."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from domain.case import Case
from domain.earlier import EarlierReversal
from domain.errors import ErrorCode, Refused
from domain.facts import Entry
from domain.money import Money
from domain.order import Order, OrderLine, Tender
from domain.shipment import Shipment, ShipmentLine
from providers.order_book.columns import Base, table_of
from providers.order_book.tables import (
    CancellationRow,
    FactRow,
    OrderLineRow,
    OrderRow,
    ShipmentLineRow,
    ShipmentRow,
    TenderRow,
)


def now() -> datetime:
    return datetime.now(UTC)


async def load_order(session: AsyncSession, order_id: str) -> OrderRow:
    """The order with its goods, to be changed; its own row is locked as `lock_order` does. Refused: ORDER_NOT_FOUND."""
    found = await session.scalar(
        select(OrderRow)
        .with_for_update()
        .where(OrderRow.order_id == order_id)
        .options(
            selectinload(OrderRow.lines),
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


async def read_order(session: AsyncSession, order_id: str, *, lock: bool = False) -> Order:
    """With what its earlier cancellations did laid over it. Refused: ORDER_NOT_FOUND."""
    this = {"order": order_id}
    order = (await session.execute(_LOCKED_ORDER if lock else _ORDER, this)).first()
    if order is None:
        raise _not_found(order_id)
    lines = await session.execute(_LINES, this)
    tenders = await session.execute(_TENDERS, this)
    shipments = (await session.execute(_SHIPMENTS, this)).all()
    packed = (await session.execute(_SHIPMENT_LINES, this)).all() if shipments else ()
    cases = await earlier_cases(session, order_id)
    return Order(
        order_id=order.order_id,
        customer_id=order.customer_id,
        placed_at=order.placed_at,
        currency=order.currency,
        state=order.state,
        lines=tuple(
            OrderLine(
                line_id=line.line_id,
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                total=Money(amount=line.total, currency=order.currency),
                tax=Money(amount=line.tax, currency=order.currency),
                cancelled=line.cancelled,
                condition=line.condition,
            )
            for line in lines
        ),
        tenders=tuple(
            Tender(
                tender_id=tender.tender_id,
                kind=tender.kind,
                amount=Money(amount=tender.amount, currency=order.currency),
                reference=tender.reference,
                earlier_reversals=_earlier_of(tender.tender_id, tender.reference, cases),
            )
            for tender in tenders
        ),
        shipments=tuple(_shipment_of(shipment, packed) for shipment in shipments),
        shipping=Money(amount=order.shipping, currency=order.currency),
        shipping_credited=Money(amount=order.shipping_credited, currency=order.currency),
        shipping_tax=_if_any(order.shipping_tax, order.currency),
        discount=_if_any(order.discount, order.currency),
        country=order.country,
        flags=order.flags,
        held_by=order.held_by,
    )


def _if_any(amount: int, currency: str) -> Money | None:
    return Money(amount=amount, currency=currency) if amount else None


def _shipment_of(row: Row[Any], packed: Sequence[Row[Any]]) -> Shipment:
    return Shipment(
        shipment_id=row.shipment_id,
        lines=tuple(
            ShipmentLine(line_id=part.line_id, quantity=part.quantity - part.taken_out)
            for part in packed
            if part.shipment_id == row.shipment_id and part.quantity > part.taken_out
        ),
        carrier=row.carrier,
        label_reference=row.label_reference,
        tracking_number=row.tracking_number,
        gift_card=row.gift_card,
        stopped=row.stopped,
    )


async def read_shipment(session: AsyncSession, order_id: str, shipment_id: str) -> Shipment | None:
    this = {"order": order_id}
    shipments = await session.execute(_SHIPMENTS, this)
    found = next((row for row in shipments if row.shipment_id == shipment_id), None)
    return _shipment_of(found, (await session.execute(_SHIPMENT_LINES, this)).all()) if found is not None else None


async def earlier_cases(session: AsyncSession, order_id: str) -> list[Case]:
    """The order's cancellations that have closed it, and those that have ended without it: they may have left something with
    the customer."""
    return await cases_of(session, _EARLIER, {"order": order_id})


def _earlier_of(tender_id: str, reference: str, cases: Sequence[Case]) -> tuple[EarlierReversal, ...]:
    """What they did to the payment that the tender has now. What was reserved anew by a roll-back is as much as was left; of
    the payment before, only what was paid back is still to be given back."""
    found: list[EarlierReversal] = []
    for case in cases:
        for reversal in case.reversals:
            if reversal.tender_id != tender_id:
                continue
            is_of_now = reversal.planned.tender.reference == reference
            view = reversal.as_earlier if is_of_now else reversal.before_payment_was_replaced
            found.append(view(case.cancellation_id, undone=not case.ever_closed))
    return tuple(earlier for earlier in found if earlier.released or earlier.due or earlier.paid_back)


async def earlier_reversals(
    session: AsyncSession, order_id: str, reference: str, *, but: str
) -> tuple[EarlierReversal, ...]:
    cases = [case for case in await earlier_cases(session, order_id) if case.cancellation_id != but]
    if not cases:
        return ()
    tenders = await session.execute(_TENDERS, {"order": order_id})
    found = [row.tender_id for row in tenders if row.reference == reference]
    return tuple(earlier for tender_id in found for earlier in _earlier_of(tender_id, reference, cases))


def entries_where(cancellations: Select[Any]) -> Select[Any]:
    """The entries of these cancellations, for `cases_of`."""
    return (
        select(_FACTS.c.cancellation_id, _FACTS.c.content)
        .where(_FACTS.c.cancellation_id.in_(cancellations))
        .order_by(_FACTS.c.cancellation_id, _FACTS.c.seq)
    )


async def cases_of(session: AsyncSession, entries: Select[Any], by: Mapping[str, object]) -> list[Case]:
    """The cases of these entries, read at once."""
    found: dict[str, list[Entry]] = {}
    for cancellation, entry in (await session.execute(entries, by)).tuples():
        found.setdefault(cancellation, []).append(entry)
    return [Case(facts) for facts in found.values()]


def _of_order(row: type[Base], *order_by: str) -> Select[Any]:
    table = table_of(row)
    return select(table).where(table.c.order_id == bindparam("order")).order_by(*(table.c[name] for name in order_by))


_FACTS, _CANCELLATIONS = table_of(FactRow), table_of(CancellationRow)
_ORDER = _of_order(OrderRow)
_LOCKED_ORDER = _ORDER.with_for_update()
_LINES = _of_order(OrderLineRow, "position")
_TENDERS = _of_order(TenderRow, "position")
_SHIPMENTS = _of_order(ShipmentRow, "position")
_SHIPMENT_LINES = _of_order(ShipmentLineRow, "line_id")
_EARLIER = entries_where(
    select(_FACTS.c.cancellation_id)
    .join(_CANCELLATIONS, _CANCELLATIONS.c.cancellation_id == _FACTS.c.cancellation_id)
    .where(_CANCELLATIONS.c.order_id == bindparam("order"), _FACTS.c.kind.in_(("order_closed", "ended")))
)
