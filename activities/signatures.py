"""The signatures of the activities: name, input, result. All that the workflow knows of them.

One pydantic model each way. Nearly every step takes a `StepInput` and answers with what the books have written since: the
activity reads the cancellation's facts itself, so nothing of them travels through the run a second time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from domain.base import Value
from domain.decision import Decision
from domain.facts import Entry, Requested, Written
from domain.keys import EffectKey
from domain.messages import Quote
from domain.outcome import CancellationResult
from domain.plan import Plan
from domain.request import CancellationRequest
from domain.step import StepName

In = TypeVar("In", bound="StepInput")
Out = TypeVar("Out", bound=Value)


class StepInput(Value):
    """What every step is given. `target` is the order, shipment or tender that it is about. `key` is the idempotency key of
    its effect; it is made in the workflow, from business ids, so that every attempt of every worker uses the same one.
    `last_seq` is the number of the last entry of the books that the run has. `at` is the engine's time when
    the attempt was ordered; only a local one has it, whose own info gives this machine's time."""

    cancellation_id: str
    order_id: str
    target: str
    key: EffectKey
    last_seq: int = 0
    at: datetime | None = None


class Booked(Value):
    """The entries of the books above `last_seq`, whoever wrote them."""

    entries: tuple[Entry, ...]


class VerifyOrder(StepInput):
    """`requested_at` is when the request arrived. `look_again`: an event has arrived for an order whose cancellation may be
    over; check whether its outcome still holds."""

    request: CancellationRequest
    requested_at: datetime
    look_again: bool = False
    from_elsewhere: bool = False


class Verified(Booked):
    """`decision` is there when the books keep nothing of it: the order is unknown or somebody else's, or the request id was
    used before with other content. `customer_id` is the order's owner then, where the caller may know. `existing`: the
    cancellation was over before this run."""

    decision: Decision | None = None
    customer_id: str | None = None
    existing: bool = False


class Look(StepInput):
    """Read how something stands. With `poll` it answers only when there is something new; until then its attempts repeat
    every `poll`. Without it whatever is found is the answer."""

    poll: timedelta | None = None


class QuoteCancellation(StepInput):
    request: CancellationRequest


class RemindStaff(StepInput):
    """An approval is due; `escalated`: nobody answered the first reminder. `sentence` is the decision's."""

    sentence: str
    escalated: bool
    due_at: datetime


class RecordDecision(StepInput):
    """`requested` opens the cancellation where the books know none yet. `asked_after`: the last fact of the books when the
    run asked what this answers; 0: it has not asked."""

    requested: Requested
    said: Annotated[Written, Field(discriminator="kind")]
    asked_after: int = 0


class ReceiveRequest(StepInput):
    """Another request for the order than the one that this run began with. `ask_again_at`: when the cancellation that is
    under way may have ended."""

    requested: Requested
    request: CancellationRequest
    received_at: datetime
    ask_again_at: datetime


class ReceivedRequest(Booked):
    """What became of it. `decision`: it was decided without joining (its own cancellation has ended, or it is a stranger's),
    with `plan` and `result` where it has them. `deferred`: it is carried out by the product when the cancellation that is
    under way has ended. Neither: it has joined."""

    decision: Decision | None = None
    plan: Plan | None = None
    result: CancellationResult | None = None
    deferred: bool = False


@dataclass(frozen=True)
class Signature(Generic[In, Out]):
    """An activity by name."""

    name: StepName
    input: type[In]
    output: type[Out]


TAKE_UP = Signature(StepName.TAKE_UP, StepInput, Booked)
VERIFY_ORDER = Signature(StepName.VERIFY_ORDER, VerifyOrder, Verified)
QUOTE_CANCELLATION = Signature(StepName.QUOTE_CANCELLATION, QuoteCancellation, Quote)
STOP_SHIPMENT = Signature(StepName.STOP_SHIPMENT, StepInput, Booked)
CHECK_SHIPMENT = Signature(StepName.CHECK_SHIPMENT, Look, Booked)
REVERSE_PAYMENT = Signature(StepName.REVERSE_PAYMENT, StepInput, Booked)
GIVE_STORE_CREDIT = Signature(StepName.GIVE_STORE_CREDIT, StepInput, Booked)
CHECK_REFUND = Signature(StepName.CHECK_REFUND, Look, Booked)
CREDIT_REFUND = Signature(StepName.CREDIT_REFUND, StepInput, Booked)
CHECK_ORDER = Signature(StepName.CHECK_ORDER, StepInput, Booked)
CLOSE_ORDER = Signature(StepName.CLOSE_ORDER, StepInput, Booked)
CLOSE_CANCELLATION = Signature(StepName.CLOSE_CANCELLATION, StepInput, Booked)
RELEASE_ORDER = Signature(StepName.RELEASE_ORDER, StepInput, Booked)
RESUME_SHIPMENT = Signature(StepName.RESUME_SHIPMENT, StepInput, Booked)
RESTORE_PAYMENT = Signature(StepName.RESTORE_PAYMENT, StepInput, Booked)
REVOKE_REFUND = Signature(StepName.REVOKE_REFUND, StepInput, Booked)
REMIND_STAFF = Signature(StepName.REMIND_STAFF, RemindStaff, Booked)
RECORD_DECISION = Signature(StepName.RECORD_DECISION, RecordDecision, Booked)
RECEIVE_REQUEST = Signature(StepName.RECEIVE_REQUEST, ReceiveRequest, ReceivedRequest)

EXAMINE_COUNTERPARTS = "examine_counterparts"
"""The name of the only activity that is about no order."""
