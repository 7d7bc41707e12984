"""Orders in the order book: hold, release, stopping in the warehouse, closing. On SQLite and PostgreSQL."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import ErrorCode, Refused
from domain.money import Money, money
from domain.order import OrderState
from domain.outcome import ByHand, CarriedOut, Outcome, Reversal
from domain.payment import Refund, RefundStatus
from domain.request import LineScope
from domain.shipment import GoodsGroup, Shipment, ShipmentLine
from providers.order_book.book import SqlOrderBook
from providers.order_book.port import NewNotice, NoticeKind
from providers.order_book.tables import EffectKind
from sandbox import books
from tests.providers.order_book_samples import CARD, closing, line, order, record, result

RECEIVED = NewNotice(kind=NoticeKind.RECEIVED)
EMAIL = "customer@example.test"


def parcel(shipment_id: str, quantity: int, *, label: str | None = None) -> Shipment:
    return Shipment(
        shipment_id=shipment_id,
        lines=(ShipmentLine(line_id="L1", quantity=quantity),),
        carrier="UPS" if label else None,
        label_reference=label,
        tracking_number=f"1Z{label}" if label else None,
    )


async def test_an_order_is_read_as_it_was_put_in(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    placed = order(
        lines=(line(), line("52.35 USD", line_id="L2", quantity=1, tax="8.36 USD")),
        shipments=(parcel("S1", 2, label="shp_1"), parcel("S2", 1)),
        shipping="4.90 USD",
    ).model_copy(update={"shipping_tax": money("0.78 USD"), "discount": money("1.00 USD"), "country": "DE"})
    await books.add_order(database, placed, email=EMAIL)

    assert await order_book.read_order("O-1") == placed


@pytest.mark.parametrize(
    ("currency", "amount", "minor"), [("JPY", "9899", 9899), ("KWD", "12.345", 12345), ("USD", "52.35", 5235)]
)
async def test_amounts_keep_the_minor_units_of_their_currency(
    order_book: SqlOrderBook, database: AsyncEngine, currency: str, amount: str, minor: int
) -> None:
    """B30."""
    worth = f"{amount} {currency}"
    tender = CARD.model_copy(update={"amount": money(worth)})
    await books.add_order(database, order(lines=(line(worth, quantity=1),), tenders=(tender,)), email=EMAIL)

    read = await order_book.read_order("O-1")

    assert read.lines[0].total == Money(amount=minor, currency=currency)
    assert read.tenders[0].amount == Money(amount=minor, currency=currency)


async def test_an_unknown_order_is_refused(order_book: SqlOrderBook) -> None:
    """A1, as far as the order book goes."""
    with pytest.raises(Refused, match="no order O-404") as no:
        await order_book.read_order("O-404")
    assert no.value.code is ErrorCode.ORDER_NOT_FOUND
    assert await order_book.find_cancellation("O-404", "R-1") is None


async def test_a_hold_is_put_on_once_however_often_it_is_asked_for(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """A4: the effect of a repeated call."""
    await books.add_order(database, order(), email=EMAIL)
    opened = record(order())

    for _ in range(3):
        await order_book.hold_order(opened, [RECEIVED], key="hold")

    assert (await order_book.read_order("O-1")).held_by == opened.cancellation_id
    assert await order_book.find_cancellation("O-1", "R-1") == opened
    assert [effect.key for effect in await books.effects(database)] == ["hold"]
    assert [notice.kind for notice in await books.notices(database)] == [NoticeKind.RECEIVED]


async def test_attempts_at_the_same_time_have_one_effect(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """I5: attempts with one key, at once."""
    await books.add_order(database, order(), email=EMAIL)
    opened = record(order())

    await asyncio.gather(*(order_book.hold_order(opened, [RECEIVED], key="hold") for _ in range(10)))

    assert [effect.key for effect in await books.effects(database)] == ["hold"]


async def test_one_cancellation_at_a_time_holds_an_order(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(), email=EMAIL)
    rivals = [record(order(), request_id=f"R-{n}") for n in range(20)]

    answers = await asyncio.gather(
        *(order_book.hold_order(rival, [], key=rival.cancellation_id) for rival in rivals), return_exceptions=True
    )

    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert Counter(refusal.code for refusal in refusals) == {ErrorCode.ORDER_HELD: 19}
    assert len([answer for answer in answers if answer is None]) == 1
    holder = (await order_book.read_order("O-1")).held_by
    assert all(f"held by cancellation {holder}" in refusal.message for refusal in refusals)
    assert [row.cancellation_id for row in await books.cancellations(database)] == [holder]


async def test_the_database_itself_refuses_a_second_open_cancellation(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    await books.add_order(database, order(), email=EMAIL)
    await order_book.hold_order(record(order()), [], key="hold")

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO cancellations (cancellation_id, order_id, request_id, request, decision, plan, opened_at)"
                    " SELECT 'other', order_id, 'R-2', request, decision, plan, opened_at FROM cancellations"
                )
            )


async def test_a_key_has_one_meaning(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(shipments=(parcel("S1", 3),)), email=EMAIL)
    await order_book.withdraw_pick("O-1", "S1", key="k")

    with pytest.raises(Refused) as no:
        await order_book.resume_pick("O-1", "S1", key="k")

    assert no.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert (await order_book.read_order("O-1")).shipments[0].stopped


async def test_a_release_gives_the_order_back_and_closes_the_cancellation(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """D1: the hold is off, the promise stands, the record says how it ended."""
    await books.add_order(database, order(), email=EMAIL)
    opened = record(order())
    await order_book.hold_order(opened, [], key="hold")
    before = await books.stock(database, "SKU-L1")

    withdrawn = result(opened, Outcome.WITHDRAWN)
    for _ in range(2):
        await order_book.release_order(withdrawn, [NewNotice(kind=NoticeKind.NOT_CANCELLED)], key="release")

    read = await order_book.read_order("O-1")
    assert (read.held_by, read.state) == (None, OrderState.OPEN)
    assert await books.stock(database, "SKU-L1") == before
    found = await order_book.find_cancellation("O-1", "R-1")
    assert found is not None
    assert found.result == withdrawn
    assert [effect.key for effect in await books.effects(database)] == ["hold", "release"]

    again = record(order(), request_id="R-2")
    await order_book.hold_order(again, [], key="hold again")
    assert (await order_book.read_order("O-1")).held_by == again.cancellation_id


async def test_a_release_without_a_hold_does_nothing(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(), email=EMAIL)
    opened = record(order())

    await order_book.release_order(result(opened, Outcome.ROLLED_BACK), [RECEIVED], key="release")
    await order_book.release_order(result(record(order("O-404"))), [], key="release of nothing")

    assert await books.effects(database) == []
    assert await books.notices(database) == []
    await order_book.hold_order(opened, [], key="hold")
    other = record(order(), request_id="R-2")
    await order_book.release_order(result(other, Outcome.ROLLED_BACK), [], key="release other")
    assert (await order_book.read_order("O-1")).held_by == opened.cancellation_id


async def test_a_late_repeat_of_the_hold_does_not_freeze_the_order_again(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    await books.add_order(database, order(), email=EMAIL)
    opened = record(order())
    await order_book.hold_order(opened, [], key="hold")
    await order_book.release_order(result(opened, Outcome.WITHDRAWN), [], key="release")

    await order_book.hold_order(opened, [], key="hold")

    assert (await order_book.read_order("O-1")).held_by is None


async def test_a_pick_is_withdrawn_and_resumed(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(shipments=(parcel("S1", 3),)), email=EMAIL)

    for _ in range(2):
        await order_book.withdraw_pick("O-1", "S1", key="withdraw")
    assert (await order_book.read_order("O-1")).shipments[0].stopped

    for _ in range(2):
        await order_book.resume_pick("O-1", "S1", key="resume")
    assert not (await order_book.read_order("O-1")).shipments[0].stopped

    await order_book.withdraw_pick("O-1", "S1", key="withdraw")  # late: its effect was, and has been undone
    assert not (await order_book.read_order("O-1")).shipments[0].stopped
    assert [effect.kind for effect in await books.effects(database)] == [
        EffectKind.WITHDRAW_PICK,
        EffectKind.RESUME_PICK,
    ]


@pytest.mark.parametrize("shipment_id", ["S1", "S404"])
async def test_a_parcel_with_a_label_is_not_the_warehouses_to_stop(
    order_book: SqlOrderBook, database: AsyncEngine, shipment_id: str
) -> None:
    await books.add_order(database, order(shipments=(parcel("S1", 3, label="shp_1"),)), email=EMAIL)

    with pytest.raises(Refused, match=f"{shipment_id} of order O-1") as no:
        await order_book.withdraw_pick("O-1", shipment_id, key="withdraw")

    assert no.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE
    assert await books.effects(database) == []


async def test_a_new_label_replaces_the_voided_one(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(shipments=(parcel("S1", 3, label="shp_1"),)), email=EMAIL)

    await order_book.relabel("O-1", "S1", "shp_2", "1Z2", key="relabel")
    await order_book.relabel("O-1", "S1", "shp_3", "1Z3", key="relabel")

    shipment = (await order_book.read_order("O-1")).shipments[0]
    assert (shipment.label_reference, shipment.tracking_number, shipment.stopped) == ("shp_2", "1Z2", False)


async def test_closing_releases_the_promise_and_leaves_stock_on_hand(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """C1, C3: nothing has left the warehouse. B34: the shipping goes with the last line."""
    placed = order(shipments=(parcel("S1", 1), parcel("S2", 1, label="shp_2")), shipping="4.90 USD")
    await books.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10})
    opened = record(placed)
    await order_book.hold_order(opened, [], key="hold")
    refund = Refund(reference="re_1", amount=money("250.00 USD"), status=RefundStatus.SUCCEEDED)
    reversal = Reversal(
        tender_id="T-card",
        released=money("4.90 USD"),
        refunds=(refund, refund.model_copy(update={"reference": "re_0", "status": RefundStatus.FAILED})),
        by_hand=ByHand(reference="bank 1", amount=money("50.00 USD")),
    )

    for _ in range(2):
        await order_book.close_order(
            closing(opened, reversals=[reversal]), [NewNotice(kind=NoticeKind.CANCELLED)], key="close"
        )

    stock = await books.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (10, 0, 0)
    read = await order_book.read_order("O-1")
    assert (read.state, read.held_by, read.lines[0].cancelled) == (OrderState.CANCELLED, None, 3)
    assert read.shipping_credited == money("4.90 USD")
    assert [(s.stopped, s.lines) for s in read.shipments] == [(True, ()), (True, ())]
    assert await books.given_back(database, "O-1") == [
        books.GivenBack(tender_id="T-card", refunded=money("300.00 USD"), released=money("4.90 USD"))
    ]
    assert [effect.key for effect in await books.effects(database)] == ["hold", "close"]


async def test_goods_on_their_way_back_are_expected_not_on_hand(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """C6. Two parcels have left; of one the warehouse has not booked it yet."""
    placed = order(shipments=(parcel("S1", 1, label="shp_1"), parcel("S2", 2, label="shp_2")))
    await books.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10}, handed_over={"S1"})
    opened = record(placed, goods=GoodsGroup.IN_NETWORK)
    await order_book.hold_order(opened, [], key="hold")

    await order_book.close_order(closing(opened, coming_back=["S1", "S2"]), [], key="close")

    stock = await books.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (8, 0, 3)


async def test_a_lost_parcel_is_neither_released_nor_expected(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """C12: no restock."""
    placed = order(shipments=(parcel("S1", 3, label="shp_1"),))
    await books.add_order(database, placed, email=EMAIL, on_hand={"SKU-L1": 10}, handed_over={"S1"})
    opened = record(placed, goods=GoodsGroup.LOST)
    await order_book.hold_order(opened, [], key="hold")

    await order_book.close_order(closing(opened), [], key="close")

    stock = await books.stock(database, "SKU-L1")
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (10, 0, 0)
    assert (await order_book.read_order("O-1")).state is OrderState.CANCELLED


async def test_partial_cancellations_add_up_to_the_whole_line(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """B32: 270.01 for three units after the discount: 180.00 and 90.01 by cumulative shares, nothing lost."""
    placed = order(lines=(line("270.01 USD"),), shipments=(parcel("S1", 3, label="shp_1"),))
    await books.add_order(database, placed, email=EMAIL)
    first = record(placed, lines=[LineScope(line_id="L1", quantity=2)])
    await order_book.hold_order(first, [], key="hold 1")
    await order_book.close_order(closing(first), [], key="close 1")

    rest = await order_book.read_order("O-1")
    assert (rest.state, rest.lines[0].remaining) == (OrderState.PARTIALLY_CANCELLED, 1)
    assert rest.shipments[0].stopped
    assert (await books.stock(database, "SKU-L1")).reserved == 1
    second = record(rest, request_id="R-2", lines=[LineScope(line_id="L1", quantity=1)])
    assert [planned.shipment_id for planned in second.plan.lines] == [None]  # the stopped parcel carries nothing
    await order_book.hold_order(second, [], key="hold 2")
    await order_book.close_order(closing(second), [], key="close 2")

    assert [first.plan.value, second.plan.value] == [money("180.00 USD"), money("90.01 USD")]
    assert (await order_book.read_order("O-1")).state is OrderState.CANCELLED
    assert (await books.stock(database, "SKU-L1")).reserved == 0


async def test_a_parcel_that_travels_on_keeps_what_was_not_cancelled(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    placed = order(shipments=(parcel("S1", 3),))
    await books.add_order(database, placed, email=EMAIL)
    opened = record(placed, lines=[LineScope(line_id="L1", quantity=1)])
    await order_book.hold_order(opened, [], key="hold")

    await order_book.close_order(closing(opened).model_copy(update={"stops": ()}), [], key="close")

    shipment = (await order_book.read_order("O-1")).shipments[0]
    assert (shipment.stopped, shipment.lines) == (False, (ShipmentLine(line_id="L1", quantity=2),))


async def test_an_order_whose_books_are_closed_is_not_changed(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """D6: refused with what to do; once unlocked, the same call goes through."""
    await books.add_order(database, order(), email=EMAIL)
    opened = record(order())
    await order_book.hold_order(opened, [], key="hold")
    await books.lock_order(database, "O-1", "the accounting period 2026-03 is closed")

    with pytest.raises(Refused, match=r"O-1 cannot be changed: the accounting period 2026-03 is closed\. Have") as no:
        await order_book.close_order(closing(opened), [], key="close")

    assert no.value.code is ErrorCode.ORDER_LOCKED
    read = await order_book.read_order("O-1")
    assert (read.held_by, read.lines[0].cancelled) == (opened.cancellation_id, 0)
    await books.lock_order(database, "O-1", None)
    await order_book.close_order(closing(opened), [], key="close")
    assert (await order_book.read_order("O-1")).state is OrderState.CANCELLED


async def test_only_the_holder_closes_an_order(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    await books.add_order(database, order(), email=EMAIL)
    opened, other = record(order()), record(order(), request_id="R-2")
    await order_book.hold_order(opened, [], key="hold")

    with pytest.raises(Refused) as no:
        await order_book.close_order(closing(other), [], key="close")

    assert no.value.code is ErrorCode.ORDER_HELD
    assert (await order_book.read_order("O-1")).lines[0].cancelled == 0


async def test_the_book_remembers_a_cancellation(order_book: SqlOrderBook, database: AsyncEngine) -> None:
    """A3: open, else this request's own, else the one that cancelled the whole order."""
    await books.add_order(database, order(), email=EMAIL)
    assert await order_book.find_cancellation("O-1", "R-1") is None
    withdrawn = record(order(), request_id="R-1")
    await order_book.hold_order(withdrawn, [], key="hold 1")
    await order_book.release_order(result(withdrawn, Outcome.WITHDRAWN), [], key="release 1")
    assert await order_book.find_cancellation("O-1", "R-2") is None

    whole = record(order(), request_id="R-2")
    await order_book.hold_order(whole, [], key="hold 2")
    assert await order_book.find_cancellation("O-1", "R-1") == whole
    await order_book.close_order(closing(whole), [], key="close 2")

    by_request = [await order_book.find_cancellation("O-1", request_id) for request_id in ("R-1", "R-2", "R-3")]
    assert [found and found.cancellation_id for found in by_request] == [
        withdrawn.cancellation_id,
        whole.cancellation_id,
        whole.cancellation_id,
    ]
    done = CarriedOut(plan=whole.plan, stops=closing(whole).stops, reversals=())
    assert by_request[2] == whole.model_copy(update={"result": result(whole), "carried_out": done})


async def test_cancellations_of_many_orders_share_stock_without_losing_count(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    both = (line(), line("10.00 USD", line_id="L2", quantity=1))
    placed = [order(f"O-{n}", lines=both if n % 2 else both[::-1]) for n in range(12)]
    for one in placed:
        await books.add_order(database, one, email=EMAIL)

    async def cancel(one: int) -> None:
        opened = record(placed[one])
        await order_book.hold_order(opened, [], key=f"hold {one}")
        await order_book.close_order(closing(opened), [], key=f"close {one}")

    await asyncio.gather(*(cancel(n) for n in range(12)))

    assert [(await books.stock(database, sku)).reserved for sku in ("SKU-L1", "SKU-L2")] == [0, 0]
    assert [(await books.stock(database, sku)).on_hand for sku in ("SKU-L1", "SKU-L2")] == [36, 12]
