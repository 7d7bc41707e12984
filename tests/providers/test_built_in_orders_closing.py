"""Closing orders in the built-in order management system: lines, parcels and stock. On SQLite and PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.closing import Closing
from domain.errors import ErrorCode, Refused
from domain.facts import Fact, OrderClosed
from domain.keys import EffectKey
from domain.money import money
from domain.order import Order, OrderState
from domain.outcome import Outcome
from domain.payment import RefundStatus
from domain.request import LineScope
from domain.shipment import GoodsGroup, ShipmentLine, StopStatus
from domain.step import StepName
from providers.outbox.port import NewNotice, NoticeKind
from sandbox import books, built_in
from tests.providers.merchant import (
    Cancellation,
    Merchant,
    by_hand,
    cancellation,
    line,
    order,
    parcel,
    refunded,
    released,
    stops,
)

EMAIL = "customer@example.test"


async def test_closing_releases_the_promise_and_leaves_stock_on_hand(merchant: Merchant, database: AsyncEngine) -> None:
    """C1, C3: nothing has left the warehouse. B34: the shipping goes with the last line."""
    placed = order(shipments=(parcel("S1", 1), parcel("S2", 1, label="shp_2")), shipping="4.90 USD")
    await built_in.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10})
    opened = cancellation(placed)
    await merchant.hold(opened)
    facts: list[Fact] = [
        *stops(opened),
        refunded("250.00 USD", "re_0", RefundStatus.FAILED),
        refunded("250.00 USD", "re_1"),
        released("4.90 USD"),
        by_hand("50.00 USD", "bank 1"),
    ]

    await merchant.close(opened, *facts, notices=[NewNotice(kind=NoticeKind.CANCELLED)])
    await merchant.close(opened)

    stock = await built_in.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (10, 0, 0)
    read = await books.order(database, "O-1")
    assert (read.state, read.held_by, read.lines[0].cancelled) == (OrderState.CANCELLED, None, 3)
    assert read.shipping_credited == money("4.90 USD")
    assert [(s.stopped, s.lines) for s in read.shipments] == [(True, ()), (True, ())]
    assert await books.given_back(database, "O-1") == [
        books.GivenBack(tender_id="T-card", refunded=money("300.00 USD"), released=money("4.90 USD"))
    ]
    assert [effect.kind for effect in await built_in.effects(database)] == ["close_order"]
    case = Case(await books.facts(database, "O-1"))
    assert (case.order_closed, case.ended) == (True, None)
    assert len([entry for entry in case.entries if isinstance(entry.fact, OrderClosed)]) == 1
    assert [row.outcome for row in await books.cancellations(database)] == [None]
    await merchant.end(opened)
    await merchant.end(opened)
    assert [row.outcome for row in await books.cancellations(database)] == [Outcome.CANCELLED]


async def test_a_parcel_that_moves_all_the_same_does_not_count_as_stopped(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """Its units have left the warehouse; once it is fetched they are expected back, and no longer when it is lost."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await built_in.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10})
    opened = cancellation(placed)
    await merchant.hold(opened)
    await merchant.write(opened, *stops(opened), refunded("300.00 USD", "re_1"), by_hand("1.00 USD", "bank 1"))
    await merchant.close(opened, *stops(opened, StopStatus.DECLINED))

    async def counted() -> tuple[int, int, int]:
        stock = await built_in.stock(database, "SKU-L1")
        return stock.on_hand, stock.reserved, stock.expected_back

    read = await books.order(database, "O-1")
    assert (read.lines[0].cancelled, read.shipments[0].stopped) == (3, False)
    assert await counted() == (7, 0, 0)
    fetched = by_hand("1.00 USD", "courier 1", StepName.STOP_SHIPMENT).model_copy(
        update={"target": "S1", "amount": None}
    )
    await merchant.close(opened, fetched)
    assert await counted() == (7, 0, 3)
    assert (await books.order(database, "O-1")).shipments[0].stopped
    await merchant.close(opened, *stops(opened, StopStatus.LOST))
    assert await counted() == (7, 0, 0)


async def test_goods_on_their_way_back_are_expected_not_on_hand(merchant: Merchant, database: AsyncEngine) -> None:
    """C6. Two parcels have left; of one the warehouse has not booked it yet."""
    placed = order(shipments=(parcel("S1", 1, label="shp_1"), parcel("S2", 2, label="shp_2")))
    await built_in.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10}, handed_over={"S1"})
    opened = cancellation(placed, goods=GoodsGroup.IN_NETWORK)
    await merchant.hold(opened)

    await merchant.close(opened, *stops(opened, StopStatus.COMING_BACK))

    stock = await built_in.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (8, 0, 3)


async def test_a_lost_parcel_is_neither_released_nor_expected(merchant: Merchant, database: AsyncEngine) -> None:
    """C12: no restock."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await built_in.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10}, handed_over={"S1"})
    opened = cancellation(placed, goods=GoodsGroup.LOST)
    await merchant.hold(opened)

    await merchant.close(opened, *stops(opened))

    stock = await built_in.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (10, 0, 0)
    assert (await books.order(database, "O-1")).state is OrderState.CANCELLED


async def test_partial_cancellations_add_up_to_the_whole_line(merchant: Merchant, database: AsyncEngine) -> None:
    """B32: 270.01 for three units after the discount: 180.00 and 90.01 by cumulative shares, nothing lost."""
    placed = order(lines=(line("270.01 USD"),), shipments=(parcel("S1", 3, label="shp_1"),))
    await built_in.add_order(database, placed, email=EMAIL)
    first = cancellation(placed, lines=[LineScope(line_id="L1", quantity=2)])
    await merchant.hold(first)
    await merchant.close(first, *stops(first))
    await merchant.end(first)

    rest = await books.order(database, "O-1")
    assert (rest.state, rest.lines[0].remaining) == (OrderState.PARTIALLY_CANCELLED, 1)
    assert rest.shipments[0].stopped
    assert (await built_in.stock(database, "SKU-L1")).reserved == 1
    second = cancellation(rest, request_id="R-2", lines=[LineScope(line_id="L1", quantity=1)])
    assert [planned.shipment_id for planned in second.plan.lines] == [None]  # the stopped parcel carries nothing
    await merchant.hold(second)
    await merchant.close(second)

    assert [first.plan.value, second.plan.value] == [money("180.00 USD"), money("90.01 USD")]
    assert (await books.order(database, "O-1")).state is OrderState.CANCELLED
    assert (await built_in.stock(database, "SKU-L1")).reserved == 0


async def test_a_parcel_that_travels_on_keeps_what_was_not_cancelled(merchant: Merchant, database: AsyncEngine) -> None:
    placed = order(shipments=(parcel("S1", 3),))
    await built_in.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed, lines=[LineScope(line_id="L1", quantity=1)])
    await merchant.hold(opened)

    await merchant.close(opened)

    shipment = (await books.order(database, "O-1")).shipments[0]
    assert (shipment.stopped, shipment.lines) == (False, (ShipmentLine(line_id="L1", quantity=2),))


async def test_an_order_whose_books_are_closed_is_not_changed(merchant: Merchant, database: AsyncEngine) -> None:
    """D6: refused with what to do; once unlocked, the same call goes through."""
    await built_in.add_order(database, order(), email=EMAIL)
    opened = cancellation(order())
    await merchant.hold(opened)
    await built_in.lock_order(database, "O-1", "the accounting period 2026-03 is closed")

    with pytest.raises(Refused, match=r"O-1 cannot be changed: the accounting period 2026-03 is closed\. Have") as no:
        await merchant.close(opened)

    assert no.value.code is ErrorCode.ORDER_LOCKED
    read = await books.order(database, "O-1")
    assert (read.held_by, read.lines[0].cancelled) == (opened.cancellation_id, 0)
    await built_in.lock_order(database, "O-1", None)
    await merchant.close(opened)
    assert (await books.order(database, "O-1")).state is OrderState.CANCELLED


async def test_cancellations_of_many_orders_share_stock_without_losing_count(
    merchant: Merchant, database: AsyncEngine
) -> None:
    both = (line(), line("10.00 USD", line_id="L2", quantity=1))
    placed = [order(f"O-{n}", lines=both if n % 2 else both[::-1]) for n in range(12)]
    for placed_order in placed:
        await built_in.add_order(database, placed_order, email=EMAIL)

    async def cancel(placed_order: Order) -> None:
        opened = cancellation(placed_order)
        await merchant.hold(opened)
        await merchant.close(opened)

    await asyncio.gather(*map(cancel, placed))

    assert [(await built_in.stock(database, sku)).reserved for sku in ("SKU-L1", "SKU-L2")] == [0, 0]
    assert [(await built_in.stock(database, sku)).on_hand for sku in ("SKU-L1", "SKU-L2")] == [36, 12]


# What a call finds done, and what others did


def key_of(one: Cancellation) -> EffectKey:
    return one.key(StepName.CLOSE_ORDER)


async def frozen(merchant: Merchant, database: AsyncEngine) -> tuple[Cancellation, Closing]:
    """One unit of three is to be cancelled, out of no parcel."""
    await built_in.add_order(database, order(), email=EMAIL)
    one = cancellation(order(), lines=[LineScope(line_id="L1", quantity=1)])
    await merchant.hold(one)
    return one, Closing.of(await merchant.case(one))


async def cancelled_and_reserved(database: AsyncEngine) -> tuple[int, int]:
    read = await books.order(database, "O-1")
    return read.lines[0].cancelled, (await built_in.stock(database, "SKU-L1")).reserved


async def take_out(database: AsyncEngine, units: int) -> None:
    """Somebody takes units out of the order by hand; below zero: puts them back."""
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE order_lines SET cancelled = cancelled + :units, reserved = reserved - :units"),
            {"units": units},
        )
        await connection.execute(text("UPDATE stock SET reserved = reserved - :units"), {"units": units})


async def test_units_leave_the_order_once_for_a_key(merchant: Merchant, database: AsyncEngine) -> None:
    """I5: one after the other and at the same time; the order goes on, and nobody else's later hold is taken off."""
    one, closing = await frozen(merchant, database)

    await asyncio.gather(*(merchant.orders.close("O-1", closing, None, key=key_of(one)) for _ in range(8)))

    assert await cancelled_and_reserved(database) == (1, 2)
    assert [effect.kind for effect in await built_in.effects(database)] == ["close_order"]
    assert (await books.order(database, "O-1")).held_by is None
    other = cancellation(order(), request_id="R-2")
    seen = await merchant.orders.read("O-1")
    await merchant.orders.freeze(seen, key=other.key(StepName.VERIFY_ORDER))
    await merchant.orders.close("O-1", closing, None, key=key_of(one))
    assert (await books.order(database, "O-1")).held_by == other.cancellation_id
    assert await merchant.orders.read("O-1") == seen


async def test_an_order_that_was_closed_and_whose_closing_was_not_kept_is_found_closed(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """The two are no longer one transaction: the attempt was lost between them."""
    one, closing = await frozen(merchant, database)
    await merchant.note(key_of(one))
    await merchant.orders.close("O-1", closing, None, key=key_of(one))
    assert not (await merchant.case(one)).order_closed

    await merchant.close(one)

    assert (await merchant.case(one)).order_closed
    assert await cancelled_and_reserved(database) == (1, 2)


@pytest.mark.parametrize("units", [1, 2])
async def test_an_order_that_others_have_taken_units_out_of_is_not_closed(
    merchant: Merchant, database: AsyncEngine, units: int
) -> None:
    """I2: as many as ours, too: the two may both have been paid back. Nothing leaves it then, and a person puts it right."""
    one, _ = await frozen(merchant, database)
    await take_out(database, units)

    for _ in range(2):
        with pytest.raises(Refused, match=rf"Somebody else has taken {units} of line L1 out of order O-1") as no:
            await merchant.close(one)
        assert no.value.code is ErrorCode.ORDER_CHANGED
        assert await cancelled_and_reserved(database) == (units, 3 - units)

    assert (await books.order(database, "O-1")).held_by == one.cancellation_id
    assert await built_in.effects(database) == []
    await take_out(database, -units)
    await merchant.close(one)
    assert await cancelled_and_reserved(database) == (1, 2)


async def test_what_had_left_the_order_when_it_was_read_first_is_not_the_others(
    merchant: Merchant, database: AsyncEngine
) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    await take_out(database, 1)
    rest = cancellation(await books.order(database, "O-1"), lines=[LineScope(line_id="L1", quantity=1)])
    await merchant.hold(rest)

    await merchant.close(rest)

    assert await cancelled_and_reserved(database) == (2, 1)


async def test_an_order_that_is_locked_by_then_is_not_closed_again(merchant: Merchant, database: AsyncEngine) -> None:
    """D6: what a parcel comes to is not booked, until the order is unlocked."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await built_in.add_order(database, placed, email=EMAIL)
    one = cancellation(placed, goods=GoodsGroup.IN_NETWORK)
    await merchant.hold(one)
    await merchant.close(one, *stops(one, StopStatus.REQUESTED))
    await built_in.lock_order(database, "O-1", "the accounting period is closed")

    with pytest.raises(Refused) as no:
        await merchant.close(one, *stops(one, StopStatus.LOST))

    assert no.value.code is ErrorCode.ORDER_LOCKED
    assert (await built_in.stock(database, "SKU-L1")).expected_back == 3
    await built_in.lock_order(database, "O-1", None)
    for _ in range(2):
        await merchant.close(one)
    assert (await built_in.stock(database, "SKU-L1")).expected_back == 0
    assert (await books.order(database, "O-1")).lines[0].cancelled == 3


async def test_an_order_that_is_closed_again_stays_frozen_for_another_cancellation(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """B23: what has become of a parcel is booked while the rest of the order is being cancelled."""
    placed = order(
        lines=(line(), line("10.00 USD", line_id="L2", quantity=1)), shipments=(parcel("S1", 3, label="shp_1"),)
    )
    await built_in.add_order(database, placed, email=EMAIL)
    one = cancellation(placed, lines=[LineScope(line_id="L1", quantity=3)], goods=GoodsGroup.IN_NETWORK)
    await merchant.hold(one)
    await merchant.close(one, *stops(one, StopStatus.REQUESTED))
    other = cancellation(placed, request_id="R-2", lines=[LineScope(line_id="L2", quantity=1)])
    await merchant.orders.freeze(await merchant.orders.read("O-1"), key=other.key(StepName.VERIFY_ORDER))

    await merchant.close(one, *stops(one, StopStatus.LOST))

    assert (await books.order(database, "O-1")).held_by == other.cancellation_id
    assert (await built_in.stock(database, "SKU-L1")).expected_back == 0


async def test_a_parcel_that_was_packed_another_way_since_holds_nothing_up(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """F2's last line: what the warehouse does is no mistake of ours. The parcel moves all the same, without the line."""
    placed = order(shipments=(parcel("S1", 1, label="shp_1"),))
    await built_in.add_order(database, placed, email=EMAIL)
    opened = cancellation(placed, lines=[LineScope(line_id="L1", quantity=3)])
    await merchant.hold(opened)
    await merchant.write(opened, *stops(opened, StopStatus.STOPPED), refunded("300.00 USD", "re_1"))
    await built_in.remove_shipment(database, "O-1", "S1")
    await built_in.add_shipment(database, "O-1", parcel("S1", 1, label="shp_1").model_copy(update={"lines": ()}))

    await merchant.close(opened, *stops(opened, StopStatus.MOVING))

    assert (await books.order(database, "O-1")).state is OrderState.CANCELLED
