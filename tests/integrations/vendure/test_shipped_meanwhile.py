"""The warehouse ships goods of an order in Vendure while its cancellation waits for an approval."""

from typing import Any

import pytest

from domain.closing import Closing
from domain.keys import EffectKey
from domain.money import money
from domain.order import Order
from domain.outcome import Outcome, State
from domain.shipment import Shipment
from domain.step import Owner, StepName
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line
from sandbox.vendure.graphql import ShopRefused
from sandbox.vendure.placing import UNITS_IN_STOCK
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import (
    ABOVE_LIMIT,
    OverVendure,
    place_order_above_limit,
    request,
    wait_for_approval,
    with_plugin,
    without_plugin,
)
from tests.observing import eventually
from tests.system import Handle, settled
from tests.workflows.samples import an_id


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


async def release(over: OverVendure, order: Order, handle: Handle) -> None:
    """Without the plugin nothing has to be released."""
    if over.has_plugin:
        await over.shop.release(order.order_id, (await over.system.progress(handle)).cancellation_id)


async def test_a_parcel_that_leaves_after_its_label_was_voided_is_not_refunded(over: OverVendure) -> None:
    """I2, E20: the carrier has not seen it, and Vendure says that it was shipped."""
    system = over.system
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "20.00 USD"))
    order = await over.place_order(SampleOrder(order_id=an_id(), lines=lines, tenders=(card("60.00 USD"),)))
    parcel = await over.label(order, Script.LABEL_ONLY, 0)
    other = await over.send(order, Script.INTERCEPT_SILENT, 1)
    async with system.worker():
        _, handle = await system.submit(request(order))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)

        async def is_void() -> bool:
            return "label.void_submitted" in await system.carrier_effects(order.order_id)

        await eventually(is_void, "the label is void")
        await release(over, order, handle)
        await over.shop.ship(parcel.shipment_id)
        await system.shop.carrier.scan(other.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("20.00 USD"))
    assert (parcel.shipment_id, "Shipped") in await over.fulfillments(order)
    assert (await over.shop.read_stock(order.order_id, order.lines[0].line_id)).on_hand == UNITS_IN_STOCK - 1


@pytest.mark.long
async def test_a_parcel_that_leaves_after_the_refund_is_a_persons_to_fetch(
    over: OverVendure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2, E20: its label is void, and its fulfilment is not cancelled while its goods are on a truck."""
    system = over.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "40.00 USD"),), tenders=(card("40.00 USD"),))
    order = await over.place_order(sample)
    parcel = await over.label(order, Script.LABEL_ONLY, 0)
    note_effect, shipped = system.books.note_effect, list[str]()

    async def warehouse_is_quicker(key: EffectKey, *args: Any, **more: Any) -> Any:
        if key.step is StepName.REVERSE_PAYMENT and not shipped:
            shipped.append(parcel.shipment_id)
            if over.has_plugin:
                await over.shop.release(order.order_id, key.cancellation_id)
            await over.shop.ship(parcel.shipment_id)
        return await note_effect(key, *args, **more)

    monkeypatch.setattr(system.books, "note_effect", warehouse_is_quicker)
    async with system.worker():
        _, handle = await system.submit(request(order))
        wait = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
        assert wait is not None
        assert await over.fulfillments(order) == [(parcel.shipment_id, "Shipped")]
        assert (await over.shop.read_stock(order.order_id, order.lines[0].line_id)).on_hand == UNITS_IN_STOCK - 1
        await system.resolve(handle, settled(wait, "done_by_hand", "FETCHED-1"))
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("40.00 USD"))
    await check_books(over, order, result)
