"""A backlog of what is to be sent: a claim reads its index and sorts nothing, because it holds the only write lock of SQLite
while it reads."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.request import ReasonCode
from providers.books.books import SqlBooks
from providers.books.inbox import SqlInbox
from providers.events.stripe import StripeEventKind
from providers.inbox.port import Provider, ProviderEvent
from providers.outbox.port import DeferredRequest, NewNotice, NoticeKind
from sandbox import built_in
from tests.providers.merchant import Merchant, cancellation, order

BACKLOG = 5000

Claim = Callable[[AsyncEngine, datetime], Awaitable[Sequence[object]]]


async def claim_notices(database: AsyncEngine, now: datetime) -> Sequence[object]:
    return await SqlBooks(database).due_notices(now, 20)


async def claim_requests(database: AsyncEngine, now: datetime) -> Sequence[object]:
    return await SqlBooks(database).due_requests(now, 10)


async def claim_events(database: AsyncEngine, now: datetime) -> Sequence[object]:
    return await SqlInbox(database).claim_due(now, 50)


async def one_of_each(database: AsyncEngine) -> None:
    book = SqlBooks(database)
    placed = order()
    await built_in.add_order(database, placed, email="buyer@shop.example")
    await Merchant.at(database).hold(cancellation(placed), [NewNotice(kind=NoticeKind.RECEIVED)])
    waiting = cancellation(placed, request_id="R-2", reason=ReasonCode.STATUTORY_WITHDRAWAL).request
    await book.defer_request(DeferredRequest(request=waiting, received_at=datetime.now(UTC)), [])
    arrived = ProviderEvent(
        provider=Provider.STRIPE, event_id="evt_1", kind=StripeEventKind.REFUND_UPDATED, payment="pi_1"
    )
    await SqlInbox(database).receive(arrived)


async def multiply(database: AsyncEngine, table: str, column: str) -> None:
    """The one row of the table, thousands of times under other ids."""
    async with database.connect() as connection:
        found = await connection.execute(text(f"SELECT * FROM {table} LIMIT 1"))
        columns = [*found.keys()]
    copied = [f"{name} || '-' || n" if name == column else name for name in columns]
    numbers = f"WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < {BACKLOG})"
    async with database.begin() as connection:
        await connection.execute(
            text(f"{numbers} INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(copied)} FROM {table}, more")
            if database.name == "postgresql"
            else text(
                f"INSERT INTO {table} ({', '.join(columns)}) {numbers} SELECT {', '.join(copied)} FROM {table}, more"
            )
        )
        await connection.execute(text("ANALYZE"))


@pytest.mark.parametrize(
    ("table", "column", "index", "claim"),
    [
        ("notices", "notice_id", "ix_notices_unsent", claim_notices),
        ("deferred_requests", "request_id", "ix_deferred_requests_unsent", claim_requests),
        ("webhook_events", "event_id", "ix_webhook_events_due", claim_events),
    ],
)
async def test_a_claim_reads_its_index_and_sorts_no_backlog(
    database: AsyncEngine, table: str, column: str, index: str, claim: Claim
) -> None:
    """M31"""
    await one_of_each(database)
    await multiply(database, table, column)
    statements: list[tuple[str, Any]] = []

    def keep(connection: object, cursor: object, statement: str, parameters: object, *rest: object) -> None:
        if f"FROM {table}" in statement and statement.lstrip().startswith("SELECT"):
            statements.append((statement, parameters))

    event.listen(database.sync_engine, "before_cursor_execute", keep)
    assert await claim(database, datetime.now(UTC))
    event.remove(database.sync_engine, "before_cursor_execute", keep)
    statement, parameters = statements[0]
    explain = "EXPLAIN" if database.name == "postgresql" else "EXPLAIN QUERY PLAN"
    async with database.connect() as connection:
        plan = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
        steps = "\n".join(str(step[-1]) for step in plan.all())
        await connection.rollback()
    assert index in steps, steps
    assert not any(word in steps for word in ("TEMP B-TREE", "Sort", "Seq Scan on " + table)), steps
