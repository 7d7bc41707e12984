"""Staff adds units to an order in Vendure while its cancellation is under way."""

from domain.money import money
from domain.order import Order
from domain.outcome import Outcome
from domain.step import Owner, StepName
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.over import OverVendure, customer_of, wait_for_approval
from tests.system import Handle
from tests.workflows.samples import an_id


async def place_order_and_wait(over: OverVendure) -> tuple[Order, Handle]:
    """The whole order is to be cancelled, with its shipping charge."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "400.00 EUR"), line("L2", 1, "200.00 EUR")),
        tenders=(card("604.90 EUR"),),
        shipping=money("4.90 EUR"),
    )
    order = await over.place_order(sample)
    return order, await wait_for_approval(over, order)


async def add_paid_unit(over: OverVendure, order: Order, handle: Handle) -> None:
    """Staff adds a unit of the second line, which the customer pays."""
    if over.has_plugin:  # otherwise staff could not change it
        await over.shop.release(order.order_id, (await over.system.progress(handle)).cancellation_id)
    await over.shop.begin_change(order.order_id)
    await over.shop.add_units(order.order_id, order.lines[1].line_id, 1)
    await over.shop.end_change_by_payment(order.order_id, "pi_other")


async def test_a_unit_that_staff_adds_before_the_money_moves_is_a_persons_question(over: OverVendure) -> None:
    """I3: it is still sold and sent, so the shipping charge must not go back without anybody knowing."""
    system = over.system
    async with system.worker():
        order, handle = await place_order_and_wait(over)
        await add_paid_unit(over, order, handle)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert wait.owner is Owner.OPERATIONS
        assert f"added 1 of line {order.lines[1].line_id} to" in wait.reason
        assert await system.refunds(order.order_id) == []
        await system.withdraw(handle, customer_of(order))
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(order.order_id)) == (Outcome.WITHDRAWN, [])
    assert await over.left(order) == [1, 2]
