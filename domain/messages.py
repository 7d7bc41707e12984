"""The messages of a running cancellation: updates, signals and their answers. One model each."""

from enum import StrEnum

from pydantic import AwareDatetime

from domain.base import Rare, Value
from domain.decision import Decision
from domain.money import Money
from domain.outcome import CancellationResult, State
from domain.payment import RefundStatus
from domain.plan import Plan
from domain.request import Actor
from domain.shipment import GoodsGroup
from domain.step import StepName
from domain.terms import RefundMethod
from domain.texts import MessageSignature, Note, Reference, Target


class Receipt(Value):
    """Answer of the `submit` update, and stored with it: the same update answers it for ever. So it says what was
    received and by which run; what became of it is read from that run.

    `decision` and `plan` are there when they were known in time. `joined`: another request has opened this
    cancellation already. `deferred`: another cancellation of the order is under way, and this request is carried out
    by the product when that has ended. `result`: the request's own cancellation had ended before."""

    cancellation_id: str
    order_id: str
    request_id: str
    run_id: str
    decision: Decision | None = None
    plan: Plan | None = None
    joined: bool = False
    deferred: bool = False
    result: CancellationResult | None = None


class Submission(Value):
    """What the library makes of a receipt: the decision, and the plan with its amounts unless it was rejected.

    `joined`: another request has opened this cancellation already; this one caused nothing new. `deferred`: it was
    received, and is decided when the cancellation that is under way has ended; only then `decision` is None. `result`
    is there when the cancellation is over."""

    cancellation_id: str
    order_id: str
    request_id: str
    decision: Decision | None
    plan: Plan | None = None
    joined: bool = False
    deferred: bool = False
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
    """Update `approve`: a second person lets the cancellation go on. `at_most`: unless its plan gives back more, refunds and
    releases together."""

    actor: Actor
    note: Note = ""
    at_most: Rare[Money] = None
    signature: MessageSignature | None = None


class Reject(Value):
    """Update `reject`: a second person refuses; what was done is rolled back."""

    actor: Actor
    note: Note = ""
    signature: MessageSignature | None = None


class Withdraw(Value):
    """Update `withdraw`: staff, or the customer while only customers have asked, takes the request back. Possible
    before the pivot only."""

    actor: Actor
    note: Note = ""
    signature: MessageSignature | None = None


class RetryStep(Value):
    """Update `retry_step`: try a step that waits again, now. `step` and `target` may be left out when only one waits."""

    actor: Actor
    step: StepName | None = None
    target: Target | None = None
    note: Note = ""
    signature: MessageSignature | None = None


class Resolution(StrEnum):
    """`done_by_hand`: a person did the step outside; `reference` says where. `nothing_due`: there is nothing to do any
    more (the bank took the money back through a dispute, say). `roll_back`: undo the whole cancellation."""

    DONE_BY_HAND = "done_by_hand"
    NOTHING_DUE = "nothing_due"
    ROLL_BACK = "roll_back"


class ResolveStep(Value):
    """Update `resolve_step`: a person decides about a step that waits. `reference` is the proof, kept in the books.
    `step` and `target` may be left out when only one waits."""

    actor: Actor
    step: StepName | None = None
    target: Target | None = None
    resolution: Resolution
    reference: Reference
    note: Note = ""
    signature: MessageSignature | None = None


class ChooseRefundMethod(Value):
    """Update `choose_refund_method`: the customer, or staff on the phone with the customer, says how to give back the money
    of a tender (`target`) that the gateway cannot refund. Nobody chooses for the customer: without this the run waits."""

    actor: Actor
    target: Target
    method: RefundMethod
    note: Note = ""
    signature: MessageSignature | None = None


class Acknowledgement(Value):
    """Answer of a steering update: where the run stands now, in a sentence."""

    state: State
    sentence: str


class PutOff(Value):
    """An event that is about an ended cancellation of the run's order, and that is looked at when the run's own has ended;
    `due_at` is by when somebody should have seen to that."""

    cancellation_id: str
    due_at: AwareDatetime


class ShipmentEvent(Value):
    """Signal `shipment_event`: the carrier said something about a parcel. Tolerant on purpose: a signal that does not
    parse is lost without a trace, so every field may be missing and an unknown group is `None`. It only wakes the run
    up; the run reads the carrier itself before it acts."""

    event_id: str = ""
    shipment_id: str | None = None
    tracking_number: str | None = None
    group: GoodsGroup | str | None = None
    put_off: PutOff | None = None


class RefundEvent(Value):
    """Signal `refund_event`: the gateway said something about a refund, or about a payment: `subject` is its id. As tolerant
    as `ShipmentEvent`."""

    event_id: str = ""
    subject: str | None = None
    status: RefundStatus | str | None = None
    put_off: PutOff | None = None
