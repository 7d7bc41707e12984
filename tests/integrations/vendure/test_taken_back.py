"""A cancellation that is withdrawn or rolled back leaves an order in Vendure that goes on."""

import pytest

from domain.order import OrderFlag
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure import journeys
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import (
    ABOVE_LIMIT,
    OverVendure,
    request,
    wait_for_approval,
    with_plugin,
)
from tests.system import resolve
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


@with_plugin
async def test_goods_that_staff_has_packed_anew_are_packed_once_more_only(over: OverVendure) -> None:
    """E20: the first of two picks had been cancelled by staff, so nothing of it is to be packed again."""
    system = over.system
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, ABOVE_LIMIT),),
        tenders=(card(ABOVE_LIMIT, fault="refund.create:refuse"),),
    )
    order = await over.place_order(sample)
    pick = await over.pack(order, 0)
    async with system.worker():
        handle = await wait_for_approval(over, order)
        await over.shop.release(order.order_id, (await system.progress(handle)).cancellation_id)
        await over.shop.move_parcel(pick, "Cancelled")
        await over.pack(order, 0)
        await system.approve(handle)
        assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
        tender_id = order.tenders[0].tender_id
        await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, tender_id, "roll_back"))
        result = await system.finish(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    assert [state for _, state in await over.fulfillments(order)] == ["Cancelled", "Cancelled", "Pending"]
    await check_books(over, order, result)
