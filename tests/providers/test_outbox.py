"""The outbox: every notice is claimed by one sender at a time and sent until it is sent or refused."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from domain.errors import ErrorCode, Refused
from domain.money import money
from domain.request import ReasonCode
from domain.step import StepName
from providers.outbox.port import DeferredRequest, DueNotice, NewNotice, NoticeKind
from sandbox import books, built_in
from tests.providers.merchant import RUN, Merchant, by_card, cancellation, credit, order

EMAIL = "customer@example.test"


async def notify(merchant: Merchant, database: AsyncEngine, orders: int = 1) -> datetime:
    """Hold so many orders with a notice each; a time at which all are due."""
    for number in range(orders):
        placed = order(f"O-{number}")
        await built_in.add_order(database, placed, email=EMAIL)
        await merchant.hold(cancellation(placed), [NewNotice(kind=NoticeKind.RECEIVED)])
    return datetime.now(UTC)


async def test_a_notice_carries_what_is_needed_to_write_it(merchant: Merchant, database: AsyncEngine) -> None:
    now = await notify(merchant, database)

    due = await merchant.books.due_notices(now, 10)

    opened = cancellation(order("O-0"))
    assert due == [
        DueNotice(
            notice_id=f"{opened.cancellation_id}/received",
            order_id="O-0",
            content=NewNotice(kind=NoticeKind.RECEIVED),
            attempts=1,
        )
    ]


async def test_a_kind_is_sent_once_whichever_effect_brings_it(merchant: Merchant, database: AsyncEngine) -> None:
    await notify(merchant, database)
    refunded = NewNotice(kind=NoticeKind.REFUNDED, amount=money("42.35 USD"))
    opened = cancellation(order("O-0"))
    given = credit(opened, by_card("42.35 USD", "re_1"))

    for n, notices in enumerate(([refunded], [refunded, NewNotice(kind=NoticeKind.RECEIVED)]), 1):
        await merchant.books.credit(given, notices, key=opened.key(StepName.CREDIT_REFUND, n=n), run=RUN)

    assert [(notice.kind, notice.amount) for notice in await books.notices(database)] == [
        (NoticeKind.RECEIVED, None),
        (NoticeKind.REFUNDED, money("42.35 USD")),
    ]


async def test_another_request_is_not_deferred_under_the_same_id(merchant: Merchant, database: AsyncEngine) -> None:
    """A4: acknowledged, it would be lost; the first one stays as it is."""
    await notify(merchant, database)
    waiting = cancellation(order("O-0"), request_id="R-2", reason=ReasonCode.STATUTORY_WITHDRAWAL).request
    first = DeferredRequest(request=waiting, received_at=datetime(2026, 3, 3, 12, tzinfo=UTC))
    await merchant.books.defer_request(first, [])
    other = waiting.model_copy(update={"note": "and the other one"})
    with pytest.raises(Refused) as no:
        await merchant.books.defer_request(DeferredRequest(request=other, received_at=datetime.now(UTC)), [])
    assert no.value.code is ErrorCode.REQUEST_CONFLICT
    assert await merchant.books.find_deferred("O-0", "R-2") == first
    assert await merchant.books.find_deferred("O-0", "R-3") is None


async def test_two_senders_at_once_get_different_notices(merchant: Merchant, database: AsyncEngine) -> None:
    now = await notify(merchant, database, orders=12)

    claims = await asyncio.gather(*(merchant.books.due_notices(now, 3) for _ in range(6)))

    claimed = [notice.notice_id for claim in claims for notice in claim]
    claimed += [notice.notice_id for notice in await merchant.books.due_notices(now, 12)]  # what a busy row kept back
    assert sorted(claimed) == sorted(notice.notice_id for notice in await books.notices(database))
    assert len(set(claimed)) == 12


async def test_a_claim_of_a_sender_that_was_lost_runs_out(merchant: Merchant, database: AsyncEngine) -> None:
    """D8: nothing is lost between the claim and the mail server."""
    now = await notify(merchant, database)
    first = await merchant.books.due_notices(now, 10)

    assert await merchant.books.due_notices(now + timedelta(seconds=59), 10) == []
    second = await merchant.books.due_notices(now + timedelta(seconds=60), 10)

    assert [notice.notice_id for notice in second] == [notice.notice_id for notice in first]
    assert [notice.attempts for notice in (*first, *second)] == [1, 2]


async def test_sent_and_refused_notices_are_not_due_again(merchant: Merchant, database: AsyncEngine) -> None:
    now = await notify(merchant, database, orders=3)
    sent, refused, delayed = await merchant.books.due_notices(now, 10)

    await merchant.books.notice_sent(sent.notice_id, now)
    await merchant.books.notice_refused(refused.notice_id, "550")
    await merchant.books.notice_delayed(delayed.notice_id, now + timedelta(hours=1), "450")

    assert await merchant.books.due_notices(now + timedelta(minutes=59), 10) == []
    assert [n.notice_id for n in await merchant.books.due_notices(now + timedelta(hours=1), 10)] == [delayed.notice_id]
    assert [(n.sent_at, n.refused_why, n.delayed_why) for n in await books.notices(database)] == [
        (now, None, None),
        (None, "550", None),
        (None, None, "450"),
    ]


async def replace_word(database: AsyncEngine, column: str, order_id: str, was: str, becomes: str) -> None:
    """A word of a newer version in a record, which this one does not know; or back."""
    table, _, name = column.partition(".")
    change = f"replace(CAST({name} AS TEXT), :was, :becomes)"
    change = f"CAST({change} AS JSON)" if database.name == "postgresql" else change
    async with database.begin() as connection:
        changed = await connection.execute(
            text(f"UPDATE {table} SET {name} = {change} WHERE order_id = :order"),
            {"was": f'"{was}"', "becomes": f'"{becomes}"', "order": order_id},
        )
    assert changed.rowcount == 1


async def test_a_notice_that_this_version_cannot_read_holds_up_no_other(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """M28: it is logged, and kept for the version that can."""
    now = await notify(merchant, database, orders=3)
    await replace_word(database, "notices.content", "O-0", "received", "of_tomorrow")
    with capture_logs() as log:
        due = await merchant.books.due_notices(now, 10)
    assert sorted(notice.order_id for notice in due) == ["O-1", "O-2"]
    [line] = [line for line in log if line["event"] == "notice_unreadable"]
    assert (line["order_id"], line["log_level"]) == ("O-0", "error")
    assert EMAIL not in str(line)
    for notice in due:
        await merchant.books.notice_sent(notice.notice_id, now)
    assert await merchant.books.due_notices(now + timedelta(minutes=2), 10) == [], "it is not tried all the time"
    await replace_word(database, "notices.content", "O-0", "of_tomorrow", "received")
    [late] = await merchant.books.due_notices(now + timedelta(minutes=5), 10)
    assert late.order_id == "O-0"


# Requests that have to wait


async def test_a_request_that_this_version_cannot_read_holds_up_no_other(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """M28"""
    await notify(merchant, database, orders=3)
    for n in range(3):
        request = cancellation(order(f"O-{n}"), request_id="R-2", reason=ReasonCode.STATUTORY_WITHDRAWAL).request
        await merchant.books.defer_request(DeferredRequest(request=request, received_at=datetime.now(UTC)), [])
    await replace_word(database, "deferred_requests.request", "O-0", "statutory_withdrawal", "of_tomorrow")
    now = datetime.now(UTC)
    with capture_logs() as log:
        due = await merchant.books.due_requests(now, 10)
    assert sorted(deferred.request.order_id for deferred in due) == ["O-1", "O-2"]
    [line] = [line for line in log if line["event"] == "deferred_request_unreadable"]
    assert (line["order_id"], line["request_id"], line["log_level"]) == ("O-0", "R-2", "error")
    for deferred in due:
        await merchant.books.request_sent(deferred.request, now)
    assert await merchant.books.due_requests(now + timedelta(minutes=2), 10) == []
    await replace_word(database, "deferred_requests.request", "O-0", "of_tomorrow", "statutory_withdrawal")
    [late] = await merchant.books.due_requests(now + timedelta(minutes=5), 10)
    assert late.request.order_id == "O-0"


async def test_a_deferred_request_is_kept_once_with_its_acknowledgement_and_sent_until_it_is_taken(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """E28: a statutory withdrawal from another line while the first cancellation runs."""
    await notify(merchant, database)
    waiting = cancellation(order("O-0"), request_id="R-2", reason=ReasonCode.STATUTORY_WITHDRAWAL)
    received = datetime(2026, 3, 3, 12, tzinfo=UTC)
    deferred = DeferredRequest(request=waiting.request, received_at=received)
    acknowledged = [NewNotice(kind=NoticeKind.WITHDRAWAL_ACKNOWLEDGED, received_at=received)]

    for _ in range(2):
        await merchant.books.defer_request(deferred, acknowledged)

    notice_ids = [notice.notice_id for notice in await books.notices(database)]
    assert f"{waiting.cancellation_id}/withdrawal_acknowledged" in notice_ids
    now = datetime.now(UTC)
    [first] = await merchant.books.due_requests(now, 10)
    assert (first.request, first.received_at, first.attempts) == (waiting.request, received, 1)
    assert await merchant.books.due_requests(now + timedelta(seconds=59), 10) == []
    [second] = await merchant.books.due_requests(now + timedelta(seconds=60), 10)
    assert second.attempts == 2
    await merchant.books.request_delayed(waiting.request, now + timedelta(hours=1))
    assert await merchant.books.due_requests(now + timedelta(minutes=59), 10) == []
    assert len(await merchant.books.due_requests(now + timedelta(hours=1), 10)) == 1
    await merchant.books.request_sent(waiting.request, now)
    await merchant.books.defer_request(deferred, acknowledged)
    assert await merchant.books.due_requests(now + timedelta(days=1), 10) == []


@pytest.mark.parametrize("late", [False, True], ids=["", "while it was being sent"])
async def test_a_deferred_request_is_due_when_the_cancellation_that_it_waits_for_has_ended(
    merchant: Merchant, database: AsyncEngine, *, late: bool
) -> None:
    """Rule 15: it does not wait out the pause that has grown meanwhile."""
    await notify(merchant, database)
    waiting = cancellation(order("O-0"), request_id="R-2", reason=ReasonCode.STATUTORY_WITHDRAWAL)
    await merchant.books.defer_request(DeferredRequest(request=waiting.request, received_at=datetime.now(UTC)), [])
    await merchant.books.due_requests(datetime.now(UTC), 10)
    later = datetime.now(UTC) + timedelta(hours=1)
    if not late:
        await merchant.books.request_delayed(waiting.request, later)
    await merchant.release(cancellation(order("O-0")))
    if late:
        await merchant.books.request_delayed(waiting.request, later)
    [due] = await merchant.books.due_requests(datetime.now(UTC), 10)
    assert due.attempts == 1, "its pauses begin anew: the run may take a moment to end after the books"


async def test_two_senders_at_once_get_different_requests(merchant: Merchant, database: AsyncEngine) -> None:
    await notify(merchant, database, orders=6)
    for n in range(6):
        request = cancellation(order(f"O-{n}"), request_id="R-2").request
        await merchant.books.defer_request(DeferredRequest(request=request, received_at=datetime.now(UTC)), [])
    now = datetime.now(UTC)

    claims = await asyncio.gather(*(merchant.books.due_requests(now, 2) for _ in range(4)))

    claimed = [deferred.request.order_id for claim in claims for deferred in claim]
    claimed += [deferred.request.order_id for deferred in await merchant.books.due_requests(now, 10)]
    assert sorted(claimed) == [f"O-{n}" for n in range(6)]
