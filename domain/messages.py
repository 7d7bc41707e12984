"""The messages of a running cancellation: updates, signals and their answers. One model each."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from domain.base import Value
from domain.outcome import CancellationResult, State, StepName
from domain.payment import RefundStatus
from domain.plan import Plan, RefundMethod
from domain.policy import Decision
from domain.request import Actor, Note
from domain.shipment import GoodsGroup

Reference = Annotated[str, Field(min_length=1, max_length=100)]


class Submission(Value):
    """Answer of the `submit` update: the decision, and the plan with its amounts unless it was rejected.

    `joined`: another request has opened this cancellation already; this one caused nothing new.
    `result` is there when the order book remembered the finished cancellation.
    """

    cancellation_id: str
    order_id: str
    request_id: str
    decision: Decision
    plan: Plan | None = None
    joined: bool = False
    result: CancellationResult | None = None


class Quote(Value):
    """Result of `QuoteWorkflow`: what `submit` would answer at this moment. Nothing was done, and nothing is promised:
    order, payments and parcels are read anew when the cancellation is asked for.

    `existing` is the cancellation that there is already and that the request would meet; then decision and plan are that
    one's, and `result` is there when it is over.
    """

    order_id: str
    request_id: str
    decision: Decision
    plan: Plan | None = None
    existing: str | None = None
    result: CancellationResult | None = None


class Approve(Value):
    """Update `approve`: a second person lets the cancellation go on."""

    actor: Actor
    note: Note = ""


class Reject(Value):
    """Update `reject`: a second person refuses; what was done is rolled back."""

    actor: Actor
    note: Note = ""


class Withdraw(Value):
    """Update `withdraw`: the requester or staff takes the request back. Possible before the pivot only."""

    actor: Actor
    note: Note = ""


class RetryStep(Value):
    """Update `retry_step`: try a step that waits again, now."""

    actor: Actor
    step: StepName
    target: str
    note: Note = ""


class Resolution(StrEnum):
    """`done_by_hand`: a person did the step outside; `reference` says where. `nothing_due`: there is nothing to do any
    more (the bank took the money back through a dispute, say). `roll_back`: undo the whole cancellation."""

    DONE_BY_HAND = "done_by_hand"
    NOTHING_DUE = "nothing_due"
    ROLL_BACK = "roll_back"


class ResolveStep(Value):
    """Update `resolve_step`: a person decides about a step that waits. `reference` is the proof, kept in the books."""

    actor: Actor
    step: StepName
    target: str
    resolution: Resolution
    reference: Reference
    note: Note = ""


class ChooseRefundMethod(Value):
    """Update `choose_refund_method`: the customer, or staff on the phone with the customer, says how to give back the money
    of a tender (`target`) that the gateway cannot refund. Nobody chooses for the customer: without this the run waits."""

    actor: Actor
    target: str
    method: RefundMethod
    note: Note = ""


class Acknowledgement(Value):
    """Answer of a steering update: where the run stands now, in a sentence."""

    state: State
    sentence: str


class ShipmentEvent(Value):
    """Signal `shipment_event`: the carrier said something about a parcel. Tolerant on purpose: a signal that does not
    parse is lost without a trace, so every field may be missing and an unknown group is `None`. It only wakes the run
    up; the run reads the carrier itself before it acts."""

    event_id: str = ""
    shipment_id: str | None = None
    tracking_number: str | None = None
    group: GoodsGroup | str | None = None


class RefundEvent(Value):
    """Signal `refund_event`: the gateway said something about a refund. As tolerant as `ShipmentEvent`."""

    event_id: str = ""
    refund_reference: str | None = None
    status: RefundStatus | str | None = None
