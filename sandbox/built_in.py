"""Sample data for the built-in order management system and the built-in stored value, and a look into their tables: for the
demo and the tests, never for the product."""

from collections.abc import Mapping, Set
from datetime import UTC, datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from domain.base import Value
from domain.money import Money
from domain.order import Order, Tender, TenderKind
from domain.shipment import Shipment
from providers.database.engine import reading, writing
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
from providers.stored_value.tables import AccountEntryRow, AccountRow


class Effect(Value):
    """What the order management system or the stored value did under a key."""

    key: str
    kind: str


class Stock(Value):
    sku: str
    on_hand: int
    reserved: int
    expected_back: int


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


async def add_payment(engine: AsyncEngine, order_id: str, tender: Tender) -> bool:
    """The order is sent by express, say: that much is added to its shipping charge, and paid by another payment. False:
    nothing is left of it to be sent."""
    async with async_sessionmaker(writing(engine)).begin() as session:
        order = await session.get_one(OrderRow, order_id, with_for_update=True)
        lines = await session.scalars(select(OrderLineRow).where(OrderLineRow.order_id == order_id))
        if all(line.cancelled == line.quantity for line in lines):
            return False
        order.shipping += tender.amount.amount
        await _name_payment(session, order_id, tender)
        return True


async def exchange_payment(engine: AsyncEngine, order_id: str, tender_id: str, by: Tender) -> None:
    """The order is paid another way: it does not name that tender any more."""
    async with async_sessionmaker(writing(engine)).begin() as session:
        await session.delete(await session.get_one(TenderRow, (order_id, tender_id)))
        await _name_payment(session, order_id, by)


async def _name_payment(session: AsyncSession, order_id: str, tender: Tender) -> None:
    named = await session.scalars(select(TenderRow).where(TenderRow.order_id == order_id))
    session.add(
        TenderRow(
            order_id=order_id,
            tender_id=tender.tender_id,
            position=max((row.position for row in named), default=-1) + 1,
            kind=tender.kind,
            amount=tender.amount.amount,
            reference=tender.reference,
        )
    )


async def change_prices(engine: AsyncEngine, order_id: str, totals: Mapping[str, Money]) -> None:
    """By line, what all its units cost from now on."""
    async with async_sessionmaker(writing(engine)).begin() as session:
        for line_id, total in totals.items():
            line = await session.get_one(OrderLineRow, (order_id, line_id))
            line.total = total.amount


async def transfer_order(engine: AsyncEngine, order_id: str, customer_id: str) -> None:
    """The accounts of two customers are merged: the order is the other one's from now on."""
    async with async_sessionmaker(writing(engine)).begin() as session:
        order = await session.get_one(OrderRow, order_id)
        old = await session.get_one(CustomerRow, order.customer_id)
        session.add(CustomerRow(customer_id=customer_id, email=old.email, language=old.language))
        await session.flush()
        order.customer_id = customer_id


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


async def stock(engine: AsyncEngine, sku: str) -> Stock:
    async with async_sessionmaker(reading(engine)).begin() as session:
        row = await session.get_one(StockRow, sku)
        return Stock(sku=sku, on_hand=row.on_hand, reserved=row.reserved, expected_back=row.expected_back)
