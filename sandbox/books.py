"""Sample data for the built-in order management system, and a look into its tables and into our own books: for the demo and
the tests, never for the product."""

from collections.abc import Callable, Mapping, Set
from datetime import UTC, datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from domain.base import Value
from domain.facts import Entry, Requested
from domain.money import Money
from domain.order import Order, TenderKind
from domain.outcome import Outcome
from domain.request import CancellationRequest
from domain.reversal import Reversal
from domain.shipment import Shipment
from providers.books.reading import known_order
from providers.books.tables import (
    CancellationRow,
    DocumentKind,
    DocumentRow,
    FactRow,
    LedgerAccount,
    NoticeRow,
    TransferRow,
)
from providers.books.transfers import payable as still_payable
from providers.database.engine import reading, writing
from providers.orders.built_in.reading import read_order
from providers.orders.built_in.tables import (
    CustomerRow,
    EffectRow,
    OrderLineRow,
    OrderRow,
    ShipmentLineRow,
    ShipmentRow,
    StockRow,
    TenderRow,
)
from providers.outbox.port import NoticeKind
from providers.stored_value.tables import AccountEntryRow, AccountRow


class Transfer(Value):
    key: str
    cancellation_id: str
    debit: LedgerAccount
    credit: LedgerAccount
    amount: Money
    reference: str


class Document(Value):
    number: str
    kind: DocumentKind
    cancellation_id: str
    order_id: str
    total: Money
    tax: Money


class Effect(Value):
    """What the order management system or the stored value did under a key."""

    key: str
    kind: str


class OutboxNotice(Value):
    notice_id: str
    kind: NoticeKind
    order_id: str
    amount: Money | None
    to: str | None
    received_at: datetime | None
    due_at: datetime
    sent_at: datetime | None
    attempts: int
    delayed_why: str | None
    refused_why: str | None


class Stock(Value):
    sku: str
    on_hand: int
    reserved: int
    expected_back: int


class GivenBack(Value):
    """What cancellations that closed the order gave back on one tender."""

    tender_id: str
    refunded: Money
    released: Money


class CancellationState(Value):
    """Where a cancellation stands in the register; `outcome` None: it is open."""

    cancellation_id: str
    order_id: str
    outcome: Outcome | None


async def add_order(
    engine: AsyncEngine,
    order: Order,
    *,
    email: str,
    language: str = "en",
    on_hand: Mapping[str, int] | None = None,
    balances: Mapping[str, Money] | None = None,
    handed_over: Set[str] = frozenset(),
) -> None:
    """Put an order in. Its units are reserved, except those in the shipments `handed_over` to the carrier. `on_hand` adds
    stock by SKU (when not given: what the order reserves). `balances` by account is what is left on a gift card or store
    credit now, after this order was paid with it (when not given: nothing), or what a gift card was bought for."""
    travelling: dict[str, int] = {}
    for shipment in order.shipments:
        if shipment.shipment_id in handed_over:
            for part in shipment.lines:
                travelling[part.line_id] = travelling.get(part.line_id, 0) + part.quantity
    async with async_sessionmaker(writing(engine)).begin() as session:
        if await session.get(CustomerRow, order.customer_id) is None:
            session.add(CustomerRow(customer_id=order.customer_id, email=email, language=language))
            await session.flush()
        for line in sorted(order.lines, key=lambda line: line.sku):
            reserved = line.remaining - travelling.get(line.line_id, 0)
            stock = await session.get(StockRow, line.sku, with_for_update=True)
            if stock is None:
                stock = StockRow(sku=line.sku, on_hand=0, reserved=0, expected_back=0)
                session.add(stock)
            stock.on_hand += on_hand[line.sku] if on_hand is not None else reserved
            stock.reserved += reserved
        for tender in order.tenders:
            if (
                tender.kind in {TenderKind.CARD, TenderKind.MARKETPLACE}
                or await session.get(AccountRow, tender.reference) is not None
            ):
                continue
            left = (balances or {}).get(tender.reference, Money.zero(order.currency))
            session.add(
                AccountRow(account_id=tender.reference, kind=tender.kind, currency=left.currency, balance=left.amount)
            )
            await session.flush()
            if left:
                session.add(
                    AccountEntryRow(
                        key=f"opening/{tender.reference}",
                        account_id=tender.reference,
                        amount=left.amount,
                        at=datetime.now(UTC),
                    )
                )
        for shipment in order.shipments:
            if shipment.gift_card:
                face = (balances or {})[shipment.gift_card]
                session.add(
                    AccountRow(
                        account_id=shipment.gift_card,
                        kind=TenderKind.GIFT_CARD,
                        currency=face.currency,
                        balance=face.amount,
                    )
                )
                await session.flush()
                session.add(
                    AccountEntryRow(
                        key=f"sold/{shipment.gift_card}",
                        account_id=shipment.gift_card,
                        amount=face.amount,
                        at=datetime.now(UTC),
                    )
                )
        session.add(
            OrderRow(
                order_id=order.order_id,
                customer_id=order.customer_id,
                placed_at=order.placed_at,
                currency=order.currency,
                shipping=order.shipping.amount,
                shipping_tax=order.shipping_tax.amount if order.shipping_tax else 0,
                discount=order.discount.amount if order.discount else 0,
                country=order.country,
                flags=order.flags,
                lines=[
                    OrderLineRow(
                        line_id=line.line_id,
                        position=position,
                        sku=line.sku,
                        title=line.title,
                        quantity=line.quantity,
                        total=line.total.amount,
                        tax=line.tax.amount,
                        cancelled=line.cancelled,
                        condition=line.condition,
                        reserved=line.remaining - travelling.get(line.line_id, 0),
                    )
                    for position, line in enumerate(order.lines)
                ],
                tenders=[
                    TenderRow(
                        tender_id=tender.tender_id,
                        position=position,
                        kind=tender.kind,
                        amount=tender.amount.amount,
                        reference=tender.reference,
                    )
                    for position, tender in enumerate(order.tenders)
                ],
            )
        )
        await session.flush()
        for position, shipment in enumerate(order.shipments):
            await _pack(session, order.order_id, shipment, position, handed_over=shipment.shipment_id in handed_over)


async def _pack(session: AsyncSession, order_id: str, shipment: Shipment, position: int, *, handed_over: bool) -> None:
    session.add(
        ShipmentRow(
            order_id=order_id,
            shipment_id=shipment.shipment_id,
            position=position,
            carrier=shipment.carrier,
            label_reference=shipment.label_reference,
            tracking_number=shipment.tracking_number,
            gift_card=shipment.gift_card,
            stopped=shipment.stopped,
            handed_over=handed_over,
        )
    )
    await session.flush()
    for part in shipment.lines:
        session.add(
            ShipmentLineRow(
                order_id=order_id,
                shipment_id=shipment.shipment_id,
                line_id=part.line_id,
                quantity=part.quantity,
                taken_out=0,
            )
        )


async def add_shipment(engine: AsyncEngine, order_id: str, shipment: Shipment) -> None:
    """The warehouse packs a parcel of an order that had none."""
    async with async_sessionmaker(writing(engine)).begin() as session:
        await _pack(session, order_id, shipment, 0, handed_over=False)


async def remove_shipment(engine: AsyncEngine, order_id: str, shipment_id: str) -> None:
    """The warehouse takes a shipment off the order, to pack its goods another way."""
    async with async_sessionmaker(writing(engine)).begin() as session:
        of_it = (ShipmentLineRow.order_id == order_id, ShipmentLineRow.shipment_id == shipment_id)
        await session.execute(delete(ShipmentLineRow).where(*of_it))
        await session.delete(await session.get_one(ShipmentRow, (order_id, shipment_id)))


async def lock_order(engine: AsyncEngine, order_id: str, reason: str | None) -> None:
    """Close the books on an order for `reason`; None opens them again."""
    async with async_sessionmaker(writing(engine)).begin() as session:
        await session.execute(update(OrderRow).where(OrderRow.order_id == order_id).values(locked_reason=reason))


async def spend_balance(engine: AsyncEngine, account_id: str, amount: Money, *, key: str) -> None:
    """The customer pays something else with a gift card or store credit."""
    async with async_sessionmaker(writing(engine)).begin() as session:
        account = await session.get_one(AccountRow, account_id, with_for_update=True)
        account.balance -= amount.amount
        session.add(AccountEntryRow(key=key, account_id=account_id, amount=-amount.amount, at=datetime.now(UTC)))


async def balance(engine: AsyncEngine, account_id: str) -> Money:
    async with async_sessionmaker(reading(engine)).begin() as session:
        account = await session.get_one(AccountRow, account_id)
        return Money(amount=account.balance, currency=account.currency)


async def ledger(engine: AsyncEngine) -> list[Transfer]:
    async with async_sessionmaker(reading(engine)).begin() as session:
        return [
            Transfer(
                key=row.key,
                cancellation_id=row.cancellation_id,
                debit=row.debit_account,
                credit=row.credit_account,
                amount=Money(amount=row.amount, currency=row.currency),
                reference=row.reference,
            )
            for row in await session.scalars(select(TransferRow).order_by(TransferRow.transfer_id))
        ]


async def documents(engine: AsyncEngine) -> list[Document]:
    async with async_sessionmaker(reading(engine)).begin() as session:
        return [
            Document(
                number=row.number,
                kind=row.kind,
                cancellation_id=row.cancellation_id,
                order_id=row.order_id,
                total=Money(amount=row.total, currency=row.currency),
                tax=Money(amount=row.tax, currency=row.currency),
            )
            for row in await session.scalars(select(DocumentRow).order_by(DocumentRow.number))
        ]


async def effects(engine: AsyncEngine) -> list[Effect]:
    """Those of the order management system, then those of the stored value, each oldest first."""
    async with async_sessionmaker(reading(engine)).begin() as session:
        done = await session.scalars(select(EffectRow).order_by(EffectRow.at, EffectRow.key))
        moved = await session.scalars(
            select(AccountEntryRow).where(AccountEntryRow.key.startswith("can-")).order_by(AccountEntryRow.entry_id)
        )
        return [
            *(Effect(key=row.key, kind=row.kind.value) for row in done),
            *(Effect(key=row.key, kind="put_back" if row.amount > 0 else "taken_off") for row in moved),
        ]


async def notices(engine: AsyncEngine) -> list[OutboxNotice]:
    """Sent or not, oldest first."""
    async with async_sessionmaker(reading(engine)).begin() as session:
        return [
            OutboxNotice(
                notice_id=row.notice_id,
                kind=row.kind,
                order_id=row.order_id,
                amount=row.content.amount,
                to=row.content.to,
                received_at=row.content.received_at,
                due_at=row.due_at,
                sent_at=row.sent_at,
                attempts=row.attempts,
                delayed_why=row.delayed_why,
                refused_why=row.refused_why,
            )
            for row in await session.scalars(select(NoticeRow).order_by(NoticeRow.created_at, NoticeRow.notice_id))
        ]


async def stock(engine: AsyncEngine, sku: str) -> Stock:
    async with async_sessionmaker(reading(engine)).begin() as session:
        row = await session.get_one(StockRow, sku)
        return Stock(sku=sku, on_hand=row.on_hand, reserved=row.reserved, expected_back=row.expected_back)


async def order(engine: AsyncEngine, order_id: str) -> Order:
    """The order with what its cancellations did to it; `held_by` is whoever has frozen it in the order management system."""
    async with async_sessionmaker(reading(engine)).begin() as session:
        known = await known_order(session, order_id)
        seen = known.lay_over(await read_order(session, order_id))
        frozen_by = (await session.get_one(OrderRow, order_id)).held_by
        return seen.model_copy(update={"held_by": frozen_by})


async def given_back(engine: AsyncEngine, order_id: str) -> list[GivenBack]:
    async with async_sessionmaker(reading(engine)).begin() as session:
        order = await read_order(session, order_id)
        closed = [case for case in (await known_order(session, order_id)).cases if case.ever_closed]
        reversals = [reversal for case in closed for reversal in case.reversals]

        def total(tender_id: str, amount: Callable[[Reversal], Money]) -> Money:
            return Money.total((amount(r) for r in reversals if r.tender_id == tender_id), order.currency)

        return [
            GivenBack(
                tender_id=tender.tender_id,
                refunded=total(tender.tender_id, lambda reversal: reversal.refunded),
                released=total(tender.tender_id, lambda reversal: reversal.released),
            )
            for tender in order.tenders
        ]


async def payable(engine: AsyncEngine, cancellation_id: str) -> Money | None:
    """What the ledger says is still owed to the customer; None where it says nothing of the cancellation."""
    async with async_sessionmaker(reading(engine)).begin() as session:
        currency = await session.scalar(
            select(TransferRow.currency).where(TransferRow.cancellation_id == cancellation_id).limit(1)
        )
        return await still_payable(session, cancellation_id, currency) if currency else None


async def cancellations(engine: AsyncEngine) -> list[CancellationState]:
    """Every cancellation that was ever opened, oldest first."""
    async with async_sessionmaker(reading(engine)).begin() as session:
        return [
            CancellationState(cancellation_id=row.cancellation_id, order_id=row.order_id, outcome=row.outcome)
            for row in await session.scalars(select(CancellationRow).order_by(CancellationRow.opened_at))
        ]


async def facts(engine: AsyncEngine, order_id: str) -> list[Entry]:
    """The facts of all cancellations of the order, the oldest cancellation first."""
    async with async_sessionmaker(reading(engine)).begin() as session:
        found = await session.scalars(
            select(FactRow.content)
            .join(CancellationRow, CancellationRow.cancellation_id == FactRow.cancellation_id)
            .where(CancellationRow.order_id == order_id)
            .order_by(CancellationRow.opened_at, FactRow.cancellation_id, FactRow.seq)
        )
        return [*found]


async def request_of(engine: AsyncEngine, order_id: str) -> CancellationRequest:
    """The request that opened the order's latest cancellation."""
    opened = [entry.fact for entry in await facts(engine, order_id) if isinstance(entry.fact, Requested)]
    return opened[-1].request
