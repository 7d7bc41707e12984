"""Orders for the domain's tests, by the few things that differ."""

from datetime import UTC, datetime

from domain.earlier import EarlierReversal
from domain.money import Money, money
from domain.order import Order, OrderFlag, OrderLine, SaleCondition, Tender, TenderKind
from domain.payment import DisputeState, Payment
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from domain.shipment import GoodsGroup, LabelStatus, Shipment, ShipmentLine, Tracking

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def line(line_id: str, quantity: int, total: str, *, cancelled: int = 0, tax: str | None = None) -> OrderLine:
    value = money(total)
    return OrderLine(
        line_id=line_id,
        sku=f"SKU-{line_id}",
        title=f"Thing {line_id}",
        quantity=quantity,
        total=value,
        tax=money(tax) if tax else Money.zero(value.currency),
        cancelled=cancelled,
    )


def sold(sold_line: OrderLine, condition: SaleCondition) -> OrderLine:
    return sold_line.model_copy(update={"condition": condition})


def earlier_reversal(
    due: str,
    *refunds: str,
    released: str = "0.00 USD",
    of_provider: str | None = None,
    another_way: str = "0.00 USD",
    paid_back: str | None = None,
    before: tuple[str, ...] = (),
    cancellation_id: str = "can-earlier",
) -> EarlierReversal:
    """By the tender's own provider, as far as nothing else is said."""
    return EarlierReversal(
        cancellation_id=cancellation_id,
        released=money(released),
        due=money(due),
        of_provider=money(of_provider or due),
        another_way=money(another_way),
        refunds=refunds,
        before=before,
        paid_back=money(paid_back) if paid_back else None,
    )


def order(
    *lines: OrderLine,
    tenders: tuple[Tender, ...] = (),
    shipments: tuple[Shipment, ...] = (),
    shipping: str | None = None,
    flags: frozenset[OrderFlag] = frozenset(),
    placed_at: datetime = NOW,
) -> Order:
    currency = lines[0].total.currency
    return Order(
        order_id="1001",
        customer_id="C-1",
        placed_at=placed_at,
        currency=currency,
        lines=lines,
        tenders=tenders or (tender("T1", lines[0].total.currency),),
        shipments=shipments,
        shipping=money(shipping) if shipping else Money.zero(currency),
        shipping_credited=Money.zero(currency),
        flags=flags,
    )


def tender(tender_id: str, currency: str = "USD", kind: TenderKind = TenderKind.CARD) -> Tender:
    """It has paid more than any payment of these tests is over."""
    paid = Money(amount=10**8, currency=currency)
    return Tender(tender_id=tender_id, kind=kind, amount=paid, reference=f"ref-{tender_id}")


def payment(
    captured: str,
    *,
    capturable: str | None = None,
    refunded: str | None = None,
    dispute: DisputeState = DisputeState.NONE,
) -> Payment:
    taken = money(captured)
    zero = Money.zero(taken.currency)
    return Payment(
        reference="ref",
        captured=taken,
        capturable=money(capturable) if capturable else zero,
        refunded=money(refunded) if refunded else zero,
        dispute=dispute,
    )


def parcel(shipment_id: str, **quantities: int) -> Shipment:
    return Shipment(
        shipment_id=shipment_id,
        lines=tuple(ShipmentLine(line_id=name, quantity=quantity) for name, quantity in quantities.items()),
        label_reference=f"shp_{shipment_id}",
        tracking_number=f"1Z{shipment_id}",
    )


def tracked(group: GoodsGroup) -> Tracking:
    return Tracking(group=group, label=LabelStatus.ACTIVE)


def request(*scope: LineScope, reason: ReasonCode = ReasonCode.NO_LONGER_NEEDED) -> CancellationRequest:
    return CancellationRequest(
        request_id="r-1",
        order_id="1001",
        customer_id="C-1",
        actor=Actor(kind=ActorKind.CUSTOMER, id="C-1"),
        channel=Channel.WEB_SHOP,
        reason=reason,
        lines=scope,
    )
