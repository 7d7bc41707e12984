"""A look into our own books: for the demo and the tests, never for the product."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from domain.base import Value
from domain.facts import Entry, Requested
from domain.money import Money
from domain.order import Order
from domain.outcome import Outcome
from domain.request import CancellationRequest
from domain.reversal import Reversal
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
from providers.database.engine import reading
from providers.orders.built_in.reading import read_order
from providers.orders.built_in.tables import (
    OrderRow,
)
from providers.outbox.port import NoticeKind, NoticeLine


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


class OutboxNotice(Value):
    notice_id: str
    kind: NoticeKind
    order_id: str
    amount: Money | None
    lines: tuple[NoticeLine, ...]
    to: str | None
    received_at: datetime | None
    due_at: datetime
    sent_at: datetime | None
    attempts: int
    delayed_why: str | None
    refused_why: str | None


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


async def notices(engine: AsyncEngine) -> list[OutboxNotice]:
    """Sent or not, oldest first."""
    async with async_sessionmaker(reading(engine)).begin() as session:
        return [
            OutboxNotice(
                notice_id=row.notice_id,
                kind=row.kind,
                order_id=row.order_id,
                amount=row.content.amount,
                lines=row.content.lines,
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
