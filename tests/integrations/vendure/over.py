"""The whole process over a real Vendure: orders are there, and gateway, carrier and books are those of every other test."""

from dataclasses import dataclass

import pytest

from domain.case import Case
from domain.facts import Requested
from domain.order import Contact, Order
from domain.outcome import State
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from domain.shipment import Shipment, ShipmentLine
from sandbox import books
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line
from sandbox.vendure.proxy import CuttableProxy
from sandbox.vendure.shop import SandboxVendure
from tests.system import Handle, System
from tests.workflows.samples import an_id


@dataclass
class OverVendure:
    """`system.orders` is the adapter, behind a `network` that can be cut. `shop` is what people see and do in Vendure."""

    system: System
    shop: SandboxVendure
    network: CuttableProxy

    @property
    def has_plugin(self) -> bool:
        return self.shop.plugin

    async def place_order(self, sample: SampleOrder) -> Order:
        """Paid at the gateway and placed in Vendure, without parcels; the order as the adapter reads it."""
        asked = await self.system.shop.place_order(sample)
        contact = Contact(email=f"{sample.customer_id.lower()}@customer.example")
        captured = all(tender.captured is None for tender in sample.tenders)
        code = await self.shop.place_order(asked.model_copy(update={"contact": contact}), captured=captured)
        self.system.shop.payments[code] = self.system.shop.payments.pop(sample.order_id, [])
        return await self.read(code)

    async def read(self, order_id: str) -> Order:
        return await self.system.orders.read(order_id)

    async def pack(self, order: Order, *lines: int, units: int = 1) -> str:
        """The warehouse picks so many units of each of these lines, without a label yet. Returns the fulfilment's id."""
        return await self.shop.pack(order.order_id, Shipment(shipment_id="", lines=_parts(order, lines, units)))

    async def label(self, order: Order, script: Script, *lines: int, units: int = 1) -> Shipment:
        """The same with a label. With the carrier the parcel does as the script says."""
        bought = await self.system.shop.carrier.parcel(script)
        self.system.shop.labels.setdefault(order.order_id, []).append(bought.shipment_id)
        parcel = Shipment(
            shipment_id="",
            lines=_parts(order, lines, units),
            carrier="UPS",
            label_reference=bought.shipment_id,
            tracking_number=bought.tracking_number,
        )
        return parcel.model_copy(update={"shipment_id": await self.shop.pack(order.order_id, parcel)})

    async def send(self, order: Order, script: Script, *lines: int, units: int = 1) -> Shipment:
        """The same, handed over to the carrier."""
        parcel = await self.label(order, script, *lines, units=units)
        await self.shop.ship(parcel.shipment_id)
        return parcel

    async def fulfillments(self, order: Order) -> list[tuple[str, str]]:
        """Each with its state."""
        return [(found.id, found.state) for found in (await self.shop.read(order.order_id)).fulfillments]

    async def left(self, order: Order) -> list[int]:
        """Of each line, the units that are still in the order."""
        return [line.quantity for line in (await self.shop.read(order.order_id)).lines]

    async def cases(self, order: Order) -> list[Case]:
        """The order's cancellations, the oldest first."""
        cases: list[Case] = []
        for entry in await books.facts(self.system.engine, order.order_id):
            if isinstance(entry.fact, Requested):
                cases.append(Case())
            cases[-1] = Case((*cases[-1].entries, entry))
        return cases


def _parts(order: Order, lines: tuple[int, ...], units: int) -> tuple[ShipmentLine, ...]:
    return tuple(ShipmentLine(line_id=order.lines[at].line_id, quantity=units) for at in lines)


def customer_of(order: Order) -> Actor:
    return Actor(kind=ActorKind.CUSTOMER, id=order.customer_id)


def request(order: Order, *scope: LineScope, request_id: str = "first") -> CancellationRequest:
    """The customer's own."""
    return CancellationRequest(
        request_id=request_id,
        order_id=order.order_id,
        customer_id=order.customer_id,
        actor=customer_of(order),
        channel=Channel.WEB_SHOP,
        reason=ReasonCode.NO_LONGER_NEEDED,
        lines=scope,
    )


def units(order: Order, line: int, quantity: int) -> LineScope:
    return LineScope(line_id=order.lines[line].line_id, quantity=quantity)


ABOVE_LIMIT = "600.00 USD"
"""More than one person may decide on: the run waits for an approval."""


async def place_order_above_limit(over: OverVendure) -> Order:
    """Two lines, of 400.00 and 200.00 USD."""
    lines = (line("L1", 1, "400.00 USD"), line("L2", 1, "200.00 USD"))
    return await over.place_order(SampleOrder(order_id=an_id(), lines=lines, tenders=(card(ABOVE_LIMIT),)))


async def wait_for_approval(over: OverVendure, order: Order) -> Handle:
    """Ask for the order's cancellation, which then waits."""
    _, handle = await over.system.submit(request(order))
    await over.system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    return handle


with_plugin = pytest.mark.parametrize("vendure_process", [True], ids=["with_plugin"], indirect=True)
without_plugin = pytest.mark.parametrize("vendure_process", [False], ids=["without_plugin"], indirect=True)
