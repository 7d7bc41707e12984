"""What was given back, divided over the payments that Vendure has."""

from collections.abc import Sequence

from pydantic import JsonValue

from domain.base import Value
from domain.errors import ErrorCode, Refused
from providers.orders.port import GivenBack
from providers.orders.vendure.amounts import Amounts
from providers.orders.vendure.answers import Payment, VendureOrder


class RefundNotes(Value):
    """`noted` are refunds as the plugin takes them, `left_out` the references of those that fit into no payment, not as a
    whole."""

    noted: tuple[JsonValue, ...]
    left_out: tuple[str, ...] = ()

    def check_complete(self, order_id: str) -> None:
        """Refused: REFUND_EXCEEDS_CAPTURED."""
        if self.left_out:
            raise Refused(
                ErrorCode.REFUND_EXCEEDS_CAPTURED,
                f"More went back of order {order_id} than its payments in Vendure can give back, so these are not noted "
                f"there, or only in part: {', '.join(self.left_out)}. Compare the order's refunds there with the gateway.",
            )


# Rule: A refund is noted on the payments of its transaction in Vendure, on none more than it is
def divide_refunds(
    order: VendureOrder, amounts: Amounts, given: Sequence[GivenBack], cancellation_id: str
) -> RefundNotes:
    """Several payments of one transaction are one payment at the gateway, which the process knows by the first one's id.
    What staff and other cancellations have given back of a payment counts; a refund that staff has made in Vendure is not
    noted again."""
    rooms = {
        payment.id: payment.amount - payment.refunded_by_others(cancellation_id) for payment in order.payments or ()
    }
    noted: list[JsonValue] = []
    left_out: list[str] = []
    for part in given:
        payments = _payments_of(order, part.tender_id)
        if any(refund.is_of_staff(part.reference) for payment in payments for refund in payment.refunds):
            continue
        rest = amounts.to_vendure(part.amount)
        for payment in payments:
            amount = min(rest, max(rooms[payment.id], 0))
            if amount:
                noted.append({"paymentId": payment.id, "reference": part.reference, "amount": amount})
                rooms[payment.id] -= amount
                rest -= amount
        if rest:
            left_out.append(part.reference)
    return RefundNotes(noted=tuple(noted), left_out=tuple(left_out))


def _payments_of(order: VendureOrder, tender_id: str) -> Sequence[Payment]:
    """The payment, then the others of its transaction."""
    own = [payment for payment in order.payments or () if payment.id == tender_id]
    transactions = {payment.transaction_id for payment in own if payment.transaction_id}
    others = (payment for payment in order.paid_by if payment.id != tender_id)
    return [*own, *(payment for payment in others if payment.transaction_id in transactions)]
