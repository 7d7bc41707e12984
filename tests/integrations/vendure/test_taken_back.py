"""A cancellation that is withdrawn or rolled back leaves an order in Vendure that goes on."""

import pytest

from domain.order import OrderFlag
from domain.outcome import Outcome, State
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure import journeys
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import OverVendure, request, with_plugin
from tests.workflows.samples import an_id

pytestmark = pytest.mark.long


async def test_a_pick_is_resumed_once_when_the_customer_withdraws(over: OverVendure) -> None:
    """D1: a cancelled fulfilment is final in Vendure, so another one with another id takes its place."""
    await journeys.withdraw(over)


async def test_a_new_label_and_a_new_reservation_are_recorded(over: OverVendure) -> None:
    """M19: what replaces them is what the order goes on with."""
    await journeys.roll_back(over)


@with_plugin
async def test_a_pick_goes_on_when_a_fraud_review_ends_with_a_no(over: OverVendure) -> None:
    """D5: Vendure has the flag, so the goods are stopped before anybody approves."""
    system, sample = (
        over.system,
        SampleOrder(
            order_id=an_id(),
            lines=(line("L1", 3, "60.00 USD"),),
            tenders=(card("60.00 USD"),),
            flags=frozenset({OrderFlag.FRAUD_REVIEW}),
        ),
    )
    order = await over.place_order(sample)
    pick = await over.pack(order, 0, units=2)
    async with system.worker():
        _, handle = await system.submit(request(order))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        assert await over.fulfillments(order) == [(pick, "Cancelled")]
        await system.reject(handle)
        result = await system.finish(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    [shipment] = (await over.read(order.order_id)).shipments
    assert (shipment.stopped, shipment.lines[0].quantity) == (False, 2)
    await check_books(over, order, result)
    await over.shop.take_out(order.order_id, order.lines[0].line_id, 1)
