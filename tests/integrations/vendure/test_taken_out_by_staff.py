"""Staff takes units out of an order in Vendure while its cancellation is under way."""

from typing import Any

import pytest

from domain.keys import EffectKey
from domain.money import money
from domain.order import Order
from domain.outcome import Outcome
from domain.step import Owner, StepName
from sandbox.shop import SampleOrder, card, line
from sandbox.vendure.graphql import ShopRefused
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import (
    ABOVE_LIMIT,
    OverVendure,
    request,
    wait_for_approval,
    with_plugin,
    without_plugin,
)
from tests.system import Handle, resolve, settled
from tests.workflows.samples import an_id

pytestmark = pytest.mark.long


async def cancel_two_units(over: OverVendure) -> tuple[Order, Handle]:
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, ABOVE_LIMIT),), tenders=(card(ABOVE_LIMIT),))
    order = await over.place_order(sample)
    return order, await wait_for_approval(over, order)


@with_plugin
async def test_staff_cannot_take_units_out_of_an_order_that_is_frozen(over: OverVendure) -> None:
    """E26: Vendure says why, and the cancellation goes on."""
    system = over.system
    async with system.worker():
        order, handle = await cancel_two_units(over)
        with pytest.raises(ShopRefused, match=f"{order.order_id} is held by cancellation .* must not be changed"):
            await over.shop.take_out(order.order_id, order.lines[0].line_id, 1)
        with pytest.raises(ShopRefused, match="must not be changed"):
            await over.shop.cancel_order(order.order_id)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money(ABOVE_LIMIT))
    await check_books(over, order, result)


@without_plugin
@pytest.mark.parametrize("is_ours", [True, False], ids=["it_was_ours", "rolled_back"])
async def test_units_that_staff_takes_out_before_money_moves_are_a_difference(
    over: OverVendure, *, is_ours: bool
) -> None:
    """E26: a person is asked, and never is one unit gone and two refunded without anybody knowing."""
    system = over.system
    async with system.worker():
        order, handle = await cancel_two_units(over)
        await over.shop.take_out(order.order_id, order.lines[0].line_id, 1)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert wait.owner is Owner.OPERATIONS
        assert f"1 of line {order.lines[0].line_id}" in wait.reason
        assert await system.refunds(order.order_id) == []
        if is_ours:
            await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-1"))
            wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
            assert wait is not None
            assert await over.left(order) == [1], "nobody knows whose the other unit is"
            await over.shop.take_out(order.order_id, order.lines[0].line_id, 1)
            await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-2"))
        else:
            await system.resolve(handle, resolve(StepName.CHECK_ORDER, order.order_id, "roll_back"))
        result = await system.finish(handle)
    if is_ours:
        assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money(ABOVE_LIMIT))
        await check_books(over, order, result)
    else:
        assert (result.outcome, await system.refunds(order.order_id)) == (Outcome.ROLLED_BACK, [])
        await check_books(over, order, result, taken_by_staff={0: 1})


@without_plugin
async def test_an_order_that_staff_cancels_before_money_moves_is_a_difference(over: OverVendure) -> None:
    """E26: nobody knows whether staff refunds it too."""
    system = over.system
    async with system.worker():
        order, handle = await cancel_two_units(over)
        await over.shop.cancel_order(order.order_id)
        await system.approve(handle)
        assert await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert await system.refunds(order.order_id) == []
        await system.resolve(handle, resolve(StepName.CHECK_ORDER, order.order_id, "roll_back"))
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(order.order_id)) == (Outcome.ROLLED_BACK, [])
    await check_books(over, order, result, taken_by_staff={0: 2})


@without_plugin
async def test_a_unit_that_staff_takes_out_after_the_refund_is_not_counted_as_ours(
    over: OverVendure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E26: found before the order is closed; a person closes it by hand, and the books go on."""
    system = over.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over.place_order(sample)
    note_effect = system.books.note_effect

    async def staff_is_quicker(key: EffectKey, *args: Any, **more: Any) -> Any:
        if key.step is StepName.REVERSE_PAYMENT and await over.left(order) == [2]:
            await over.shop.take_out(order.order_id, order.lines[0].line_id, 1)
        return await note_effect(key, *args, **more)

    monkeypatch.setattr(system.books, "note_effect", staff_is_quicker)
    async with system.worker():
        _, handle = await system.submit(request(order))
        wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        assert wait is not None
        assert await over.left(order) == [1], "nothing more was taken out"
        await over.shop.take_out(order.order_id, order.lines[0].line_id, 1)
        await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-7"))
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    await check_books(over, order, result)


async def test_what_staff_took_out_with_its_promotion_is_worth_what_it_was(over: OverVendure) -> None:
    """Two chairs, and two more of them at half the price. What was taken off the whole order is divided as it was, so that
    the chairs that are left are not refunded at more than was paid for them."""
    chairs = line("L1", 2, "200.00 EUR")
    lines = (chairs, line("L2", 2, "100.00 EUR"))
    sample = SampleOrder(
        order_id=an_id(),
        lines=lines,
        tenders=(card("270.00 EUR"),),
        shipping=money("0.00 EUR"),
        discount=money("30.00 EUR"),
    )
    placed = await over.system.shop.place_order(sample)
    same_product = tuple(part.model_copy(update={"sku": placed.lines[0].sku}) for part in placed.lines)
    code = await over.shop.place_order(placed.model_copy(update={"lines": same_product}))
    order = await over.read(code)
    await over.shop.take_out(code, order.lines[1].line_id, 2)
    later = await over.read(code)
    assert [part.total for part in later.lines] == [money("200.00 EUR"), money("100.00 EUR")]
    assert [part.total for part in later.discounted().lines] == [part.total for part in order.discounted().lines]
