"""The plan: what will be stopped, released, refunded and restocked, with amounts, before anything is done."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from domain.base import Value
from domain.money import Money
from domain.order import Order, Tender, TenderKind
from domain.payment import Payment
from domain.request import CancellationRequest
from domain.shipment import GoodsGroup, LabelStatus, Shipment, StopAction, Tracking


class RefundIntercepted(StrEnum):
    """When an intercepted parcel counts as stopped, so that its money may go back."""

    ON_ACCEPTANCE = "on_acceptance"
    ON_RETURN_SCAN = "on_return_scan"
    ON_RECEIPT = "on_receipt"


class Terms(Value):
    """The clocks that the policy sets for one cancellation. They travel in the plan, so that a run keeps the terms it
    was decided under."""

    refund_intercepted: RefundIntercepted = RefundIntercepted.ON_RETURN_SCAN
    approval_reminder: timedelta = timedelta(hours=24)
    approval_expiry: timedelta = timedelta(days=3)
    carrier_poll: timedelta = timedelta(hours=2)
    carrier_patience: timedelta = timedelta(days=10)
    settlement_poll: timedelta = timedelta(hours=6)
    settlement_due: timedelta = timedelta(days=7)
    attention_due: timedelta = timedelta(days=1)
    next_round: timedelta = timedelta(minutes=10)
    """How long a step whose counterpart does not answer rests before it is tried again."""


class PlannedLine(Value):
    """Units of one line that leave the order together. `shipment_id` None: they are in no parcel yet."""

    line_id: str
    sku: str
    quantity: int
    amount: Money
    tax: Money
    shipment_id: str | None = None


class PlannedShipment(Value):
    shipment: Shipment
    group: GoodsGroup
    action: StopAction


class PlannedTender(Value):
    """What one tender gets back: `refund` of what was captured, `release` of what is only reserved. `refundable` and
    `capturable` are the gateway's own count at planning time, and the bounds of the two."""

    tender: Tender
    refund: Money
    release: Money
    refundable: Money
    capturable: Money


class LeftOutReason(StrEnum):
    """Why units stay in the order although the request covers them. The customer is offered a return for them."""

    DELIVERED = "delivered"
    OUT_FOR_DELIVERY = "out_for_delivery"
    PARCEL_SHARED = "parcel_shared"
    STOP_DECLINED = "stop_declined"


class LeftOut(Value):
    line_id: str
    quantity: int
    shipment_id: str
    reason: LeftOutReason


class Plan(Value):
    """`everything`: after this plan nothing of the order remains, so each tender gets back all that it still has in it.
    `value` is what the cancelled goods and the shipping share are worth to the customer."""

    cancellation_id: str
    order_id: str
    currency: str
    everything: bool
    lines: tuple[PlannedLine, ...]
    shipping: Money
    shipments: tuple[PlannedShipment, ...]
    tenders: tuple[PlannedTender, ...]
    left_out: tuple[LeftOut, ...] = ()
    terms: Terms = Terms()

    @property
    def value(self) -> Money:
        return Money.total((line.amount for line in self.lines), self.currency) + self.shipping

    @property
    def refund(self) -> Money:
        return Money.total((tender.refund for tender in self.tenders), self.currency)

    @property
    def release(self) -> Money:
        return Money.total((tender.release for tender in self.tenders), self.currency)

    def without(self, declined: frozenset[str]) -> "Plan":
        """The plan for what is left when the carrier did not stop these shipments: their lines leave the cancellation
        and become a return offer, and so does their share of the shipping charge."""
        if not declined:
            return self
        lines = tuple(line for line in self.lines if line.shipment_id not in declined)
        kept = Money.total((line.amount for line in lines), self.currency)
        goods = Money.total((line.amount for line in self.lines), self.currency)
        shipping = self.shipping.share(kept.amount, goods.amount) if goods else Money.zero(self.currency)
        left_out = tuple(
            LeftOut(
                line_id=line.line_id,
                quantity=line.quantity,
                shipment_id=line.shipment_id,
                reason=LeftOutReason.STOP_DECLINED,
            )
            for line in self.lines
            if line.shipment_id is not None and line.shipment_id in declined
        )
        return self.model_copy(
            update={
                "everything": False,
                "lines": lines,
                "shipping": shipping,
                "shipments": tuple(s for s in self.shipments if s.shipment.shipment_id not in declined),
                "tenders": allocate(kept + shipping, self.tenders, everything=False),
                "left_out": self.left_out + left_out,
            }
        )


_STOPPABLE = (GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN, GoodsGroup.IN_NETWORK, GoodsGroup.LOST)
_ALREADY_STOPPED = (GoodsGroup.COMING_BACK, GoodsGroup.RETURNED)
_TENDER_ORDER = (TenderKind.CARD, TenderKind.GIFT_CARD, TenderKind.STORE_CREDIT)


def stop_action(shipment: Shipment, tracking: Tracking) -> StopAction:
    """How a parcel is stopped, by where the carrier says that it is."""
    if tracking.group in {GoodsGroup.LOST, *_ALREADY_STOPPED}:
        return StopAction.NONE
    if tracking.group in {GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN}:
        has_label = shipment.label_reference is not None and tracking.label is not LabelStatus.NONE
        return StopAction.VOID_LABEL if has_label else StopAction.WITHDRAW_PICK
    return StopAction.INTERCEPT


def allocate(value: Money, tenders: Sequence[PlannedTender], *, everything: bool) -> tuple[PlannedTender, ...]:
    """Divide `value` among the tenders: card first, then gift card, then store credit, each at most what is in it. Within
    a tender what is only reserved is released before what was captured is refunded. With `everything`, all that each
    tender has in it goes back, whatever the goods are worth."""
    rest = value
    given: dict[str, PlannedTender] = {}
    for planned in sorted(tenders, key=lambda t: _TENDER_ORDER.index(t.tender.kind)):
        release = planned.capturable if everything else min(rest, planned.capturable)
        refund = planned.refundable if everything else min(rest - release, planned.refundable)
        rest -= min(rest, release + refund)
        given[planned.tender.tender_id] = planned.model_copy(update={"release": release, "refund": refund})
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


def _left_out_reason(group: GoodsGroup, *, shared: bool) -> LeftOutReason | None:
    if group is GoodsGroup.DELIVERED:
        return LeftOutReason.DELIVERED
    if group is GoodsGroup.LAST_MILE:
        return LeftOutReason.OUT_FOR_DELIVERY
    if shared and group not in {GoodsGroup.NOT_HANDED_OVER, GoodsGroup.UNKNOWN}:
        return LeftOutReason.PARCEL_SHARED  # a parcel on its way cannot be stopped in part
    return None


def make_plan(
    *,
    cancellation_id: str,
    order: Order,
    request: CancellationRequest,
    payments: dict[str, Payment],
    trackings: dict[str, Tracking],
    terms: Terms,
) -> Plan:
    """Work out the plan from the OMS's order and the live truth: `payments` by tender id, `trackings` by shipment id.

    Raises NotCancellable: `invalid_scope`, `already_cancelled`, `already_delivered`, `amount_exceeds_refundable`.
    """
    wanted = _wanted(order, request)
    if not wanted:
        raise NotCancellable("already_cancelled", f"Every line of order {order.order_id} is cancelled already.")

    lines: list[PlannedLine] = []
    left_out: list[LeftOut] = []
    stopping: list[PlannedShipment] = []
    taken: dict[str, int] = dict.fromkeys(wanted, 0)

    def take(line_id: str, quantity: int, shipment_id: str | None) -> None:
        line = order.line(line_id)
        assert line is not None
        before = line.model_copy(update={"cancelled": line.cancelled + taken[line_id]})
        lines.append(
            PlannedLine(
                line_id=line_id,
                sku=line.sku,
                quantity=quantity,
                amount=before.value_of(quantity),
                tax=before.tax_of(quantity),
                shipment_id=shipment_id,
            )
        )
        taken[line_id] += quantity
        wanted[line_id] -= quantity

    in_parcels: dict[str, int] = {}
    for shipment in order.shipments:
        for part in shipment.lines:
            in_parcels[part.line_id] = in_parcels.get(part.line_id, 0) + part.quantity
    for line_id, quantity in list(wanted.items()):
        line = order.line(line_id)
        assert line is not None
        loose = min(quantity, max(0, line.remaining - in_parcels.get(line_id, 0)))
        if loose:
            take(line_id, loose, None)

    # Units still in the warehouse go first: they cost nothing to stop.
    order_of_groups = (*_STOPPABLE, *_ALREADY_STOPPED, GoodsGroup.LAST_MILE, GoodsGroup.DELIVERED)
    for shipment in sorted(order.shipments, key=lambda s: order_of_groups.index(trackings[s.shipment_id].group)):
        tracking = trackings[shipment.shipment_id]
        asked = {part.line_id: min(part.quantity, wanted.get(part.line_id, 0)) for part in shipment.lines}
        if not any(asked.values()):
            continue
        shared = any(asked[part.line_id] < part.quantity for part in shipment.lines)
        reason = _left_out_reason(tracking.group, shared=shared)
        if reason:
            for line_id, quantity in asked.items():
                if quantity:
                    wanted[line_id] -= quantity
                    left_out.append(
                        LeftOut(line_id=line_id, quantity=quantity, shipment_id=shipment.shipment_id, reason=reason)
                    )
            continue
        for line_id, quantity in asked.items():
            if quantity:
                take(line_id, quantity, shipment.shipment_id)
        stopping.append(
            PlannedShipment(shipment=shipment, group=tracking.group, action=stop_action(shipment, tracking))
        )

    if not lines:
        raise NotCancellable(
            "already_delivered",
            f"The goods of order {order.order_id} have reached the customer or are out for delivery; "
            "offer a return instead.",
        )

    everything = all(line.remaining == taken.get(line.line_id, 0) for line in order.lines)
    shipping = _shipping_share(order, request, lines, everything=everything)
    zero = Money.zero(order.currency)
    tenders = [
        PlannedTender(
            tender=tender,
            refund=zero,
            release=zero,
            refundable=payments[tender.tender_id].refundable,
            capturable=payments[tender.tender_id].capturable,
        )
        for tender in order.tenders
    ]
    value = Money.total((line.amount for line in lines), order.currency) + shipping
    available = Money.total((t.refundable + t.capturable for t in tenders), order.currency)
    if not everything and value > available:
        raise NotCancellable(
            "amount_exceeds_refundable",
            f"The lines asked for are worth {value}, but of order {order.order_id} only {available} is captured or "
            "reserved and not refunded yet.",
            maximum=available,
        )
    return Plan(
        cancellation_id=cancellation_id,
        order_id=order.order_id,
        currency=order.currency,
        everything=everything,
        lines=tuple(lines),
        shipping=shipping,
        shipments=tuple(stopping),
        tenders=allocate(value, tenders, everything=everything),
        left_out=tuple(left_out),
        terms=terms,
    )


def _shipping_share(
    order: Order, request: CancellationRequest, lines: Sequence[PlannedLine], *, everything: bool
) -> Money:
    """The shipping charge goes back with the last line. When the whole order was asked for and some parcels cannot be
    stopped any more, the share of the goods that are cancelled goes back; single lines take none with them."""
    rest = order.shipping - order.shipping_credited
    if everything:
        return rest
    if not request.whole_order:
        return Money.zero(order.currency)
    kept = Money.total((line.amount for line in lines), order.currency)
    goods = Money.total((line.value_of(line.remaining) for line in order.lines), order.currency)
    return rest.share(kept.amount, goods.amount) if goods else Money.zero(order.currency)
