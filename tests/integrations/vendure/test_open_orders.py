"""Staff is changing an order in Vendure when its cancellation begins: it is not cancelled before they have finished."""

import asyncio

import pytest

from domain.errors import Unavailable
from domain.keys import EffectKey
from domain.money import money
from domain.order import Order
from domain.outcome import Outcome
from domain.step import StepName
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import (
    ABOVE_LIMIT,
    OverVendure,
    place_order_above_limit,
    request,
    wait_for_approval,
)
from tests.integrations.vendure.shops import VendureUnderTest
from tests.observing import eventually
from tests.providers.shop_under_test import an_order, key
from tests.workflows.samples import an_id


async def test_an_order_that_staff_has_open_is_not_frozen(connected: VendureUnderTest) -> None:
    """They would be locked in: a held order does not leave this state."""
    order = await connected.orders.read(await connected.place_order(an_order()))
    hold = key(order.order_id, StepName.VERIFY_ORDER)
    await connected.shop.begin_change(order.order_id)
    with pytest.raises(Unavailable, match=r"is Modifying in Vendure.*Finish its change there"):
        await connected.orders.freeze(order, key=hold)
    await connected.shop.end_change(order.order_id)
    assert await connected.orders.freeze(order, key=hold) is connected.shop.plugin


async def test_a_cancellation_waits_until_staff_has_finished(
    over: OverVendure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has been refunded until then."""
    system = over.system
    order = await over.place_order(
        SampleOrder(order_id=an_id(), lines=(line("L1", 1, "20.00 USD"),), tenders=(card("20.00 USD"),))
    )
    await over.shop.begin_change(order.order_id)
    freeze, attempts = system.orders.freeze, list[str]()

    async def count(seen: Order, *, key: EffectKey) -> bool:
        attempts.append(seen.order_id)
        return await freeze(seen, key=key)

    async def is_tried_again() -> bool:
        return len(attempts) > 1

    monkeypatch.setattr(system.orders, "freeze", count)
    async with system.worker():
        submitting = asyncio.create_task(system.submit(request(order)))
        await eventually(is_tried_again, "it is tried again")
        assert await system.refunds(order.order_id) == []
        await over.shop.end_change(order.order_id)
        _, handle = await submitting
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("20.00 USD"))
    await check_books(over, order, result)


async def test_no_money_moves_while_staff_has_the_order_open(
    over: OverVendure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be refunded and could not be closed. Staff has opened it while its cancellation waited for an approval."""
    system, order = over.system, await place_order_above_limit(over)
    read, reads = system.orders.read, list[str]()

    async def count(order_id: str) -> Order:
        reads.append(order_id)
        return await read(order_id)

    async with system.worker():
        handle = await wait_for_approval(over, order)
        if over.has_plugin:  # otherwise staff could not open it
            await over.shop.release(order.order_id, (await system.progress(handle)).cancellation_id)
        await over.shop.begin_change(order.order_id)
        monkeypatch.setattr(system.orders, "read", count)
        await system.approve(handle)

        async def has_gone_on() -> bool:
            return len(reads) > 2 or bool(await system.refunds(order.order_id))

        await eventually(has_gone_on, "it is read again, or money moves")
        assert await system.refunds(order.order_id) == []
        await over.shop.end_change(order.order_id)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money(ABOVE_LIMIT))
    await check_books(over, order, result)
