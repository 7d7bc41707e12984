"""Orders in Vendure of which something is packed: the parcel is stopped first, and what cannot be stopped stays."""

import pytest

from domain.money import money
from domain.outcome import GoodsStatus, Outcome
from domain.plan import LeftOutReason
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure import journeys
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import OverVendure, request, units
from tests.workflows.samples import an_id

pytestmark = pytest.mark.long


def two_lines() -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "40.00 USD"), line("L2", 1, "20.00 USD")),
        tenders=(card("64.90 USD"),),
        shipping=money("4.90 USD"),
    )


def one_line(quantity: int) -> SampleOrder:
    return SampleOrder(order_id=an_id(), lines=(line("L1", quantity, "60.00 USD"),), tenders=(card("60.00 USD"),))


async def test_a_fulfilment_that_is_picked_is_withdrawn(over: OverVendure) -> None:
    order = await over.place_order(two_lines())
    pick = await over.pack(order, 0)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.NEVER_HANDED_OVER)
    assert await over.fulfillments(order) == [(pick, "Cancelled")]
    await check_books(over, order, result)


async def test_of_a_pick_of_two_units_one_stays_and_is_packed_anew(over: OverVendure) -> None:
    """A pick is withdrawn as a whole: Vendure cancels fulfilments, not units of them."""
    order = await over.place_order(one_line(2))
    pick = await over.pack(order, 0, units=2)
    async with over.system.worker():
        result = await over.system.cancel(request(order, units(order, 0, 1)))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("30.00 USD"))
    await check_books(over, order, result)
    anew = await over.pack(order, 0)
    assert await over.fulfillments(order) == [(pick, "Cancelled"), (anew, "Pending")]
    await check_books(over, order, result)


async def test_a_label_is_voided_before_the_fulfilment_is_cancelled(over: OverVendure) -> None:
    order = await over.place_order(two_lines())
    parcel = await over.label(order, Script.LABEL_ONLY, 0)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.NEVER_HANDED_OVER)
    assert (await over.system.carrier_effects(order.order_id))[:1] == ["label.void_submitted"]
    assert await over.fulfillments(order) == [(parcel.shipment_id, "Cancelled")]
    await check_books(over, order, result)


async def test_what_was_shipped_without_a_label_is_not_stopped(over: OverVendure) -> None:
    """C8: nobody can be asked to stop it, so its line is not refunded, and the customer is offered a return."""
    order = await over.place_order(two_lines())
    shipped = await over.pack(order, 0)
    await over.shop.ship(shipped)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("21.63 USD"))
    assert [left.reason for left in result.left_out] == [LeftOutReason.OUT_FOR_DELIVERY]
    assert await over.fulfillments(order) == [(shipped, "Shipped")]
    await check_books(over, order, result)


async def test_an_order_that_was_shipped_without_a_label_is_not_cancelled(over: OverVendure) -> None:
    """C8: nothing is frozen or stopped for it, and the customer reads why."""
    order = await over.place_order(one_line(1))
    await over.shop.ship(await over.pack(order, 0))
    async with over.system.worker():
        submission, handle = await over.system.submit(request(order))
        result = await over.system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.REJECTED, None)
    assert "offer a return" in submission.decision.sentence
    await check_books(over, order, result)


async def test_what_the_carrier_does_not_stop_stays_in_the_order(over: OverVendure) -> None:
    order = await over.place_order(one_line(3))
    await over.send(order, Script.INTERCEPT_DECLINED, 0, units=2)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("20.00 USD"))
    assert await over.left(order) == [2]
    await check_books(over, order, result, counted_as_on_hand={0: 1})


async def test_what_was_delivered_is_not_cancelled(over: OverVendure) -> None:
    order = await over.place_order(one_line(1))
    parcel = await over.send(order, Script.DELIVERED, 0)
    await over.shop.deliver(parcel.shipment_id)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.refunded) == (Outcome.REJECTED, None)
    assert (await over.shop.read(order.order_id)).state == "Delivered"
    await check_books(over, order, result)


async def test_what_comes_back_leaves_the_order_when_it_is_received(over: OverVendure) -> None:
    """C6: Vendure counts as on hand at once what leaves an order. So the lines of a parcel that was intercepted stay, the
    customer has the money, and the carrier's word closes them once."""
    await journeys.receive(over)
