"""The whole process over a real Vendure: the shop's books agree with the gateway's."""

import dataclasses

import pytest

from domain.messages import ShipmentEvent
from domain.money import Money, money
from domain.order import Contact, Order, OrderFlag
from domain.outcome import Outcome, State
from domain.request import CancellationRequest
from domain.shipment import Shipment, ShipmentLine
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, request
from tests.integrations.vendure.shops import VendureUnderTest
from tests.system import System
from tests.workflows.samples import an_id, in_network


@dataclasses.dataclass
class Vendure:
    """The system over a shop on Vendure."""

    system: System
    connected: VendureUnderTest

    async def place_order(self, sample: SampleOrder) -> tuple[Order, CancellationRequest]:
        """Paid at the gateway and placed in Vendure; the order as it is read, and a request to cancel it."""
        order = await self.system.shop.place_order(sample)
        contact = Contact(email=f"{sample.customer_id.lower()}@customer.example")
        code = await self.connected.place_order(order.model_copy(update={"contact": contact}))
        read = await self.connected.orders.read(code)
        known = sample.model_copy(update={"order_id": code, "customer": read.customer_id})
        return read, request(known)

    async def send(self, order: Order, script: Script, units: int) -> Shipment:
        [label] = (await self.system.shop.place_order(in_network(script))).shipments
        part = ShipmentLine(line_id=order.lines[0].line_id, quantity=units)
        parcel = label.model_copy(update={"lines": (part,)})
        await self.connected.ship(order.order_id, parcel)
        return parcel


@pytest.fixture
def over_vendure(bare_system: System, connected: VendureUnderTest) -> Vendure:
    return Vendure(dataclasses.replace(bare_system, orders=connected.orders), connected)


def chairs(total: str = "90.00 EUR") -> SampleOrder:
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, total),),
        tenders=(card(str(money(total) + money("4.90 EUR"))),),
        shipping=money("4.90 EUR"),
    )


async def test_an_order_is_cancelled_refunded_and_restocked(over_vendure: Vendure) -> None:
    system, shop, sample = over_vendure.system, over_vendure.connected, chairs()
    order, asked = await over_vendure.place_order(sample)
    before = await shop.for_sale(order.order_id, order.lines[0].line_id)
    async with system.worker():
        result = await system.cancel(asked)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("94.90 EUR"))
    in_vendure = await shop.shop.read(order.order_id)
    assert (in_vendure.state, in_vendure.total) == ("Cancelled", 0)
    assert await shop.for_sale(order.order_id, order.lines[0].line_id) == before + 3
    refunds = await system.refunds(sample.order_id)
    assert refunds == [money("94.90 EUR")]
    given = [amount for _, amount in await shop.given_back(order.order_id)]
    assert given == (refunds if shop.shop.plugin else [])


@pytest.mark.parametrize("vendure_process", [True], ids=["with_plugin"], indirect=True)
async def test_a_pick_that_was_withdrawn_goes_on_in_a_roll_back(over_vendure: Vendure) -> None:
    """Under fraud review parcels are stopped before anybody approves."""
    flags = frozenset({OrderFlag.FRAUD_REVIEW})
    system, shop, sample = over_vendure.system, over_vendure.connected, chairs().model_copy(update={"flags": flags})
    order, asked = await over_vendure.place_order(sample)
    part = ShipmentLine(line_id=order.lines[0].line_id, quantity=2)
    await shop.ship(order.order_id, Shipment(shipment_id="new", lines=(part,)))
    async with system.worker():
        _, handle = await system.submit(asked)
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        [pick] = (await shop.orders.read(order.order_id)).shipments
        assert pick.stopped
        await system.withdraw(handle, asked.actor)
        result = await system.finish(handle)
    assert result.outcome is Outcome.WITHDRAWN
    [pick] = (await shop.orders.read(order.order_id)).shipments
    assert (pick.stopped, pick.lines) == (False, (part,))
    await shop.take_out(order.order_id, order.lines[0].line_id, 1)


async def test_a_parcel_that_comes_back_leaves_the_order_when_it_is_received(over_vendure: Vendure) -> None:
    system, shop, sample = over_vendure.system, over_vendure.connected, chairs()
    order, asked = await over_vendure.place_order(sample)
    parcel = await over_vendure.send(order, Script.INTERCEPT_SILENT, 3)
    before = await shop.for_sale(order.order_id, order.lines[0].line_id)
    async with system.worker():
        _, handle = await system.submit(asked)
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
        assert (await shop.shop.read(order.order_id)).lines[0].quantity == 3
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.DELIVERED)
        await system.library.look_again(asked, ShipmentEvent(event_id="evt_back"))
        handle = system.current(order.order_id)
        system.started.append(handle)
        await system.finish(handle)
    in_vendure = await shop.shop.read(order.order_id)
    assert (in_vendure.state, in_vendure.total) == ("Cancelled", 0)
    assert [fulfillment.state for fulfillment in in_vendure.fulfillments] == ["Cancelled"]
    assert await shop.for_sale(order.order_id, order.lines[0].line_id) == before + 3
    assert Money.total(await system.refunds(sample.order_id), "EUR") == money("94.90 EUR")
