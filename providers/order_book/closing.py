"""The end of a cancellation in the OMS: fulfilments first, then the lines, then the order."""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import case, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.order import OrderState
from domain.outcome import CarriedOut
from providers.order_book.port import Closing
from providers.order_book.tables import CancellationRow, OrderRow, StockRow


@dataclass
class _StockChange:
    on_hand: int = 0
    reserved: int = 0
    expected_back: int = 0


async def take_out(session: AsyncSession, order: OrderRow, closing: Closing) -> None:
    """Take the cancelled units out of the order's parcels, lines and reservations."""
    for shipment in order.shipments:
        if shipment.shipment_id in closing.stopped:
            shipment.stopped = True
            # What was not cancelled of a stopped parcel goes back to the warehouse's work: it is in no parcel any more.
            for part in shipment.lines:
                part.taken_out = part.quantity

    shipments = {shipment.shipment_id: shipment for shipment in order.shipments}
    lines = {line.line_id: line for line in order.lines}
    stock: defaultdict[str, _StockChange] = defaultdict(_StockChange)
    for planned in closing.plan.lines:
        line = lines[planned.line_id]
        change = stock[line.sku]
        parcel = shipments[planned.shipment_id] if planned.shipment_id is not None else None
        if parcel is not None and parcel.shipment_id not in closing.stopped:
            part = next(part for part in parcel.lines if part.line_id == planned.line_id)
            part.taken_out += planned.quantity
        # Units on back order hold no reservation, so there may be less to release than is cancelled.
        promised = 0 if parcel is not None and parcel.handed_over else min(planned.quantity, line.reserved)
        line.cancelled += planned.quantity
        line.reserved -= promised
        change.reserved -= promised
        if planned.shipment_id in closing.coming_back:
            change.expected_back += planned.quantity
        if planned.shipment_id in closing.gone:
            # The carrier knows that these left before the warehouse has booked it: they are not on hand any more, and
            # would be counted twice when they arrive.
            change.on_hand -= promised
    # In one sequence for all transactions, because the rows are shared between orders.
    for sku, change in sorted(stock.items()):
        await session.execute(
            update(StockRow)
            .where(StockRow.sku == sku)
            .values(
                on_hand=StockRow.on_hand + change.on_hand,
                reserved=StockRow.reserved + change.reserved,
                expected_back=StockRow.expected_back + change.expected_back,
            )
        )

    for shipment in order.shipments:
        # It has left, whatever the warehouse knows of it: its units are counted above.
        shipment.handed_over = shipment.handed_over or shipment.shipment_id in closing.gone

    order.shipping_credited += closing.plan.shipping.amount
    if all(line.cancelled == line.quantity for line in order.lines):
        order.state = OrderState.CANCELLED
    elif any(line.cancelled for line in order.lines):
        order.state = OrderState.PARTIALLY_CANCELLED


async def count_back(session: AsyncSession, order: OrderRow, closing: Closing) -> None:
    """Of a cancellation that was opened again: parcels that were in the warehouse when it was first closed, and have left
    it since. Their units count as on hand until they are known to have left."""
    lines = {line.line_id: line for line in order.lines}
    for shipment in order.shipments:
        if shipment.shipment_id in closing.gone and not shipment.handed_over:
            shipment.handed_over = True
            back = shipment.shipment_id in closing.coming_back
            for planned in closing.plan.lines:
                if planned.shipment_id == shipment.shipment_id:
                    await session.execute(
                        update(StockRow)
                        .where(StockRow.sku == lines[planned.line_id].sku)
                        .values(
                            # Sold meanwhile: the shelf is empty already, and the warehouse sees at its next count why.
                            on_hand=case(
                                (StockRow.on_hand >= planned.quantity, StockRow.on_hand - planned.quantity), else_=0
                            ),
                            expected_back=StockRow.expected_back + (planned.quantity if back else 0),
                        )
                    )


def note_reversals(order: OrderRow, cancellation: CancellationRow, closing: Closing) -> None:
    """In the place of what the cancellation noted before, when it was closed before."""
    tenders = {tender.tender_id: tender for tender in order.tenders}
    for sign, reversals in (
        (-1, cancellation.carried_out.reversals if cancellation.carried_out else ()),
        (1, closing.reversals),
    ):
        for reversal in reversals:
            tender = tenders[reversal.tender_id]
            tender.refunded += sign * reversal.refunded.amount
            tender.released += sign * reversal.released.amount
    cancellation.carried_out = CarriedOut(
        plan=closing.plan,
        stops=closing.stops,
        reversals=closing.reversals,
        credit_note=closing.result.credit_note,
    )
