"""A cancellation that is opened again, bought gift cards, and what a customer cancelled before. On SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.errors import ErrorCode, Refused
from domain.facts import Fact, Reopened
from domain.money import money
from domain.order import Order
from domain.outcome import Outcome
from domain.payment import RefundStatus
from domain.request import LineScope, ReasonCode
from domain.shipment import Shipment, ShipmentLine, StopStatus
from domain.step import StepName
from providers.order_book.book import SqlOrderBook
from providers.order_book.events import SqlProviderEvents
from providers.order_book.port import (
    CreditedTender,
    DueEvent,
    EventStatus,
    NewNotice,
    NoticeKind,
    Provider,
    ProviderEvent,
)
from providers.register.sql import SqlRegister
from sandbox import books
from tests.providers.order_book_samples import (
    OTHER_RUN,
    RUN,
    Cancellation,
    by_card,
    cancellation,
    close,
    credit,
    end,
    hold,
    line,
    order,
    parcel,
    refunded,
    release,
    reopen,
    stops,
    write,
)

EMAIL = "customer@example.test"
REOPENED = Reopened(why="Refund re_1 failed.", others=("re_9",))


def failed(amount: str, reference: str) -> CreditedTender:
    return by_card(amount, reference, settled=False).model_copy(update={"failed": True})


def has_failed(reference: str) -> list[Fact]:
    return [refunded("300.00 USD", reference, RefundStatus.FAILED), REOPENED]


async def ended(book: SqlOrderBook, register: SqlRegister, database: AsyncEngine, placed: Order) -> Cancellation:
    """Refunded in full, credited, closed and ended."""
    await books.add_order(database, placed, email=EMAIL)
    one = cancellation(placed)
    await hold(book, one)
    await write(register, one, *stops(one), refunded("300.00 USD", "re_1"))
    given = credit(one, by_card("300.00 USD", "re_1"))
    await book.credit(given, [], key=one.key(StepName.CREDIT_REFUND), run=RUN)
    await close(book, register, one)
    await end(book, one, given)
    return one


async def test_what_had_settled_and_failed_is_owed_again_and_said(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """B23: opened once, by the run that looked, which holds it; the contra transfer is posted once; the rest of the order
    goes on."""
    one = await ended(order_book, register, database, order())
    notices = [NewNotice(kind=NoticeKind.REFUND_FAILED)]
    seen = has_failed("re_1")
    for _ in range(3):
        await reopen(order_book, register, one, seen, [failed("300.00 USD", "re_1")], notices, run=OTHER_RUN)
    case = Case(await register.find("O-1", "R-1"))
    assert (case.ended, case.holder) == (None, OTHER_RUN)
    assert case.outstanding("T-card") == money("300.00 USD")
    assert len([entry for entry in case.entries if entry.fact == REOPENED]) == 1
    assert (await order_book.read_order("O-1")).held_by is None
    about = [(t.debit, t.credit) for t in await books.ledger(database) if t.reference == "re_1"]
    assert about == [("refunds_payable", "gateway_clearing"), ("gateway_clearing", "refunds_payable")]
    assert await books.payable(database, one.cancellation_id) == money("300.00 USD")
    assert [notice.kind for notice in await books.notices(database)] == [NoticeKind.REFUND_FAILED]


async def test_the_second_end_books_what_has_changed_and_no_line_twice(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """B23: another refund in the place of the failed one; the parcel comes back after all."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    one = await ended(order_book, register, database, placed)
    seen = has_failed("re_1")
    await reopen(order_book, register, one, seen, [failed("300.00 USD", "re_1")], [], run=RUN)
    again = credit(one, by_card("300.00 USD", "re_2"), failed("300.00 USD", "re_1"))
    await write(register, one, refunded("300.00 USD", "re_2"))
    await order_book.credit(again, [], key=one.key(StepName.CREDIT_REFUND), run=RUN)
    await close(order_book, register, one, *stops(one, StopStatus.COMING_BACK))
    await close(order_book, register, one)
    await end(order_book, one, again)
    kept = await order_book.read_order("O-1")
    assert (kept.held_by, kept.lines[0].cancelled) == (None, 3)
    [given] = await books.given_back(database, "O-1")
    assert given.refunded == money("300.00 USD")
    stock = await books.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (0, 0, 3)
    assert len(await books.documents(database)) == 1
    assert await books.payable(database, one.cancellation_id) == money("0.00 USD")
    assert [row.outcome for row in await books.cancellations(database)] == [Outcome.CANCELLED]
    seen = has_failed("re_2")
    await reopen(order_book, register, one, seen, [failed("300.00 USD", "re_2")], [], run=RUN)
    assert [row.outcome for row in await books.cancellations(database)] == [None]
    assert await books.payable(database, one.cancellation_id) == money("300.00 USD")


async def test_nothing_is_opened_again_while_another_cancellation_is_under_way(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    placed = order()
    await books.add_order(database, placed, email=EMAIL)
    first = cancellation(placed, lines=[LineScope(line_id="L1", quantity=1)])
    await hold(order_book, first)
    await close(order_book, register, first, refunded("100.00 USD", "re_1"))
    await end(order_book, first)
    events = SqlProviderEvents(database)
    assert not await events.is_under_way("O-1")
    second = cancellation(await order_book.read_order("O-1"), request_id="R-2")
    await hold(order_book, second)
    with pytest.raises(Refused) as refused:
        await reopen(order_book, register, first, [REOPENED], [], [], run=RUN)
    assert refused.value.code is ErrorCode.ORDER_HELD
    assert await events.is_under_way("O-1")
    about = DueEvent(
        provider=Provider.STRIPE, event_id="evt_1", order_id="O-1", subject="re_1", may_undo_outcome=True, attempts=1
    )
    found = await events.find_ended(about)
    assert found is not None
    assert (found.request.request_id, found.busy) == ("R-1", True)
    assert await events.find_ended(about.model_copy(update={"subject": "re_9"})) is None
    assert await events.find_ended(about.model_copy(update={"subject": None})) is None


async def test_a_refund_of_a_cancellation_that_was_rolled_back_is_found_by_its_event(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """I1: the customer may have paid back what never arrives. Its parcels travel, as they should."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await books.add_order(database, placed, email=EMAIL)
    one = cancellation(placed)
    await hold(order_book, one)
    await write(register, one, refunded("300.00 USD", "re_1"))
    await release(order_book, register, one)
    about = DueEvent(
        provider=Provider.STRIPE, event_id="evt_1", order_id="O-1", subject="re_1", may_undo_outcome=True, attempts=1
    )
    events = SqlProviderEvents(database)
    found = await events.find_ended(about)
    assert found is not None
    assert found.request == one.request
    tracking = placed.shipments[0].tracking_number
    assert (
        await events.find_ended(about.model_copy(update={"provider": Provider.EASYPOST, "subject": tracking})) is None
    )


async def test_an_event_keeps_that_it_may_undo_the_outcome(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(), email=EMAIL)
    events = SqlProviderEvents(database)
    event = ProviderEvent(
        provider=Provider.STRIPE,
        event_id="evt_1",
        kind="refund.failed",
        payment="pi_1",
        refund="re_1",
        may_undo_outcome=True,
    )
    assert await events.receive(event) is EventStatus.ACCEPTED
    [due] = await events.claim_due(datetime.now(UTC) + timedelta(seconds=1), 10)
    assert (due.may_undo_outcome, due.subject) == (True, "re_1")


async def test_an_event_that_was_not_delivered_is_not_forgotten(database: AsyncEngine) -> None:
    """M29"""
    await books.add_order(database, order(), email=EMAIL)
    events = SqlProviderEvents(database)
    for event_id, payment in (("evt_1", "pi_1"), ("evt_2", "pi_1"), ("evt_3", "pi_1"), ("evt_4", "pi_of_nobody")):
        await events.receive(
            ProviderEvent(provider=Provider.STRIPE, event_id=event_id, kind="refund.updated", payment=payment)
        )
    due = {event.event_id: event for event in await events.claim_due(datetime.now(UTC), 10)}
    await events.mark_delivered(due["evt_1"], datetime.now(UTC))
    async with database.begin() as connection:
        given_up = "UPDATE webhook_events SET given_up_why = 'settled by phone' WHERE event_id = 'evt_2'"
        await connection.execute(text(given_up))
    await events.forget_before(datetime.now(UTC) + timedelta(days=30))
    async with database.connect() as connection:
        kept = (await connection.scalars(text("SELECT event_id FROM webhook_events"))).all()
    assert kept == ["evt_3"]


# Gift cards that were bought


GIFT = Shipment(shipment_id="S1", lines=(ShipmentLine(line_id="L1", quantity=1),), gift_card="GC-9")


async def bought(book: SqlOrderBook, database: AsyncEngine) -> Cancellation:
    placed = order(lines=(line("50.00 USD", quantity=1),), shipments=(GIFT,))
    await books.add_order(
        database, placed, email=EMAIL, balances={"GC-9": money("50.00 USD")}, handed_over=frozenset({"S1"})
    )
    one = cancellation(placed)
    await hold(book, one)
    return one


async def test_an_unused_gift_card_is_deactivated_once_and_works_again_after_the_undo(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """B15"""
    one = await bought(order_book, database)
    stop, resume = one.key(StepName.STOP_SHIPMENT, "S1"), one.key(StepName.RESUME_SHIPMENT, "S1")
    assert not await order_book.gift_card_used("GC-9")
    assert [await order_book.deactivate_gift_card("O-1", "S1", key=stop, run=RUN) for _ in range(3)] == [True] * 3
    assert await books.balance(database, "GC-9") == money("0.00 USD")
    assert not await order_book.gift_card_used("GC-9")
    assert Case(await books.facts(database, "O-1")).is_done(StepName.STOP_SHIPMENT, "S1")
    for _ in range(3):
        await order_book.reactivate_gift_card("O-1", "S1", key=resume, undoes=stop, run=RUN)
    assert await books.balance(database, "GC-9") == money("50.00 USD")
    assert Case(await books.facts(database, "O-1")).is_done(StepName.RESUME_SHIPMENT, "S1")


async def test_a_used_gift_card_is_left_alone(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """B15"""
    one = await bought(order_book, database)
    stop, resume = one.key(StepName.STOP_SHIPMENT, "S1"), one.key(StepName.RESUME_SHIPMENT, "S1")
    await books.spend_balance(database, "GC-9", money("0.01 USD"), key="spent")
    assert await order_book.gift_card_used("GC-9")
    assert not await order_book.deactivate_gift_card("O-1", "S1", key=stop, run=RUN)
    await order_book.reactivate_gift_card("O-1", "S1", key=resume, undoes=stop, run=RUN)  # it never was
    assert await books.balance(database, "GC-9") == money("49.99 USD")
    assert stop not in Case(await books.facts(database, "O-1")).all_keys_noted(stop.step, target=stop.target)
    with pytest.raises(Refused) as refused:
        await order_book.gift_card_used("GC-unknown")
    assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND


# What the customer cancelled before


async def test_carried_out_changes_of_mind_count_and_each_order_once(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    async def cancelled(order_id: str, reason: ReasonCode, outcome: Outcome) -> None:
        placed = order(order_id)
        await books.add_order(database, placed, email=EMAIL)
        one = cancellation(placed, request_id=f"R-{order_id}", reason=reason)
        await hold(order_book, one)
        if outcome is Outcome.CANCELLED:
            await close(order_book, register, one)
            await end(order_book, one)
        else:
            await release(order_book, register, one)

    await cancelled("O-1", ReasonCode.NO_LONGER_NEEDED, Outcome.CANCELLED)
    await cancelled("O-2", ReasonCode.FOUND_CHEAPER, Outcome.CANCELLED)
    await cancelled("O-3", ReasonCode.OUT_OF_STOCK, Outcome.CANCELLED)
    await cancelled("O-4", ReasonCode.NO_LONGER_NEEDED, Outcome.WITHDRAWN)
    lately, later = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    assert (await order_book.customer_history("C-1", lately, but="O-9")).cancellations == 2
    assert (await order_book.customer_history("C-1", lately, but="O-1")).cancellations == 1
    assert (await order_book.customer_history("C-1", later, but="O-9")).cancellations == 0
    assert (await order_book.customer_history("C-2", lately, but="O-9")).cancellations == 0
