"""Closing orders in the order book: lines, parcels, stock, and the end of a cancellation. On SQLite and PostgreSQL."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.earlier import EarlierReversal
from domain.errors import ErrorCode, Refused
from domain.facts import Fact, NothingDue, OrderClosed
from domain.money import money
from domain.order import OrderState
from domain.outcome import Outcome
from domain.payment import RefundStatus
from domain.permissions import NotTheHolder
from domain.request import LineScope
from domain.shipment import GoodsGroup, ShipmentLine, StopStatus
from domain.step import StepName
from providers.order_book.book import SqlOrderBook
from providers.order_book.columns import EffectKind
from providers.outbox.port import NewNotice, NoticeKind
from providers.register.sql import SqlRegister
from sandbox import books
from tests.domain.build import earlier_reversal
from tests.providers.order_book_samples import (
    OTHER_RUN,
    RUN,
    STAFF,
    Cancellation,
    by_hand,
    cancellation,
    close,
    end,
    ending,
    hold,
    line,
    order,
    parcel,
    refunded,
    release,
    released,
    stops,
    write,
)

EMAIL = "customer@example.test"


async def test_closing_releases_the_promise_and_leaves_stock_on_hand(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """C1, C3: nothing has left the warehouse. B34: the shipping goes with the last line."""
    placed = order(shipments=(parcel("S1", 1), parcel("S2", 1, label="shp_2")), shipping="4.90 USD")
    await books.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10})
    opened = cancellation(placed)
    await hold(order_book, opened)
    facts: list[Fact] = [
        *stops(opened),
        refunded("250.00 USD", "re_0", RefundStatus.FAILED),
        refunded("250.00 USD", "re_1"),
        released("4.90 USD"),
        by_hand("50.00 USD", "bank 1"),
    ]

    await close(order_book, register, opened, *facts, notices=[NewNotice(kind=NoticeKind.CANCELLED)])
    await close(order_book, register, opened)

    stock = await books.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (10, 0, 0)
    read = await order_book.read_order("O-1")
    assert (read.state, read.held_by, read.lines[0].cancelled) == (OrderState.CANCELLED, None, 3)
    assert read.shipping_credited == money("4.90 USD")
    assert [(s.stopped, s.lines) for s in read.shipments] == [(True, ()), (True, ())]
    assert await books.given_back(database, "O-1") == [
        books.GivenBack(tender_id="T-card", refunded=money("300.00 USD"), released=money("4.90 USD"))
    ]
    assert [effect.kind for effect in await books.effects(database)] == [
        EffectKind.HOLD_ORDER,
        EffectKind.CLOSE_ORDER,
    ]
    case = Case(await books.facts(database, "O-1"))
    assert (case.order_closed, case.ended) == (True, None)
    assert len([entry for entry in case.entries if isinstance(entry.fact, OrderClosed)]) == 1
    assert [row.outcome for row in await books.cancellations(database)] == [None]
    await end(order_book, opened)
    await end(order_book, opened)
    assert [row.outcome for row in await books.cancellations(database)] == [Outcome.CANCELLED]


async def part_of(order_book: SqlOrderBook, database: AsyncEngine) -> Cancellation:
    """A unit of L1 for 100.00 is to be cancelled."""
    await books.add_order(database, order(), email=EMAIL)
    opened = cancellation(order(), lines=[LineScope(line_id="L1", quantity=1)])
    await hold(order_book, opened)
    return opened


async def earlier(order_book: SqlOrderBook) -> tuple[EarlierReversal, ...]:
    return (await order_book.read_order("O-1")).tenders[0].earlier_reversals


async def test_what_an_earlier_cancellation_did_to_a_tender_is_laid_over_the_order(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """B3, M4: from the facts of cancellations that closed the order, and not before. What was given another way and what was
    declared not due are its part as well; the gateway knows only of its own refunds."""
    opened = await part_of(order_book, database)
    credited = refunded("20.00 USD", "SV-1")
    key = str(opened.key(StepName.GIVE_STORE_CREDIT, "T-card"))
    credited = credited.model_copy(update={"refund": credited.refund.model_copy(update={"key": key})})
    waived = NothingDue(step=StepName.REVERSE_PAYMENT, target="T-card", reference="N-1", by=STAFF)
    facts: list[Fact] = [
        refunded("10.00 USD", "re_1"),
        released("30.00 USD"),
        by_hand("25.00 USD", "bank 1"),
        credited,
        waived,
    ]
    await write(register, opened, *facts)
    before = await earlier(order_book)

    await close(order_book, register, opened)

    assert before == ()
    assert await earlier(order_book) == (
        earlier_reversal(
            "70.00 USD",
            "re_1",
            released="30.00 USD",
            of_provider="10.00 USD",
            another_way="45.00 USD",
            cancellation_id=opened.cancellation_id,
        ),
    )


@pytest.mark.parametrize(("collected", "kept"), [(None, "100.00 USD"), ("100.00 USD", None)])
async def test_a_cancellation_that_was_rolled_back_leaves_what_the_customer_kept(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine, collected: str | None, kept: str | None
) -> None:
    """M18"""
    opened = await part_of(order_book, database)
    back = [by_hand(collected, "bank statement 8", StepName.RESTORE_PAYMENT)] if collected else []
    await write(register, opened, by_hand("100.00 USD", "bank 1"), *back)

    await release(order_book, register, opened)

    mine = opened.cancellation_id
    left = [earlier_reversal(kept, of_provider="0.00 USD", another_way=kept, cancellation_id=mine)] if kept else []
    assert [*await earlier(order_book)] == left


async def test_a_cancellation_that_was_rolled_back_leaves_what_the_customer_paid_back(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """M18, I1: the gateway does not have it."""
    opened = await part_of(order_book, database)
    collected = by_hand("100.00 USD", "bank statement 8", StepName.RESTORE_PAYMENT)
    await write(register, opened, refunded("100.00 USD", "re_1"), collected)

    await release(order_book, register, opened)

    left = earlier_reversal("0.00 USD", "re_1", paid_back="100.00 USD", cancellation_id=opened.cancellation_id)
    assert await earlier(order_book) == (left,)


async def test_what_was_done_to_a_payment_that_was_replaced_says_nothing_of_the_new_one(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """M19: the rest was rolled back and reserved again, over as much as was left."""
    opened = await part_of(order_book, database)
    await close(order_book, register, opened, released("100.00 USD"))
    await end(order_book, opened)
    rest = cancellation(await order_book.read_order("O-1"), request_id="the-rest")
    await hold(order_book, rest)
    before = await earlier(order_book)

    restore = rest.key(StepName.RESTORE_PAYMENT, "T-card")
    await order_book.replace_payment("O-1", "T-card", "pi_2", key=restore, run=RUN)

    released_before = earlier_reversal("0.00 USD", released="100.00 USD", cancellation_id=opened.cancellation_id)
    assert before == (released_before,)
    assert await earlier(order_book) == ()


@pytest.mark.parametrize("collected", ["100.00 USD", "30.00 USD", None])
async def test_what_was_collected_before_a_payment_was_replaced_is_still_to_be_given_back(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine, collected: str | None
) -> None:
    """M19, I1: rolled back; the rest was reserved again."""
    opened = await part_of(order_book, database)
    back = [by_hand(collected, "bank statement 8", StepName.RESTORE_PAYMENT)] if collected else []
    await write(register, opened, refunded("100.00 USD", "re_1"), *back)
    restore = opened.key(StepName.RESTORE_PAYMENT, "T-card")
    await order_book.replace_payment("O-1", "T-card", "pi_2", key=restore, run=RUN)

    await release(order_book, register, opened)

    left = [
        earlier_reversal(
            f"-{paid_back}", of_provider="0.00 USD", paid_back=paid_back, cancellation_id=opened.cancellation_id
        )
        for paid_back in (collected,)
        if paid_back
    ]
    assert [*await earlier(order_book)] == left


async def test_a_parcel_that_moves_all_the_same_does_not_count_as_stopped(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """Its units have left the warehouse; once it is fetched they are expected back, and no longer when it is lost."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await books.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10})
    opened = cancellation(placed)
    await hold(order_book, opened)
    await write(register, opened, *stops(opened), refunded("300.00 USD", "re_1"), by_hand("1.00 USD", "bank 1"))
    await close(order_book, register, opened, *stops(opened, StopStatus.DECLINED))

    async def counted() -> tuple[int, int, int]:
        stock = await books.stock(database, "SKU-L1")
        return stock.on_hand, stock.reserved, stock.expected_back

    read = await order_book.read_order("O-1")
    assert (read.lines[0].cancelled, read.shipments[0].stopped) == (3, False)
    assert await counted() == (7, 0, 0)
    fetched = by_hand("1.00 USD", "courier 1", StepName.STOP_SHIPMENT).model_copy(
        update={"target": "S1", "amount": None}
    )
    await close(order_book, register, opened, fetched)
    assert await counted() == (7, 0, 3)
    assert (await order_book.read_order("O-1")).shipments[0].stopped
    await close(order_book, register, opened, *stops(opened, StopStatus.LOST))
    assert await counted() == (7, 0, 0)


async def test_goods_on_their_way_back_are_expected_not_on_hand(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """C6. Two parcels have left; of one the warehouse has not booked it yet."""
    placed = order(shipments=(parcel("S1", 1, label="shp_1"), parcel("S2", 2, label="shp_2")))
    await books.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10}, handed_over={"S1"})
    opened = cancellation(placed, goods=GoodsGroup.IN_NETWORK)
    await hold(order_book, opened)

    await close(order_book, register, opened, *stops(opened, StopStatus.COMING_BACK))

    stock = await books.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (8, 0, 3)


async def test_a_lost_parcel_is_neither_released_nor_expected(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """C12: no restock."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await books.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10}, handed_over={"S1"})
    opened = cancellation(placed, goods=GoodsGroup.LOST)
    await hold(order_book, opened)

    await close(order_book, register, opened, *stops(opened))

    stock = await books.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (10, 0, 0)
    assert (await order_book.read_order("O-1")).state is OrderState.CANCELLED


async def test_partial_cancellations_add_up_to_the_whole_line(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """B32: 270.01 for three units after the discount: 180.00 and 90.01 by cumulative shares, nothing lost."""
    placed = order(lines=(line("270.01 USD"),), shipments=(parcel("S1", 3, label="shp_1"),))
    await books.add_order(database, placed, email=EMAIL)
    first = cancellation(placed, lines=[LineScope(line_id="L1", quantity=2)])
    await hold(order_book, first)
    await close(order_book, register, first, *stops(first))
    await end(order_book, first)

    rest = await order_book.read_order("O-1")
    assert (rest.state, rest.lines[0].remaining) == (OrderState.PARTIALLY_CANCELLED, 1)
    assert rest.shipments[0].stopped
    assert (await books.stock(database, "SKU-L1")).reserved == 1
    second = cancellation(rest, request_id="R-2", lines=[LineScope(line_id="L1", quantity=1)])
    assert [planned.shipment_id for planned in second.plan.lines] == [None]  # the stopped parcel carries nothing
    await hold(order_book, second)
    await close(order_book, register, second)

    assert [first.plan.value, second.plan.value] == [money("180.00 USD"), money("90.01 USD")]
    assert (await order_book.read_order("O-1")).state is OrderState.CANCELLED
    assert (await books.stock(database, "SKU-L1")).reserved == 0


async def test_a_parcel_that_travels_on_keeps_what_was_not_cancelled(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    placed = order(shipments=(parcel("S1", 3),))
    await books.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed, lines=[LineScope(line_id="L1", quantity=1)])
    await hold(order_book, opened)

    await close(order_book, register, opened)

    shipment = (await order_book.read_order("O-1")).shipments[0]
    assert (shipment.stopped, shipment.lines) == (False, (ShipmentLine(line_id="L1", quantity=2),))


async def test_an_order_whose_books_are_closed_is_not_changed(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """D6: refused with what to do; once unlocked, the same call goes through."""
    await books.add_order(database, order(), email=EMAIL)
    opened = cancellation(order())
    await hold(order_book, opened)
    await books.lock_order(database, "O-1", "the accounting period 2026-03 is closed")

    with pytest.raises(Refused, match=r"O-1 cannot be changed: the accounting period 2026-03 is closed\. Have") as no:
        await close(order_book, register, opened)

    assert no.value.code is ErrorCode.ORDER_LOCKED
    read = await order_book.read_order("O-1")
    assert (read.held_by, read.lines[0].cancelled) == (opened.cancellation_id, 0)
    await books.lock_order(database, "O-1", None)
    await close(order_book, register, opened)
    assert (await order_book.read_order("O-1")).state is OrderState.CANCELLED


async def test_only_the_holder_closes_an_order(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """M25, E19: neither another cancellation nor another run of this one, and neither ends it."""
    await books.add_order(database, order(), email=EMAIL)
    opened, other = cancellation(order()), cancellation(order(), request_id="R-2")
    await hold(order_book, opened)

    for one, run in ((other, RUN), (opened, OTHER_RUN)):
        with pytest.raises(NotTheHolder):
            await order_book.close_order("O-1", [], None, key=one.key(StepName.CLOSE_ORDER), run=run)
        with pytest.raises(NotTheHolder):
            await order_book.close_cancellation("O-1", ending(one), run=run)

    read = await order_book.read_order("O-1")
    assert (read.held_by, read.lines[0].cancelled) == (opened.cancellation_id, 0)
    assert [row.outcome for row in await books.cancellations(database)] == [None]


async def test_the_rest_of_an_order_is_free_before_the_money_has_settled(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    """E25: the hold is off, and the cancellation is still under way."""
    await books.add_order(database, order(), email=EMAIL)
    opened = cancellation(order(), lines=[LineScope(line_id="L1", quantity=1)])
    await hold(order_book, opened)

    await close(order_book, register, opened, refunded("100.00 USD", "re_1", RefundStatus.PENDING))

    assert (await order_book.read_order("O-1")).held_by is None
    with pytest.raises(Refused) as under_way:
        await hold(order_book, cancellation(order(), request_id="R-2"))
    assert under_way.value.code is ErrorCode.ORDER_HELD


async def test_cancellations_of_many_orders_share_stock_without_losing_count(
    order_book: SqlOrderBook, register: SqlRegister, database: AsyncEngine
) -> None:
    both = (line(), line("10.00 USD", line_id="L2", quantity=1))
    placed = [order(f"O-{n}", lines=both if n % 2 else both[::-1]) for n in range(12)]
    for one in placed:
        await books.add_order(database, one, email=EMAIL)

    async def cancel(one: int) -> None:
        opened = cancellation(placed[one])
        await hold(order_book, opened)
        await close(order_book, register, opened)

    await asyncio.gather(*(cancel(n) for n in range(12)))

    assert [(await books.stock(database, sku)).reserved for sku in ("SKU-L1", "SKU-L2")] == [0, 0]
    assert [(await books.stock(database, sku)).on_hand for sku in ("SKU-L1", "SKU-L2")] == [36, 12]
