"""What the gateway stand-in shows and is sent outside Stripe's own API: effects and faults."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field


class EffectKind(StrEnum):
    PAYMENT_AUTHORISED = "payment.authorised"
    PAYMENT_CAPTURED = "payment.captured"
    PAYMENT_VOIDED = "payment.voided"
    PAYMENT_CLOSED = "payment.closed"
    """It was not completed, and cannot be any more."""
    REFUND_CREATED = "refund.created"
    REFUND_SETTLED = "refund.settled"
    REFUND_FAILED = "refund.failed"
    REFUND_CANCELED = "refund.canceled"
    DISPUTE_CREATED = "dispute.created"
    DISPUTE_LOST = "dispute.lost"
    """The bank has given the money back to the customer."""
    DISPUTE_REINSTATED = "dispute.funds_reinstated"
    """The bank has taken that back: the merchant has won on appeal."""


class Effect(BaseModel):
    """Something that was committed, once. `amount` is in the gateway's units, `currency` in lower case. `at` is in seconds
    since 1970 by the sandbox clock, `really_at` by the machine's, which nobody advances. `key` is the idempotency key of
    the call, None when time or a bank did it."""

    seq: int
    kind: EffectKind
    key: str | None
    object_id: str
    payment_id: str
    amount: int
    currency: str
    metadata: dict[str, str]
    at: float
    really_at: float = 0


class FaultKind(StrEnum):
    """What goes wrong. The first four happen on the way and meet a replayed answer too; the others happen to the
    operation itself. Both answers of 500 are stored under the idempotency key, as Stripe does."""

    SLOW = "slow"
    HTTP_429 = "http_429"
    DROP_BEFORE_COMMIT = "drop_before_commit"
    DROP_AFTER_COMMIT = "drop_after_commit"
    HTTP_500_BEFORE = "http_500_before"
    HTTP_500_AFTER_COMMIT = "http_500_after_commit"
    REFUSE = "refuse"
    """A refusal, in the word that the fault's `code` names: 402 expired_card without one."""
    PENDING_INSUFFICIENT_FUNDS = "pending_insufficient_funds"
    """The refund waits for money in the merchant's balance: it settles by an admin call only."""
    REQUIRES_ACTION = "requires_action"
    """The refund waits for the customer and can still be cancelled."""
    EXPIRE = "expire"
    """The authorisation expires just before the operation."""
    PAY = "pay"
    """The customer completes the payment just before the operation."""

    @property
    def on_the_way(self) -> bool:
        return self in {self.SLOW, self.HTTP_429, self.DROP_BEFORE_COMMIT, self.DROP_AFTER_COMMIT}


class Fault(BaseModel):
    """`operation` is one of Stripe's calls, such as `refund.create`; without a payment it meets any payment. It happens
    `times` times, and begins `after` some calls. `retry_after` (seconds) goes with a 429, `seconds` is how slow, `code` how
    it is refused."""

    operation: str
    fault: FaultKind
    times: int = 1
    after: int = 0
    payment_intent: str | None = None
    retry_after: float = 1
    seconds: float = 5
    code: str | None = None


class Advance(BaseModel):
    seconds: float


class Clock(BaseModel):
    now: float


class Failure(BaseModel):
    """Why a refund fails, in Stripe's words."""

    reason: str = "expired_or_canceled_card"


class DisputeChange(BaseModel):
    """`needs_response` opens a dispute and `warning_needs_response` an inquiry; `won`, `lost` and `prevented` end them, and
    `won` also one that was lost before, on appeal. A new one is about `amount`, in the gateway's units, or about all that
    was captured."""

    status: str = "needs_response"
    amount: Annotated[int, Field(ge=1)] | None = None
