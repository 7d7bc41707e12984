"""Orders and cancellations for the order book's tests."""

from collections.abc import Sequence
from datetime import UTC, datetime

from domain.money import Money, money
from domain.order import Order, OrderLine, OrderState, Tender, TenderKind
from domain.outcome import (
    CancellationRecord,
    CancellationResult,
    GoodsStatus,
    MoneyStatus,
    Outcome,
    PaperStatus,
    Reversal,
)
from domain.payment import Payment
from domain.plan import Plan, Terms, make_plan
from domain.policy import Decision, Rule, Verdict
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode, cancellation_id
from domain.shipment import GoodsGroup, LabelStatus, Shipment, Stop, StopStatus, Tracking
from providers.order_book.port import Closing, Credit, CreditedTender

DECISION = Decision(
    verdict=Verdict.APPROVED, rule=Rule.WITHIN_POLICY, policy_version="test", sentence="Within the policy."
)
CARD = Tender(tender_id="T-card", kind=TenderKind.CARD, amount=money("300.00 USD"), reference="pi_1")


def line(total: str = "300.00 USD", *, line_id: str = "L1", quantity: int = 3, tax: str | None = None) -> OrderLine:
    worth = money(total)
    return OrderLine(
        line_id=line_id,
        sku=f"SKU-{line_id}",
        title="A thing",
        quantity=quantity,
        total=worth,
        tax=money(tax) if tax else Money.zero(worth.currency),
    )


def order(
    order_id: str = "O-1",
    *,
    lines: Sequence[OrderLine] = (line(),),
    tenders: Sequence[Tender] = (CARD,),
    shipments: Sequence[Shipment] = (),
    shipping: str | None = None,
) -> Order:
    currency = lines[0].total.currency
    return Order(
        order_id=order_id,
        customer_id="C-1",
        placed_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        currency=currency,
        state=OrderState.OPEN,
        lines=tuple(lines),
        tenders=tuple(tenders),
        shipments=tuple(shipments),
        shipping=money(shipping) if shipping else Money.zero(currency),
        shipping_credited=Money.zero(currency),
    )


def record(
    of: Order,
    *,
    request_id: str = "R-1",
    lines: Sequence[LineScope] = (),
    goods: GoodsGroup = GoodsGroup.NOT_HANDED_OVER,
) -> CancellationRecord:
    """A cancellation of the order, planned by the domain, every parcel being where `goods` says."""
    cancellation = cancellation_id(of.order_id, request_id)
    request = CancellationRequest(
        request_id=request_id,
        order_id=of.order_id,
        customer_id=of.customer_id,
        actor=Actor(kind=ActorKind.CUSTOMER, id=of.customer_id),
        channel=Channel.WEB_SHOP,
        reason=ReasonCode.NO_LONGER_NEEDED,
        lines=tuple(lines),
    )
    zero = Money.zero(of.currency)
    plan = make_plan(
        cancellation_id=cancellation,
        order=of,
        request=request,
        payments={
            t.tender_id: Payment(reference=t.reference, captured=t.amount, capturable=zero, refunded=zero)
            for t in of.tenders
        },
        trackings={s.shipment_id: Tracking(group=goods, label=LabelStatus.ACTIVE) for s in of.shipments},
        terms=Terms(),
    )
    return CancellationRecord(
        cancellation_id=cancellation, order_id=of.order_id, request=request, decision=DECISION, plan=plan
    )


def result(of: CancellationRecord, outcome: Outcome = Outcome.CANCELLED) -> CancellationResult:
    return CancellationResult(
        cancellation_id=of.cancellation_id,
        order_id=of.order_id,
        outcome=outcome,
        sentence="It is over.",
        decision=of.decision,
        goods=GoodsStatus.STOPPED,
        money=MoneyStatus.REFUNDED,
        paper=PaperStatus.CREDITED,
    )


def closing(of: CancellationRecord, *, coming_back: Sequence[str] = (), reversals: Sequence[Reversal] = ()) -> Closing:
    plan: Plan = of.plan
    return Closing(
        cancellation_id=of.cancellation_id,
        order_id=of.order_id,
        result=result(of),
        plan=plan,
        stops=tuple(
            Stop(
                shipment_id=planned.shipment.shipment_id,
                action=planned.action,
                status=StopStatus.COMING_BACK if planned.shipment.shipment_id in coming_back else StopStatus.STOPPED,
            )
            for planned in plan.shipments
        ),
        reversals=tuple(reversals),
    )


def credit(of: CancellationRecord, *tenders: CreditedTender, tax: Money | None = None) -> Credit:
    currency = tenders[0].amount.currency
    return Credit(
        cancellation_id=of.cancellation_id,
        order_id=of.order_id,
        total=Money.total((tender.amount for tender in tenders), currency),
        tax=tax or Money.zero(currency),
        tenders=tenders,
    )


def by_card(amount: str, reference: str, *, settled: bool = True) -> CreditedTender:
    return CreditedTender(
        tender_id="T-card", kind=TenderKind.CARD, amount=money(amount), reference=reference, settled=settled
    )
