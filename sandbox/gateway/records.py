"""What the gateway stand-in keeps: customers, payment methods, payments, refunds, disputes and events, in Stripe's units."""

from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel

from sandbox.gateway.errors import Json


class EventKind(StrEnum):
    PAYMENT_SUCCEEDED = "payment_intent.succeeded"
    PAYMENT_FAILED = "payment_intent.payment_failed"
    REFUND_CREATED = "refund.created"
    REFUND_UPDATED = "refund.updated"
    REFUND_FAILED = "refund.failed"
    CHARGE_REFUNDED = "charge.refunded"
    DISPUTE_CREATED = "charge.dispute.created"
    DISPUTE_UPDATED = "charge.dispute.updated"
    DISPUTE_CLOSED = "charge.dispute.closed"


DECLINES = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card"),
    "pm_card_visa_chargeDeclinedExpiredCard": ("expired_card", "expired_card"),
}
DEBITS = {"pm_usBankAccount_processing"}
"""Bank debits: they take days, and may fail (docs.stripe.com/payments/ach-direct-debit/accept-a-payment)."""
CARDS = {
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_amex",
    "pm_card_pendingRefund",
    "pm_card_refundFail",
    "pm_card_createDispute",
    "pm_card_authenticationRequired",
    *DECLINES,
    *DEBITS,
}
"""Stripe's own test payment methods, under their documented names."""


class Record(BaseModel):
    id: str
    created: float

    @property
    def owner(self) -> str | None:
        """The object whose list this one is in."""
        return None

    @property
    def due(self) -> float | None:
        """When time changes it."""
        return None


class Customer(Record):
    metadata: dict[str, str]


class PaymentMethod(Record):
    card: str
    customer: str | None = None


class Payment(Record):
    """`status` is one of Stripe's; the customer can still pay one that is `open`."""

    amount: int
    currency: str
    status: str
    manual: bool
    multicapture: bool
    payment_method: str | None
    card: str | None
    customer: str | None
    setup_future_usage: str | None
    metadata: dict[str, str]
    charge: str | None = None
    capturable: int = 0
    captured: int = 0
    expires_at: float | None = None
    canceled_at: float | None = None
    cancellation_reason: str | None = None

    @property
    def open(self) -> bool:
        return self.status in {"requires_payment_method", "requires_confirmation", "requires_action"}

    @property
    def owner(self) -> str | None:
        return self.customer

    @property
    def due(self) -> float | None:
        return self.expires_at if self.status == "requires_capture" else None


class Refund(Record):
    """`release`: Stripe also lists the end of an authorisation as a refund, one without a balance transaction."""

    payment: str
    charge: str
    amount: int
    currency: str
    status: str
    metadata: dict[str, str]
    reason: str | None = None
    release: bool = False
    pending_reason: str | None = None
    failure_reason: str | None = None
    changes_at: float | None = None
    becomes: str | None = None

    @property
    def owner(self) -> str | None:
        return self.payment

    @property
    def due(self) -> float | None:
        return self.changes_at

    @property
    def counts(self) -> bool:
        return self.status not in {"failed", "canceled"}


class Dispute(Record):
    """An inquiry takes no money yet: the payment can still be refunded, and a full refund closes it
    (docs.stripe.com/disputes/how-disputes-work)."""

    payment: str
    charge: str
    amount: int
    currency: str
    status: str

    @property
    def is_inquiry(self) -> bool:
        return self.status in {"warning_needs_response", "warning_under_review"}

    @property
    def blocks_refunds(self) -> bool:
        return not (self.is_inquiry or self.status in {"won", "warning_closed"})

    @property
    def owner(self) -> str | None:
        return self.payment


class Event(Record):
    """`body` is what a webhook brings."""

    body: Json


DISPUTE_STATUSES = {
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "appeal_needs_response",
    "appeal_under_review",
    "won",
    "lost",
    "prevented",
}
"""Of API version 2026-10-28 (docs.stripe.com/api/disputes/object); `prevented` since 2025-08-27."""

AnyRecord = TypeVar("AnyRecord", bound=Record)
