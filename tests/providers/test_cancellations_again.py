"""A cancellation that is opened again, and what a customer cancelled before. On SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import ErrorCode, Refused
from domain.facts import Fact, Reopened
from domain.money import money
from domain.order import Order
from domain.outcome import Outcome
from domain.payment import RefundStatus
from domain.request import LineScope, ReasonCode
from domain.shipment import StopStatus
from domain.step import StepName
from providers.books.inbox import SqlInbox
from providers.inbox.port import DueEvent, Provider
from providers.ledger.port import CreditedTender
from providers.outbox.port import NewNotice, NoticeKind
from sandbox import books, built_in
from tests.providers.merchant import (
    OTHER_RUN,
    RUN,
    Cancellation,
    Merchant,
    by_card,
    cancellation,
    credit,
    order,
    parcel,
    refunded,
    stops,
)

EMAIL = "customer@example.test"
REOPENED = Reopened(why="Refund re_1 failed.", others=("re_9",))


def failed(amount: str, reference: str) -> CreditedTender:
    return by_card(amount, reference, settled=False).model_copy(update={"failed": True})


def has_failed(reference: str) -> list[Fact]:
    return [refunded("300.00 USD", reference, RefundStatus.FAILED), REOPENED]


async def ended(merchant: Merchant, database: AsyncEngine, placed: Order) -> Cancellation:
    """Refunded in full, credited, closed and ended."""
    await built_in.add_order(database, placed, email=EMAIL)
    one = cancellation(placed)
    await merchant.hold(one)
    await merchant.write(one, *stops(one), refunded("300.00 USD", "re_1"))
    given = credit(one, by_card("300.00 USD", "re_1"))
    await merchant.books.credit(given, [], key=one.key(StepName.CREDIT_REFUND), run=RUN)
    await merchant.close(one)
    await merchant.end(one, given)
    return one


async def test_what_had_settled_and_failed_is_owed_again_and_said(merchant: Merchant, database: AsyncEngine) -> None:
    """B23: opened once, by the run that looked, which holds it; the contra transfer is posted once; the rest of the order
    goes on."""
    one = await ended(merchant, database, order())
    notices = [NewNotice(kind=NoticeKind.REFUND_FAILED)]
    seen = has_failed("re_1")
    for _ in range(3):
        await merchant.reopen(one, seen, [failed("300.00 USD", "re_1")], notices, run=OTHER_RUN)
    case = await merchant.case(one)
    assert (case.ended, case.holder) == (None, OTHER_RUN)
    assert case.outstanding("T-card") == money("300.00 USD")
    assert len([entry for entry in case.entries if entry.fact == REOPENED]) == 1
    assert (await books.order(database, "O-1")).held_by is None
    about = [(t.debit, t.credit) for t in await books.ledger(database) if t.reference == "re_1"]
    assert about == [("refunds_payable", "gateway_clearing"), ("gateway_clearing", "refunds_payable")]
    assert await books.payable(database, one.cancellation_id) == money("300.00 USD")
    assert [notice.kind for notice in await books.notices(database)] == [NoticeKind.REFUND_FAILED]


async def test_the_second_end_books_what_has_changed_and_no_line_twice(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """B23: another refund in the place of the failed one; the parcel comes back after all."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    one = await ended(merchant, database, placed)
    seen = has_failed("re_1")
    await merchant.reopen(one, seen, [failed("300.00 USD", "re_1")], [], run=RUN)
    again = credit(one, by_card("300.00 USD", "re_2"), failed("300.00 USD", "re_1"))
    await merchant.write(one, refunded("300.00 USD", "re_2"))
    await merchant.books.credit(again, [], key=one.key(StepName.CREDIT_REFUND), run=RUN)
    await merchant.close(one, *stops(one, StopStatus.COMING_BACK))
    await merchant.close(one)
    await merchant.end(one, again)
    kept = await books.order(database, "O-1")
    assert (kept.held_by, kept.lines[0].cancelled) == (None, 3)
    [given] = await books.given_back(database, "O-1")
    assert given.refunded == money("300.00 USD")
    stock = await built_in.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (0, 0, 3)
    assert len(await books.documents(database)) == 1
    assert await books.payable(database, one.cancellation_id) == money("0.00 USD")
    assert [row.outcome for row in await books.cancellations(database)] == [Outcome.CANCELLED]
    seen = has_failed("re_2")
    await merchant.reopen(one, seen, [failed("300.00 USD", "re_2")], [], run=RUN)
    assert [row.outcome for row in await books.cancellations(database)] == [None]
    assert await books.payable(database, one.cancellation_id) == money("300.00 USD")


async def test_nothing_is_opened_again_while_another_cancellation_is_under_way(
    merchant: Merchant, database: AsyncEngine
) -> None:
    placed = order()
    await built_in.add_order(database, placed, email=EMAIL)
    first = cancellation(placed, lines=[LineScope(line_id="L1", quantity=1)])
    await merchant.hold(first)
    await merchant.close(first, refunded("100.00 USD", "re_1"))
    await merchant.end(first)
    events = SqlInbox(database)
    assert not await events.is_under_way("O-1")
    second = cancellation(await books.order(database, "O-1"), request_id="R-2")
    await merchant.hold(second)
    with pytest.raises(Refused) as refused:
        await merchant.reopen(first, [REOPENED], [], [], run=RUN)
    assert refused.value.code is ErrorCode.ORDER_HELD
    assert await events.is_under_way("O-1")
    about = DueEvent(
        provider=Provider.STRIPE,
        event_id="evt_1",
        order_id="O-1",
        subject="re_1",
        may_undo_outcome=True,
        attempts=1,
        received_at=datetime.now(UTC),
    )
    found = await events.find_ended(about)
    assert found is not None
    assert (found.request.request_id, found.busy) == ("R-1", True)
    assert await events.find_ended(about.model_copy(update={"subject": "re_9"})) is None
    assert await events.find_ended(about.model_copy(update={"subject": None})) is None


# What the customer cancelled before


async def test_carried_out_changes_of_mind_count_and_each_order_once(merchant: Merchant, database: AsyncEngine) -> None:
    async def cancelled(order_id: str, reason: ReasonCode, outcome: Outcome, request_id: str = "R-1") -> None:
        if request_id == "R-1":
            await built_in.add_order(database, order(order_id), email=EMAIL)
        placed = await books.order(database, order_id)
        part = [LineScope(line_id="L1", quantity=1)]
        one = cancellation(placed, request_id=request_id, reason=reason, lines=part)
        await merchant.hold(one)
        if outcome is Outcome.CANCELLED:
            await merchant.close(one)
            await merchant.end(one)
        else:
            await merchant.release(one)

    for request_id in ("R-1", "R-2"):
        await cancelled("O-1", ReasonCode.NO_LONGER_NEEDED, Outcome.CANCELLED, request_id)
    await cancelled("O-2", ReasonCode.FOUND_CHEAPER, Outcome.CANCELLED)
    await cancelled("O-3", ReasonCode.OUT_OF_STOCK, Outcome.CANCELLED)
    await cancelled("O-4", ReasonCode.NO_LONGER_NEEDED, Outcome.WITHDRAWN)
    lately, later = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)

    async def counted(customer_id: str, since: datetime, but: str) -> int:
        return (await merchant.books.history(customer_id, since, but=but)).cancellations

    assert await counted("C-1", lately, "O-9") == 2
    assert await counted("C-1", lately, "O-1") == 1
    assert await counted("C-1", later, "O-9") == 0
    assert await counted("C-2", lately, "O-9") == 0
