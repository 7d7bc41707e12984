"""What our books know of an order: its cancellations, and the order as it was read first. The order management system does
not know what they did, so it is laid over what that has."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from domain.case import Case
from domain.closing import Closing
from domain.earlier import EarlierReversal
from domain.facts import Entry
from domain.money import Money
from domain.order import Order, OrderLine, Tender
from domain.outcome import CARRIED_OUT
from domain.request import CancellationRequest
from domain.shipment import Shipment, StopAction
from domain.units import units_by_line


class KnownOrder:
    """`cancellations` are all that the order ever had, each with its entries, oldest first. `first_read` is the order as it
    was when the first of them was decided; None: none ever was."""

    def __init__(self, cancellations: Iterable[Sequence[Entry]] = (), first_read: Order | None = None) -> None:
        self.cases = [Case(entries) for entries in cancellations]
        self.first_read = first_read

    @property
    def open(self) -> Case | None:
        """The cancellation that is under way."""
        return next((case for case in self.cases if not case.ended), None)

    def of_request(self, request_id: str) -> Case | None:
        """The cancellation that a request opened, else the latest that it joined."""
        asked = [case for case in self.cases if request_id in {request.request_id for request in case.requests}]
        opened = (case for case in asked if case.request and case.request.request_id == request_id)
        return next(opened, asked[-1] if asked else None)

    def opened_for(self, request: CancellationRequest) -> Case | None:
        """The cancellation of this very request. It was the order's owner who sent that."""
        own = self.of_request(request.request_id)
        return own if own and own.has(request) else None

    @property
    def carried_out_last(self) -> Case | None:
        """Several may have taken lines out of the order; the last of them left nothing."""
        carried_out = [case for case in self.cases if case.ended and case.ended.outcome in CARRIED_OUT]
        return max(carried_out, key=_ended_at, default=None)

    def case_for(self, request_id: str, *, carried_out: bool = False) -> Case:
        """The one under way, else the one of this request, else, with `carried_out`, the last that took something out.
        Empty: there is none."""
        found = self.open or self.of_request(request_id)
        if found is None and carried_out:
            found = self.carried_out_last
        return found or Case()

    # Rule: What the process did to an order is laid over what the order management system has
    def lay_over(self, order: Order) -> Order:
        """The order as the order management system has it, with what the cancellations did to it."""
        credited = Money.total(
            (case.plan.shipping for case in self.cases if case.ever_closed and case.plan), order.currency
        )
        under_way = self.open
        held = under_way is not None and under_way.decided is not None and not under_way.ever_closed
        as_sold, expected = self._as_sold(order), self.expected_units()
        lines = (
            line.model_copy(update={"cancelled": min(line.cancelled + expected[line.line_id], line.quantity)})
            for line in as_sold.lines
        )
        return as_sold.model_copy(
            update={
                "lines": tuple(lines),
                "shipments": tuple(self._without_stopped(shipment) for shipment in as_sold.shipments),
                "shipping_credited": credited,
                "given_without_approval": self._given_without_approval(order.currency) or None,
                "held_by": under_way.cancellation_id if under_way and held else None,
                "tenders": tuple(self._with_earlier(tender) for tender in as_sold.by_payment().tenders),
            }
        )

    def _given_without_approval(self, currency: str) -> Money:
        plans = (case.plan for case in self.cases if case.ever_closed and not case.approved)
        return Money.total((plan.given_back for plan in plans if plan), currency)

    def expected_units(self) -> Counter[str]:
        """By line, the units that are on their way back, and still in the order where it is kept."""
        units = Counter[str]()
        for case in self.cases:
            units.update(_units(case, expected=True))
        return units

    def ahead_of_oms(self, cancellation_id: str) -> Counter[str]:
        """By line, how many more units have left the order by our books, as they were when this cancellation was decided,
        than by the order management system now.

        The first cancellation expects a unit back, so the unit is still in the order there: seen from the second
        cancellation, our books are 1 ahead. When that parcel arrives, the first one is closed again. Seen from it, a unit
        that the second one has taken out meanwhile counts -1."""
        ahead = Counter[str]()
        position = [case.cancellation_id for case in self.cases].index(cancellation_id)
        for at, case in enumerate(self.cases):
            if at < position:
                ahead.update(_units(case, expected=True))
            elif at > position and case.ever_closed:
                ahead.subtract(_units(case, expected=False))
        return ahead

    def _without_stopped(self, shipment: Shipment) -> Shipment:
        """A parcel that an earlier cancellation has stopped has nothing in it that could be cancelled once more: what was
        not cancelled of it is back in the warehouse, or on its way there, unless it was packed anew since."""
        closed = [case for case in self.cases if case.ever_closed and case.plan]
        stopped = any(_has_stopped(case, shipment) for case in closed)
        return shipment.model_copy(update={"lines": ()}) if stopped else shipment

    # Rule: The amounts of an order's first read count
    def _as_sold(self, order: Order) -> Order:
        """With the amounts of the first read: some systems count only what is left of an order, and what a unit is worth
        must not change between two cancellations."""
        first = self.first_read
        if first is None:
            return order
        now = {line.line_id: line for line in order.lines}
        lines = [_line_as_sold(sold, now.pop(sold.line_id, None)) for sold in first.lines]
        amounts = {"shipping": first.shipping, "shipping_tax": first.shipping_tax, "discount": first.discount}
        tenders = tuple(_tender_as_paid(first, tender) for tender in order.tenders)
        return order.model_copy(update={"lines": (*lines, *now.values()), "tenders": tenders, **amounts})

    def _with_earlier(self, tender: Tender) -> Tender:
        return tender.model_copy(update={"earlier_reversals": self._reversals_of(tender)})

    def earlier_reversals(self, tender: Tender, *, but: str = "") -> tuple[EarlierReversal, ...]:
        """What the cancellations other than `but` did to the payment that the tender has now, whichever of the order's
        tenders it pays."""
        return self._reversals_of(tender, but=but, of_payment=True)

    def _reversals_of(self, tender: Tender, *, but: str = "", of_payment: bool = False) -> tuple[EarlierReversal, ...]:
        """By cancellations that have closed the order, and by those that have ended without it. What was reserved anew by a
        roll-back is as much as was left; of the payment before, only what was paid back is still to be given back."""
        found: list[EarlierReversal] = []
        for case in self.cases:
            if case.cancellation_id == but or not (case.ever_closed or case.ended):
                continue
            for reversal in case.reversals:
                is_of_now = reversal.planned.tender.reference == tender.reference
                if reversal.tender_id == tender.tender_id or (of_payment and is_of_now):
                    view = reversal.as_earlier if is_of_now else reversal.before_payment_was_replaced
                    found.append(view(case.cancellation_id, undone=not case.ever_closed))
        return tuple(e for e in found if e.released or e.due or e.paid_back or e.by_bank)


def _line_as_sold(sold: OrderLine, now: OrderLine | None) -> OrderLine:
    """Units that the order does not show any more have left it. A line that has grown is another one."""
    if now is None:
        return sold.model_copy(update={"cancelled": sold.quantity})
    if now.quantity > sold.quantity:
        return now
    missing = sold.quantity - now.quantity
    return now.model_copy(
        update={
            "quantity": sold.quantity,
            "total": sold.total,
            "tax": sold.tax,
            "cancelled": min(now.cancelled + missing, sold.quantity),
        }
    )


def _tender_as_paid(first: Order, now: Tender) -> Tender:
    """Money that has gone back is not paid by it any less. A payment in its place is another one."""
    paid = [
        tender.amount
        for tender in first.tenders
        if (tender.tender_id, tender.reference) == (now.tender_id, now.reference)
    ]
    return now.model_copy(update={"amount": max(now.amount, *paid)}) if paid else now


# Rule: A parcel that is packed anew under its number is another one [by the next cancellation]
def _has_stopped(case: Case, shipment: Shipment) -> bool:
    """A pick that was withdrawn is shown as stopped; where it is not any more, the warehouse works on the parcel again."""
    then = case.plan.find_shipment(shipment.shipment_id) if case.plan else None
    stop = case.stop_of(shipment.shipment_id)
    if then is None or stop is None or shipment.shipment_id not in Closing.of(case).stopped:
        return False
    is_picked_again = stop.action is StopAction.WITHDRAW_PICK and not shipment.stopped
    return not (is_picked_again or shipment.is_packed_anew(then.shipment))


def _ended_at(case: Case) -> datetime:
    return case.entries[-1].at


def _units(case: Case, *, expected: bool) -> Counter[str]:
    """Of this cancellation, by line: those that are on their way back and still in the order, or all the others."""
    lines = case.plan.lines if case.plan else ()
    return units_by_line(line for line in lines if (line.shipment_id in case.expected_back) is expected)
