"""The order book's outbox: every notice is claimed by one sender at a time and sent until it is sent or refused."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.money import money
from providers.order_book.book import SqlOrderBook
from providers.order_book.port import NewNotice, Notice, NoticeKind
from sandbox import books
from tests.providers.order_book_samples import by_card, credit, order, record

EMAIL = "customer@example.test"


async def notify(order_book: SqlOrderBook, database: AsyncEngine, orders: int = 1) -> datetime:
    """Hold so many orders with a notice each; a time at which all are due."""
    for number in range(orders):
        placed = order(f"O-{number}")
        await books.add_order(database, placed, email=EMAIL)
        await order_book.hold_order(record(placed), [NewNotice(kind=NoticeKind.RECEIVED)], key=f"hold {number}")
    return datetime.now(UTC)


async def test_a_notice_carries_what_is_needed_to_write_it(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    now = await notify(order_book, database)

    due = await order_book.due_notices(now, 10)

    opened = record(order("O-0"))
    assert due == [
        Notice(
            notice_id=f"{opened.cancellation_id}/received",
            kind=NoticeKind.RECEIVED,
            order_id="O-0",
            email=EMAIL,
            language="en",
            amount=None,
            attempts=1,
        )
    ]


async def test_a_kind_is_told_once_whichever_effect_brings_it(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await notify(order_book, database)
    refunded = NewNotice(kind=NoticeKind.REFUNDED, amount=money("42.35 USD"))
    given = credit(record(order("O-0")), by_card("42.35 USD", "re_1"))

    await order_book.credit(given, [refunded], key="credit")
    await order_book.credit(given, [refunded, NewNotice(kind=NoticeKind.RECEIVED)], key="credit again")

    assert [(notice.kind, notice.amount) for notice in await books.notices(database)] == [
        (NoticeKind.RECEIVED, None),
        (NoticeKind.REFUNDED, money("42.35 USD")),
    ]


async def test_two_senders_at_once_get_different_notices(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    now = await notify(order_book, database, orders=12)

    claims = await asyncio.gather(*(order_book.due_notices(now, 3) for _ in range(6)))

    claimed = [notice.notice_id for claim in claims for notice in claim]
    claimed += [notice.notice_id for notice in await order_book.due_notices(now, 12)]  # what a busy row kept back
    assert sorted(claimed) == sorted(notice.notice_id for notice in await books.notices(database))
    assert len(set(claimed)) == 12


async def test_a_claim_of_a_sender_that_died_runs_out(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """D8: nothing is lost between the claim and the mail server."""
    now = await notify(order_book, database)
    first = await order_book.due_notices(now, 10)

    assert await order_book.due_notices(now + timedelta(seconds=59), 10) == []
    second = await order_book.due_notices(now + timedelta(seconds=60), 10)

    assert [notice.notice_id for notice in second] == [notice.notice_id for notice in first]
    assert [notice.attempts for notice in (*first, *second)] == [1, 2]


async def test_sent_and_refused_notices_are_not_due_again(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    now = await notify(order_book, database, orders=3)
    sent, refused, delayed = await order_book.due_notices(now, 10)

    await order_book.notice_sent(sent.notice_id, now)
    await order_book.notice_refused(refused.notice_id, "550")
    await order_book.notice_delayed(delayed.notice_id, now + timedelta(hours=1), "450")

    assert await order_book.due_notices(now + timedelta(minutes=59), 10) == []
    assert [n.notice_id for n in await order_book.due_notices(now + timedelta(hours=1), 10)] == [delayed.notice_id]
    assert [(n.sent_at, n.refused_why, n.delayed_why) for n in await books.notices(database)] == [
        (now, None, None),
        (None, "550", None),
        (None, None, "450"),
    ]
