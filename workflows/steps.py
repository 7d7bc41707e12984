"""The steps of the process: one typed row each. What a step takes, how it is retried, which answers are final, what
undoes it.

A first attempt that is local (`local_first`) has two seconds and no heartbeat. Three clocks bound the others. A worker that
is silent for `heartbeat` is given up, and another one goes on. `attempt` bounds one call. `round` bounds a series of
attempts; when it ends without an answer the step rests, visibly, and begins another round (workflows/step_runner.py): it
never gives up on its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as RoundEnded

from activities import signatures
from activities.signatures import In, Out, Signature
from domain import contract
from domain.errors import OURS_TO_PUT_RIGHT, ErrorCode
from domain.step import Owner, StepName


class Role(StrEnum):
    """What a refusal means. Compensatable: roll back. Pivot and retriable: forward only. Compensation: a person is asked. A
    look changes nothing at its counterpart; it writes a notice at most, and has a row in the step table only once a person
    has resolved it."""

    COMPENSATABLE = "compensatable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"
    COMPENSATION = "compensation"
    LOOK = "look"


_HEARTBEAT = timedelta(seconds=6)
"""A worker beats three times in it: long enough for a busy machine, short enough that a step whose worker was killed
is given to another one after seconds."""
_ATTEMPT = timedelta(seconds=30)
_LOCAL_ATTEMPT = timedelta(seconds=2)
"""The workflow's task stays open as long, and no message reaches the run."""
_LONGEST_PAUSE = timedelta(seconds=30)


# Rule: A step's row says when it is tried again, and which answers are final
@dataclass(frozen=True)
class Step(Generic[In, Out]):
    """`refusals` are the counterpart's final answers: no retry will change them. `owner` is whose turn it is when the
    step cannot go on, `counterpart` whose while its outcome, or its counterpart's answer, is waited for. `undo` is
    the step that takes its effect back. `local_first`: its first attempt is a local activity, because it is carried
    out in our own tables, and in an order management system that answers as quickly (`Orders.is_local`); any other is
    left to an ordinary attempt. Not for a step whose result a message is answered with: the SDK may lose that answer
    (docs/decisions/0097). `round` None: its attempts go on until there is an answer."""

    signature: Signature[In, Out]
    role: Role
    owner: Owner
    label: str
    refusals: frozenset[ErrorCode] = frozenset()
    undo: StepName | None = None
    counterpart: Owner | None = None
    local_first: bool = False
    heartbeat: timedelta = _HEARTBEAT
    attempt: timedelta = _ATTEMPT
    round: timedelta | None = timedelta(minutes=2)

    @property
    def name(self) -> StepName:
        return self.signature.name

    def summary(self, target: str) -> str:
        """What the Temporal UI shows beside the activity; the server takes 200 bytes."""
        return f"{self.label} {target}"[:200]

    @property
    def final_codes(self) -> frozenset[ErrorCode]:
        """The failures after which no further attempt is made in this round."""
        return self.refusals | OUR_FAULTS | OURS_TO_PUT_RIGHT | _NOT_OURS_TO_DO

    @property
    def retry(self) -> RetryPolicy:
        return RetryPolicy(
            initial_interval=timedelta(seconds=1),
            backoff_coefficient=2,
            maximum_interval=_LONGEST_PAUSE,
            non_retryable_error_types=sorted(self.final_codes - OURS_TO_PUT_RIGHT),  # these say so themselves
        )


def owner_of_wait(step: Step[Any, Any], *, in_time: bool = False, our_fault: bool = False) -> Owner:
    """Whose turn it is while the step waits: its counterpart's as long as that is `in_time`, then its owner's. `our_fault`:
    operations puts it right, whoever owns the step."""
    if our_fault:
        return Owner.OPERATIONS
    return step.counterpart if in_time and step.counterpart else step.owner


_NOT_OURS_TO_DO = frozenset(
    {
        ErrorCode.ORDER_HELD,
        ErrorCode.HELD_ELSEWHERE,
        ErrorCode.NOT_THE_HOLDER,
        ErrorCode.ROLLED_BACK,
        ErrorCode.HAS_ENDED,
    }
)
"""Another run has come first: this one reads the books again, or waits for a person to say which of the two continues. Or
the step is being undone, or the cancellation has ended, so it is not carried out any more."""

# Rule: A mistake of ours is seen at once, and the step is tried again
OUR_FAULTS = frozenset(
    {
        ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
        ErrorCode.PROVIDER_REJECTED_SETTINGS,
        ErrorCode.INTERNAL_ERROR,
        ErrorCode.IDEMPOTENCY_CONFLICT,
    }
)
"""No counterpart's answer: a wrong setting, a programming error, books that contradict each other. A person sees them
at once; the step goes on being tried at the pace of its rests, so that a corrected setting or a deploy heals it
without a click."""


# Rule: A step's row says whether its first attempt is made within the workflow's own task
async def attempt_step(
    step: Step[In, Out], target: str, step_input: In, *, when_not_local: Callable[[], None] = lambda: None
) -> Out:
    """Attempt the step for one round, first locally where its row says so. `when_not_local` is called where it does not, and
    when the local attempt has failed. Raises ApplicationError when the round ends without a result."""
    if step.local_first:
        try:
            return await _attempt_locally(step, step_input)
        except FailureError as error:
            failed = _failure_of(step, target, error)
        when_not_local()
        if failed.non_retryable or failed.type in step.final_codes:
            raise failed
        retry_after = failed.next_retry_delay  # a counterpart that named a time is not asked before it
        if retry_after and step.round and retry_after >= step.round:
            raise failed
        if retry_after and retry_after > timedelta(0):
            await workflow.sleep(retry_after, summary=f"{step.summary(target)}, again"[:200])
    else:
        when_not_local()
    try:
        result: Out = await workflow.execute_activity(
            step.name,
            step_input,
            result_type=step.signature.output,
            heartbeat_timeout=step.heartbeat,
            start_to_close_timeout=step.attempt,
            schedule_to_close_timeout=step.round,
            retry_policy=step.retry,
            summary=step.summary(target),
        )
    except ActivityError as error:
        raise _failure_of(step, target, error) from None
    return result


async def _attempt_locally(step: Step[In, Out], step_input: In) -> Out:
    """Once, within the workflow's own task: no task of its own, and one marker in the history."""
    local: Out = await workflow.execute_local_activity(
        step.name,
        step_input.model_copy(update={"at": workflow.now()}),
        result_type=step.signature.output,
        start_to_close_timeout=_LOCAL_ATTEMPT,
        retry_policy=RetryPolicy(maximum_attempts=1),
    )
    return local


# Rule: A look is repeated until there is something new
async def poll_step(step: Step[In, Out], target: str, step_input: In, pause: timedelta) -> Out:
    """A look whose attempts are repeated until they find something new, at most `pause` apart while nobody answers. It
    writes no event until then. Raises ApplicationError when it is cut short, or cannot continue."""
    try:
        result: Out = await workflow.execute_activity(
            step.name,
            step_input,
            result_type=step.signature.output,
            heartbeat_timeout=step.heartbeat,
            start_to_close_timeout=step.attempt,
            retry_policy=replace(step.retry, maximum_interval=pause),
            summary=step.summary(target),
        )
    except ActivityError as error:
        raise _failure_of(step, target, error) from None
    return result


def _failure_of(step: Step[Any, Any], target: str, error: FailureError) -> ApplicationError:
    """What has stopped an activity, as the failure that its last attempt raised. Temporal wraps the failure of an ordinary
    activity in an ActivityError, and of a local one does not. It wraps a local one's time-out when it happens, and does not
    when the run is replayed. At the end of a round the server wraps the last attempt's failure in a time-out, unless that
    attempt named a time itself; the server that skips time does not."""
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, RoundEnded) and isinstance(cause.cause, ApplicationError):
        cause = cause.cause
    if isinstance(cause, ApplicationError):
        return cause
    return ApplicationError(f"{step.summary(target)}: no answer within {step.round}.", type=ErrorCode.UNAVAILABLE)


_ANY_ANSWER = frozenset(set(ErrorCode) - {ErrorCode.UNAVAILABLE, ErrorCode.OUTCOME_UNKNOWN})
"""For steps whose sender waits for an answer: whatever the books say is final. They are asked again only while they do not
answer."""

VERIFY_ORDER = Step(
    signatures.VERIFY_ORDER,
    Role.COMPENSATABLE,
    Owner.OPERATIONS,
    "Verify and hold order",
    refusals=frozenset({ErrorCode.PAYMENT_NOT_FOUND, ErrorCode.SHIPMENT_NOT_STOPPABLE}),
    undo=StepName.RELEASE_ORDER,
    local_first=True,
)
VERIFY_ORDER_NOT_LOCAL = replace(VERIFY_ORDER, local_first=False)
TAKE_UP = Step(
    signatures.TAKE_UP,
    Role.RETRIABLE,
    Owner.OPERATIONS,
    "Take up the cancellation of order",
    local_first=True,
)
RECORD_DECISION = Step(
    signatures.RECORD_DECISION,
    Role.RETRIABLE,
    Owner.OPERATIONS,
    "Keep a decision about",
    refusals=_ANY_ANSWER,
    round=None,
)
RECEIVE_REQUEST = Step(
    signatures.RECEIVE_REQUEST,
    Role.RETRIABLE,
    Owner.OPERATIONS,
    "Receive a request for",
    refusals=_ANY_ANSWER,
    round=None,
)
QUOTE_CANCELLATION = Step(
    signatures.QUOTE_CANCELLATION,
    Role.LOOK,
    Owner.OPERATIONS,
    "Quote the cancellation of order",
    refusals=contract.QUOTE.refusals,
    attempt=timedelta(seconds=10),
    round=timedelta(seconds=20),
)
STOP_SHIPMENT = Step(
    signatures.STOP_SHIPMENT,
    Role.COMPENSATABLE,
    Owner.OPERATIONS,
    "Stop shipment",
    refusals=frozenset({ErrorCode.SHIPMENT_NOT_STOPPABLE}),
    undo=StepName.RESUME_SHIPMENT,
    counterpart=Owner.CARRIER,
)
CHECK_SHIPMENT = Step(
    signatures.CHECK_SHIPMENT, Role.LOOK, Owner.OPERATIONS, "Check shipment", counterpart=Owner.CARRIER
)
CHECK_ORDER = Step(
    signatures.CHECK_ORDER,
    Role.LOOK,
    Owner.OPERATIONS,
    "Check order",
    refusals=frozenset({ErrorCode.ORDER_CHANGED}),
    local_first=True,
)
REVERSE_PAYMENT = Step(
    signatures.REVERSE_PAYMENT,
    Role.PIVOT,
    Owner.REFUND_DEPARTMENT,
    "Void or refund tender",
    refusals=frozenset(
        {
            ErrorCode.PAYMENT_NOT_FOUND,
            ErrorCode.PAYMENT_DISPUTED,
            ErrorCode.REFUND_REFUSED,
            ErrorCode.REFUND_UNCLEAR,
            ErrorCode.REFUND_EXCEEDS_CAPTURED,
            ErrorCode.AMOUNT_REFUSED,
        }
    ),
    undo=StepName.RESTORE_PAYMENT,
    counterpart=Owner.GATEWAY,
)
GIVE_STORE_CREDIT = Step(
    signatures.GIVE_STORE_CREDIT,
    Role.RETRIABLE,
    Owner.REFUND_DEPARTMENT,
    "Give store credit in place of tender",
    refusals=frozenset({ErrorCode.REFUND_UNCLEAR, ErrorCode.REFUND_EXCEEDS_CAPTURED}),
    undo=StepName.RESTORE_PAYMENT,
)
CHECK_REFUND = Step(signatures.CHECK_REFUND, Role.LOOK, Owner.REFUND_DEPARTMENT, "Check refund of tender")
REMIND_STAFF = Step(
    signatures.REMIND_STAFF, Role.LOOK, Owner.OPERATIONS, "Remind staff of the approval of", local_first=True
)
CREDIT_REFUND = Step(
    signatures.CREDIT_REFUND,
    Role.RETRIABLE,
    Owner.REFUND_DEPARTMENT,
    "Credit note and ledger for order",
    undo=StepName.REVOKE_REFUND,
    local_first=True,
)
CLOSE_ORDER = Step(
    signatures.CLOSE_ORDER,
    Role.RETRIABLE,
    Owner.OPERATIONS,
    "Close order",
    refusals=frozenset({ErrorCode.ORDER_LOCKED, ErrorCode.ORDER_CHANGED, ErrorCode.GOODS_LOST}),
    local_first=True,
)
CLOSE_CANCELLATION = Step(
    signatures.CLOSE_CANCELLATION,
    Role.RETRIABLE,
    Owner.REFUND_DEPARTMENT,
    "Post the settlement, close the cancellation of",
    local_first=True,
)
RELEASE_ORDER = Step(
    signatures.RELEASE_ORDER,
    Role.COMPENSATION,
    Owner.OPERATIONS,
    "Take the hold off order",
    local_first=True,
)
RESUME_SHIPMENT = Step(
    signatures.RESUME_SHIPMENT,
    Role.COMPENSATION,
    Owner.OPERATIONS,
    "Let shipment go on",
    refusals=frozenset({ErrorCode.STOP_NOT_UNDOABLE, ErrorCode.SHIPMENT_NOT_STOPPABLE, ErrorCode.ORDER_NOT_FOUND}),
)
RESTORE_PAYMENT = Step(
    signatures.RESTORE_PAYMENT,
    Role.COMPENSATION,
    Owner.REFUND_DEPARTMENT,
    "Undo refund of tender",
    refusals=frozenset({ErrorCode.REFUND_NOT_CANCELLABLE, ErrorCode.NO_MANDATE, ErrorCode.PAYMENT_NOT_FOUND}),
)
REVOKE_REFUND = Step(
    signatures.REVOKE_REFUND,
    Role.COMPENSATION,
    Owner.REFUND_DEPARTMENT,
    "Revoke the credit note of order",
    local_first=True,
)

ALL_STEPS = (
    TAKE_UP,
    RECORD_DECISION,
    RECEIVE_REQUEST,
    VERIFY_ORDER,
    QUOTE_CANCELLATION,
    STOP_SHIPMENT,
    CHECK_SHIPMENT,
    CHECK_ORDER,
    REVERSE_PAYMENT,
    GIVE_STORE_CREDIT,
    REMIND_STAFF,
    CHECK_REFUND,
    CREDIT_REFUND,
    CLOSE_ORDER,
    CLOSE_CANCELLATION,
    RELEASE_ORDER,
    RESUME_SHIPMENT,
    RESTORE_PAYMENT,
    REVOKE_REFUND,
)

_BY_NAME = {step.name: step for step in ALL_STEPS}
UNDO_OF = {step.name: _BY_NAME[step.undo] for step in ALL_STEPS if step.undo is not None}
"""What undoes a step, by its row."""

BOUND_BY_LAW = (REVERSE_PAYMENT, GIVE_STORE_CREDIT, CREDIT_REFUND)
"""Steps whose waits are due no later than the law wants the money back."""
