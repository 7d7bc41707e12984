"""The order's parcels as the warehouse sees them, and the payment that the order is paid by."""

from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ErrorCode, Refused
from domain.facts import Run
from domain.keys import EffectKey
from providers.order_book.columns import EffectKind
from providers.order_book.effects import is_done, record_effect
from providers.order_book.reading import lock_order, now
from providers.order_book.tables import ReplacedPaymentRow, ShipmentRow, TenderRow
from providers.register.writing import lock, note_and_end


async def withdraw_pick(session: AsyncSession, order_id: str, shipment_id: str, *, key: EffectKey, run: Run) -> None:
    await lock_order(session, order_id)
    row = await lock(session, key.cancellation_id, run)
    if await is_done(session, key, EffectKind.WITHDRAW_PICK):
        return
    shipment = await session.get(ShipmentRow, (order_id, shipment_id))
    if shipment is None or shipment.label_reference is not None or shipment.handed_over:
        raise Refused(
            ErrorCode.SHIPMENT_NOT_STOPPABLE,
            f"Shipment {shipment_id} of order {order_id} is not in the warehouse's work: it has a label, has left, or does "
            "not exist. Ask its carrier where it is.",
        )
    shipment.stopped = True
    await record_effect(session, key, EffectKind.WITHDRAW_PICK, order_id=order_id)
    await note_and_end(session, row, key)


async def resume_pick(session: AsyncSession, order_id: str, shipment_id: str, *, key: EffectKey, run: Run) -> None:
    await lock_order(session, order_id)
    row = await lock(session, key.cancellation_id, run)
    if await is_done(session, key, EffectKind.RESUME_PICK):
        return
    shipment = await session.get(ShipmentRow, (order_id, shipment_id))
    if shipment is None or not shipment.stopped or shipment.handed_over:
        return
    shipment.stopped = False
    await record_effect(session, key, EffectKind.RESUME_PICK, order_id=order_id)
    await note_and_end(session, row, key)


async def relabel(
    session: AsyncSession,
    order_id: str,
    shipment_id: str,
    label_reference: str,
    tracking_number: str,
    *,
    key: EffectKey,
    run: Run,
) -> None:
    await lock_order(session, order_id)
    await lock(session, key.cancellation_id, run)
    if await is_done(session, key, EffectKind.RELABEL):
        return
    shipment = await session.get(ShipmentRow, (order_id, shipment_id))
    if shipment is None:
        raise Refused(
            ErrorCode.STOP_NOT_UNDOABLE,
            f"Order {order_id} has no shipment {shipment_id} to put the new label {label_reference} on. "
            "Check the order's shipments and void the label if it is not needed.",
        )
    shipment.label_reference = label_reference
    shipment.tracking_number = tracking_number
    shipment.stopped = False
    await record_effect(session, key, EffectKind.RELABEL, order_id=order_id, reference=label_reference)


async def replace_payment(
    session: AsyncSession, order_id: str, tender_id: str, reference: str, *, key: EffectKey, run: Run
) -> None:
    await lock_order(session, order_id)
    await lock(session, key.cancellation_id, run)
    if await is_done(session, key, EffectKind.REPLACE_PAYMENT):
        return
    tender = await session.get(TenderRow, (order_id, tender_id))
    if tender is None:
        raise Refused(
            ErrorCode.PAYMENT_NOT_FOUND,
            f"Order {order_id} has no tender {tender_id} that the payment {reference} could replace. "
            "Check the order's tenders.",
        )
    session.add(ReplacedPaymentRow(order_id=order_id, reference=tender.reference, at=now()))
    tender.reference = reference
    await record_effect(session, key, EffectKind.REPLACE_PAYMENT, order_id=order_id, reference=reference)
