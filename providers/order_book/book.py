"""The order book in SQL: SQLite or PostgreSQL, by the engine's URL."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from domain.earlier import EarlierReversal
from domain.facts import Decided, Entry, Fact, Requested, Run
from domain.keys import EffectKey
from domain.money import Money
from domain.order import Order
from domain.outcome import Outcome
from domain.payment import Payment, Refund
from domain.policy import CustomerHistory
from domain.request import CHANGES_OF_MIND, CancellationRequest
from domain.shipment import Shipment
from providers.order_book import lifecycle, outbox, paper, stored_value, warehouse
from providers.order_book.columns import table_of
from providers.order_book.engine import looking, reading, transaction, writing
from providers.order_book.port import Credit, CreditedTender, DeferredRequest, Ending, NewNotice, Notice
from providers.order_book.reading import earlier_reversals, lock_order, read_order, read_shipment
from providers.order_book.tables import CancellationRow, FactRow, OrderRow

_ORDERS, _CANCELLATIONS, _FACTS = table_of(OrderRow), table_of(CancellationRow), table_of(FactRow)
_CARRIED_OUT = (
    select(_CANCELLATIONS.c.order_id, _FACTS.c.content)
    .join(_ORDERS, _ORDERS.c.order_id == _CANCELLATIONS.c.order_id)
    .join(_FACTS, _FACTS.c.cancellation_id == _CANCELLATIONS.c.cancellation_id)
    .where(
        _ORDERS.c.customer_id == bindparam("customer"),
        _ORDERS.c.order_id != bindparam("except"),
        _CANCELLATIONS.c.closed_at >= bindparam("since"),
        _CANCELLATIONS.c.outcome.in_((Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED)),
        _FACTS.c.kind == "requested",
    )
)


class SqlOrderBook:
    """Each method is one transaction, or one statement that reads; see providers/order_book/port.py for what it promises."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._looks = async_sessionmaker(looking(engine), expire_on_commit=False)
        self._reads = async_sessionmaker(reading(engine), expire_on_commit=False)
        self._writes = async_sessionmaker(writing(engine), expire_on_commit=False)

    async def read_order(self, order_id: str) -> Order:
        async with transaction(self._reads) as session:
            return await read_order(session, order_id)

    async def read_shipment(self, order_id: str, shipment_id: str) -> Shipment | None:
        async with transaction(self._reads) as session:
            return await read_shipment(session, order_id, shipment_id)

    async def earlier_reversals(self, order_id: str, reference: str, *, but: str) -> tuple[EarlierReversal, ...]:
        async with transaction(self._reads) as session:
            return await earlier_reversals(session, order_id, reference, but=but)

    async def customer_history(self, customer_id: str, since: datetime, *, but: str) -> CustomerHistory:
        async with transaction(self._looks) as session:
            carried_out = await session.execute(_CARRIED_OUT, {"customer": customer_id, "except": but, "since": since})
            orders = {
                order_id
                for order_id, entry in carried_out.tuples()
                if isinstance(entry.fact, Requested) and entry.fact.request.reason in CHANGES_OF_MIND
            }
            return CustomerHistory(cancellations=len(orders))

    async def hold_order(
        self,
        seen: Order,
        requested: Requested,
        decided: Decided,
        notices: Sequence[NewNotice],
        *,
        key: EffectKey,
        run: Run,
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await lifecycle.hold_order(session, seen, requested, decided, notices, key=key, run=run)

    async def release_order(self, order_id: str, notices: Sequence[NewNotice], *, key: EffectKey, run: Run) -> None:
        async with transaction(self._writes) as session:
            await lifecycle.release_order(session, order_id, notices, key=key, run=run)

    async def withdraw_pick(self, order_id: str, shipment_id: str, *, key: EffectKey, run: Run) -> None:
        async with transaction(self._writes) as session:
            await warehouse.withdraw_pick(session, order_id, shipment_id, key=key, run=run)

    async def resume_pick(self, order_id: str, shipment_id: str, *, key: EffectKey, run: Run) -> None:
        async with transaction(self._writes) as session:
            await warehouse.resume_pick(session, order_id, shipment_id, key=key, run=run)

    async def relabel(
        self,
        order_id: str,
        shipment_id: str,
        label_reference: str,
        tracking_number: str,
        *,
        key: EffectKey,
        run: Run,
    ) -> None:
        async with transaction(self._writes) as session:
            await warehouse.relabel(session, order_id, shipment_id, label_reference, tracking_number, key=key, run=run)

    async def replace_payment(self, order_id: str, tender_id: str, reference: str, *, key: EffectKey, run: Run) -> None:
        async with transaction(self._writes) as session:
            await warehouse.replace_payment(session, order_id, tender_id, reference, key=key, run=run)

    async def gift_card_used(self, account_id: str) -> bool:
        async with transaction(self._reads) as session:
            return await stored_value.gift_card_used(session, account_id)

    async def deactivate_gift_card(self, order_id: str, shipment_id: str, *, key: EffectKey, run: Run) -> bool:
        async with transaction(self._writes) as session:
            return await stored_value.deactivate_gift_card(session, order_id, shipment_id, key=key, run=run)

    async def reactivate_gift_card(
        self, order_id: str, shipment_id: str, *, key: EffectKey, undoes: EffectKey, run: Run
    ) -> None:
        async with transaction(self._writes) as session:
            await stored_value.reactivate_gift_card(session, order_id, shipment_id, key=key, undoes=undoes, run=run)

    async def read_balance(self, order_id: str, tender_id: str) -> Payment:
        async with transaction(self._reads) as session:
            return await stored_value.read_balance(session, order_id, tender_id)

    async def restore_balance(
        self, order_id: str, tender_id: str, amount: Money, *, key: EffectKey, run: Run
    ) -> Refund:
        async with transaction(self._writes) as session:
            return await stored_value.restore_balance(session, order_id, tender_id, amount, key=key, run=run)

    async def take_back_balance(
        self, order_id: str, tender_id: str, *, key: EffectKey, undoes: EffectKey, run: Run
    ) -> Refund | None:
        async with transaction(self._writes) as session:
            return await stored_value.take_back_balance(session, order_id, tender_id, key=key, undoes=undoes, run=run)

    async def credit(
        self, credit: Credit, notices: Sequence[NewNotice], *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await paper.issue_credit(session, credit, notices, key=key, run=run)

    async def skip_credit(self, order_id: str, currency: str, *, key: EffectKey, run: Run) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await paper.skip_credit(session, order_id, currency, key=key, run=run)

    async def revoke_credit(self, order_id: str, *, key: EffectKey, run: Run) -> str | None:
        async with transaction(self._writes) as session:
            return await paper.revoke_credit(session, order_id, key=key, run=run)

    async def close_order(
        self, order_id: str, notices: Sequence[NewNotice], ending: Ending | None, *, key: EffectKey, run: Run
    ) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await lifecycle.close_order(session, order_id, notices, ending, key=key, run=run)

    async def close_cancellation(self, order_id: str, ending: Ending, *, run: Run) -> tuple[Entry, ...]:
        async with transaction(self._writes) as session:
            return await lifecycle.close_cancellation(session, order_id, ending, run=run)

    async def reopen(
        self,
        cancellation_id: str,
        facts: Sequence[Fact],
        failed: Sequence[CreditedTender],
        notices: Sequence[NewNotice],
        *,
        seen: int,
        run: Run,
    ) -> bool:
        async with transaction(self._writes) as session:
            return await lifecycle.reopen(session, cancellation_id, facts, failed, notices, seen=seen, run=run)

    async def add_notices(self, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
        async with transaction(self._writes) as session:
            await lock_order(session, order_id)
            await outbox.put_notices(session, cancellation_id, order_id, notices)

    async def due_notices(self, now: datetime, limit: int) -> Sequence[Notice]:
        async with transaction(self._writes) as session:
            return await outbox.claim_due(session, now, limit)

    async def notice_sent(self, notice_id: str, now: datetime) -> None:
        async with transaction(self._writes) as session:
            await outbox.change_notice(session, notice_id, sent_at=now)

    async def notice_delayed(self, notice_id: str, until: datetime, why: str) -> None:
        async with transaction(self._writes) as session:
            await outbox.change_notice(session, notice_id, due_at=until, delayed_why=why)

    async def notice_refused(self, notice_id: str, why: str) -> None:
        async with transaction(self._writes) as session:
            await outbox.change_notice(session, notice_id, refused_why=why)

    async def defer_request(self, deferred: DeferredRequest, notices: Sequence[NewNotice]) -> None:
        async with transaction(self._writes) as session:
            await outbox.defer_request(session, deferred, notices)

    async def find_deferred(self, order_id: str, request_id: str) -> DeferredRequest | None:
        async with transaction(self._looks) as session:
            return await outbox.find_deferred(session, order_id, request_id)

    async def due_requests(self, now: datetime, limit: int) -> Sequence[DeferredRequest]:
        async with transaction(self._writes) as session:
            return await outbox.claim_due_requests(session, now, limit)

    async def request_sent(self, request: CancellationRequest, now: datetime) -> None:
        async with transaction(self._writes) as session:
            (await outbox.deferred_row(session, request)).sent_at = now

    async def request_delayed(self, request: CancellationRequest, until: datetime) -> None:
        async with transaction(self._writes) as session:
            await outbox.delay_request(session, request, until)
