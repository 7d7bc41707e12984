"""Planning a cancellation: which units leave the order, by which parcels, and how much goes back to which tender."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from domain.clocks import RefundDue
from domain.defects import foreign_payment, negative_amount
from domain.earlier import given_by_others, left_to_earlier
from domain.money import Money
from domain.order import Order, OrderLine, Tender, TenderKind
from domain.payment import Payment
from domain.plan import LeftOut, LeftOutReason, Plan, PlannedLine, PlannedShipment, PlannedTender, allocate
from domain.request import CancellationRequest
from domain.shipment import GoodsGroup, Shipment, Stop, StopStatus, Tracking
from domain.stopping import NOT_SEEN, next_stop, planned_action
from domain.terms import Terms
from domain.units import units_by_line

_STOPPABLE = (GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN, GoodsGroup.IN_NETWORK, GoodsGroup.LOST)
_ALREADY_STOPPED = (GoodsGroup.COMING_BACK, GoodsGroup.RETURNED)


class NotCancellable(Exception):
    """No plan can be made of this request; `reason` is one of the rules that reject (domain/decision.py)."""

    def __init__(self, reason: str, message: str, maximum: Money | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.maximum = maximum


def _wanted(order: Order, request: CancellationRequest) -> dict[str, int]:
    """Units per line that the request asks for. Raises NotCancellable `invalid_scope`."""
    if request.whole_order:
        return {line.line_id: line.remaining for line in order.lines if line.remaining}
    for scope in request.lines:
        line = order.line(scope.line_id)
        if line is None:
            raise NotCancellable("invalid_scope", f"Order {order.order_id} has no line {scope.line_id}.")
        if scope.quantity > line.remaining:
            raise NotCancellable(
                "invalid_scope",
                f"Order {order.order_id} has {line.remaining} of line {scope.line_id} left to cancel, "
                f"not {scope.quantity}.",
            )
    return {scope.line_id: scope.quantity for scope in request.lines}


# Rule: Units that cannot be stopped stay as a return offer
def _left_out_reason(shipment: Shipment, tracking: Tracking, *, shared: bool) -> LeftOutReason | None:
    """The step that stops it would say the same now."""
    group = tracking.group
    if group is GoodsGroup.DELIVERED:
        return LeftOutReason.GIFT_CARD_USED if shipment.gift_card else LeftOutReason.DELIVERED
    if group is GoodsGroup.LAST_MILE or shipment.is_out_of_reach:
        return LeftOutReason.OUT_FOR_DELIVERY
    if shared and (shipment.gift_card or group not in NOT_SEEN):
        return LeftOutReason.PARCEL_SHARED  # a parcel on its way cannot be stopped in part, nor a gift card
    stop = next_stop(shipment, tracking, shared=shared)
    is_declined = isinstance(stop, Stop) and stop.status is StopStatus.DECLINED
    return LeftOutReason.STOP_DECLINED if is_declined else None


# Rule: No amount of a plan is below zero [refused]
def make_plan(
    *,
    cancellation_id: str,
    order: Order,
    request: CancellationRequest,
    payments: dict[str, Payment],
    trackings: dict[str, Tracking],
    terms: Terms,
    refund_due: RefundDue | None = None,
) -> Plan:
    """Work out the plan from the OMS's order and the live truth: `payments` by tender id, `trackings` by shipment id.

    Raises NotCancellable: `invalid_scope`, `invalid_order`, `already_cancelled`, `already_delivered`, `gift_card_used`,
    `amount_exceeds_refundable`.
    """
    if foreign := foreign_payment(order, payments):
        raise NotCancellable("invalid_order", foreign)
    order = order.discounted()
    wanted = _wanted(order, request)
    if not wanted and not request.shipping_alone:
        raise NotCancellable("already_cancelled", f"Every line of order {order.order_id} is cancelled already.")
    units = _Units(order, wanted)
    stopping = _take_units(order, units, wanted, trackings)
    if not units.lines and not request.shipping_alone:
        raise _nothing_left_to_cancel(order, units.left_out)

    everything = bool(units.lines) and all(line.remaining == units.taken[line.line_id] for line in order.lines)
    lines, shipping = _with_shipping(order, request, units, everything=everything)
    if request.shipping_alone:
        _check_shipping_alone(order, shipping)
    not_left = _value_not_left(order, trackings)
    tenders = [_planned_tender(tender, payments[tender.tender_id], not_left) for tender in order.tenders]
    value = Money.total((line.amount for line in lines), order.currency) + shipping
    available = Money.total((t.at_most for t in tenders), order.currency)
    ahead = min(_given_ahead(order, tenders, available), value)
    if not everything and value - ahead > available:
        raise NotCancellable(
            "amount_exceeds_refundable",
            f"The lines asked for are worth {value}, but only {available} of order {order.order_id} can still be refunded.",
            maximum=available,
        )
    plan = Plan(
        cancellation_id=cancellation_id,
        order_id=order.order_id,
        currency=order.currency,
        everything=everything,
        lines=lines,
        shipping=shipping,
        shipping_tax=_shipping_tax(order, shipping),
        shipments=stopping,
        tenders=allocate(value - ahead, tenders, everything=everything),
        left_out=tuple(units.left_out),
        terms=terms,
        refund_due=refund_due,
    )
    if below := next((amount for amount in plan.amounts if amount.amount < 0), None):
        raise NotCancellable("invalid_order", negative_amount(order, below))
    return plan


# Rule: Units that can be stopped leave the order
def _take_units(
    order: Order, units: "_Units", wanted: dict[str, int], trackings: Mapping[str, Tracking]
) -> tuple[PlannedShipment, ...]:
    """Take the wanted units out of the order: first those that are in no parcel, then parcel by parcel, the easiest to stop
    first. Returns the parcels that are to be stopped; what is in the others is left out. `wanted` is counted down."""
    in_parcels = units_by_line(part for shipment in order.shipments for part in shipment.lines)
    for line_id, quantity in list(wanted.items()):
        units.take(line_id, min(quantity, max(0, units.line(line_id).remaining - in_parcels[line_id])), None)
    stopping: list[PlannedShipment] = []
    for shipment in sorted(order.shipments, key=lambda s: by_group(trackings[s.shipment_id])):
        tracking = trackings[shipment.shipment_id]
        packed = units_by_line(shipment.lines)
        asked = {line_id: min(units_packed, wanted.get(line_id, 0)) for line_id, units_packed in packed.items()}
        if not any(asked.values()):
            continue
        shared = shipment.holds_more_than(asked)
        reason = _left_out_reason(shipment, tracking, shared=shared)
        for line_id, quantity in asked.items():
            if reason:
                units.leave_out(line_id, quantity, shipment.shipment_id, reason)
            else:
                units.take(line_id, quantity, shipment.shipment_id)
        if not reason:
            action = planned_action(shipment, tracking)
            stopping.append(
                PlannedShipment(shipment=shipment, group=tracking.group, action=action, shared=shared or None)
            )
    return tuple(stopping)


def by_group(tracking: Tracking | None) -> int:
    """Units still in the warehouse go first: they cost nothing to stop."""
    groups = (*_STOPPABLE, *_ALREADY_STOPPED, GoodsGroup.LAST_MILE, GoodsGroup.DELIVERED)
    return groups.index(tracking.group) if tracking else len(groups)


class _Units:
    """The units that a request asks for, as they are taken out of the order or have to stay in it. What is still `wanted` is
    counted down, so that no unit is taken twice."""

    def __init__(self, order: Order, wanted: dict[str, int]) -> None:
        self._lines = {line.line_id: line for line in order.lines}
        self._wanted = wanted
        self.taken: Counter[str] = Counter()
        self.lines: list[PlannedLine] = []
        self.left_out: list[LeftOut] = []

    def line(self, line_id: str) -> OrderLine:
        return self._lines[line_id]

    def take(self, line_id: str, quantity: int, shipment_id: str | None) -> None:
        if not quantity:
            return
        before = self._lines[line_id].after(self.taken[line_id])
        self.lines.append(
            PlannedLine(
                line_id=line_id,
                sku=before.sku,
                quantity=quantity,
                amount=before.value_of(quantity),
                tax=before.tax_of(quantity),
                shipping=Money.zero(before.total.currency),
                shipment_id=shipment_id,
                cancelled_before=self._lines[line_id].cancelled,
            )
        )
        self.taken[line_id] += quantity
        self._wanted[line_id] -= quantity

    def leave_out(self, line_id: str, quantity: int, shipment_id: str, reason: LeftOutReason) -> None:
        if quantity:
            self._wanted[line_id] -= quantity
            self.left_out.append(LeftOut(line_id=line_id, quantity=quantity, shipment_id=shipment_id, reason=reason))

    @property
    def value_left_out(self) -> int:
        """In minor units."""
        return sum(
            self._lines[line_id].after(self.taken[line_id]).value_of(quantity).amount
            for line_id, quantity in units_by_line(self.left_out).items()
        )

    @property
    def divided(self) -> set[str]:
        """The lines whose units are taken in several parts."""
        parts = Counter(part.line_id for part in self.lines)
        return {line_id for line_id, times in parts.items() if times > 1}


def _nothing_left_to_cancel(order: Order, left_out: Sequence[LeftOut]) -> NotCancellable:
    if all(out.reason is LeftOutReason.GIFT_CARD_USED for out in left_out):
        return NotCancellable(
            "gift_card_used",
            f"The gift cards bought with order {order.order_id} have been used; they cannot be cancelled.",
        )
    return NotCancellable(
        "already_delivered",
        f"The goods of order {order.order_id} are with the customer, or cannot be stopped any more; offer a return instead.",
    )


# Rule: What an earlier cancellation gives back, or need not, is left to it [in the plan]
def _planned_tender(tender: Tender, payment: Payment, not_left: Money | None) -> PlannedTender:
    """With the gateway's count and the bounds. The gateway still counts what earlier cancellations give back another way, as
    refundable, or as reserved where it was settled before it was captured."""
    zero = Money.zero(payment.captured.currency)
    captured = payment.taken
    left = captured - payment.refunded
    earlier = tender.earlier_reversals
    kept = left_to_earlier(earlier, payment)
    released = _released_before(tender)
    captured_for_us = _captured_for_us(tender, payment, not_left)
    refundable = max(left - kept, zero)
    reserved = max(payment.capturable - released - max(kept - left, zero), zero)
    planned = PlannedTender(
        tender=tender,
        refund=zero,
        release=zero,
        refundable=refundable,
        capturable=reserved,
        earlier=tuple(refund.reference for refund in payment.refunds),
        captured=captured,
        refunded=payment.refunded,
        share=_share(tender, payment),
        releasable=captured_for_us and max(_paid_by_us(tender) - captured_for_us.at_most, zero),
        unclear=(captured_for_us is not None and not captured_for_us.is_certain) or None,
        step=payment.step if payment.step > 1 else None,
        unpaid=payment.unpaid,
        by_others=given_by_others(payment, earlier) if tender.kind is TenderKind.CARD else None,
    )
    missing = payment.refunded if planned.share is None else max(planned.share - planned.at_most, zero)
    return planned.counting_on(missing)


def _given_ahead(order: Order, tenders: Sequence[PlannedTender], available: Money) -> Money:
    """What earlier parts of the order gave back beyond the value of their lines, because a provider takes amounts in steps:
    so much less is in the tenders than the rest of the order is worth."""
    step = max((tender.step or 1 for tender in tenders), default=1)
    worth = Money.total((line.value_of(line.remaining) for line in order.lines), order.currency)
    missing = max(worth + _shipping_left(order) - available, Money.zero(order.currency))
    return Money(amount=missing.amount % step, currency=order.currency)


# Rule: An order gets back its own share of a payment that pays others too
def _share(tender: Tender, payment: Payment) -> Money | None:
    """What of a card's payment is the order's still, where the payment was made over more than the order paid by it. None:
    all of it is."""
    if not _paid_by_others(tender, payment):
        return None
    ours = _paid_by_us(tender)
    return max(ours - _due_before(tender), Money.zero(ours.currency))


class _CapturedForUs(NamedTuple):
    """How much of what was captured of a shared payment may be this order's."""

    at_most: Money
    is_certain: bool


# Rule: Whose the captured part of a shared payment is, a person says where it is not certain
def _captured_for_us(tender: Tender, payment: Payment, not_left: Money | None) -> _CapturedForUs | None:
    """No provider says for which order something was captured. Certain is what the amounts leave no choice about: what the
    others cannot have paid, and what has left of this order, because a card is charged for what is shipped. The same says
    that no more was captured for it, where the rest of its share is still reserved; unless just as much was captured as
    the order paid. `not_left`: the worth of the goods that have not left. None for it: nothing has. None: the payment is
    not shared."""
    others = _paid_by_others(tender, payment)
    if not others:
        return None
    ours, taken, due = _paid_by_us(tender), payment.taken, _due_before(tender)
    left = min(due if not_left is None else max(ours - not_left, due), taken)
    at_least, at_most = max(taken - others, left), min(taken, ours)
    if at_least >= at_most:
        return _CapturedForUs(at_most, is_certain=True)
    if at_least == left and taken != ours and payment.capturable - _released_before(tender) >= ours - left:
        return _CapturedForUs(left, is_certain=True)
    return _CapturedForUs(at_most, is_certain=False)


def _value_not_left(order: Order, trackings: Mapping[str, Tracking]) -> Money | None:
    """What the goods are worth that are not on their way, with the shipping charge. None: nothing has left."""
    gone = [shipment for shipment in order.shipments if trackings[shipment.shipment_id].group not in NOT_SEEN]
    if not gone:
        return None
    left = units_by_line(part for shipment in gone for part in shipment.lines)
    here = [(line, max(line.remaining - left[line.line_id], 0)) for line in order.lines]
    goods = Money.total((line.value_of(quantity) for line, quantity in here if quantity), order.currency)
    return goods + _shipping_left(order) if goods else goods


def _paid_by_others(tender: Tender, payment: Payment) -> Money | None:
    """None: the payment is all the order's."""
    others = payment.whole - tender.amount
    return others if tender.kind is TenderKind.CARD and others.amount > 0 else None


def _paid_by_us(tender: Tender) -> Money:
    return tender.amount - _released_before(tender)


def _due_before(tender: Tender) -> Money:
    """What earlier cancellations give back of what was captured."""
    zero = Money.zero(tender.amount.currency)
    return Money.total((max(earlier.due, zero) for earlier in tender.earlier_reversals), zero.currency)


def _released_before(tender: Tender) -> Money:
    """What earlier cancellations gave up of a reservation."""
    return Money.total((earlier.released for earlier in tender.earlier_reversals), tender.amount.currency)


# Rule: The shipping charge goes back with the last line, or when staff asks for it
def _with_shipping(
    order: Order, request: CancellationRequest, units: _Units, *, everything: bool
) -> tuple[tuple[PlannedLine, ...], Money]:
    """The lines with their parts of the shipping charge, and what goes back of it. It goes back with the last line, or when
    it was asked for. When the whole order was asked for and some of it has to stay, that keeps its part; single lines take
    none with them. Alone, it is of no line."""
    rest = _shipping_left(order)
    if request.shipping_alone:
        return (), rest
    weights = [line.amount.amount for line in units.lines]
    if everything or request.shipping:
        parts = rest.split(weights)
    elif request.whole_order:
        parts = rest.split([*weights, units.value_left_out])[:-1]
    else:
        parts = (Money.zero(order.currency),) * len(weights)
    lines = []
    for line, part in zip(units.lines, parts, strict=True):
        whole = units.line(line.line_id) if line.line_id in units.divided else None
        lines.append(line.model_copy(update={"shipping": part, "line": whole}))
    return tuple(lines), Money.total(parts, order.currency)


def _shipping_left(order: Order) -> Money:
    """More may have been credited than the charge came to after the discount."""
    return max(order.shipping - order.shipping_given_back, Money.zero(order.currency))


def _shipping_tax(order: Order, given_back: Money) -> Money:
    """The part of it that is tax, by cumulative shares: the last part takes the rest."""
    if not given_back or order.shipping_tax is None:
        return Money.zero(order.currency)
    before = order.shipping_given_back.amount
    tax, whole = order.shipping_tax, order.shipping.amount
    return tax.share(before + given_back.amount, whole) - tax.share(before, whole)


# Rule: The shipping charge goes back with the last line, or when staff asks for it [alone]
def _check_shipping_alone(order: Order, shipping: Money) -> None:
    """Raises NotCancellable `invalid_scope`."""
    if not shipping:
        raise NotCancellable("invalid_scope", f"Order {order.order_id} has no shipping charge left to give back.")
    if any(tender.kind is TenderKind.MARKETPLACE for tender in order.tenders):
        raise NotCancellable(
            "invalid_scope",
            f"A marketplace settles order {order.order_id}: give its shipping charge back there.",
        )
