"""The order book in SQL: SQLite or PostgreSQL, by the engine's URL."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from domain.errors import ErrorCode, Refused
from domain.money import Money
from domain.order import Order, OrderState
from domain.outcome import CancellationRecord, CancellationResult, Outcome
from domain.payment import Payment, Refund
from domain.policy import CustomerHistory
from domain.request import CHANGES_OF_MIND
from providers.order_book import outbox, paper, stored_value
from providers.order_book.closing import count_back, note_reversals, take_out
from providers.order_book.effects import find_effect, record_effect
from providers.order_book.engine import reading, transaction, writing
from providers.order_book.port import Closing, Credit, CreditedTender, CreditNote, NewNotice, Notice
from providers.order_book.reading import given_elsewhere, load_order, lock_order, now, order_of, record_of
from providers.order_book.tables import CancellationRow, EffectKind, EffectRow, NoticeRow, OrderRow, ShipmentRow


class SqlOrderBook:
    """Each method is one transaction; see providers/order_book/port.py for what it promises."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reads = async_sessionmaker(reading(engine), expire_on_commit=False)
        self._writes = async_sessionmaker(writing(engine), expire_on_commit=False)

    async def read_order(self, order_id: str) -> Order:
        async with transaction(self._reads) as session:
            order = await load_order(session, order_id)
            return order_of(order, await given_elsewhere(session, order))

    async def find_cancellation(self, order_id: str, request_id: str) -> CancellationRecord | None:
        of_this_order = select(CancellationRow).where(CancellationRow.order_id == order_id)
        async with transaction(self._reads) as session:
            found = await session.scalar(of_this_order.where(CancellationRow.closed_at.is_(None)))
            if found is None:
                found = await session.scalar(of_this_order.where(CancellationRow.request_id == request_id))
            if found is None:
                order = await session.get(OrderRow, order_id)
                if order is not None and order.state is OrderState.CANCELLED:
                    # Several may have taken lines out; the last of them left nothing.
                    found = await session.scalar(
                        of_this_order.where(
                            CancellationRow.outcome.in_((Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED))
                        )
                        .order_by(CancellationRow.closed_at.desc())
                        .limit(1)
                    )
            return record_of(found) if found is not None else None

    async def customer_history(self, customer_id: str, since: datetime, *, but: str) -> CustomerHistory:
        async with transaction(self._reads) as session:
            carried_out = await session.execute(
                select(CancellationRow.order_id, CancellationRow.request)
                .join(OrderRow, OrderRow.order_id == CancellationRow.order_id)
                .where(
                    OrderRow.customer_id == customer_id,
                    OrderRow.order_id != but,
                    CancellationRow.closed_at >= since,
                    CancellationRow.outcome.in_((Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED)),
                )
            )
            orders = {order_id for order_id, request in carried_out.tuples() if request.reason in CHANGES_OF_MIND}
            return CustomerHistory(cancellations=len(orders))

    async def hold_order(self, record: CancellationRecord, notices: Sequence[NewNotice], *, key: str) -> None:
        async with transaction(self._writes) as session:
            order = await lock_order(session, record.order_id)
            if await find_effect(session, key, EffectKind.HOLD_ORDER) or order.held_by == record.cancellation_id:
                return
            if order.held_by is not None:
                raise Refused(
                    ErrorCode.ORDER_HELD,
                    f"Order {order.order_id} is held by cancellation {order.held_by}. "
                    "Wait until that one has ended, or withdraw it, and ask again.",
                )
            if await session.get(CancellationRow, record.cancellation_id) is not None:
                raise Refused(
                    ErrorCode.ORDER_HELD,
                    f"Cancellation {record.cancellation_id} of order {order.order_id} has ended already. "
                    "Ask again with a new request id.",
                )
            session.add(
                CancellationRow(
                    cancellation_id=record.cancellation_id,
                    order_id=record.order_id,
                    request_id=record.request.request_id,
                    request=record.request,
                    decision=record.decision,
                    plan=record.plan,
                    opened_at=now(),
                )
            )
            order.held_by = record.cancellation_id
            await session.flush()
            record_effect(
                session, key, EffectKind.HOLD_ORDER, order_id=order.order_id, cancellation_id=record.cancellation_id
            )
            await outbox.put_notices(session, record.cancellation_id, order.order_id, notices)

    async def release_order(self, result: CancellationResult, notices: Sequence[NewNotice], *, key: str) -> None:
        # The promise was never touched: reservations are given up when the order is closed, not when it is held.
        async with transaction(self._writes) as session:
            order = await session.get(OrderRow, result.order_id, with_for_update=True)
            cancellation = await session.get(CancellationRow, result.cancellation_id)
            if order is None or cancellation is None or cancellation.closed_at is not None:
                return
            _end(order, cancellation, result)
            record_effect(
                session, key, EffectKind.RELEASE_ORDER, order_id=order.order_id, cancellation_id=result.cancellation_id
            )
            await outbox.put_notices(session, result.cancellation_id, order.order_id, notices)

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: str) -> None:
        async with transaction(self._writes) as session:
            order = await lock_order(session, order_id)
            if await find_effect(session, key, EffectKind.WITHDRAW_PICK):
                return
            shipment = await session.get(ShipmentRow, (order_id, shipment_id))
            if shipment is None or shipment.label_reference is not None or shipment.handed_over:
                raise Refused(
                    ErrorCode.SHIPMENT_NOT_STOPPABLE,
                    f"Shipment {shipment_id} of order {order_id} is not in the warehouse's work: it has a label, has left, "
                    "or does not exist. Ask its carrier where it is.",
                )
            shipment.stopped = True
            record_effect(session, key, EffectKind.WITHDRAW_PICK, order_id=order_id, cancellation_id=order.held_by)

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: str) -> None:
        async with transaction(self._writes) as session:
            order = await lock_order(session, order_id)
            if await find_effect(session, key, EffectKind.RESUME_PICK):
                return
            shipment = await session.get(ShipmentRow, (order_id, shipment_id))
            if shipment is None or not shipment.stopped:
                return
            shipment.stopped = False
            record_effect(session, key, EffectKind.RESUME_PICK, order_id=order_id, cancellation_id=order.held_by)

    async def relabel(
        self, order_id: str, shipment_id: str, label_reference: str, tracking_number: str, *, key: str
    ) -> None:
        async with transaction(self._writes) as session:
            order = await lock_order(session, order_id)
            if await find_effect(session, key, EffectKind.RELABEL):
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
            record_effect(
                session,
                key,
                EffectKind.RELABEL,
                order_id=order_id,
                cancellation_id=order.held_by,
                reference=label_reference,
            )

    async def gift_card_used(self, account_id: str) -> bool:
        async with transaction(self._reads) as session:
            return await stored_value.gift_card_used(session, account_id)

    async def deactivate_gift_card(self, order_id: str, shipment_id: str, *, key: str) -> bool:
        async with transaction(self._writes) as session:
            return await stored_value.deactivate_gift_card(session, order_id, shipment_id, key=key)

    async def reactivate_gift_card(self, order_id: str, shipment_id: str, *, key: str, undoes: str) -> None:
        async with transaction(self._writes) as session:
            await stored_value.reactivate_gift_card(session, order_id, shipment_id, key=key, undoes=undoes)

    async def read_balance(self, order_id: str, tender_id: str) -> Payment:
        async with transaction(self._reads) as session:
            return await stored_value.read_balance(session, order_id, tender_id)

    async def restore_balance(self, order_id: str, tender_id: str, amount: Money, *, key: str) -> Refund:
        async with transaction(self._writes) as session:
            return await stored_value.restore_balance(session, order_id, tender_id, amount, key=key)

    async def take_back_balance(self, order_id: str, tender_id: str, *, key: str, undoes: str) -> Refund | None:
        async with transaction(self._writes) as session:
            return await stored_value.take_back_balance(session, order_id, tender_id, key=key, undoes=undoes)

    async def credit(self, credit: Credit, notices: Sequence[NewNotice], *, key: str) -> CreditNote:
        async with transaction(self._writes) as session:
            return await paper.issue_credit(session, credit, notices, key=key)

    async def revoke_credit(self, cancellation_id: str, *, key: str) -> str | None:
        async with transaction(self._writes) as session:
            return await paper.revoke_credit(session, cancellation_id, key=key)

    async def close_order(self, closing: Closing, notices: Sequence[NewNotice], *, key: str) -> None:
        async with transaction(self._writes) as session:
            await lock_order(session, closing.order_id)
            effect = await find_effect(session, key, EffectKind.CLOSE_ORDER)
            order = await load_order(session, closing.order_id)
            cancellation = await session.get(CancellationRow, closing.cancellation_id)
            # The first time it may have been closed under another number of the key.
            carried_out = cancellation.carried_out if cancellation is not None else None
            closed_before = effect is not None or carried_out is not None
            if closed_before and cancellation is not None and cancellation.closed_at is not None:
                return
            if order.locked_reason is not None:
                raise Refused(
                    ErrorCode.ORDER_LOCKED,
                    f"Order {order.order_id} cannot be changed: {order.locked_reason}. "
                    "Have it unlocked in the order management system, then retry the step.",
                )
            if cancellation is None or order.held_by != closing.cancellation_id:
                raise Refused(
                    ErrorCode.ORDER_HELD,
                    f"Order {order.order_id} is not held by cancellation {closing.cancellation_id}, which therefore cannot "
                    "close it. See in the order book which cancellation ended or holds it.",
                )
            if closed_before:
                await count_back(session, order, closing)
            else:
                await take_out(session, order, closing)
                record_effect(
                    session,
                    key,
                    EffectKind.CLOSE_ORDER,
                    order_id=order.order_id,
                    cancellation_id=closing.cancellation_id,
                )
            note_reversals(order, cancellation, closing)
            _end(order, cancellation, closing.result)
            await outbox.put_notices(session, closing.cancellation_id, order.order_id, notices)

    async def reopen(
        self, cancellation_id: str, failed: Sequence[CreditedTender], notices: Sequence[NewNotice], *, key: str
    ) -> None:
        async with transaction(self._writes) as session:
            cancellation = await session.get_one(CancellationRow, cancellation_id)
            order = await lock_order(session, cancellation.order_id)
            await session.refresh(cancellation)
            if cancellation.closed_at is None:
                return
            if order.held_by is not None:
                raise Refused(
                    ErrorCode.ORDER_HELD,
                    f"Order {order.order_id} is held by cancellation {order.held_by}; {cancellation_id} is taken up again "
                    "when that one has ended.",
                )
            order.held_by = cancellation_id
            cancellation.closed_at = cancellation.outcome = cancellation.result = None
            for tender in failed:
                await paper.take_settlement_back(session, cancellation_id, tender)
            times = await session.scalar(
                select(func.count())
                .select_from(EffectRow)
                .where(EffectRow.cancellation_id == cancellation_id, EffectRow.kind == EffectKind.REOPEN)
            )
            record_effect(
                session,
                f"{key}/reopen/{(times or 0) + 1}",
                EffectKind.REOPEN,
                order_id=order.order_id,
                cancellation_id=cancellation_id,
            )
            await outbox.put_notices(session, cancellation_id, order.order_id, notices)

    async def tell(self, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
        async with transaction(self._writes) as session:
            await lock_order(session, order_id)
            await outbox.put_notices(session, cancellation_id, order_id, notices)

    async def due_notices(self, now: datetime, limit: int) -> Sequence[Notice]:
        async with transaction(self._writes) as session:
            return await outbox.claim_due(session, now, limit)

    async def notice_sent(self, notice_id: str, now: datetime) -> None:
        async with transaction(self._writes) as session:
            (await session.get_one(NoticeRow, notice_id, with_for_update=True)).sent_at = now

    async def notice_delayed(self, notice_id: str, until: datetime, why: str) -> None:
        async with transaction(self._writes) as session:
            notice = await session.get_one(NoticeRow, notice_id, with_for_update=True)
            notice.due_at = until
            notice.delayed_why = why

    async def notice_refused(self, notice_id: str, why: str) -> None:
        async with transaction(self._writes) as session:
            (await session.get_one(NoticeRow, notice_id, with_for_update=True)).refused_why = why


def _end(order: OrderRow, cancellation: CancellationRow, result: CancellationResult) -> None:
    """Take the hold off and close the cancellation."""
    if order.held_by == cancellation.cancellation_id:
        order.held_by = None
    cancellation.result = result
    cancellation.outcome = result.outcome
    cancellation.closed_at = now()
