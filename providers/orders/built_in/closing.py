"""The end of a cancellation in the OMS: fulfilments first, then the lines, then the order."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Integer, bindparam, update
from sqlalchemy import case as when
from sqlalchemy.ext.asyncio import AsyncSession

from domain.closing import Closing, changed_at_close
from domain.errors import ErrorCode, Refused
from providers.database.columns import table_of
from providers.orders.built_in.tables import OrderRow, StockRow


@dataclass
class _StockChange:
    on_hand_by: int = 0
    reserved_by: int = 0
    expected_back_by: int = 0


def check_unchanged(order: OrderRow, closing: Closing) -> None:
    """Nobody but us takes units out of an order that is frozen. Refused: ORDER_CHANGED."""
    others = closing.taken_by_others({line.line_id: line.cancelled for line in order.lines})
    if others:
        raise Refused(ErrorCode.ORDER_CHANGED, changed_at_close(order.order_id, others))


# Rule: Stock is released, expected back or left alone
async def take_out(session: AsyncSession, order: OrderRow, closing: Closing) -> None:
    """Take the cancelled units out of the order's parcels, lines and reservations."""
    _stop(order, closing)
    shipments = {shipment.shipment_id: shipment for shipment in order.shipments}
    lines = {line.line_id: line for line in order.lines}
    stock: defaultdict[str, _StockChange] = defaultdict(_StockChange)
    for planned in closing.lines:
        line = lines[planned.line_id]
        change = stock[line.sku]
        parcel = shipments.get(planned.shipment_id or "")  # None: not in a parcel, or in one that was dropped
        if parcel is not None and parcel.shipment_id not in closing.stopped:
            part = next((part for part in parcel.lines if part.line_id == planned.line_id), None)
            if part is not None:  # None: the warehouse has packed it another way since
                part.taken_out = min(part.taken_out + planned.quantity, part.quantity)
        # Units on back order hold no reservation, so there may be less to release than is cancelled.
        promised = 0 if parcel is not None and parcel.handed_over else min(planned.quantity, line.reserved)
        line.cancelled += planned.quantity
        line.reserved -= promised
        change.reserved_by -= promised
        if planned.shipment_id in closing.coming_back:
            change.expected_back_by += planned.quantity
        if planned.shipment_id in closing.gone:
            # The carrier knows that these left before the warehouse has booked it: they are not on hand any more, and would
            # be counted twice when they arrive.
            change.on_hand_by -= promised
    await _book(session, stock)
    for shipment in order.shipments:
        # It has left, whatever the warehouse knows of it: its units are counted above.
        shipment.handed_over = shipment.handed_over or shipment.shipment_id in closing.gone


async def count_back(session: AsyncSession, order: OrderRow, before: Closing, now: Closing) -> None:
    """Of an order that was closed before: parcels that have left the warehouse since, that come back after all, or that do
    not. Their units count as on hand until they are known to have left."""
    _stop(order, now)
    lines = {line.line_id: line for line in order.lines}
    stock: defaultdict[str, _StockChange] = defaultdict(_StockChange)
    for shipment in order.shipments:
        left = shipment.shipment_id in now.gone - before.gone and not shipment.handed_over
        back = (shipment.shipment_id in now.coming_back) - (shipment.shipment_id in before.coming_back)
        for planned in now.lines:
            if planned.shipment_id == shipment.shipment_id:
                change = stock[lines[planned.line_id].sku]
                change.on_hand_by -= planned.quantity * left
                change.expected_back_by += planned.quantity * back
        shipment.handed_over = shipment.handed_over or left
    await _book(session, stock)


def _stop(order: OrderRow, closing: Closing) -> None:
    for shipment in order.shipments:
        if shipment.shipment_id in closing.stopped:
            shipment.stopped = True
            # What was not cancelled of a stopped parcel goes back to the warehouse's work: it is in no parcel any more.
            for part in shipment.lines:
                part.taken_out = part.quantity


async def _book(session: AsyncSession, stock: Mapping[str, _StockChange]) -> None:
    """In one sequence for all transactions, because the rows are shared between orders."""
    changes = [{"changed": sku, **asdict(change)} for sku, change in sorted(stock.items())]
    if changes:
        await session.execute(_CHANGE_STOCK, changes)


def _changed(column: str) -> ColumnElement[int]:
    """Never below zero: sold or booked in meanwhile, and the warehouse sees at its next count why."""
    changed = _STOCK.c[column] + bindparam(f"{column}_by", type_=Integer)
    return when((changed >= 0, changed), else_=0)


_STOCK = table_of(StockRow)
_CHANGE_STOCK = (
    update(_STOCK)
    .where(_STOCK.c.sku == bindparam("changed"))
    .values(
        on_hand=_changed("on_hand"),
        reserved=_STOCK.c.reserved + bindparam("reserved_by", type_=Integer),
        expected_back=_changed("expected_back"),
    )
)
