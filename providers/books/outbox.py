"""The outbox: notices are written with the effect that they are about, and requests that have to wait; both are handed to
whoever sends them. Its times are those of this machine, like those of whoever sends."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError
from sqlalchemy import Row, bindparam, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.base import Value
from domain.decision import request_conflict
from domain.errors import ErrorCode, Refused
from domain.keys import id_of
from domain.request import CancellationRequest
from providers.books.adapter import SqlAdapter
from providers.books.tables import DeferredRequestRow, NoticeRow
from providers.database.columns import Unread, table_of
from providers.database.engine import insert_once, transaction
from providers.outbox.port import DeferredRequest, DueNotice, NewNotice

V = TypeVar("V", bound=Value)

_CLAIM = timedelta(minutes=1)
"""What is claimed is due again after it: when the claimant is lost, another one sends it. Two claimants at a time get
different ones."""
_UNREADABLE = timedelta(minutes=5)
"""What a newer version has written waits for the deploy, and is not claimed all the time meanwhile."""
_NOTICES = table_of(NoticeRow)
_CHANGE_NOTICE = update(_NOTICES).where(_NOTICES.c.notice_id == bindparam("changed"))
_DEFERRED = table_of(DeferredRequestRow)
_WAKE = update(_DEFERRED).where(_DEFERRED.c.order_id == bindparam("order"), _DEFERRED.c.sent_at.is_(None))
# In the sequence of their indexes: a backlog is not sorted.
_DUE_NOTICES = (
    select(
        _NOTICES.c.notice_id,
        _NOTICES.c.order_id,
        _NOTICES.c.attempts,
        type_coerce(_NOTICES.c.content, Unread).label("content"),
    )
    .where(_NOTICES.c.sent_at.is_(None), _NOTICES.c.refused_why.is_(None), _NOTICES.c.due_at <= bindparam("at"))
    .order_by(_NOTICES.c.due_at, _NOTICES.c.notice_id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
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


class SqlOutbox(SqlAdapter):
    """See providers/outbox/port.py for what it promises."""

    async def add_notices(self, cancellation_id: str, order_id: str, notices: Sequence[NewNotice]) -> None:
        async with transaction(self._writes) as session:
            await put_notices(session, cancellation_id, order_id, notices)

    async def due_notices(self, now: datetime, limit: int) -> Sequence[DueNotice]:
        async with transaction(self._writes) as session:
            claims: list[dict[str, object]] = []
            claimed: list[DueNotice] = []
            for row in await session.execute(_DUE_NOTICES, {"at": now, "most": limit}):
                content = _read(NewNotice, row.content)
                due_at, attempts = now + (_CLAIM if content else _UNREADABLE), row.attempts + 1
                claims.append({"claimed": row.notice_id, "due_at": due_at, "attempts": attempts})
                if content is None:
                    structlog.get_logger().error("notice_unreadable", notice_id=row.notice_id, order_id=row.order_id)
                    continue
                claimed.append(
                    DueNotice(notice_id=row.notice_id, order_id=row.order_id, content=content, attempts=attempts)
                )
            if claims:
                await session.execute(_CLAIM_NOTICE, claims)
            return claimed

    async def notice_sent(self, notice_id: str, now: datetime) -> None:
        async with transaction(self._writes) as session:
            await _change_notice(session, notice_id, sent_at=now)

    async def notice_delayed(self, notice_id: str, until: datetime, why: str) -> None:
        async with transaction(self._writes) as session:
            await _change_notice(session, notice_id, due_at=until, delayed_why=why)

    async def notice_refused(self, notice_id: str, why: str) -> None:
        async with transaction(self._writes) as session:
            await _change_notice(session, notice_id, refused_why=why)

    # Rule: A request that the law does not let wait is kept and sent again
    async def defer_request(self, deferred: DeferredRequest, notices: Sequence[NewNotice]) -> None:
        async with transaction(self._writes) as session:
            request = deferred.request
            row = {
                "order_id": request.order_id,
                "request_id": request.request_id,
                "request": request,
                "received_at": deferred.received_at,
                "due_at": datetime.now(UTC),
                "attempts": 0,
            }
            await session.execute(insert_once(session, DeferredRequestRow), row)
            kept = await _find_deferred(session, request.order_id, request.request_id)
            if kept is not None and kept.request.content != request.content:
                raise Refused(ErrorCode.REQUEST_CONFLICT, request_conflict(request))
            await put_notices(session, id_of(request), request.order_id, notices)

    async def find_deferred(self, order_id: str, request_id: str) -> DeferredRequest | None:
        async with transaction(self._looks) as session:
            return await _find_deferred(session, order_id, request_id)

    async def due_requests(self, now: datetime, limit: int) -> Sequence[DeferredRequest]:
        async with transaction(self._writes) as session:
            claims: list[dict[str, object]] = []
            claimed: list[DeferredRequest] = []
            for row in await session.execute(_DUE_REQUESTS, {"at": now, "most": limit}):
                request = _read(CancellationRequest, row.request)
                due_at, attempts = now + (_CLAIM if request else _UNREADABLE), row.attempts + 1
                this = {"order": row.order_id, "claimed": row.request_id}
                claims.append({**this, "due_at": due_at, "attempts": attempts})
                if request is None:
                    log = structlog.get_logger().bind(order_id=row.order_id, request_id=row.request_id)
                    log.error("deferred_request_unreadable")
                    continue
                claimed.append(DeferredRequest(request=request, received_at=row.received_at, attempts=attempts))
            if claims:
                await session.execute(_CLAIM_REQUEST, claims)
            return claimed

    async def request_sent(self, request: CancellationRequest, now: datetime) -> None:
        async with transaction(self._writes) as session:
            (await _deferred_row(session, request)).sent_at = now

    async def request_delayed(self, request: CancellationRequest, until: datetime) -> None:
        async with transaction(self._writes) as session:
            row = await _deferred_row(session, request)
            if row.attempts:  # the cancellation that it waits for has not ended since it was claimed
                row.due_at = until


# Rule: A notice is written once and delivered later
async def put_notices(session: AsyncSession, cancellation: str, order_id: str, notices: Sequence[NewNotice]) -> None:
    """A cancellation sends each notice once, whichever effect comes first with it."""
    at = datetime.now(UTC)
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


def _read(model: type[V], content: str) -> V | None:
    """None: it is of a newer version, which has words that this one does not know."""
    try:
        return model.model_validate_json(content)
    except ValidationError:
        return None


async def _change_notice(session: AsyncSession, notice_id: str, **changes: datetime | str) -> None:
    await session.execute(_CHANGE_NOTICE, {"changed": notice_id, **changes})


async def wake_deferred(session: AsyncSession, order_id: str) -> None:
    """Requests that wait for the end of the order's cancellation are due, with pauses that begin anew."""
    await session.execute(_WAKE, {"order": order_id, "due_at": datetime.now(UTC), "attempts": 0})


async def _find_deferred(session: AsyncSession, order_id: str, request_id: str) -> DeferredRequest | None:
    row = (await session.execute(_FIND_DEFERRED, {"order": order_id, "request": request_id})).first()
    return _deferred(row) if row is not None else None


def _deferred(row: DeferredRequestRow | Row[Any]) -> DeferredRequest:
    return DeferredRequest(request=row.request, received_at=row.received_at, attempts=row.attempts)


async def _deferred_row(session: AsyncSession, request: CancellationRequest) -> DeferredRequestRow:
    return await session.get_one(DeferredRequestRow, (request.order_id, request.request_id), with_for_update=True)
