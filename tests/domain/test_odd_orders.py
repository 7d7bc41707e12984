"""Whatever stands in an order, and whatever its payments say: a decision comes of it, and no error."""

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from domain.decision import Verdict
from domain.money import Money
from domain.order import Order, OrderFlag, OrderLine, OrderState, SaleCondition, Tender, TenderKind
from domain.payment import DisputeState, Payment
from domain.policy import CustomerHistory
from domain.request import Actor, ActorKind, CancellationRequest, LineScope, ReasonCode
from domain.shipment import GoodsGroup, LabelStatus, Shipment, ShipmentLine, Tracking
from tests.domain.build import NOW, request
from tests.domain.test_policy import POLICY

pytestmark = pytest.mark.properties

LINES = ("L1", "L2", "L3")


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Now and then one thing of it is odd: too much, below zero, in another currency, twice, or of nothing that is there."""

    def odd(usual: int = 30) -> bool:
        return draw(st.integers(0, usual)) == usual

    def money(most: int) -> Money:
        amount = draw(st.integers(-500, 20_000) if odd() else st.integers(0, max(most, 0)))
        return Money(amount=amount, currency=draw(st.sampled_from(("EUR", "JPY"))) if odd(60) else "USD")

    lines = []
    for line_id in draw(st.lists(st.sampled_from(LINES), max_size=3, unique=not odd())):
        total, quantity = money(10_000), draw(st.integers(1, 4))
        lines.append(
            OrderLine(
                line_id=line_id,
                sku="SKU",
                title="Thing",
                quantity=quantity,
                total=total,
                tax=money(total.amount),
                cancelled=draw(st.integers(0, 5 if odd() else quantity)),
                condition=draw(st.sampled_from(SaleCondition)),
            )
        )
    tenders = [
        Tender(
            tender_id="T1" if odd() else f"T{n}",
            kind=draw(st.sampled_from(TenderKind)),
            amount=money(20_000),
            reference=draw(st.sampled_from(("pi_1", "pi_2"))),
        )
        for n in range(1, draw(st.integers(0, 2)) + 1)
    ]
    shipments = [
        Shipment(
            shipment_id="S1" if odd() else f"S{n}",
            lines=tuple(
                ShipmentLine(line_id="L9" if odd() else line.line_id, quantity=draw(st.integers(1, line.quantity)))
                for line in lines
                if draw(st.booleans())
            ),
            gift_card=draw(st.sampled_from((None, None, "gift-1"))),
            label_reference="shp_1",
        )
        for n in range(draw(st.integers(0, 2)))
    ]
    shipping = money(2_000)
    return Order(
        order_id="1001",
        customer_id="C-1",
        placed_at=NOW.replace(tzinfo=None) if odd() else NOW,
        currency="USD",
        state=OrderState.CANCELLED if odd() else OrderState.OPEN,
        lines=tuple(lines),
        tenders=tuple(tenders),
        shipments=tuple(shipments),
        shipping=shipping,
        shipping_credited=money(shipping.amount),
        shipping_tax=draw(st.none() | st.just(money(shipping.amount))),
        discount=draw(st.none() | st.just(money(sum(line.total.amount for line in lines) + shipping.amount))),
        country=draw(st.sampled_from((None, "US", "us", "UK", "XX" if odd() else "DE"))),
        flags=draw(st.frozensets(st.sampled_from(OrderFlag))),
    )


@st.composite
def payments(draw: st.DrawFn, order: Order) -> dict[str, Payment]:
    """A provider's count, which is in one currency and never below zero. What is captured and what still can be are parts of
    the amount."""
    found = {}
    for tender in order.tenders:
        currency = "EUR" if draw(st.integers(0, 30)) == 30 else "USD"

        def some(currency: str = currency) -> Money:
            return Money(amount=draw(st.integers(0, 30_000)), currency=currency)

        captured, capturable, capturing = some(), some(), draw(st.none() | st.just(some()))
        taken = captured + capturing if capturing else captured
        found[tender.tender_id] = Payment(
            reference=tender.reference,
            amount=draw(st.none() | st.just(taken + capturable + some())),
            captured=captured,
            capturable=capturable,
            refunded=min(some(), captured),
            capturing=capturing,
            released=draw(st.booleans()),
            dispute=draw(st.sampled_from(DisputeState)),
        )
    return found


def asked(data: st.DataObject, order: Order) -> CancellationRequest:
    """By staff: some of the lines, with or without the shipping charge, or none."""
    left = [line.line_id for line in order.lines if line.remaining > 0]
    named = data.draw(st.lists(st.sampled_from(left), unique=True, max_size=2) if left else st.just([]), label="lines")
    scope = [LineScope(line_id=line_id, quantity=data.draw(st.sampled_from((1, 1, 1, 3)))) for line_id in named]
    by = Actor(kind=ActorKind.CUSTOMER_SERVICE, id="A-1")
    reason = data.draw(st.sampled_from((ReasonCode.NO_LONGER_NEEDED, ReasonCode.OUT_OF_STOCK)), label="reason")
    shipping = data.draw(st.sampled_from((False, False, True)), label="shipping")
    return request(*scope, reason=reason).model_copy(update={"actor": by, "shipping": shipping})


@given(order=orders(), data=st.data())
def test_a_decision_comes_of_any_order(order: Order, data: st.DataObject) -> None:
    """F2, F5, F22, rules 9 and 14: no amount of a plan is below zero or in another currency, and no card gives back more
    than the order paid by it, or than its gateway has."""
    wanted = asked(data, order)
    if no := POLICY.reject_by_order(order, wanted):
        assert no.verdict is Verdict.REJECTED
        assert no.sentence
        return
    paid = data.draw(payments(order))
    decision, plan = POLICY.decide(
        cancellation_id="can-1",
        order=order,
        request=wanted,
        payments=paid,
        trackings={
            shipment.shipment_id: Tracking(group=data.draw(st.sampled_from(GoodsGroup)), label=LabelStatus.ACTIVE)
            for shipment in order.shipments
        },
        history=CustomerHistory(),
        now=NOW,
        learnt_at=NOW,
    )
    assert (plan is None) is (decision.verdict is Verdict.REJECTED)
    event(f"{decision.rule}, {'a plan' if plan else 'no plan'}")
    if plan is None:
        return
    assert all(amount.amount >= 0 and amount.currency == order.currency for amount in plan.amounts)
    for part in plan.tenders:
        payment = paid[part.tender.tender_id]
        assert part.release <= payment.capturable
        assert part.refund <= payment.taken - payment.refunded
        if part.tender.kind is TenderKind.CARD:
            assert part.release + part.refund <= part.tender.amount
