"""The outbox: notices are written with the effect that they tell of, and handed to whoever sends them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from providers.order_book.port import NewNotice, Notice, NoticeLine
from providers.order_book.reading import now
from providers.order_book.tables import CustomerRow, NoticeRow, OrderLineRow, OrderRow

_CLAIM = timedelta(minutes=1)
_STAFF_LANGUAGE = "en"


async def put_notices(session: AsyncSession, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
    """A cancellation tells each thing once, whichever effect comes first with it."""
    for notice in notices:
        notice_id = "/".join(part for part in (cancellation_id, notice.kind.value, notice.about) if part)
        if await session.get(NoticeRow, notice_id) is None:
            session.add(
                NoticeRow(
                    notice_id=notice_id,
                    kind=notice.kind,
                    order_id=order_id,
                    content=notice,
                    created_at=now(),
                    due_at=now(),
                    attempts=0,
                )
            )
            await session.flush()


async def claim_due(session: AsyncSession, at: datetime, limit: int) -> list[Notice]:
    """Claimed notices are due again in a minute: when the claimant dies, another one sends them. Two claimants at a time
    get different ones."""
    found = await session.execute(
        select(NoticeRow, CustomerRow.email, CustomerRow.language)
        .join(OrderRow, OrderRow.order_id == NoticeRow.order_id)
        .join(CustomerRow, CustomerRow.customer_id == OrderRow.customer_id)
        .where(NoticeRow.sent_at.is_(None), NoticeRow.refused_why.is_(None), NoticeRow.due_at <= at)
        .order_by(NoticeRow.created_at, NoticeRow.notice_id)
        .limit(limit)
        .with_for_update(of=NoticeRow, skip_locked=True)
    )
    rows = found.tuples().all()
    titles = await _titles(session, {row.order_id for row, _, _ in rows if row.content.lines or row.content.left_out})
    claimed = []
    for row, email, language in rows:
        row.attempts += 1
        row.due_at = at + _CLAIM
        content = row.content
        told = {name: getattr(content, name) for name in type(content).model_fields}
        told["lines"] = _titled(row.order_id, content.lines, titles)
        told["left_out"] = _titled(row.order_id, content.left_out, titles)
        claimed.append(
            Notice(
                **told,
                notice_id=row.notice_id,
                order_id=row.order_id,
                email=content.to or email,
                language=_STAFF_LANGUAGE if content.to else language,
                attempts=row.attempts,
            )
        )
    return claimed


async def _titles(session: AsyncSession, orders: set[str]) -> dict[tuple[str, str], str]:
    if not orders:
        return {}
    found = await session.execute(
        select(OrderLineRow.order_id, OrderLineRow.line_id, OrderLineRow.title).where(OrderLineRow.order_id.in_(orders))
    )
    return {(order_id, line_id): title for order_id, line_id, title in found.tuples()}


def _titled(
    order_id: str, lines: Sequence[NoticeLine], titles: Mapping[tuple[str, str], str]
) -> tuple[NoticeLine, ...]:
    """A withdrawal is acknowledged as it was declared, so it may name a line that the order does not have."""
    return tuple(
        line.model_copy(update={"title": titles.get((order_id, line.line_id), line.line_id)}) for line in lines
    )
