"""The signatures of the activities: name, input, result. All that the workflow knows of them.

One pydantic model each way. `key` is the idempotency key of the step's effect; it is made in the workflow, from business
ids, so that every attempt of every worker uses the same one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from domain.base import Value
from domain.messages import Quote
from domain.money import Money
from domain.outcome import CancellationRecord, CancellationResult, Reversal, StepName
from domain.payment import Refund
from domain.plan import Plan, PlannedLine, PlannedTender, RefundIntercepted, RefundMethod
from domain.policy import Decision
from domain.request import CancellationRequest, ReasonCode
from domain.shipment import Stop

In = TypeVar("In", bound="StepInput")
Out = TypeVar("Out", bound=Value | None)


class StepInput(Value):
    """What every step is told. `target` is the order, shipment or tender that it is about."""

    cancellation_id: str
    order_id: str
    target: str
    key: str


@dataclass(frozen=True)
class Signature(Generic[In, Out]):
    """An activity by name. `gives` is None when it returns nothing."""

    name: StepName
    takes: type[In]
    gives: type[Out] | None


class VerifyOrder(StepInput):
    """`again`: this run has asked before and got no answer, so the order may be held by itself. `look_again`: an event has
    arrived for an order whose cancellation may be over; look whether what it had achieved still holds."""

    request: CancellationRequest
    again: bool = False
    look_again: bool = False


class Verification(Value):
    """`customer_id` is the order's owner; None when the order was not found. `existing` is what the order book knew of
    this order's cancellation before: with a result it is over, without one it is taken up again. Then `carried_out` is what
    still holds of what it had done, read anew; `money_moved` and `approved` say how far it had come."""

    decision: Decision
    plan: Plan | None = None
    customer_id: str | None = None
    existing: CancellationRecord | None = None
    money_moved: bool = False
    approved: bool = False


class QuoteCancellation(StepInput):
    request: CancellationRequest


class ReleaseOrder(StepInput):
    result: CancellationResult


class StopShipment(StepInput):
    pass


class CheckShipment(StepInput):
    """Look where an intercepted parcel is. `refund_intercepted` says what counts as stopped."""

    stop: Stop
    refund_intercepted: RefundIntercepted


class ResumeShipment(StepInput):
    """`undoes` are the keys under which the shipment may have been stopped."""

    undoes: tuple[str, ...] = ()


class ReversePayment(StepInput):
    """`lines` and `reason` are what a marketplace is told; nobody else needs them. `fallbacks` are what the customer is
    offered when the tender takes nothing."""

    planned: PlannedTender
    fallbacks: tuple[RefundMethod, ...] = ()
    lines: tuple[PlannedLine, ...] = ()
    reason: ReasonCode = ReasonCode.OTHER


class RestorePayment(StepInput):
    """`undoes` are the keys under which money of this tender may have gone back, oldest first."""

    planned: PlannedTender
    undoes: tuple[str, ...]


class GiveStoreCredit(StepInput):
    """`amount` goes to the customer's store credit in place of the tender `target`."""

    amount: Money


class CheckRefund(StepInput):
    """Look at the refunds of one tender that have not settled yet."""

    planned: PlannedTender
    reversal: Reversal
    fallbacks: tuple[RefundMethod, ...] = ()


class CreditRefund(StepInput):
    plan: Plan
    reversals: tuple[Reversal, ...]


class CreditedRefund(Value):
    """`credit_note` None: no money was taken, so there is nothing to credit."""

    credit_note: str | None
    total: Money


class RevokeRefund(StepInput):
    pass


class RevokedRefund(Value):
    debit_note: str | None


class RemindStaff(StepInput):
    """An approval is due; `escalated`: nobody answered the first reminder. `sentence` is the decision's."""

    sentence: str
    escalated: bool
    due_at: datetime


class CloseOrder(StepInput):
    plan: Plan
    stops: tuple[Stop, ...]
    reversals: tuple[Reversal, ...]
    result: CancellationResult


VERIFY_ORDER = Signature(StepName.VERIFY_ORDER, VerifyOrder, Verification)
QUOTE_CANCELLATION = Signature(StepName.QUOTE_CANCELLATION, QuoteCancellation, Quote)
RELEASE_ORDER: Signature[ReleaseOrder, None] = Signature(StepName.RELEASE_ORDER, ReleaseOrder, None)
STOP_SHIPMENT = Signature(StepName.STOP_SHIPMENT, StopShipment, Stop)
CHECK_SHIPMENT = Signature(StepName.CHECK_SHIPMENT, CheckShipment, Stop)
RESUME_SHIPMENT: Signature[ResumeShipment, None] = Signature(StepName.RESUME_SHIPMENT, ResumeShipment, None)
REVERSE_PAYMENT = Signature(StepName.REVERSE_PAYMENT, ReversePayment, Reversal)
RESTORE_PAYMENT: Signature[RestorePayment, None] = Signature(StepName.RESTORE_PAYMENT, RestorePayment, None)
CHECK_REFUND = Signature(StepName.CHECK_REFUND, CheckRefund, Reversal)
GIVE_STORE_CREDIT = Signature(StepName.GIVE_STORE_CREDIT, GiveStoreCredit, Refund)
CREDIT_REFUND = Signature(StepName.CREDIT_REFUND, CreditRefund, CreditedRefund)
REVOKE_REFUND = Signature(StepName.REVOKE_REFUND, RevokeRefund, RevokedRefund)
REMIND_STAFF: Signature[RemindStaff, None] = Signature(StepName.REMIND_STAFF, RemindStaff, None)
CLOSE_ORDER: Signature[CloseOrder, None] = Signature(StepName.CLOSE_ORDER, CloseOrder, None)
