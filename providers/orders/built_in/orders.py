"""The built-in order management system, in SQL: for shops without one of their own, and for trying the product out."""

from collections.abc import Sequence

from sqlalchemy import CursorResult, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from domain.closing import Closing
from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.findings import Finding, Subject
from domain.keys import EffectKey
from domain.order import Order
from providers.database.columns import table_of
from providers.database.engine import insert_once, reading, transaction, writing
from providers.orders.built_in.closing import check_unchanged, count_back, take_out
from providers.orders.built_in.effects import is_done, record_effect
from providers.orders.built_in.reading import load_order, lock_order, read_order
from providers.orders.built_in.tables import EffectKind, EffectRow, GivenBackRow, OrderRow, ShipmentRow, TenderRow
from providers.orders.port import GivenBack

_ORDERS = table_of(OrderRow)
_EFFECTS = table_of(EffectRow)
_LET_GO = select(_EFFECTS.c.key).where(
    _EFFECTS.c.cancellation_id == bindparam("by"),
    _EFFECTS.c.kind.in_([EffectKind.THAW, EffectKind.CLOSE_ORDER]),
)
_HOLD = (
    update(_ORDERS).where(_ORDERS.c.order_id == bindparam("held"), ~_LET_GO.exists()).values(held_by=bindparam("by"))
)
"""Not for a cancellation that has let the order go: the call was on its way for long, and nobody would thaw it again."""


_TENDERS = table_of(TenderRow)
_PAY_BY = (
    update(_TENDERS)
    .where(_TENDERS.c.order_id == bindparam("of"), _TENDERS.c.reference == bindparam("before"))
    .values(reference=bindparam("by"))
)
_GIVEN_BACK = table_of(GivenBackRow)
_FORGET_GIVEN_BACK = delete(_GIVEN_BACK).where(
    _GIVEN_BACK.c.order_id == bindparam("of"), _GIVEN_BACK.c.cancellation_id == bindparam("by")
)


class BuiltInOrders:
    """Each method is one transaction; see providers/orders/port.py for what it promises."""

    is_local = True
    restocks_at_once = False
    others_can_thaw = False

    def __init__(self, engine: AsyncEngine) -> None:
        self._reads = async_sessionmaker(reading(engine), expire_on_commit=False)
        self._writes = async_sessionmaker(writing(engine), expire_on_commit=False)

    async def list_findings(self) -> tuple[Finding, ...]:
        return tuple(Finding.of(subject, known=True) for subject in Subject)

    async def read(self, order_id: str) -> Order:
        async with transaction(self._reads) as session:
            return await read_order(session, order_id)

    async def freeze(self, seen: Order, *, key: EffectKey) -> bool:
        async with transaction(self._writes, lost=OutcomeUnknown) as session:
            held_by = (await lock_order(session, seen.order_id)).held_by
            order = await read_order(session, seen.order_id)
            if held_by not in {None, key.cancellation_id}:
                raise Unavailable(
                    f"Order {seen.order_id} is frozen for {held_by}. End that, or thaw the order; it is tried again."
                )
            if order != seen:
                raise Unavailable(
                    f"Order {seen.order_id} has changed while it was looked at; it is read and decided about again."
                )
            frozen = await session.execute(_HOLD, {"held": seen.order_id, "by": key.cancellation_id})
            assert isinstance(frozen, CursorResult)
            return bool(frozen.rowcount)

    async def thaw(self, order_id: str, *, key: EffectKey) -> None:
        # The promise was never touched: reservations are given up when the order is closed, not when it is frozen.
        async with transaction(self._writes, lost=OutcomeUnknown) as session:
            order = await session.get(OrderRow, order_id, with_for_update=True)
            if order is None or await is_done(session, key, EffectKind.THAW):
                return
            if order.held_by == key.cancellation_id:
                order.held_by = None
            await record_effect(session, key, EffectKind.THAW, order_id=order_id)

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        async with transaction(self._writes, lost=OutcomeUnknown) as session:
            await lock_order(session, order_id)
            if await is_done(session, key, EffectKind.WITHDRAW_PICK):
                return
            shipment = await session.get(ShipmentRow, (order_id, shipment_id))
            if shipment is None or shipment.label_reference is not None or shipment.handed_over:
                raise Refused(
                    ErrorCode.SHIPMENT_NOT_STOPPABLE,
                    f"Shipment {shipment_id} of order {order_id} is not in the warehouse's work: it has a label, has left, "
                    "or does not exist. Ask its carrier where it is.",
                )
            shipment.stopped = True
            await record_effect(session, key, EffectKind.WITHDRAW_PICK, order_id=order_id)

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        async with transaction(self._writes, lost=OutcomeUnknown) as session:
            await lock_order(session, order_id)
            if await is_done(session, key, EffectKind.RESUME_PICK):
                return
            shipment = await session.get(ShipmentRow, (order_id, shipment_id))
            if shipment is None or not shipment.stopped or shipment.handed_over:
                return
            shipment.stopped = False
            await record_effect(session, key, EffectKind.RESUME_PICK, order_id=order_id)

    async def relabel(
        self, order_id: str, shipment_id: str, label_reference: str, tracking_number: str, *, key: EffectKey
    ) -> None:
        async with transaction(self._writes, lost=OutcomeUnknown) as session:
            await lock_order(session, order_id)
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

    async def replace_payment(self, order_id: str, tender_id: str, reference: str, *, key: EffectKey) -> None:
        async with transaction(self._writes, lost=OutcomeUnknown) as session:
            await lock_order(session, order_id)
            if await is_done(session, key, EffectKind.REPLACE_PAYMENT):
                return
            tender = await session.get(TenderRow, (order_id, tender_id))
            if tender is None:
                raise Refused(
                    ErrorCode.PAYMENT_NOT_FOUND,
                    f"Order {order_id} has no tender {tender_id} that the payment {reference} could replace. "
                    "Check the order's tenders.",
                )
            await session.execute(_PAY_BY, {"of": order_id, "before": tender.reference, "by": reference})
            await record_effect(session, key, EffectKind.REPLACE_PAYMENT, order_id=order_id, reference=reference)

    # Rule: A locked order is not closed
    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        async with transaction(self._writes, lost=OutcomeUnknown) as session:
            order = await load_order(session, order_id)
            if await is_done(session, key, EffectKind.CLOSE_ORDER):
                return
            if order.locked_reason is not None:
                raise Refused(
                    ErrorCode.ORDER_LOCKED,
                    f"Order {order_id} cannot be changed: {order.locked_reason}. "
                    "Have it unlocked in the order management system, then retry the step.",
                )
            if before is None:
                check_unchanged(order, closing)
                await take_out(session, order, closing)
            else:
                await count_back(session, order, before, closing)
            await record_effect(session, key, EffectKind.CLOSE_ORDER, order_id=order_id)
            if order.held_by == key.cancellation_id:
                order.held_by = None

    async def note_given_back(self, order_id: str, given: Sequence[GivenBack], *, key: EffectKey) -> None:
        rows = [
            {
                "order_id": order_id,
                "reference": part.reference,
                "tender_id": part.tender_id,
                "amount": part.amount.amount,
                "cancellation_id": key.cancellation_id,
            }
            for part in given
        ]
        async with transaction(self._writes, lost=OutcomeUnknown) as session:
            await session.execute(_FORGET_GIVEN_BACK, {"of": order_id, "by": key.cancellation_id})
            if rows:
                await session.execute(insert_once(session, GivenBackRow), rows)
