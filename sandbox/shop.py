"""Sample orders: placed across gateway, carrier and order management system the way a shop would have done it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.base import Value
from domain.money import Money, money
from domain.order import Order, OrderFlag, OrderLine, SaleCondition, Tender, TenderKind
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from domain.shipment import Shipment, ShipmentLine
from sandbox import built_in
from sandbox.carrier.model import Script
from sandbox.carrier_admin import CarrierAdmin
from sandbox.gateway_admin import GatewayAdmin, OpenPayment, TestCard
from sandbox.marketplace.model import SoldLine
from sandbox.marketplace_admin import MarketplaceAdmin
from sandbox.vendure.shop import SandboxVendure


class SampleLine(Value):
    """`total` for all units, with `tax` inside. `commission` is what the marketplace keeps besides, of a line sold there."""

    line_id: str
    quantity: int
    total: Money
    tax: Money
    title: str | None = None
    condition: SaleCondition = SaleCondition.REGULAR
    commission: Money | None = None


class SampleTender(Value):
    """A card pays `amount` of which `captured` is taken (all of it when None, nothing when zero); what is no card but a bank
    debit is processed. `wants`: the customer has
    not completed the payment. `payment`: the card's payment is this one, which there is already, and which pays other orders
    too. `multicapture`: it may be captured in parts."""

    kind: TenderKind = TenderKind.CARD
    amount: Money
    captured: Money | None = None
    card: TestCard = TestCard.VISA
    fault: str = ""
    mandate: bool = False
    refunded_elsewhere: Money | None = None
    disputed: bool = False
    wants: OpenPayment | None = None
    payment: str | None = None
    multicapture: bool = False


class SampleParcel(Value):
    """`script` None: still in the warehouse, without a label. `gift_card`: no parcel, but a gift card by mail."""

    lines: tuple[ShipmentLine, ...]
    script: Script | None = None
    gift_card: bool = False
    carrier: str = "UPS"

    @property
    def is_handed_over(self) -> bool:
        return self.gift_card or self.script not in {
            None,
            Script.LABEL_ONLY,
            Script.SCANNED_BEFORE_VOID,
            Script.PAY_ON_USE,
        }


class SampleOrder(Value):
    order_id: str
    lines: tuple[SampleLine, ...]
    tenders: tuple[SampleTender, ...]
    parcels: tuple[SampleParcel, ...] = ()
    shipping: Money | None = None
    shipping_tax: Money | None = None
    discount: Money | None = None
    country: str | None = None
    customer: str | None = None
    language: str = "en"
    flags: frozenset[OrderFlag] = frozenset()
    age: timedelta = timedelta(days=1)

    @property
    def handed_over(self) -> frozenset[str]:
        """The ids of the parcels that the carrier has."""
        return frozenset(f"S{number}" for number, part in enumerate(self.parcels, start=1) if part.is_handed_over)

    @property
    def customer_id(self) -> str:
        return self.customer or f"C-{self.order_id}"

    @property
    def currency(self) -> str:
        return self.lines[0].total.currency


def line(line_id: str, quantity: int, total: str, tax: str | None = None) -> SampleLine:
    value = money(total)
    return SampleLine(
        line_id=line_id, quantity=quantity, total=value, tax=money(tax) if tax else Money.zero(value.currency)
    )


def card(amount: str, captured: str | None = None, **more: object) -> SampleTender:
    """A card payment: `card("64.00 USD", "0.00 USD")` is authorised only."""
    taken = money(captured) if captured is not None else None
    return SampleTender.model_validate({"amount": money(amount), "captured": taken, **more})


def stored(kind: TenderKind, amount: str) -> SampleTender:
    return SampleTender(kind=kind, amount=money(amount))


def parcel(script: Script | None, **quantities: int) -> SampleParcel:
    return SampleParcel(
        lines=tuple(ShipmentLine(line_id=name, quantity=count) for name, count in quantities.items()), script=script
    )


class Shop:
    """Places sample orders: in Vendure where there is one, else in the built-in system. `payments` and `labels` remember the
    provider's id per order, for faults and counts."""

    def __init__(
        self,
        gateway: GatewayAdmin,
        carrier: CarrierAdmin,
        engine: AsyncEngine,
        marketplace: MarketplaceAdmin | None = None,
        vendure: SandboxVendure | None = None,
    ) -> None:
        self.gateway = gateway
        self.carrier = carrier
        self.engine = engine
        self.marketplace = marketplace
        self.vendure = vendure
        self.payments: dict[str, list[str]] = {}
        self.labels: dict[str, list[str]] = {}

    async def place_order(self, sample: SampleOrder) -> Order:
        """Pay, pack, and write the order into the book. Returns it with the number and the customer that it has there."""
        tenders = [await self._pay(sample, number, part) for number, part in enumerate(sample.tenders, start=1)]
        shipments = [await self._pack(sample, number, part) for number, part in enumerate(sample.parcels, start=1)]
        order = Order(
            order_id=sample.order_id,
            customer_id=sample.customer_id,
            placed_at=datetime.now(UTC) - sample.age,
            currency=sample.currency,
            lines=tuple(
                OrderLine(
                    line_id=sold.line_id,
                    sku=f"SKU-{sample.order_id}-{sold.line_id}",
                    title=sold.title or f"Article {sold.line_id}",
                    quantity=sold.quantity,
                    total=sold.total,
                    tax=sold.tax,
                    condition=sold.condition,
                )
                for sold in sample.lines
            ),
            tenders=tuple(tenders),
            shipments=tuple(shipments),
            shipping=sample.shipping or Money.zero(sample.currency),
            shipping_tax=sample.shipping_tax,
            discount=sample.discount,
            country=sample.country,
            flags=sample.flags,
        )
        if self.vendure is not None:
            return await _place_order_in_vendure(self.vendure, sample, order, sample.handed_over)
        await built_in.add_order(
            self.engine,
            order,
            email=f"{sample.customer_id.lower()}@customer.example",
            language=sample.language,
            balances={
                shipment.gift_card: Money.total(
                    (sold.total for sold in sample.lines if sold.line_id in {part.line_id for part in shipment.lines}),
                    sample.currency,
                )
                for shipment in shipments
                if shipment.gift_card
            },
            handed_over=sample.handed_over,
        )
        return order

    async def _pay(self, sample: SampleOrder, number: int, part: SampleTender) -> Tender:
        tender_id = f"T{number}"
        if part.payment is not None:
            reference = part.payment
            self.payments.setdefault(sample.order_id, []).append(reference)
        elif part.kind is TenderKind.CARD:
            reference = await self._pay_by_card(part)
            if part.refunded_elsewhere:
                await self.gateway.refund_elsewhere(reference, part.refunded_elsewhere)
            if part.disputed:
                await self.gateway.dispute(reference)
            self.payments.setdefault(sample.order_id, []).append(reference)
        elif part.kind is TenderKind.MARKETPLACE:
            assert self.marketplace is not None
            reference = f"M-{sample.order_id}"
            await self.marketplace.sell(reference, [_sold(sold) for sold in sample.lines], currency=sample.currency)
        else:
            reference = f"{part.kind.value}-{sample.order_id}-{tender_id}"
        return Tender(tender_id=tender_id, kind=part.kind, amount=part.amount, reference=reference)

    async def _pay_by_card(self, part: SampleTender) -> str:
        if part.card is TestCard.DEBIT:
            return await self.gateway.create_debit(part.amount)
        if part.wants is not None:
            return await self.gateway.create_open_payment(part.amount, part.wants, sandbox_fault=part.fault)
        taken = part.amount if part.captured is None else part.captured
        return await self.gateway.create_payment(
            part.amount,
            part.card,
            capture=taken if taken.amount else None,
            mandate=part.mandate,
            multicapture=part.multicapture,
            sandbox_fault=part.fault,
        )

    async def _pack(self, sample: SampleOrder, number: int, part: SampleParcel) -> Shipment:
        shipment_id = f"S{number}"
        if part.gift_card:
            return Shipment(
                shipment_id=shipment_id, lines=part.lines, gift_card=f"bought-{sample.order_id}-{shipment_id}"
            )
        if part.script is None:
            return Shipment(shipment_id=shipment_id, lines=part.lines)
        label = await self.carrier.parcel(part.script, reference=f"{sample.order_id}-{shipment_id}")
        self.labels.setdefault(sample.order_id, []).append(label.shipment_id)
        return Shipment(
            shipment_id=shipment_id,
            lines=part.lines,
            carrier=part.carrier,
            label_reference=label.shipment_id,
            tracking_number=label.tracking_number if part.carrier == "UPS" else label.tracking_number[-12:],
        )


async def _place_order_in_vendure(
    vendure: SandboxVendure, sample: SampleOrder, order: Order, handed_over: frozenset[str]
) -> Order:
    code = await vendure.place_order(order, captured=all(part.captured is None for part in sample.tenders))
    placed = await vendure.read(code)
    line_ids = {sold.line_id: placed.line_of(sold.sku).id for sold in order.lines}
    for shipment, part in zip(order.shipments, sample.parcels, strict=True):
        lines = tuple(packed.model_copy(update={"line_id": line_ids[packed.line_id]}) for packed in shipment.lines)
        fulfillment = await vendure.pack(code, shipment.model_copy(update={"lines": lines}))
        if shipment.shipment_id in handed_over:
            await vendure.ship(fulfillment)
        if part.script is Script.DELIVERED:
            await vendure.deliver(fulfillment)
    return order.model_copy(update={"order_id": code, "customer_id": placed.customer.id})


def _sold(sold: SampleLine) -> SoldLine:
    """What the order has of a line is the seller's share; the buyer paid the commission on top."""
    commission = sold.commission.amount if sold.commission else 0
    return SoldLine(
        id=sold.line_id,
        quantity=sold.quantity,
        price=(sold.total - sold.tax).amount + commission,
        tax=sold.tax.amount,
        commission=commission,
    )


def request(
    sample: SampleOrder,
    *scope: LineScope,
    request_id: str | None = None,
    reason: ReasonCode = ReasonCode.NO_LONGER_NEEDED,
    note: str = "",
) -> CancellationRequest:
    """The customer's own request for a sample order."""
    return CancellationRequest(
        request_id=request_id or f"req-{sample.order_id}",
        order_id=sample.order_id,
        customer_id=sample.customer_id,
        actor=Actor(kind=ActorKind.CUSTOMER, id=sample.customer_id),
        channel=Channel.WEB_SHOP,
        reason=reason,
        note=note,
        lines=scope,
    )
