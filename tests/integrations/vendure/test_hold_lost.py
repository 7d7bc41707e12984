"""An order that is frozen in Vendure, and that somebody else lets go on there while its cancellation waits for approval."""

from domain.money import money
from domain.order import Order
from domain.outcome import Outcome, State
from domain.step import Owner, StepName
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import OverVendure, customer_of, request, with_plugin
from tests.system import Handle
from tests.workflows.samples import an_id

TWO_LINES = "600.00 USD"
"""Above the limit of one person."""

pytestmark = with_plugin


async def place_order(over: OverVendure) -> Order:
    lines = (line("L1", 1, "400.00 USD"), line("L2", 1, "200.00 USD"))
    return await over.place_order(SampleOrder(order_id=an_id(), lines=lines, tenders=(card(TWO_LINES),)))


async def wait_and_release(over: OverVendure, order: Order) -> Handle:
    """The cancellation waits for its approval, and staff releases the order meanwhile."""
    _, handle = await over.system.submit(request(order))
    await over.system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    progress = await over.system.progress(handle)
    await over.shop.release(order.order_id, progress.cancellation_id)
    return handle


async def test_goods_that_leave_an_order_that_staff_has_released_are_not_refunded(over: OverVendure) -> None:
    """E20: seen before the pivot, as in a shop that cannot freeze."""
    system, order = over.system, await place_order(over)
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
    system, order = over.system, await place_order(over)
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
