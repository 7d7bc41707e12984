"""Money at the gateway: what was authorised, captured, voided and refunded, at the gateway's own count."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from domain.base import Rare, Value
from domain.money import Money


class RefundStatus(StrEnum):
    """`unknown` is a real state: the call was made and its answer was lost. `succeeded` can still become `failed`."""

    REQUESTED = "requested"
    SUBMITTED = "submitted"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"

    @property
    def under_way(self) -> bool:
        return self in {self.REQUESTED, self.SUBMITTED, self.PENDING, self.REQUIRES_ACTION, self.UNKNOWN}

    @property
    def has_failed(self) -> bool:
        """The money did not and will not move by this refund."""
        return self in {self.FAILED, self.CANCELED}


class DisputeState(StrEnum):
    """`inquiry`: the bank asks, and has taken no money; a full refund answers it. `prevented`: the customer was given the
    money back before there was a dispute."""

    NONE = "none"
    INQUIRY = "inquiry"
    OPEN = "open"
    WON = "won"
    LOST = "lost"
    PREVENTED = "prevented"


class FailureCause(StrEnum):
    """Whose matter it is that a refund has failed: the customer's card did not take it, the bank disputes the payment, or
    the merchant's own balance or order kept it back."""

    CARD = "card"
    DISPUTE = "dispute"
    MERCHANT = "merchant"


class Refund(Value):
    """One refund at a provider. `key` is the idempotency key it was made under, None when someone else made it. `part_for`:
    `amount` is only the part of it that counts for this cancellation; the rest counts for others of the order. `cause` is
    whose matter its failure is, where the provider says so."""

    reference: str
    amount: Money
    status: RefundStatus
    key: str | None = None
    reason: str = ""
    created_at: datetime | None = None
    part_for: str | None = None
    cause: Rare[FailureCause] = None

    # Rule: A customer whose refund fails at their bank may have the money another way
    @property
    def failed_at_customer(self) -> bool:
        """The customer's card did not take it, or nobody says why: they may have the money another way."""
        return self.status.has_failed and self.cause in {FailureCause.CARD, None}


class ChargeBack(Value):
    """What the bank has given back to the customer, because a dispute was lost or prevented. `reference` is the dispute's
    number."""

    reference: str
    amount: Money

    def less(self, counted: Iterable["ChargeBack"]) -> "ChargeBack":
        """What is left of it where these parts of it, among others, are counted already."""
        parts = (part.amount for part in counted if part.reference == self.reference)
        zero = Money.zero(self.amount.currency)
        return self.model_copy(update={"amount": max(self.amount - Money.total(parts, zero.currency), zero)})


class Payment(Value):
    """One payment at a provider. `amount` is what it was made over, where that is known. `unpaid` is what the customer has
    not paid, and still can; `capturable` what an authorisation still reserves; `refunded` counts every refund that has not
    failed, whoever made it, and nothing that the bank has given back. `open_disputes` are the numbers of those that the bank
    has not decided. The provider takes amounts that are divisible by `step` minor units."""

    reference: str
    amount: Money | None = None
    captured: Money
    capturable: Money
    refunded: Money
    dispute: DisputeState = DisputeState.NONE
    mandate: bool = False
    released: bool = False
    """The authorisation was voided or has expired: it reserves nothing any more."""
    capturing: Money | None = None
    """A capture is under way: not taken yet, and not only reserved any more."""
    refunds: tuple[Refund, ...] = ()
    charge_backs: tuple[ChargeBack, ...] = ()
    open_disputes: tuple[str, ...] = ()
    step: int = 1
    unpaid: Money | None = None

    @property
    def taken(self) -> Money:
        """What was captured, or is being captured."""
        return self.captured + self.capturing if self.capturing else self.captured

    @property
    def whole(self) -> Money:
        """What it was made over, or what can be seen of that."""
        return self.amount or self.taken + self.capturable

    @property
    def refundable(self) -> Money:
        return self.captured - self.refunded

    def made_under(self, key: str) -> Refund | None:
        """Our own refund by its key: the look-up before acting."""
        return next((refund for refund in self.refunds if refund.key == key), None)

    @property
    def revocable(self) -> Money:
        """What is not the merchant's yet: it is reserved, or can still be paid."""
        return self.capturable + (self.unpaid or Money.zero(self.capturable.currency))

    # Rule: A disputed payment is not refunded [what counts as disputed]
    @property
    def disputed(self) -> bool:
        """The bank has taken the money back, or may: to refund as well could pay twice. A refund that failed because of a
        dispute says so before the dispute is seen itself."""
        if self.dispute in {DisputeState.NONE, DisputeState.INQUIRY}:
            return any(refund.cause is FailureCause.DISPUTE for refund in self.refunds)
        return self.dispute is not DisputeState.WON


class Refunded(Value):
    """A refund, and the payment after it."""

    refund: Refund
    payment: Payment
