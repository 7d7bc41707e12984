"""A cancellation that is opened again, bought gift cards, and what a customer cancelled before. On SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import ErrorCode, Refused
from domain.money import Money, money
from domain.order import Order
from domain.outcome import CancellationRecord, Outcome, Reversal
from domain.payment import Refund, RefundStatus
from domain.request import LineScope, ReasonCode
from domain.shipment import Shipment, ShipmentLine
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
from providers.order_book.tables import EffectKind
from sandbox import books
from tests.providers.order_book_samples import by_card, closing, credit, line, order, record, result

EMAIL = "customer@example.test"


def refunded(amount: str, reference: str, status: RefundStatus = RefundStatus.SUCCEEDED) -> Reversal:
    back = money(amount)
    return Reversal(
        tender_id="T-card",
        released=Money.zero(back.currency),
        refunds=(Refund(reference=reference, amount=back, status=status),),
    )


def failed(amount: str, reference: str) -> CreditedTender:
    return by_card(amount, reference, settled=False).model_copy(update={"failed": True})


async def ended(
    book: SqlOrderBook, database: AsyncEngine, placed: Order, *, reference: str = "re_1"
) -> CancellationRecord:
    """Refunded in full, credited and closed."""
    await books.add_order(database, placed, email=EMAIL)
    opened = record(placed)
    key = opened.cancellation_id
    await book.hold_order(opened, [], key=f"{key}/hold")
    await book.credit(credit(opened, by_card("300.00 USD", reference)), [], key=f"{key}/credit")
    await book.close_order(closing(opened, reversals=[refunded("300.00 USD", reference)]), [], key=f"{key}/close")
    return opened


async def test_what_had_settled_and_failed_is_owed_again_and_told(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """B23: the hold is back, the contra transfer is posted once, and a second look finds it open."""
    one = await ended(order_book, database, order())
    told = [NewNotice(kind=NoticeKind.REFUND_FAILED)]
    for _ in range(3):
        await order_book.reopen(one.cancellation_id, [failed("300.00 USD", "re_1")], told, key="verify")
    known = await order_book.find_cancellation("O-1", "R-1")
    assert known is not None
    assert known.result is None
    assert known.carried_out is not None
    assert (await order_book.read_order("O-1")).held_by == one.cancellation_id
    about = [(t.debit, t.credit) for t in await books.ledger(database) if t.reference == "re_1"]
    assert about == [("refunds_payable", "gateway_clearing"), ("gateway_clearing", "refunds_payable")]
    reopened = [effect for effect in await books.effects(database) if effect.kind is EffectKind.REOPEN]
    assert [effect.key for effect in reopened] == ["verify/reopen/1"]
    assert [notice.kind for notice in await books.notices(database)] == [NoticeKind.REFUND_FAILED]


async def test_the_second_end_books_what_has_changed_and_no_line_twice(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """B23: another refund in the place of the failed one; the parcel comes back after all."""
    parcel = Shipment(
        shipment_id="S1",
        lines=(ShipmentLine(line_id="L1", quantity=3),),
        carrier="UPS",
        label_reference="shp_1",
        tracking_number="1Z1",
    )
    placed = order(shipments=(parcel,))
    one = await ended(order_book, database, placed)
    await order_book.reopen(one.cancellation_id, [failed("300.00 USD", "re_1")], [], key="verify")
    again = credit(one, by_card("300.00 USD", "re_2"))
    again = again.model_copy(update={"tenders": (*again.tenders, failed("300.00 USD", "re_1"))})
    await order_book.credit(again, [], key=f"{one.cancellation_id}/credit")
    back = closing(one, coming_back=["S1"], reversals=[refunded("300.00 USD", "re_2")])
    for _ in range(2):
        await order_book.close_order(back, [], key=f"{one.cancellation_id}/close")
    kept = await order_book.read_order("O-1")
    assert (kept.held_by, kept.lines[0].cancelled) == (None, 3)
    [given] = await books.given_back(database, "O-1")
    assert given.refunded == money("300.00 USD")
    stock = await books.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (0, 0, 3)
    assert len(await books.documents(database)) == 1
    owed = sum(
        t.amount.amount * ((t.credit == "refunds_payable") - (t.debit == "refunds_payable"))
        for t in await books.ledger(database)
    )
    assert owed == 0
    await order_book.reopen(one.cancellation_id, [failed("300.00 USD", "re_2")], [], key="verify")
    keys = [effect.key for effect in await books.effects(database) if effect.kind is EffectKind.REOPEN]
    assert sorted(keys) == ["verify/reopen/1", "verify/reopen/2"]


async def test_nothing_is_opened_again_while_another_cancellation_holds_the_order(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    placed = order()
    await books.add_order(database, placed, email=EMAIL)
    first = record(placed, lines=[LineScope(line_id="L1", quantity=1)])
    await order_book.hold_order(first, [], key="hold 1")
    await order_book.close_order(closing(first, reversals=[refunded("100.00 USD", "re_1")]), [], key="close 1")
    second = record(await order_book.read_order("O-1"), request_id="R-2")
    await order_book.hold_order(second, [], key="hold 2")
    with pytest.raises(Refused) as refused:
        await order_book.reopen(first.cancellation_id, [], [], key="verify")
    assert refused.value.code is ErrorCode.ORDER_HELD
    events = SqlProviderEvents(database)
    about = DueEvent(provider=Provider.STRIPE, event_id="evt_1", order_id="O-1", subject="re_1", amiss=True, attempts=1)
    found = await events.ended(about)
    assert found is not None
    assert (found.request.request_id, found.busy) == ("R-1", True)
    assert await events.ended(about.model_copy(update={"subject": "re_9"})) is None


async def test_an_event_keeps_that_something_may_have_come_undone(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    await ended(order_book, database, order())
    events = SqlProviderEvents(database)
    event = ProviderEvent(
        provider=Provider.STRIPE, event_id="evt_1", kind="refund.failed", payment="pi_1", refund="re_1", amiss=True
    )
    assert await events.receive(event) is EventStatus.ACCEPTED
    [due] = await events.due(datetime.now(UTC) + timedelta(seconds=1), 10)
    assert (due.amiss, due.subject) == (True, "re_1")


# Gift cards that were bought


GIFT = Shipment(shipment_id="S1", lines=(ShipmentLine(line_id="L1", quantity=1),), gift_card="GC-9")


async def bought(book: SqlOrderBook, database: AsyncEngine) -> None:
    placed = order(lines=(line("50.00 USD", quantity=1),), shipments=(GIFT,))
    await books.add_order(
        database, placed, email=EMAIL, balances={"GC-9": money("50.00 USD")}, handed_over=frozenset({"S1"})
    )
    await book.hold_order(record(placed), [], key="hold")


async def test_an_unused_gift_card_is_deactivated_once_and_works_again_after_the_undo(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """B15"""
    await bought(order_book, database)
    assert not await order_book.gift_card_used("GC-9")
    assert [await order_book.deactivate_gift_card("O-1", "S1", key="stop") for _ in range(3)] == [True, True, True]
    assert await books.balance(database, "GC-9") == money("0.00 USD")
    assert not await order_book.gift_card_used("GC-9")
    for _ in range(3):
        await order_book.reactivate_gift_card("O-1", "S1", key="resume", undoes="stop")
    assert await books.balance(database, "GC-9") == money("50.00 USD")


async def test_a_used_gift_card_is_left_alone(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """B15"""
    await bought(order_book, database)
    await books.spend_balance(database, "GC-9", money("0.01 USD"), key="spent")
    assert await order_book.gift_card_used("GC-9")
    assert not await order_book.deactivate_gift_card("O-1", "S1", key="stop")
    await order_book.reactivate_gift_card("O-1", "S1", key="resume", undoes="stop")  # it never was
    assert await books.balance(database, "GC-9") == money("49.99 USD")
    with pytest.raises(Refused) as refused:
        await order_book.gift_card_used("GC-unknown")
    assert refused.value.code is ErrorCode.PAYMENT_NOT_FOUND


# What the customer cancelled before


async def test_carried_out_changes_of_mind_count_and_each_order_once(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    async def cancelled(order_id: str, reason: ReasonCode, outcome: Outcome) -> None:
        placed = order(order_id)
        await books.add_order(database, placed, email=EMAIL)
        one = record(placed, request_id=f"R-{order_id}")
        one = one.model_copy(update={"request": one.request.model_copy(update={"reason": reason})})
        await order_book.hold_order(one, [], key=f"hold {order_id}")
        if outcome is Outcome.CANCELLED:
            await order_book.close_order(closing(one), [], key=f"close {order_id}")
        else:
            await order_book.release_order(result(one, outcome), [], key=f"release {order_id}")

    await cancelled("O-1", ReasonCode.NO_LONGER_NEEDED, Outcome.CANCELLED)
    await cancelled("O-2", ReasonCode.FOUND_CHEAPER, Outcome.CANCELLED)
    await cancelled("O-3", ReasonCode.OUT_OF_STOCK, Outcome.CANCELLED)
    await cancelled("O-4", ReasonCode.NO_LONGER_NEEDED, Outcome.WITHDRAWN)
    lately, later = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    assert (await order_book.customer_history("C-1", lately, but="O-9")).cancellations == 2
    assert (await order_book.customer_history("C-1", lately, but="O-1")).cancellations == 1
    assert (await order_book.customer_history("C-1", later, but="O-9")).cancellations == 0
    assert (await order_book.customer_history("C-2", lately, but="O-9")).cancellations == 0
