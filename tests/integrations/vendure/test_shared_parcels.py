"""The warehouse packs goods of several orders into one fulfilment, and one of the orders is cancelled."""

import pytest

from domain.closing import Closing
from domain.errors import ErrorCode, Refused
from domain.money import money
from domain.order import Order
from domain.outcome import Outcome
from domain.shipment import Shipment, ShipmentLine
from domain.step import StepName
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import OverVendure, request
from tests.integrations.vendure.shops import VendureUnderTest
from tests.providers.closing_contract import units_gone
from tests.providers.shop_under_test import an_order, key, leaving
from tests.workflows.samples import an_id


def parcel_of(*orders: Order) -> Shipment:
    """One unit of the first line of each, with a label."""
    return Shipment(
        shipment_id="new",
        lines=tuple(ShipmentLine(line_id=order.lines[0].line_id, quantity=1) for order in orders),
        carrier="UPS",
        label_reference="shp_1",
        tracking_number="1Z1",
    )


async def test_a_fulfilment_of_two_orders_is_neither_withdrawn_nor_closed(connected: VendureUnderTest) -> None:
    order, other = [await connected.orders.read(await connected.place_order(an_order())) for _ in range(2)]
    shared = await connected.shop.pack(order.order_id, parcel_of(order, other))
    for packed in (order, other):
        [parcel] = (await connected.orders.read(packed.order_id)).shipments
        assert parcel.lines == parcel_of(packed).lines
        assert parcel.label_reference is None, "nobody voids it, or has the parcel sent back"
    with pytest.raises(Refused, match="holds goods of other orders too") as refused:
        await connected.orders.withdraw_pick(
            order.order_id, shared, key=key(order.order_id, StepName.STOP_SHIPMENT, target=shared)
        )
    assert refused.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE
    close = Closing(lines=(leaving(order.lines[0], 1, shared),), stopped=frozenset({shared}))
    await connected.orders.close(order.order_id, close, None, key=key(order.order_id))
    assert await units_gone(connected, order) == [1, 0]
    assert await units_gone(connected, other) == [0, 0]
    [fulfillment] = (await connected.shop.read(other.order_id)).fulfillments
    assert (fulfillment.id, fulfillment.state) == (shared, "Pending")


async def test_an_order_in_a_parcel_of_two_is_cancelled_when_it_was_packed_anew(over: OverVendure) -> None:
    """Until then nothing of either order is touched."""
    system = over.system
    order, other = [
        await over.place_order(
            SampleOrder(order_id=an_id(), lines=(line("L1", 1, "20.00 USD"),), tenders=(card("20.00 USD"),))
        )
        for _ in range(2)
    ]
    shared = await over.shop.pack(order.order_id, parcel_of(order, other))
    async with system.worker():
        _, handle = await system.submit(request(order))
        first = await system.finish(handle)
        assert first.outcome is Outcome.ROLLED_BACK
        assert "holds goods of other orders too" in first.sentence
        assert await system.refunds(order.order_id) == []
        assert await over.left(order) == [1]
        assert await over.fulfillments(other) == [(shared, "Pending")]
        await over.shop.move_parcel(shared, "Cancelled")
        anew = await over.pack(other, 0)
        _, handle = await system.submit(request(order, request_id="second"))
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("20.00 USD"))
    assert await over.left(other) == [1]
    assert await over.fulfillments(other) == [(shared, "Cancelled"), (anew, "Pending")]
    await check_books(over, order, first, result)
