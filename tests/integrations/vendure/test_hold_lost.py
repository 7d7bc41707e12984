"""An order that is frozen in Vendure, and that somebody else lets go on there while its cancellation waits for approval."""

from domain.money import money
from domain.order import Order
from domain.outcome import Outcome
from domain.step import Owner, StepName
from sandbox.carrier.model import Script
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import (
    OverVendure,
    customer_of,
    place_order_above_limit,
    wait_for_approval,
    with_plugin,
)
from tests.system import Handle

pytestmark = with_plugin


async def wait_and_release(over: OverVendure, order: Order) -> Handle:
    """The cancellation waits for its approval, and staff releases the order meanwhile."""
    handle = await wait_for_approval(over, order)
    progress = await over.system.progress(handle)
    await over.shop.release(order.order_id, progress.cancellation_id)
    return handle


async def test_goods_that_leave_an_order_that_staff_has_released_are_not_refunded(over: OverVendure) -> None:
    """E20: seen before the pivot, as in a shop that cannot freeze."""
    system, order = over.system, await place_order_above_limit(over)
    async with system.worker():
        handle = await wait_and_release(over, order)
        await over.send(order, Script.DELIVERED, 0)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("200.00 USD"))
    assert await over.left(order) == [1, 0]
    await check_books(over, order, result)


async def test_units_that_staff_takes_out_of_an_order_that_it_has_released_are_a_persons_question(
    over: OverVendure,
) -> None:
    """E20: staff may have refunded them already."""
    system, order = over.system, await place_order_above_limit(over)
    async with system.worker():
        handle = await wait_and_release(over, order)
        await over.shop.take_out(order.order_id, order.lines[1].line_id, 1)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert wait.owner is Owner.OPERATIONS
        assert await system.refunds(order.order_id) == []
        await system.withdraw(handle, customer_of(order))
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(order.order_id)) == (Outcome.WITHDRAWN, [])
    assert await over.left(order) == [1, 0]
