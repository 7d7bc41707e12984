"""Payments that two orders of a plan share: an order that was split, or that goes to two addresses."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

from domain.money import Money
from domain.order import TenderKind
from sandbox.carrier.model import Script
from sandbox.gateway_admin import GatewayAdmin, TestCard
from sandbox.shop import SampleOrder, SampleTender
from tests.faults.drawing_orders import step_of
from tests.faults.plan import Act, ActKind, Moment, Plan, PlannedOrder, SharedPayment

T = TypeVar("T")

_ABOUT_THE_PAYMENT = {
    ActKind.CAPTURED_BY_OTHERS,
    ActKind.REFUND_FAILS_LATE,
    ActKind.DISPUTE,
    ActKind.DISPUTE_WON,
    ActKind.DISPUTE_LOST,
    ActKind.PAYMENT_EXCHANGED,
    ActKind.DISPUTE_WON_ON_APPEAL,
}
"""Nobody could say for which of the orders they are."""
_IN_THE_WAREHOUSE = frozenset({None, Script.LABEL_ONLY})


class Taken(StrEnum):
    """What was captured of the payment by then. A shop takes what it ships, or all of an order at once: what was taken for
    an order, of which nothing has left, is none of it or all of it."""

    WHOLE = "whole"
    FOR_ONE = "for_one"
    NOTHING = "nothing"


class Choose(Protocol):
    def __call__(self, among: Sequence[T]) -> T: ...


def share_payments(
    orders: Sequence[PlannedOrder], happens: Callable[[float], bool], choose: Choose
) -> tuple[tuple[PlannedOrder, ...], tuple[SharedPayment, ...]]:
    """Some neighbours of one currency are paid by one payment, which has a name of the plan's in place of its number. Some
    of them are alike in everything, and cancelled at once."""
    paid = {order.order_id: order for order in orders}
    shared: list[SharedPayment] = []
    waiting: dict[str, PlannedOrder] = {}
    for order in orders:
        if not _may_share(order) or not happens(0.8):
            continue
        other = waiting.pop(order.sample.currency, None)
        if other is None:
            waiting[order.sample.currency] = order
            continue
        alike = _as_twin(other, order.order_id) if happens(0.4) else order
        sharers = (other, alike)
        taken = choose((*Taken, Taken.FOR_ONE) if all(map(_is_in_the_warehouse, sharers)) else (Taken.WHOLE,))
        nothing = Money.zero(order.sample.currency)
        of_each = {
            Taken.WHOLE: (None, None),
            Taken.FOR_ONE: choose(((None, nothing), (nothing, None))),
            Taken.NOTHING: (nothing, nothing),
        }[taken]
        name = f"of {other.order_id} and {order.order_id}"
        parts = [_paid_by(sharer, name, captured) for sharer, captured in zip(sharers, of_each, strict=True)]
        amounts = [_card(part.sample).amount for part in parts]
        captured = [amount if part is None else part for amount, part in zip(amounts, of_each, strict=True)]
        shared.append(
            SharedPayment(
                name=name,
                amount=amounts[0] + amounts[1],
                captured=captured[0] + captured[1],
                card=_card(other.sample).card,
            )
        )
        for part, of_other in zip(parts, reversed(amounts), strict=True):
            act = _capture_of_what_was_given_up(part, of_other, happens, choose)
            paid[part.order_id] = act or _with_refund_by_others(part, happens, choose)
    return tuple(paid.values()), tuple(shared)


def _with_refund_by_others(order: PlannedOrder, happens: Callable[[float], bool], choose: Choose) -> PlannedOrder:
    """Somebody gives half of it back in the dashboard, as often as not before it is planned."""
    card = _card(order.sample)
    if card.captured is not None or not happens(0.2):
        return order
    half = card.amount.share(1, 2).in_steps(step_of(card.amount.currency))
    when = Moment(looks=choose((0, 0, 10, 30)))
    refund = Act(kind=ActKind.REFUNDED_BY_OTHERS, when=when, amount=half)
    return order.model_copy(update={"acts": (refund, *order.acts)}) if half else order


def _capture_of_what_was_given_up(
    order: PlannedOrder, of_other: Money, happens: Callable[[float], bool], choose: Choose
) -> PlannedOrder | None:
    """All of it goes back, and is captured all the same: it is more than the other order paid, so that it shows."""
    card = _card(order.sample)
    is_all = not order.request.lines and not any(act.request for act in order.acts)
    if not is_all or card.captured is None or card.amount <= of_other or not happens(0.9):
        return None
    when = Moment(looks=choose((0, 10, 30, 100_000)))
    capture = Act(kind=ActKind.CAPTURED_BY_OTHERS, when=when, beyond=True)
    return order.model_copy(update={"acts": (*order.acts, capture)})


def _as_twin(order: PlannedOrder, order_id: str) -> PlannedOrder:
    """The same in everything, under another number."""
    return PlannedOrder.model_validate_json(order.model_dump_json().replace(order.order_id, order_id))


async def make_payments(gateway: GatewayAdmin, plan: Plan) -> tuple[PlannedOrder, ...]:
    """The plan's orders, paid by the payments that they share."""
    made = {
        shared.name: await gateway.create_payment(
            shared.amount, shared.card, capture=shared.captured or None, multicapture=shared.captured != shared.amount
        )
        for shared in plan.shared_payments
    }
    return tuple(
        next(
            (_paid_by(order, made[name], _card(order.sample).captured) for name in made if _is_paid_by(order, name)),
            order,
        )
        for order in plan.orders
    )


def captured_for_each(sample: SampleOrder) -> dict[str, int]:
    """By tender of a payment that pays others too, what was captured of it for this order."""
    return {
        f"T{number}": (tender.amount if tender.captured is None else tender.captured).amount
        for number, tender in enumerate(sample.tenders, start=1)
        if tender.payment is not None
    }


def _cards(sample: SampleOrder) -> list[SampleTender]:
    return [tender for tender in sample.tenders if tender.kind is TenderKind.CARD]


def _card(sample: SampleOrder) -> SampleTender:
    [card] = _cards(sample)
    return card


def _may_share(order: PlannedOrder) -> bool:
    """It has one card, and what happens to the payment is for the order alone."""
    cards = _cards(order.sample)
    alone = len(cards) == 1 and cards[0].refunded_elsewhere is None and cards[0].card is not TestCard.DEBIT
    return alone and not order.fails and not any(act.kind in _ABOUT_THE_PAYMENT for act in order.acts)


def _is_in_the_warehouse(order: PlannedOrder) -> bool:
    return all(parcel.script in _IN_THE_WAREHOUSE for parcel in order.sample.parcels)


def _is_paid_by(order: PlannedOrder, payment: str) -> bool:
    return any(tender.payment == payment for tender in order.sample.tenders)


def _paid_by(order: PlannedOrder, payment: str, captured: Money | None) -> PlannedOrder:
    card = _card(order.sample)
    tenders = tuple(
        tender.model_copy(update={"payment": payment, "captured": captured}) if tender is card else tender
        for tender in order.sample.tenders
    )
    return order.model_copy(update={"sample": order.sample.model_copy(update={"tenders": tenders})})
