"""The plan: what will be stopped, released, refunded and restocked, with amounts, before anything is done."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from pydantic import computed_field

from domain.base import Rare, Value
from domain.clocks import RefundDue
from domain.earlier import RefundPart
from domain.money import Money
from domain.order import OrderLine, Tender, TenderKind
from domain.payment import Payment
from domain.shipment import GoodsGroup, Shipment, StopAction
from domain.terms import Terms


class PlannedLine(Value):
    """Units of one line that leave the order together. `shipment_id` None: they are in no parcel yet. `shipping` is the part
    of the shipping charge that goes back with them, fixed when the plan is made. `cancelled_before` units of the line left
    the order earlier. `line`: the line itself, where its units are in several parts, of which one may have to stay."""

    line_id: str
    sku: str
    quantity: int
    amount: Money
    tax: Money
    shipping: Money
    shipment_id: str | None = None
    cancelled_before: int = 0
    line: Rare[OrderLine] = None


class PlannedShipment(Value):
    """`shared`: goods that stay in the order are in it too. Its label can be voided, and what stays is packed anew; once it
    is with the carrier, it is not stopped."""

    shipment: Shipment
    group: GoodsGroup
    action: StopAction
    shared: Rare[bool] = None


class PlannedTender(Value):
    """What one tender gets back.

    - `refund` of what was captured, `release` of what is only reserved.
    - `refundable` and `capturable`: the bounds of the two, as the gateway had them at planning time, less what
      others give back.
    - `captured` and `refunded`: the gateway's own count then.
    - `earlier`: the refunds that existed then, by their references. A refund that others make after that gives back what is
      planned here.
    - `share`: what of the payment is still this order's, where it pays for more than the order. None: all of it.
    - `releasable`: what of `capturable` is this order's. None: all of it may be.
    - `unclear`: whether what was captured is this order's or another one's, nobody can tell.
    - `step`: its provider takes amounts that are divisible by so many minor units. None: any amount.
    - `by_others`: what others had refunded before, of which this plan gives back so much less. Where it fails, it is owed.
    - `unpaid`: what the customer has not paid of its payment, and still can. With the whole order the payment is closed, or,
      where it pays for more than the order, the order's share is not to be taken. Where a part of the order stays, what is
      cancelled is not.
    """

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
    share: Rare[Money] = None
    releasable: Rare[Money] = None
    unclear: Rare[bool] = None
    by_others: Rare[tuple[RefundPart, ...]] = None

    # Rule: A part of a reservation is released by not capturing it
    @computed_field  # type: ignore[prop-decorator]
    @property
    def released_by_capture(self) -> bool:
        """What is released is only a part of what is reserved, or can still be paid, or may be. So it is not captured, and
        the process releases nothing at the gateway: the capture of the rest does that, or the end of the reservation."""
        return bool(self.release) and (self.share is not None or self.release < self.revocable)

    @property
    def at_most(self) -> Money:
        """What can be given back of it."""
        both = self.refundable + self._reserved_for_us
        return both if self.share is None else min(self.share, both)

    @property
    def _reserved_for_us(self) -> Money:
        return self.capturable if self.releasable is None else min(self.capturable, self.releasable)

    def giving(self, amount: Money) -> "PlannedTender":
        """So much of it. What is only reserved is released before what was captured is refunded."""
        zero = Money.zero(amount.currency)
        reserved = min(self._reserved_for_us, self.at_most)
        release = self.sendable(min(amount, reserved), reserved)
        refund = self.sendable(max(amount - release, zero), min(self.refundable, self.at_most - release))
        return self.model_copy(update={"release": release, "refund": refund})

    # Rule: What others had refunded before counts as given until it fails [what of it]
    def counting_on(self, at_most: Money) -> "PlannedTender":
        """The same, where no more than this is missing in the tender because others had refunded it."""
        parts: list[RefundPart] = []
        for part in self.by_others or ():
            amount = min(part.amount, at_most)
            parts += [part.model_copy(update={"amount": amount})] if amount else []
            at_most -= amount
        return self.model_copy(update={"by_others": tuple(parts) or None})

    def not_taking(self, at_most: Money | None) -> "PlannedTender":
        """The same, with what the customer has not paid yet; no more than this of it, where some of the order stays."""
        if not self.unpaid:
            return self
        ours = self.unpaid if self.share is None else min(self.share, self.unpaid)
        ours = ours if at_most is None else min(ours, at_most)
        return self.model_copy(update={"release": self.release + ours, "unpaid": self.unpaid if ours else None})

    @property
    def takes_all(self) -> bool:
        """Nothing of its payment is left for anything else."""
        return self.share is None and (self.at_most - self.refund - self.release).amount < (self.step or 1)

    # Rule: What was never taken is not given back
    def never_taken(self, payment: Payment) -> Money:
        """What of `refund` was being taken when the plan was made, and has not come: a debit that failed."""
        zero = Money.zero(self.captured.currency)
        return min(self.refund, max(-self.captured_since(payment), zero))

    @property
    def revocable(self) -> Money:
        """What was not the merchant's yet: it was reserved, or could still be paid."""
        return self.capturable + (self.unpaid or Money.zero(self.capturable.currency))

    @property
    def never_paid(self) -> Money:
        """The part of `release` that the customer had not paid."""
        return min(self.release, self.unpaid or Money.zero(self.release.currency))

    @property
    def counted(self) -> Money:
        """What the gateway itself counted as refundable."""
        return self.captured - self.refunded

    # Rule: A customer whose refund fails at their bank may have the money another way [if the merchant has it]
    @property
    def is_ours_to_give(self) -> bool:
        """The merchant has the money, and may give it back another way. A marketplace keeps its buyers' money."""
        return self.tender.kind is not TenderKind.MARKETPLACE

    def captured_since(self, payment: Payment) -> Money:
        """What was captured since the plan was made, or is being captured."""
        return payment.taken - self.captured

    # Rule: Whose the captured part of a shared payment is, a person says where it is not certain [of what was given up]
    def taken_anyway(self, payment: Payment) -> Money:
        """What of `release` was, or may have been, captured or paid since: what all else that was to be taken by the payment
        does not explain. Where there is such an amount, and the payment pays other orders too, what the rest of this order
        does not explain.

        60.00 of 110.00 were this order's, and are not to be captured. Of 70.00 that are captured, the other order explains
        50.00, so 20.00 are certainly this one's, and 60.00 may be."""
        certain = self._certainly_taken(payment)
        if self.share is None or not certain:
            return certain
        ours = max(min(self.share, self._reserved_for_us + self.revocable - self.capturable), self.release)
        beyond = min(self.captured_since(payment), ours) - (ours - self.release)
        return min(max(beyond, certain), self.release)

    def may_be_of_others(self, payment: Payment) -> bool:
        """Whether some of that may have been captured for other orders."""
        return self.released_by_capture and self._certainly_taken(payment) < self.taken_anyway(payment)

    def _certainly_taken(self, payment: Payment) -> Money:
        beyond = self.captured_since(payment) - (self.revocable - self.release)
        return min(max(beyond, Money.zero(beyond.currency)), self.release)

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
    """Without `lines` the shipping charge alone goes back. `everything`: after this plan nothing of the order remains, so
    each tender gets back all that it still has in it and that no earlier cancellation gives back. `value` is what the
    cancelled goods and the shipping share are worth to the customer. `refund_due` is the time by which the law wants the
    money back, where one applies."""

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
    def shipping_alone(self) -> bool:
        """Nothing is cancelled."""
        return not self.lines and not self.left_out

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
        return Money.total((tender.never_paid for tender in self.tenders), self.currency)

    @property
    def not_captured(self) -> Money:
        """The part of `release` that the process does not release at a gateway."""
        kept = (tender.release - tender.never_paid for tender in self.tenders if tender.released_by_capture)
        return Money.total(kept, self.currency)

    @property
    def left_open(self) -> Money:
        """The part of `unpaid` that the customer can still pay: the payment pays for more than the order."""
        return Money.total((tender.never_paid for tender in self.tenders if tender.released_by_capture), self.currency)

    def find_shipment(self, shipment_id: str) -> PlannedShipment | None:
        """With the label that it had when it was stopped, or was decided about."""
        return next((planned for planned in self.shipments if planned.shipment.shipment_id == shipment_id), None)

    # Rule: No amount of a plan is below zero
    @property
    def amounts(self) -> tuple[Money, ...]:
        """All there are; none is ever below zero."""
        of_lines = (part for line in self.lines for part in (line.amount, line.tax, line.shipping))
        of_tenders = (part for tender in self.tenders for part in (tender.refund, tender.release))
        return (*of_lines, self.shipping, *((self.shipping_tax,) if self.shipping_tax else ()), *of_tenders)

    @property
    def given_back(self) -> Money:
        """The money that goes out by this plan. What is only reserved counts: it may be captured meanwhile, and is
        refunded then."""
        return self.refund + self.release

    # Rule: A key says how much its holder may give back
    def exceeds(self, at_most: Money | None) -> bool:
        """Whether more money would go out than somebody may give back. A limit in another currency allows none of it."""
        if at_most is None or not self.given_back:
            return False
        return self.currency != at_most.currency or self.given_back > at_most

    @property
    def rounding(self) -> Money:
        """What goes back beyond the value of the lines, because a provider takes amounts in steps. Below zero where an
        earlier part of the order gave back so much more, or a tender has no more; with everything, what it does not take of
        what is in it."""
        zero = Money.zero(self.currency)
        in_steps = [tender for tender in self.tenders if tender.step]
        if self.everything:
            kept = (tender.at_most - tender.refund - tender.release for tender in in_steps)
            return -Money.total((max(amount, zero) for amount in kept), self.currency)
        return self.given_back + self.unpaid - self.value if in_steps else zero

    # Rule: A declined stop takes its lines out of the plan
    def without(self, declined: frozenset[str]) -> "Plan":
        """The plan for what is left when these shipments were not stopped: their lines leave the cancellation and become a
        return offer, and so does their part of the shipping charge."""
        if not declined:
            return self
        lines = _valued([line for line in self.lines if line.shipment_id not in declined])
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
                "shipments": tuple(
                    planned for planned in self.shipments if planned.shipment.shipment_id not in declined
                ),
                "tenders": allocate(kept + shipping, self.tenders, everything=False),
                "left_out": self.left_out + left_out,
            }
        )


# Rule: A unit of a line is worth its share, and the last unit takes the rest [where some of them stay]
def _valued(lines: Sequence[PlannedLine]) -> tuple[PlannedLine, ...]:
    """What these units are worth as the next to leave their line. Each was valued as the one after those that stay now: the
    next cancellation would count their share differently, and a minor unit twice or not at all."""
    taken, valued = Counter[str](), list[PlannedLine]()
    for part in lines:
        if part.line is not None:
            before = part.line.after(taken[part.line_id])
            update = {"amount": before.value_of(part.quantity), "tax": before.tax_of(part.quantity)}
            valued.append(part.model_copy(update=update))
        else:
            valued.append(part)
        taken[part.line_id] += part.quantity
    return tuple(valued)


_TENDER_ORDER = (TenderKind.MARKETPLACE, TenderKind.CARD, TenderKind.GIFT_CARD, TenderKind.STORE_CREDIT)


# Rule: The amount is divided among the tenders
# Rule: Amounts go back in the steps that the gateway takes
# Rule: A payment that was not completed is closed [in the plan]
def allocate(value: Money, tenders: Sequence[PlannedTender], *, everything: bool) -> tuple[PlannedTender, ...]:
    """Divide `value` among the tenders: card first, then gift card, then store credit, each at most what is in it. With
    `everything`, all that is in each tender goes back, whatever the goods are worth. A provider that takes amounts in steps
    gets the next one above, so that the customer is not short; what one part of the order gives back ahead, the next gives
    back less. What none of them has is not to be taken of a payment that is still open.

    30.00 are divided among a gift card with 40.00 in it and a card with 25.00: 25.00 for the card, 5.00 for the gift
    card. With `everything` it is 25.00 and 40.00."""
    rest = value
    given: dict[str, PlannedTender] = {}
    for planned in sorted(tenders, key=lambda t: _TENDER_ORDER.index(t.tender.kind)):
        part = planned.giving(planned.at_most if everything else min(rest, planned.at_most))
        rest -= min(rest, part.refund + part.release)
        given[planned.tender.tender_id] = part.not_taking(None) if everything else part
    for tender_id, part in given.items() if not everything else ():
        given[tender_id] = part.counting_on(rest)
        rest -= Money.total((by.amount for by in given[tender_id].by_others or ()), rest.currency)
    for tender_id, part in given.items() if not everything else ():
        given[tender_id] = part.not_taking(rest)
        rest -= given[tender_id].never_paid
    return tuple(given[planned.tender.tender_id] for planned in tenders)
