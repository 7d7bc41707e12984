"""Whole cancellations over Vendure, each with all that is checked of it. Together they use everything that the adapter can
do, so that a test can disturb any of it. The worker is part of the test."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from domain.money import money
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.gateway.messages import EffectKind
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import OverVendure, customer_of, request
from tests.observing import eventually
from tests.system import resolve, settled
from tests.workflows.samples import an_id

Meanwhile = Callable[[], Awaitable[None]]
"""What happens in the middle, while the cancellation waits for somebody."""


class Journey(Protocol):
    def __call__(self, over: OverVendure, meanwhile: Meanwhile = ...) -> Awaitable[None]: ...


async def _nothing() -> None:
    return


async def carry_out(over: OverVendure, meanwhile: Meanwhile = _nothing) -> None:
    """One unit is picked, one has a label, one lies in the warehouse; the run waits for an approval."""
    system = over.system
    lines = (line("L1", 2, "400.00 USD"), line("L2", 1, "200.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("604.90 USD"),), shipping=money("4.90 USD"))
    order = await over.place_order(sample)
    pick, labelled = await over.pack(order, 0), await over.label(order, Script.LABEL_ONLY, 1)
    async with system.worker():
        _, handle = await system.submit(request(order))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await meanwhile()
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("604.90 USD"))
    assert await system.refunds(order.order_id) == [money("604.90 USD")]
    assert await over.fulfillments(order) == [(pick, "Cancelled"), (labelled.shipment_id, "Cancelled")]
    await check_books(over, order, result)


async def receive(over: OverVendure, meanwhile: Meanwhile = _nothing) -> None:
    """Two of three units are in a parcel that comes back; they leave the order when it has arrived."""
    system = over.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "60.00 USD"),), tenders=(card("60.00 USD"),))
    order = await over.place_order(sample)
    parcel = await over.send(order, Script.INTERCEPT_SILENT, 0, units=2)
    label = parcel.label_reference or ""
    async with system.worker():
        _, handle = await system.submit(request(order))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        result = await system.finish(handle)
        assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("60.00 USD"))
        assert await over.left(order) == [2]
        await check_books(over, order, result, counted_as_on_hand={0: 1})
        await meanwhile()
        await system.shop.carrier.scan(label, TrackerStatus.DELIVERED)
        for _ in range(2):
            assert (await system.finish(await system.notify_of_parcel(order.order_id))).outcome is Outcome.CANCELLED
    assert await over.left(order) == [0]
    assert await over.fulfillments(order) == [(parcel.shipment_id, "Cancelled")]
    assert await system.refunds(order.order_id) == [money("60.00 USD")]
    await check_books(over, order, result, counted_as_on_hand={0: 1})


async def withdraw(over: OverVendure, meanwhile: Meanwhile = _nothing) -> None:
    """A pick and a parcel are stopped, and the customer withdraws the cancellation: the pick is another fulfilment then."""
    system = over.system
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "20.00 USD"))
    order = await over.place_order(SampleOrder(order_id=an_id(), lines=lines, tenders=(card("60.00 USD"),)))
    pick, parcel = await over.pack(order, 0), await over.send(order, Script.INTERCEPT_SILENT, 1)
    async with system.worker():
        _, handle = await system.submit(request(order))

        async def is_withdrawn() -> bool:
            return (pick, "Cancelled") in await over.fulfillments(order)

        await eventually(is_withdrawn, "the pick is withdrawn")
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await meanwhile()
        await system.withdraw(handle, customer_of(order))
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(order.order_id)) == (Outcome.WITHDRAWN, [])
    *known, (resumed, state) = await over.fulfillments(order)
    assert known == [(pick, "Cancelled"), (parcel.shipment_id, "Shipped")]
    assert state == "Pending"
    assert (await over.read(order.order_id)).lines == order.lines
    await check_books(over, order, result)
    await over.shop.ship(resumed)
    await check_books(over, order, result)


async def roll_back(over: OverVendure, meanwhile: Meanwhile = _nothing) -> None:
    """A label is void and a reservation released when a person rolls back. The new ones are recorded in Vendure, by a person
    where it has no place for them."""
    system = over.system
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "20.00 USD"))
    tenders = (card("40.00 USD", "0.00 USD", mandate=True), card("20.00 USD", fault="refund.create:refuse"))
    order = await over.place_order(SampleOrder(order_id=an_id(), lines=lines, tenders=tenders))
    parcel = await over.label(order, Script.LABEL_ONLY, 0)
    reserved, taken = order.tenders
    async with system.worker():
        _, handle = await system.submit(request(order))
        assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, taken.tender_id)
        assert await system.voids(order.order_id) == 1
        await meanwhile()
        await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, taken.tender_id, "roll_back"))
        for step in (StepName.RESTORE_PAYMENT, StepName.RESUME_SHIPMENT):
            wait = await system.wait_for_step(handle, step) if not over.has_plugin else None
            assert over.has_plugin or wait, f"nobody is asked at {step}"
            if wait:
                await system.resolve(handle, settled(wait, "done_by_hand", "NOTED-1"))
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(order.order_id)) == (Outcome.ROLLED_BACK, [])
    authorised = await system.shop.gateway.effects(None, EffectKind.PAYMENT_AUTHORISED)
    [new] = [effect.payment_id for effect in authorised if reserved.reference in effect.metadata.values()]
    seen = await over.read(order.order_id)
    [shipment] = seen.shipments
    if over.has_plugin:
        assert [tender.reference for tender in seen.tenders] == [new, taken.reference]
        assert shipment.label_reference not in {None, parcel.label_reference}
    await check_books(over, order, result)
    await over.shop.ship(parcel.shipment_id)
