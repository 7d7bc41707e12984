"""The outbox: notices are written with the effect that they tell of, and handed to whoever sends them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.money import Money
from providers.order_book.port import NewNotice, Notice
from providers.order_book.reading import now
from providers.order_book.tables import CustomerRow, NoticeRow, OrderRow

_CLAIM = timedelta(minutes=1)


async def put_notices(session: AsyncSession, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
    """A cancellation tells the customer each kind of thing once, whichever effect comes first with it."""
    for notice in notices:
        notice_id = f"{cancellation_id}/{notice.kind.value}"
        if await session.get(NoticeRow, notice_id) is None:
            session.add(
                NoticeRow(
                    notice_id=notice_id,
                    kind=notice.kind,
                    order_id=order_id,
                    amount=notice.amount.amount if notice.amount else None,
                    currency=notice.amount.currency if notice.amount else None,
                    created_at=now(),
                    due_at=now(),
                    attempts=0,
                )
            )
            await session.flush()


async def claim_due(session: AsyncSession, at: datetime, limit: int) -> list[Notice]:
    """Claimed notices are due again in a minute: when the claimant dies, another one sends them. Two claimants at a time
    get different ones."""
    rows = await session.execute(
        select(NoticeRow, CustomerRow.email)
        .join(OrderRow, OrderRow.order_id == NoticeRow.order_id)
        .join(CustomerRow, CustomerRow.customer_id == OrderRow.customer_id)
        .where(NoticeRow.sent_at.is_(None), NoticeRow.refused_why.is_(None), NoticeRow.due_at <= at)
        .order_by(NoticeRow.created_at, NoticeRow.notice_id)
        .limit(limit)
        .with_for_update(of=NoticeRow, skip_locked=True)
    )
    claimed = []
    for row, email in rows.tuples():
        row.attempts += 1
        row.due_at = at + _CLAIM
        claimed.append(
            Notice(
                notice_id=row.notice_id,
                kind=row.kind,
                order_id=row.order_id,
                email=email,
                amount=amount_of(row),
                attempts=row.attempts,
            )
        )
    return claimed


def amount_of(row: NoticeRow) -> Money | None:
    if row.amount is None or row.currency is None:
        return None
    return Money(amount=row.amount, currency=row.currency)
