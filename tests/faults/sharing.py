"""Payments that two orders of a plan share: an order that was split, or that goes to two addresses."""

from collections.abc import Callable, Sequence

from domain.order import TenderKind
from sandbox.gateway_admin import GatewayAdmin, TestCard
from sandbox.shop import SampleOrder, SampleTender
from tests.faults.plan import ActKind, Plan, PlannedOrder, SharedPayment

_ABOUT_THE_PAYMENT = {
    ActKind.REFUNDED_BY_OTHERS,
    ActKind.CAPTURED_BY_OTHERS,
    ActKind.REFUND_FAILS_LATE,
    ActKind.DISPUTE,
    ActKind.DISPUTE_WON,
    ActKind.DISPUTE_LOST,
}
"""Nobody could say for which of the orders they are."""


def share_payments(
    orders: Sequence[PlannedOrder], shares: Callable[[], bool]
) -> tuple[tuple[PlannedOrder, ...], tuple[SharedPayment, ...]]:
    """Some neighbours of one currency are paid by one payment, which has a name of the plan's in place of its number."""
    paid = {order.order_id: order for order in orders}
    shared: list[SharedPayment] = []
    waiting: dict[str, PlannedOrder] = {}
    for order in orders:
        if not _may_share(order) or not shares():
            continue
        other = waiting.pop(order.sample.currency, None)
        if other is None:
            waiting[order.sample.currency] = order
            continue
        payment = SharedPayment(
            name=f"of {other.order_id} and {order.order_id}",
            amount=_card(other.sample).amount + _card(order.sample).amount,
            card=_card(other.sample).card,
        )
        shared.append(payment)
        paid |= {sharer.order_id: _paid_by(sharer, payment.name) for sharer in (other, order)}
    return tuple(paid.values()), tuple(shared)


async def make_payments(gateway: GatewayAdmin, plan: Plan) -> tuple[PlannedOrder, ...]:
    """The plan's orders, paid by the payments that they share."""
    made = {
        shared.name: await gateway.create_payment(shared.amount, shared.card, capture=shared.amount)
        for shared in plan.shared_payments
    }
    return tuple(
        next((_paid_by(order, made[name]) for name in made if _is_paid_by(order, name)), order) for order in plan.orders
    )


def _cards(sample: SampleOrder) -> list[SampleTender]:
    return [tender for tender in sample.tenders if tender.kind is TenderKind.CARD]


def _card(sample: SampleOrder) -> SampleTender:
    [card] = _cards(sample)
    return card


def _may_share(order: PlannedOrder) -> bool:
    """All of its one card is captured, and nothing happens to the payment but for the order."""
    cards = _cards(order.sample)
    whole = len(cards) == 1 and cards[0].captured is None and cards[0].refunded_elsewhere is None
    whole = whole and cards[0].card is not TestCard.DEBIT
    return whole and not order.fails and not any(act.kind in _ABOUT_THE_PAYMENT for act in order.acts)


def _is_paid_by(order: PlannedOrder, payment: str) -> bool:
    return any(tender.payment == payment for tender in order.sample.tenders)


def _paid_by(order: PlannedOrder, payment: str) -> PlannedOrder:
    card = _card(order.sample)
    tenders = tuple(
        tender.model_copy(update={"payment": payment}) if tender is card else tender for tender in order.sample.tenders
    )
    return order.model_copy(update={"sample": order.sample.model_copy(update={"tenders": tenders})})
