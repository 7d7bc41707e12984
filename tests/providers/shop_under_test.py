"""What the conformance suite of a shop (orders_contract.py) works with: the shop, an order, what a cancellation asks for."""

from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from domain.closing import ClosedLine, Closing
from domain.keys import EffectKey, cancellation_id
from domain.money import Money, money
from domain.order import Contact, Order, OrderLine, Tender, TenderKind
from domain.shipment import Shipment
from domain.step import StepName
from providers.orders.port import Orders


class ShopUnderTest(Protocol):
    """A shop with its adapter, and what people and other systems do in it."""

    @property
    def orders(self) -> Orders:
        """The adapter."""
        ...

    def restarted(self) -> Orders:
        """An adapter of the same shop that remembers nothing, as after the restart of a worker."""
        ...

    async def place_order(self, order: Order) -> str:
        """Place an order with these lines, tenders and contact; returns its number. Line ids may be the shop's own. Lines
        with the same SKU are of one product, with one stock."""
        ...

    async def take_out(self, order_id: str, line_id: str, units: int) -> None:
        """Take units out of a line, as staff does."""
        ...

    async def ship(self, order_id: str, parcel: Shipment) -> None:
        """Pack a parcel, as the warehouse does. With a label it is ready for the carrier, or there already."""
        ...

    async def for_sale(self, order_id: str, line_id: str) -> int:
        """How many units of the line's product can be sold."""
        ...

    async def given_back(self, order_id: str) -> list[tuple[str, Money]]:
        """What the shop shows as given back: each reference with its amount. Empty where it records none."""
        ...

    async def set_reachable(self, reachable: bool) -> None:
        """Say whether the adapters reach the shop from now on. False: no server at its address, or no network."""
        ...


def an_order() -> Order:
    """Three chairs and a table, paid by card. Its number is new, so that a shop may be kept between test runs."""
    order_id = f"O-{uuid4().hex[:12]}"
    return Order(
        order_id=order_id,
        customer_id="C-1",
        placed_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        currency="EUR",
        lines=(
            OrderLine(
                line_id="L1",
                sku=f"SKU-1-{order_id}",
                title="A chair",
                quantity=3,
                total=money("90.00 EUR"),
                tax=money("14.37 EUR"),
            ),
            OrderLine(
                line_id="L2",
                sku=f"SKU-2-{order_id}",
                title="A table",
                quantity=1,
                total=money("200.00 EUR"),
                tax=money("31.93 EUR"),
            ),
        ),
        tenders=(Tender(tender_id="T1", kind=TenderKind.CARD, amount=money("294.90 EUR"), reference=f"pi_{order_id}"),),
        shipments=(),
        shipping=money("4.90 EUR"),
        contact=Contact(email="anna@customer.example", language="en"),
    )


def key(
    order_id: str, step: StepName = StepName.CLOSE_ORDER, *, request_id: str = "R-1", target: str = ""
) -> EffectKey:
    return EffectKey(cancellation_id(order_id, request_id), step, target or order_id)


def closing(order: Order, *units: int) -> Closing:
    """So many units of each line leave the order; they are in no parcel."""
    return Closing(lines=tuple(leaving(line, n) for line, n in zip(order.lines, units, strict=True) if n))


def leaving(line: OrderLine, quantity: int, shipment_id: str | None = None) -> ClosedLine:
    return ClosedLine(line_id=line.line_id, quantity=quantity, shipment_id=shipment_id, gone_before=line.cancelled)
