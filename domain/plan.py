"""The plan: what will be stopped, released, refunded and restocked, with amounts, before anything is done."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from domain.base import Rare, Value
from domain.clocks import RefundDue
from domain.earlier import left_to_earlier
from domain.money import Money
from domain.order import Order, OrderLine, Tender, TenderKind
from domain.payment import Payment
from domain.request import CancellationRequest
from domain.shipment import GoodsGroup, Shipment, StopAction, Tracking
from domain.stopping import planned_action
from domain.terms import Terms


class PlannedLine(Value):
    """Units of one line that leave the order together. `shipment_id` None: they are in no parcel yet. `shipping` is the part
    of the shipping charge that goes back with them, fixed when the plan is made. `cancelled_before` units of the line left
    the order earlier."""

    line_id: str
    sku: str
    quantity: int
    amount: Money
    tax: Money
    shipping: Money
    shipment_id: str | None = None
    cancelled_before: int = 0


class PlannedShipment(Value):
    shipment: Shipment
    group: GoodsGroup
    action: StopAction


class PlannedTender(Value):
    """What one tender gets back: `refund` of what was captured, `release` of what is only reserved. `refundable` and
    `capturable` are the bounds of the two: what the gateway had at planning time, less what others give back. `captured` and
    `refunded` are the gateway's own count then. `earlier` are the refunds that there were then, by their references: whoever
    makes another one meanwhile gives back what is planned here. `step`: its provider takes amounts that are divisible by so
    many minor units; None where that is one. `unpaid` is the part of `release` that the customer has not paid and still
    could: with the whole order its payment is closed."""

    tender: Tender
    refund: Money
    release: Money
    refundable: Money
    capturable: Money
    captured: Money
    refunded: Money
    earlier: tuple[str, ...] = ()
    step: Rare[int] = None
    unpaid: Rare[Money] = None

    @property
    def counted(self) -> Money:
        """What the gateway itself counted as refundable."""
        return self.captured - self.refunded

    @property
    def is_ours_to_give(self) -> bool:
        """The merchant has the money, and may give it back another way. A marketplace keeps its buyers' money."""
        return self.tender.kind is not TenderKind.MARKETPLACE

    def captured_since(self, payment: Payment) -> Money:
        """What was captured since the plan was made."""
        return payment.captured - self.captured

    def sendable(self, amount: Money, at_most: Money) -> Money:
        """As much as its provider takes: `amount`, or the next step above it where `at_most` has that."""
        step = self.step or 1
        return min(amount.in_steps(step, up=True), at_most.in_steps(step))


class LeftOutReason(StrEnum):
    """Why units stay in the order although the request covers them. The customer is offered a return for them."""

    DELIVERED = "delivered"
    OUT_FOR_DELIVERY = "out_for_delivery"
    PARCEL_SHARED = "parcel_shared"
    STOP_DECLINED = "stop_declined"
    GIFT_CARD_USED = "gift_card_used"


class LeftOut(Value):
    line_id: str
    quantity: int
    shipment_id: str
    reason: LeftOutReason


class Plan(Value):
    """`everything`: after this plan nothing of the order remains, so each tender gets back all that it still has in it and
    that no earlier cancellation gives back. `value` is what the cancelled goods and the shipping share are worth to the
    customer. `refund_due` is the time by which the law wants the money back, where one applies."""

    cancellation_id: str
    order_id: str
    currency: str
    everything: bool
    lines: tuple[PlannedLine, ...]
    shipping: Money
    shipping_tax: Money | None = None
    shipments: tuple[PlannedShipment, ...]
    tenders: tuple[PlannedTender, ...]
    left_out: tuple[LeftOut, ...] = ()
    terms: Terms = Terms()
    refund_due: RefundDue | None = None

    @property
    def value(self) -> Money:
        return Money.total((line.amount for line in self.lines), self.currency) + self.shipping

    @property
    def tax(self) -> Money:
        """The part of `value` that is tax."""
        goods = Money.total((line.tax for line in self.lines), self.currency)
        return goods + self.shipping_tax if self.shipping_tax else goods

    @property
    def refund(self) -> Money:
        return Money.total((tender.refund for tender in self.tenders), self.currency)

    @property
    def release(self) -> Money:
        return Money.total((tender.release for tender in self.tenders), self.currency) - self.unpaid

    @property
    def unpaid(self) -> Money:
        return Money.total((tender.unpaid for tender in self.tenders if tender.unpaid), self.currency)

    @property
    def given_back(self) -> Money:
        """The money that goes out by this plan. What is only reserved counts: it may be captured meanwhile, and is
        refunded then."""
        return self.refund + self.release

    @property
    def rounding(self) -> Money:
        """What goes back beyond the value of the lines, because a provider takes amounts in steps. Below zero where an
        earlier part of the order gave back so much more, or a tender has no more."""
        zero = Money.zero(self.currency)
        in_steps = not self.everything and any(tender.step for tender in self.tenders)
        return self.given_back - self.value if in_steps else zero

    def without(self, declined: frozenset[str]) -> "Plan":
        """The plan for what is left when these shipments were not stopped: their lines leave the cancellation and become a
        return offer, and so does their part of the shipping charge."""
        if not declined:
            return self
        lines = tuple(line for line in self.lines if line.shipment_id not in declined)
        kept = Money.total((line.amount for line in lines), self.currency)
        shipping = Money.total((line.shipping for line in lines), self.currency)
        used = {planned.shipment.shipment_id for planned in self.shipments if planned.shipment.gift_card}
        left_out = tuple(
            LeftOut(
                line_id=line.line_id,
                quantity=line.quantity,
                shipment_id=line.shipment_id,
                reason=LeftOutReason.GIFT_CARD_USED if line.shipment_id in used else LeftOutReason.STOP_DECLINED,
            )
            for line in self.lines
            if line.shipment_id is not None and line.shipment_id in declined
        )
        return self.model_copy(
            update={
                "everything": False,
                "lines": lines,
                "shipping": shipping,
                "shipping_tax": self.shipping_tax.share(shipping.amount, self.shipping.amount)
                if self.shipping_tax and self.shipping
                else None,
                "shipments": tuple(s for s in self.shipments if s.shipment.shipment_id not in declined),
                "tenders": allocate(kept + shipping, self.tenders, everything=False),
                "left_out": self.left_out + left_out,
            }
        )


_STOPPABLE = (GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN, GoodsGroup.IN_NETWORK, GoodsGroup.LOST)
_ALREADY_STOPPED = (GoodsGroup.COMING_BACK, GoodsGroup.RETURNED)
_TENDER_ORDER = (TenderKind.MARKETPLACE, TenderKind.CARD, TenderKind.GIFT_CARD, TenderKind.STORE_CREDIT)


def allocate(value: Money, tenders: Sequence[PlannedTender], *, everything: bool) -> tuple[PlannedTender, ...]:
    """Divide `value` among the tenders: card first, then gift card, then store credit, each at most what is in it. Within
    a tender what is only reserved is released before what was captured is refunded. With `everything`, all that is in each
    tender goes back, whatever the goods are worth. A provider that takes amounts in steps gets the next one above, so that
    the customer is not short; what one part of the order gives back ahead, the next gives back less."""
    rest = value
    given: dict[str, PlannedTender] = {}
    for planned in sorted(tenders, key=lambda t: _TENDER_ORDER.index(t.tender.kind)):
        asked = (planned.capturable + planned.refundable) if everything else rest
        release = planned.sendable(min(asked, planned.capturable), planned.capturable)
        left = max(asked - release, asked - asked)
        refund = planned.sendable(min(left, planned.refundable), planned.refundable)
        rest -= min(rest, release + refund)
        unpaid = planned.unpaid if everything else None
        release += unpaid or release - release
        given[planned.tender.tender_id] = planned.model_copy(
            update={"release": release, "refund": refund, "unpaid": unpaid}
        )
    return tuple(given[planned.tender.tender_id] for planned in tenders)


class NotCancellable(Exception):
    """No plan can be made of this request; `reason` is one of the rejection codes of domain.policy."""

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


def _left_out_reason(shipment: Shipment, group: GoodsGroup, *, shared: bool) -> LeftOutReason | None:
    if group is GoodsGroup.DELIVERED:
        return LeftOutReason.GIFT_CARD_USED if shipment.gift_card else LeftOutReason.DELIVERED
    if group is GoodsGroup.LAST_MILE:
        return LeftOutReason.OUT_FOR_DELIVERY
    if shared and (shipment.gift_card or group not in {GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN}):
        return LeftOutReason.PARCEL_SHARED  # a parcel on its way cannot be stopped in part, nor a gift card
    return None


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

    Raises NotCancellable: `invalid_scope`, `already_cancelled`, `already_delivered`, `gift_card_used`,
    `amount_exceeds_refundable`.
    """
    order = order.discounted()
    wanted = _wanted(order, request)
    if not wanted:
        raise NotCancellable("already_cancelled", f"Every line of order {order.order_id} is cancelled already.")
    units = _Units(order, wanted)
    stopping: list[PlannedShipment] = []

    in_parcels: Counter[str] = Counter()
    for shipment in order.shipments:
        in_parcels.update({part.line_id: part.quantity for part in shipment.lines})
    for line_id, quantity in list(wanted.items()):
        units.take(line_id, min(quantity, max(0, units.line(line_id).remaining - in_parcels[line_id])), None)

    # Units still in the warehouse go first: they cost nothing to stop.
    order_of_groups = (*_STOPPABLE, *_ALREADY_STOPPED, GoodsGroup.LAST_MILE, GoodsGroup.DELIVERED)
    for shipment in sorted(order.shipments, key=lambda s: order_of_groups.index(trackings[s.shipment_id].group)):
        tracking = trackings[shipment.shipment_id]
        asked = {part.line_id: min(part.quantity, wanted.get(part.line_id, 0)) for part in shipment.lines}
        if not any(asked.values()):
            continue
        shared = any(asked[part.line_id] < part.quantity for part in shipment.lines)
        reason = _left_out_reason(shipment, tracking.group, shared=shared)
        for line_id, quantity in asked.items():
            if reason:
                units.leave(line_id, quantity, shipment.shipment_id, reason)
            else:
                units.take(line_id, quantity, shipment.shipment_id)
        if not reason:
            stopping.append(
                PlannedShipment(shipment=shipment, group=tracking.group, action=planned_action(shipment, tracking))
            )
    if not units.lines:
        raise _nothing_left_to_cancel(order, units.left_out)

    everything = all(line.remaining == units.taken[line.line_id] for line in order.lines)
    lines, shipping = _with_shipping(order, request, units, everything=everything)
    zero = Money.zero(order.currency)
    tenders = [_planned_tender(tender, payments[tender.tender_id]) for tender in order.tenders]
    value = Money.total((line.amount for line in lines), order.currency) + shipping
    available = Money.total((t.refundable + t.capturable for t in tenders), order.currency)
    ahead = min(_given_ahead(order, tenders, available), value)
    if not everything and value - ahead > available:
        raise NotCancellable(
            "amount_exceeds_refundable",
            f"The lines asked for are worth {value}, but only {available} of order {order.order_id} can still be refunded.",
            maximum=available,
        )
    return Plan(
        cancellation_id=cancellation_id,
        order_id=order.order_id,
        currency=order.currency,
        everything=everything,
        lines=lines,
        shipping=shipping,
        shipping_tax=(order.shipping_tax or zero).share(shipping.amount, order.shipping.amount) if shipping else zero,
        shipments=tuple(stopping),
        tenders=allocate(value - ahead, tenders, everything=everything),
        left_out=tuple(units.left_out),
        terms=terms,
        refund_due=refund_due,
    )


class _Units:
    """The units that a request asks for, as they are taken out of the order or have to stay in it."""

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
        before = self._after(line_id, self.taken[line_id])
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

    def leave(self, line_id: str, quantity: int, shipment_id: str, reason: LeftOutReason) -> None:
        if quantity:
            self._wanted[line_id] -= quantity
            self.left_out.append(LeftOut(line_id=line_id, quantity=quantity, shipment_id=shipment_id, reason=reason))

    @property
    def value_left_out(self) -> int:
        """In minor units."""
        quantities = Counter[str]()
        for out in self.left_out:
            quantities[out.line_id] += out.quantity
        return sum(
            self._after(line_id, self.taken[line_id]).value_of(quantity).amount
            for line_id, quantity in quantities.items()
        )

    def _after(self, line_id: str, taken: int) -> OrderLine:
        line = self._lines[line_id]
        return line.model_copy(update={"cancelled": line.cancelled + taken})


def _nothing_left_to_cancel(order: Order, left_out: Sequence[LeftOut]) -> NotCancellable:
    if all(out.reason is LeftOutReason.GIFT_CARD_USED for out in left_out):
        return NotCancellable(
            "gift_card_used",
            f"The gift cards bought with order {order.order_id} have been used; they cannot be cancelled.",
        )
    return NotCancellable(
        "already_delivered",
        f"The goods of order {order.order_id} have reached the customer or are out for delivery; offer a return instead.",
    )


def _planned_tender(tender: Tender, payment: Payment) -> PlannedTender:
    """With the gateway's count and the bounds. The gateway still counts what earlier cancellations give back another way, as
    refundable, or as reserved where it was settled before it was captured."""
    zero = Money.zero(payment.captured.currency)
    captured = payment.captured + (payment.capturing or zero)
    left = captured - payment.refunded
    earlier = tender.earlier_reversals
    kept = left_to_earlier(earlier, payment)
    released = Money.total((e.released for e in earlier), zero.currency)
    return PlannedTender(
        tender=tender,
        refund=zero,
        release=zero,
        refundable=max(left - kept, zero),
        capturable=max(payment.capturable - released - max(kept - left, zero), zero),
        earlier=tuple(refund.reference for refund in payment.refunds),
        captured=captured,
        refunded=payment.refunded,
        step=payment.step if payment.step > 1 else None,
        unpaid=_closable(tender, payment),
    )


def _closable(tender: Tender, payment: Payment) -> Money | None:
    """A payment that pays for other orders too stays open."""
    return payment.unpaid if payment.unpaid is not None and payment.unpaid <= tender.amount else None


def _given_ahead(order: Order, tenders: Sequence[PlannedTender], available: Money) -> Money:
    """What earlier parts of the order gave back beyond the value of their lines, because a provider takes amounts in steps:
    so much less is in the tenders than the rest of the order is worth."""
    step = max((tender.step or 1 for tender in tenders), default=1)
    worth = Money.total((line.value_of(line.remaining) for line in order.lines), order.currency)
    missing = max(worth + order.shipping - order.shipping_credited - available, available - available)
    return Money(amount=missing.amount % step, currency=order.currency)


def _with_shipping(
    order: Order, request: CancellationRequest, units: _Units, *, everything: bool
) -> tuple[tuple[PlannedLine, ...], Money]:
    """The lines with their parts of the shipping charge, and what goes back of it. It goes back with the last line, or when
    it was asked for. When the whole order was asked for and some of it has to stay, that keeps its part; single lines take
    none with them."""
    rest = order.shipping - order.shipping_credited
    weights = [line.amount.amount for line in units.lines]
    if everything or request.shipping:
        parts = rest.split(weights)
    elif request.whole_order:
        parts = rest.split([*weights, units.value_left_out])[:-1]
    else:
        parts = (Money.zero(order.currency),) * len(weights)
    lines = tuple(line.model_copy(update={"shipping": part}) for line, part in zip(units.lines, parts, strict=True))
    return lines, Money.total(parts, order.currency)
