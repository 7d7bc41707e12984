"""Stripe's objects in the words of the domain."""

from dataclasses import dataclass
from datetime import UTC, datetime

import stripe

from domain.errors import ErrorCode, Refused
from domain.money import Money, exponent
from domain.payment import ChargeBack, DisputeState, FailureCause, Payment, Refund, RefundStatus

KEY = "cancellation_key"
"""Where our key is kept in Stripe's metadata."""
REPLACES = "replaces_payment"

# Rule: A currency has this many decimals [where Stripe differs]
_UNITS_PER_MINOR = {"ISK": 100, "UGX": 100}
_MINOR_PER_UNIT = {"MGA": 100}
"""Where Stripe's units are not ISO 4217's minor units: two decimals for ISK and UGX, which have none, and none for MGA
(docs.stripe.com/currencies)."""

# Rule: A disputed payment is not refunded [Stripe's words]
_DISPUTES = {
    "lost": DisputeState.LOST,
    "prevented": DisputeState.PREVENTED,
    "warning_needs_response": DisputeState.INQUIRY,
    "warning_under_review": DisputeState.INQUIRY,
    "won": DisputeState.WON,
    "warning_closed": DisputeState.WON,
}
"""The states in which waiting does not help a refund (docs.stripe.com/api/disputes/object). Every other one is open."""
_GIVEN_BACK = {"lost", "prevented"}
_WEIGHT = [DisputeState.OPEN, *_DISPUTES.values()]
"""Of several disputes of one payment the first of these counts."""

_DISPUTE_NUMBERS = ("dp_", "du_")
"""How the numbers of disputes begin (docs.stripe.com/api/disputes/object)."""

_OPEN = {"requires_payment_method", "requires_confirmation", "requires_action"}
"""The customer has not paid, and still can (docs.stripe.com/payments/paymentintents/lifecycle)."""

_FAILURES = {
    "charge_for_pending_refund_disputed": FailureCause.DISPUTE,
    "insufficient_funds": FailureCause.MERCHANT,
    "merchant_request": FailureCause.MERCHANT,
}
"""Why a refund failed (docs.stripe.com/api/refunds/object). Everything else is the card's."""


@dataclass(frozen=True)
class Mandate:
    """The customer and the saved payment method that may be charged again without them."""

    customer: str
    payment_method: str


def _money(units: int, currency: str) -> Money:
    code = currency.upper()
    return Money(amount=units * _MINOR_PER_UNIT.get(code, 1) // _UNITS_PER_MINOR.get(code, 1), currency=code)


# Rule: Amounts go back in the steps that the gateway takes [the steps]
def step_of(currency: str) -> int:
    """Stripe takes amounts that are divisible by so many of our minor units: of three decimals the last has to be 0."""
    return 10 if exponent(currency) == 3 else _MINOR_PER_UNIT.get(currency, 1)


def units_of(amount: Money) -> int:
    """In Stripe's units. Refused: AMOUNT_REFUSED."""
    step = step_of(amount.currency)
    if amount.amount % step:
        least = Money(amount=step, currency=amount.currency)
        raise Refused(
            ErrorCode.AMOUNT_REFUSED,
            f"The gateway does not take {amount}, only what is divisible by {least}. Give it back another way and resolve "
            "the step with its reference.",
        )
    return amount.amount * _UNITS_PER_MINOR.get(amount.currency, 1) // _MINOR_PER_UNIT.get(amount.currency, 1)


def mandate_of(intent: stripe.PaymentIntent) -> Mandate | None:
    if intent.setup_future_usage != "off_session" or intent.customer is None or intent.payment_method is None:
        return None
    customer, method = intent.customer, intent.payment_method
    return Mandate(
        customer if isinstance(customer, str) else customer.id, method if isinstance(method, str) else method.id
    )


def charge_of(intent: stripe.PaymentIntent) -> stripe.Charge | None:
    return intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None


def refunds_shown(intent: stripe.PaymentIntent) -> list[stripe.Refund] | None:
    """The refunds in an answer that was asked for the charge with its refunds. None: it does not show all of them; Stripe
    shows the newest ten, and they have to come to what the charge itself counts."""
    if intent.latest_charge is None:
        return []
    charge = charge_of(intent)
    listed: stripe.ListObject[stripe.Refund] | None = getattr(charge, "refunds", None)
    if charge is None or listed is None or listed.has_more:
        return None
    counted = sum(refund.amount for refund in listed.data if not _status_of(refund).has_failed)
    return listed.data if counted == charge.amount_refunded else None


def key_of(made: stripe.Refund | stripe.PaymentIntent) -> str | None:
    metadata = getattr(made, "metadata", None)
    return metadata.to_dict().get(KEY) if metadata else None


def _status_of(refund: stripe.Refund) -> RefundStatus:
    try:
        return RefundStatus(getattr(refund, "status", None) or "")
    except ValueError:
        return RefundStatus.UNKNOWN


def to_refund(refund: stripe.Refund) -> Refund:
    failure, status = getattr(refund, "failure_reason", None), _status_of(refund)
    return Refund(
        reference=refund.id,
        amount=_money(refund.amount, refund.currency),
        status=status,
        key=key_of(refund),
        reason=failure or getattr(refund, "pending_reason", None) or "",
        cause=_FAILURES.get(failure or "", FailureCause.CARD) if status is RefundStatus.FAILED else None,
        created_at=datetime.fromtimestamp(refund.created, UTC),
    )


def _is_release(refund: stripe.Refund, intent: stripe.PaymentIntent) -> bool:
    """Stripe also lists the end of an authorisation as a refund that succeeded, of all that was never captured. No captured
    money moved, so it has no balance transaction."""
    return (
        refund.amount == intent.amount - intent.amount_received
        and _status_of(refund) is RefundStatus.SUCCEEDED
        and getattr(refund, "balance_transaction", None) is None
        and key_of(refund) is None
    )


def _dispute(disputes: list[stripe.Dispute]) -> DisputeState:
    states = [_DISPUTES.get(dispute.status, DisputeState.OPEN) for dispute in disputes]
    return min(states, key=_WEIGHT.index, default=DisputeState.NONE)


# Rule: Only a dispute of this payment is the proof that the bank has paid [what such a number looks like]
def is_dispute_number(text: str) -> bool:
    return text.startswith(_DISPUTE_NUMBERS)


def to_payment(intent: stripe.PaymentIntent, listed: list[stripe.Refund], disputes: list[stripe.Dispute]) -> Payment:
    refunds = tuple(to_refund(refund) for refund in listed if not _is_release(refund, intent))
    captured = _money(intent.amount_received, intent.currency)
    part_taken = intent.status == "succeeded" and intent.amount_received < intent.amount
    return Payment(
        reference=intent.id,
        amount=_money(intent.amount, intent.currency),
        captured=captured,
        capturable=_money(intent.amount_capturable if intent.status == "requires_capture" else 0, intent.currency),
        refunded=Money.total((refund.amount for refund in refunds if not refund.status.has_failed), captured.currency),
        dispute=_dispute(disputes),
        mandate=mandate_of(intent) is not None,
        released=intent.status == "canceled" or part_taken,
        capturing=_money(intent.amount - intent.amount_received, intent.currency)
        if intent.status == "processing"
        else None,
        refunds=refunds,
        charge_backs=tuple(
            ChargeBack(reference=dispute.id, amount=_money(dispute.amount, dispute.currency))
            for dispute in disputes
            if dispute.status in _GIVEN_BACK
        ),
        open_disputes=tuple(dispute.id for dispute in disputes if dispute.status not in _DISPUTES),
        step=step_of(captured.currency),
        unpaid=_money(intent.amount, intent.currency) if intent.status in _OPEN else None,
    )
