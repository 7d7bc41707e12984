"""The warehouse ships goods of an order in Vendure while its cancellation waits for an approval."""

import pytest

from domain.closing import Closing
from domain.keys import EffectKey
from domain.money import money
from domain.outcome import Outcome
from domain.shipment import Shipment
from domain.step import Owner, StepName
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.vendure.graphql import ShopRefused
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import (
    ABOVE_LIMIT,
    OverVendure,
    place_order_above_limit,
    wait_for_approval,
    with_plugin,
    without_plugin,
)
from tests.system import settled


@with_plugin
async def test_vendure_does_not_pack_or_ship_an_order_that_is_frozen(over: OverVendure) -> None:
    """E20: the warehouse is told why, and nothing leaves."""
    system, order = over.system, await place_order_above_limit(over)
    pick, labelled = await over.pack(order, 0), await over.label(order, Script.LABEL_ONLY, 1)
    async with system.worker():
        handle = await wait_for_approval(over, order)
        for parcel in (pick, labelled.shipment_id):
            with pytest.raises(ShopRefused, match=f"{order.order_id} is held by cancellation .* must not be shipped"):
                await over.shop.ship(parcel)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money(ABOVE_LIMIT))
    assert await over.fulfillments(order) == [(pick, "Cancelled"), (labelled.shipment_id, "Cancelled")]
    await check_books(over, order, result)


@pytest.mark.long
@with_plugin
async def test_what_was_shipped_before_is_delivered_in_an_order_that_is_frozen(over: OverVendure) -> None:
    """E20: that a parcel has arrived is news. It stays in the order and is not refunded."""
    system, order = over.system, await place_order_above_limit(over)
    parcel = await over.send(order, Script.INTERCEPT_DECLINED, 0)
    async with system.worker():
        handle = await wait_for_approval(over, order)
        await over.shop.deliver(parcel.shipment_id)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("200.00 USD"))
    assert await over.fulfillments(order) == [(parcel.shipment_id, "Delivered")]
    await check_books(over, order, result)


@without_plugin
@pytest.mark.parametrize("packed_before", [True, False])
async def test_what_left_meanwhile_and_the_carrier_does_not_stop_is_not_refunded(
    over: OverVendure, *, packed_before: bool
) -> None:
    """E20: seen before the pivot, a declined stop."""
    system, order = over.system, await place_order_above_limit(over)
    parcel = await over.label(order, Script.LABEL_ONLY, 0) if packed_before else None
    async with system.worker():
        handle = await wait_for_approval(over, order)
        parcel = parcel or await over.label(order, Script.LABEL_ONLY, 0)
        await over.shop.ship(parcel.shipment_id)
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.OUT_FOR_DELIVERY)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("200.00 USD"))
    assert await over.left(order) == [1, 0]
    await check_books(over, order, result)


@pytest.mark.long
@without_plugin
@pytest.mark.parametrize("when", ["while_the_run_waits", "right_before_the_stop"])
async def test_a_pick_that_left_without_a_label_meanwhile_is_not_refunded(
    over: OverVendure, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """E20: nobody can be asked to stop it, so this is a declined stop, too."""
    system, order = over.system, await place_order_above_limit(over)
    pick = await over.pack(order, 0)
    withdraw_pick = system.orders.withdraw_pick

    async def withdraw_too_late(order_id: str, shipment_id: str, *, key: EffectKey) -> None:
        if (pick, "Pending") in await over.fulfillments(order):
            await over.shop.ship(pick)
        await withdraw_pick(order_id, shipment_id, key=key)

    async with system.worker():
        handle = await wait_for_approval(over, order)
        if when == "while_the_run_waits":
            await over.shop.ship(pick)
        else:
            monkeypatch.setattr(system.orders, "withdraw_pick", withdraw_too_late)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("200.00 USD"))
    assert await over.fulfillments(order) == [(pick, "Shipped")]
    await check_books(over, order, result)


@pytest.mark.long
@without_plugin
async def test_what_left_meanwhile_and_the_carrier_stops_is_refunded(over: OverVendure) -> None:
    """E20: the parcel comes back, so its line is still in Vendure when the money has gone back."""
    system, order = over.system, await place_order_above_limit(over)
    async with system.worker():
        handle = await wait_for_approval(over, order)
        await over.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money(ABOVE_LIMIT))
    assert await over.left(order) == [1, 0]
    await check_books(over, order, result)


@pytest.mark.long
@without_plugin
async def test_when_everything_left_meanwhile_nothing_is_refunded(over: OverVendure) -> None:
    """E20: the customer is offered a return."""
    system, order = over.system, await place_order_above_limit(over)
    async with system.worker():
        handle = await wait_for_approval(over, order)
        await over.send(order, Script.DELIVERED, 0, 1)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(order.order_id)) == (Outcome.REJECTED, [])
    await check_books(over, order, result)


@pytest.mark.long
@without_plugin
async def test_what_leaves_between_the_refund_and_the_close_is_a_persons_to_fetch(
    over: OverVendure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E20: the money is on its way, so the line leaves the order, and somebody has to get the goods."""
    system, order = over.system, await place_order_above_limit(over)
    close = system.orders.close
    sent: list[Shipment] = []

    async def close_too_late(order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        if not sent:
            sent.append(await over.send(order, Script.DELIVERED, 1))
        await close(order_id, closing, before, key=key)

    monkeypatch.setattr(system.orders, "close", close_too_late)
    async with system.worker():
        handle = await wait_for_approval(over, order)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
        assert wait is not None
        assert wait.owner is Owner.OPERATIONS
        assert await over.left(order) == [0, 0]
        await system.resolve(handle, settled(wait, "done_by_hand", "FETCHED-1"))
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money(ABOVE_LIMIT))
    await check_books(over, order, result, counted_as_on_hand={1: 1})
