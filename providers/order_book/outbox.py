"""The outbox: notices are written with the effect that they are about, and requests that have to wait; both are handed to
whoever sends them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError
from sqlalchemy import Row, bindparam, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.base import Value
from domain.errors import ErrorCode, Refused
from domain.keys import cancellation_id
from domain.policy import request_conflict
from domain.request import CancellationRequest
from providers.order_book.columns import Unread, table_of
from providers.order_book.engine import insert_once
from providers.order_book.port import DeferredRequest, NewNotice, Notice, NoticeLine
from providers.order_book.reading import lock_order, now
from providers.order_book.tables import CustomerRow, DeferredRequestRow, NoticeRow, OrderLineRow, OrderRow

V = TypeVar("V", bound=Value)

_CLAIM = timedelta(minutes=1)
_UNREADABLE = timedelta(minutes=5)
"""What a newer version has written waits for the deploy, and is not claimed all the time meanwhile."""
_STAFF_LANGUAGE = "en"
_NOTICES = table_of(NoticeRow)
_CHANGE_NOTICE = update(_NOTICES).where(_NOTICES.c.notice_id == bindparam("changed"))
_DEFERRED = table_of(DeferredRequestRow)
_ORDERS, _CUSTOMERS = table_of(OrderRow), table_of(CustomerRow)
# In the sequence of their indexes: a backlog is not sorted.
_DUE_NOTICES = (
    select(
        _NOTICES.c.notice_id,
        _NOTICES.c.order_id,
        _NOTICES.c.attempts,
        type_coerce(_NOTICES.c.content, Unread).label("content"),
        _CUSTOMERS.c.email,
        _CUSTOMERS.c.language,
    )
    .join(_ORDERS, _ORDERS.c.order_id == _NOTICES.c.order_id)
    .join(_CUSTOMERS, _CUSTOMERS.c.customer_id == _ORDERS.c.customer_id)
    .where(_NOTICES.c.sent_at.is_(None), _NOTICES.c.refused_why.is_(None), _NOTICES.c.due_at <= bindparam("at"))
    .order_by(_NOTICES.c.due_at, _NOTICES.c.notice_id)
    .limit(bindparam("most"))
    .with_for_update(of=_NOTICES, skip_locked=True)
)
_CLAIM_NOTICE = update(_NOTICES).where(_NOTICES.c.notice_id == bindparam("claimed"))
_DUE_REQUESTS = (
    select(
        _DEFERRED.c.order_id,
        _DEFERRED.c.request_id,
        _DEFERRED.c.received_at,
        _DEFERRED.c.attempts,
        type_coerce(_DEFERRED.c.request, Unread).label("request"),
    )
    .where(_DEFERRED.c.sent_at.is_(None), _DEFERRED.c.due_at <= bindparam("at"))
    .order_by(_DEFERRED.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIM_REQUEST = update(_DEFERRED).where(
    _DEFERRED.c.order_id == bindparam("order"), _DEFERRED.c.request_id == bindparam("claimed")
)
_FIND_DEFERRED = select(_DEFERRED).where(
    _DEFERRED.c.order_id == bindparam("order"), _DEFERRED.c.request_id == bindparam("request")
)


async def put_notices(session: AsyncSession, cancellation: str, order_id: str, notices: Sequence[NewNotice]) -> None:
    """A cancellation sends each notice once, whichever effect comes first with it."""
    at = now()
    rows = [
        {
            "notice_id": "/".join(part for part in (cancellation, notice.kind.value, notice.about) if part),
            "kind": notice.kind,
            "order_id": order_id,
            "content": notice,
            "created_at": at,
            "due_at": at,
            "attempts": 0,
        }
        for notice in notices
    ]
    if rows:
        await session.execute(insert_once(session, NoticeRow), rows)


async def claim_due(session: AsyncSession, at: datetime, limit: int) -> list[Notice]:
    """Claimed notices are due again in a minute: when the claimant is lost, another one sends them. Two claimants at a time
    get different ones."""
    rows = (await session.execute(_DUE_NOTICES, {"at": at, "most": limit})).all()
    if not rows:
        return []
    read = {row.notice_id: _read(NewNotice, row.content) for row in rows}
    await session.execute(
        _CLAIM_NOTICE,
        [
            {
                "claimed": row.notice_id,
                "due_at": at + (_CLAIM if read[row.notice_id] else _UNREADABLE),
                "attempts": row.attempts + 1,
            }
            for row in rows
        ],
    )
    titles = await _titles(
        session, {row.order_id for row in rows if (c := read[row.notice_id]) and (c.lines or c.left_out)}
    )
    claimed = []
    for row in rows:
        content = read[row.notice_id]
        if content is None:
            log = structlog.get_logger().bind(notice_id=row.notice_id, order_id=row.order_id)
            log.error("notice_unreadable")
            continue
        fields = {name: getattr(content, name) for name in type(content).model_fields}
        fields["lines"] = _titled(row.order_id, content.lines, titles)
        fields["left_out"] = _titled(row.order_id, content.left_out, titles)
        claimed.append(
            Notice(
                **fields,
                notice_id=row.notice_id,
                order_id=row.order_id,
                email=content.to or row.email,
                language=_STAFF_LANGUAGE if content.to else row.language,
                attempts=row.attempts + 1,
            )
        )
    return claimed


def _read(model: type[V], content: str) -> V | None:
    """None: it is of a newer version, which has words that this one does not know."""
    try:
        return model.model_validate_json(content)
    except ValidationError:
        return None


async def change_notice(session: AsyncSession, notice_id: str, **changes: datetime | str) -> None:
    await session.execute(_CHANGE_NOTICE, {"changed": notice_id, **changes})


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


# Requests that have to wait


async def defer_request(session: AsyncSession, deferred: DeferredRequest, notices: Sequence[NewNotice]) -> None:
    request = deferred.request
    await lock_order(session, request.order_id)
    kept = await session.get(DeferredRequestRow, (request.order_id, request.request_id))
    if kept is not None and kept.request.unsigned != request.unsigned:
        raise Refused(ErrorCode.REQUEST_CONFLICT, request_conflict(request))
    if kept is None:
        session.add(
            DeferredRequestRow(
                order_id=request.order_id,
                request_id=request.request_id,
                request=request,
                received_at=deferred.received_at,
                due_at=now(),
                attempts=0,
            )
        )
    opens = cancellation_id(request.order_id, request.request_id)
    await put_notices(session, opens, request.order_id, notices)


async def find_deferred(session: AsyncSession, order_id: str, request_id: str) -> DeferredRequest | None:
    row = (await session.execute(_FIND_DEFERRED, {"order": order_id, "request": request_id})).first()
    return _deferred(row) if row is not None else None


async def claim_due_requests(session: AsyncSession, at: datetime, limit: int) -> list[DeferredRequest]:
    """Claimed as notices are."""
    rows = (await session.execute(_DUE_REQUESTS, {"at": at, "most": limit})).all()
    claims: list[dict[str, object]] = []
    claimed: list[DeferredRequest] = []
    for row in rows:
        request = _read(CancellationRequest, row.request)
        due_at = at + (_CLAIM if request else _UNREADABLE)
        this = {"order": row.order_id, "claimed": row.request_id}
        claims.append({**this, "due_at": due_at, "attempts": row.attempts + 1})
        if request is None:
            log = structlog.get_logger().bind(order_id=row.order_id, request_id=row.request_id)
            log.error("deferred_request_unreadable")
            continue
        claimed.append(DeferredRequest(request=request, received_at=row.received_at, attempts=row.attempts + 1))
    if claims:
        await session.execute(_CLAIM_REQUEST, claims)
    return claimed


def _deferred(row: DeferredRequestRow | Row[Any]) -> DeferredRequest:
    return DeferredRequest(request=row.request, received_at=row.received_at, attempts=row.attempts)


async def delay_request(session: AsyncSession, request: CancellationRequest, until: datetime) -> None:
    """Not where the cancellation that it waits for has ended since it was claimed: then it is due."""
    row = await deferred_row(session, request)
    if row.attempts:
        row.due_at = until


async def deferred_row(session: AsyncSession, request: CancellationRequest) -> DeferredRequestRow:
    return await session.get_one(DeferredRequestRow, (request.order_id, request.request_id), with_for_update=True)
