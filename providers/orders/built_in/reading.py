"""Rows of the built-in order management system as values of the domain."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from domain.errors import ErrorCode, Refused
from domain.money import Money
from domain.order import Contact, Order, OrderLine, Tender
from domain.shipment import Shipment, ShipmentLine
from providers.database.columns import Base, table_of
from providers.orders.built_in.tables import (
    CustomerRow,
    OrderLineRow,
    OrderRow,
    ShipmentLineRow,
    ShipmentRow,
    TenderRow,
)


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
        ErrorCode.ORDER_NOT_FOUND,
        f"The order management system has no order {order_id}. Check the order number and ask again.",
    )


async def read_order(session: AsyncSession, order_id: str) -> Order:
    """Refused: ORDER_NOT_FOUND."""
    this = {"order": order_id}
    order = (await session.execute(_ORDER, this)).first()
    if order is None:
        raise _not_found(order_id)
    lines = await session.execute(_LINES, this)
    tenders = await session.execute(_TENDERS, this)
    shipments = (await session.execute(_SHIPMENTS, this)).all()
    packed = (await session.execute(_SHIPMENT_LINES, this)).all() if shipments else ()
    return Order(
        order_id=order.order_id,
        customer_id=order.customer_id,
        placed_at=order.placed_at,
        currency=order.currency,
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
            )
            for tender in tenders
        ),
        shipments=tuple(_shipment_of(shipment, packed) for shipment in shipments),
        shipping=Money(amount=order.shipping, currency=order.currency),
        shipping_tax=_if_any(order.shipping_tax, order.currency),
        discount=_if_any(order.discount, order.currency),
        country=order.country,
        flags=order.flags,
        contact=Contact(email=order.email, language=order.language),
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


def _of_order(row: type[Base], *order_by: str) -> Select[Any]:
    table = table_of(row)
    return select(table).where(table.c.order_id == bindparam("order")).order_by(*(table.c[name] for name in order_by))


_ORDERS, _CUSTOMERS = table_of(OrderRow), table_of(CustomerRow)
_ORDER = (
    select(_ORDERS, _CUSTOMERS.c.email, _CUSTOMERS.c.language)
    .join(_CUSTOMERS, _CUSTOMERS.c.customer_id == _ORDERS.c.customer_id)
    .where(_ORDERS.c.order_id == bindparam("order"))
)
_LINES = _of_order(OrderLineRow, "position")
_TENDERS = _of_order(TenderRow, "position")
_SHIPMENTS = _of_order(ShipmentRow, "position")
_SHIPMENT_LINES = _of_order(ShipmentLineRow, "line_id")
