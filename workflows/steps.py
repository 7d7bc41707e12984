"""The steps of the process: one typed row each. What a step may take, how it is retried, and which answers are final.

Three clocks bound a step. A worker that is silent for `heartbeat` is taken for dead, and another one goes on. `attempt`
bounds one call. `round` bounds a series of attempts; when it ends without an answer the step rests, visibly, and begins
another round (workflows/step_runner.py): it never gives up on its own.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Generic

from temporalio import workflow
from temporalio.common import RetryPolicy

from activities import signatures
from activities.signatures import In, Out, Signature
from domain.errors import ErrorCode
from domain.outcome import Owner


class Role(StrEnum):
    """What a failure means. Compensatable: roll back. Pivot and retriable: forward only. A look moves neither goods nor
    money, so nothing waits for it; it writes a notice at most."""

    COMPENSATABLE = "compensatable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"
    COMPENSATION = "compensation"
    LOOK = "look"


@dataclass(frozen=True)
class Step(Generic[In, Out]):
    """`refusals` are the answers that no retry will change. `owner` is whose turn it is when the step cannot go on."""

    signature: Signature[In, Out]
    role: Role
    owner: Owner
    label: str
    refusals: frozenset[ErrorCode] = frozenset()
    heartbeat: timedelta = timedelta(seconds=6)
    attempt: timedelta = timedelta(seconds=30)
    round: timedelta = timedelta(minutes=2)

    def summary(self, target: str) -> str:
        """What the Temporal UI shows beside the activity; the server takes 200 bytes."""
        return f"{self.label} {target}"[:200]

    @property
    def retry(self) -> RetryPolicy:
        return RetryPolicy(
            initial_interval=timedelta(seconds=1),
            backoff_coefficient=2,
            maximum_interval=timedelta(seconds=30),
            non_retryable_error_types=sorted(self.refusals),
        )


async def attempt_step(step: Step[In, Out], target: str, step_input: In) -> Out:
    """One round of attempts, in the words of the step's row. Raises ActivityError when it ends without a result."""
    result: Out = await workflow.execute_activity(
        step.signature.name,
        step_input,
        result_type=step.signature.gives,
        heartbeat_timeout=step.heartbeat,
        start_to_close_timeout=step.attempt,
        schedule_to_close_timeout=step.round,
        retry_policy=step.retry,
        summary=step.summary(target),
    )
    return result


_NO_ACCESS = ErrorCode.PROVIDER_REJECTED_CREDENTIALS

VERIFY_ORDER = Step(
    signatures.VERIFY_ORDER,
    Role.COMPENSATABLE,
    Owner.OPERATIONS,
    "Verify and hold order",
    refusals=frozenset({ErrorCode.ORDER_HELD, ErrorCode.PAYMENT_NOT_FOUND, _NO_ACCESS}),
)
QUOTE_CANCELLATION = Step(
    signatures.QUOTE_CANCELLATION,
    Role.LOOK,
    Owner.OPERATIONS,
    "Quote the cancellation of order",
    refusals=frozenset({ErrorCode.PAYMENT_NOT_FOUND, _NO_ACCESS}),
    attempt=timedelta(seconds=10),
    round=timedelta(seconds=20),
)
STOP_SHIPMENT = Step(
    signatures.STOP_SHIPMENT,
    Role.COMPENSATABLE,
    Owner.CARRIER,
    "Stop shipment",
    refusals=frozenset({ErrorCode.SHIPMENT_NOT_STOPPABLE, _NO_ACCESS}),
)
CHECK_SHIPMENT = Step(signatures.CHECK_SHIPMENT, Role.LOOK, Owner.CARRIER, "Look for shipment")
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
            ErrorCode.REFUND_EXCEEDS_CAPTURED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
            _NO_ACCESS,
        }
    ),
)
GIVE_STORE_CREDIT = Step(
    signatures.GIVE_STORE_CREDIT,
    Role.RETRIABLE,
    Owner.REFUND_DEPARTMENT,
    "Give store credit in place of tender",
    refusals=frozenset({ErrorCode.REFUND_EXCEEDS_CAPTURED, ErrorCode.IDEMPOTENCY_CONFLICT}),
)
CHECK_REFUND = Step(signatures.CHECK_REFUND, Role.LOOK, Owner.GATEWAY, "Look whether the refund has settled, tender")
REMIND_STAFF = Step(signatures.REMIND_STAFF, Role.LOOK, Owner.OPERATIONS, "Remind staff of the approval of")
CREDIT_REFUND = Step(
    signatures.CREDIT_REFUND,
    Role.RETRIABLE,
    Owner.REFUND_DEPARTMENT,
    "Credit note and ledger for order",
    refusals=frozenset({ErrorCode.IDEMPOTENCY_CONFLICT}),
)
CLOSE_ORDER = Step(
    signatures.CLOSE_ORDER,
    Role.RETRIABLE,
    Owner.OPERATIONS,
    "Close order",
    refusals=frozenset({ErrorCode.ORDER_LOCKED, ErrorCode.ORDER_HELD}),
)
RELEASE_ORDER = Step(
    signatures.RELEASE_ORDER,
    Role.COMPENSATION,
    Owner.OPERATIONS,
    "Take the hold off order",
    refusals=frozenset({ErrorCode.ORDER_LOCKED}),
)
RESUME_SHIPMENT = Step(
    signatures.RESUME_SHIPMENT,
    Role.COMPENSATION,
    Owner.OPERATIONS,
    "Let shipment go on",
    refusals=frozenset({ErrorCode.STOP_NOT_UNDOABLE, ErrorCode.SHIPMENT_NOT_STOPPABLE, _NO_ACCESS}),
)
RESTORE_PAYMENT = Step(
    signatures.RESTORE_PAYMENT,
    Role.COMPENSATION,
    Owner.REFUND_DEPARTMENT,
    "Take back or reserve again, tender",
    refusals=frozenset(
        {ErrorCode.REFUND_NOT_CANCELLABLE, ErrorCode.NO_MANDATE, ErrorCode.PAYMENT_NOT_FOUND, _NO_ACCESS}
    ),
)
REVOKE_REFUND = Step(signatures.REVOKE_REFUND, Role.COMPENSATION, Owner.REFUND_DEPARTMENT, "Revoke the credit note of")

ALL_STEPS = (
    VERIFY_ORDER,
    QUOTE_CANCELLATION,
    STOP_SHIPMENT,
    CHECK_SHIPMENT,
    REVERSE_PAYMENT,
    GIVE_STORE_CREDIT,
    REMIND_STAFF,
    CHECK_REFUND,
    CREDIT_REFUND,
    CLOSE_ORDER,
    RELEASE_ORDER,
    RESUME_SHIPMENT,
    RESTORE_PAYMENT,
    REVOKE_REFUND,
)

MONEY_STEPS = (REVERSE_PAYMENT, GIVE_STORE_CREDIT, CREDIT_REFUND)
"""What stands between the customer and the money once the process is past the pivot."""
