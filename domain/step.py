"""The steps of a cancellation by name, how far one has come, and whose turn it is while it waits."""

from datetime import datetime
from enum import StrEnum

from domain.base import Value


class StepName(StrEnum):
    TAKE_UP = "take_up"
    VERIFY_ORDER = "verify_order"
    STOP_SHIPMENT = "stop_shipment"
    REVERSE_PAYMENT = "reverse_payment"
    GIVE_STORE_CREDIT = "give_store_credit"
    CREDIT_REFUND = "credit_refund"
    CLOSE_ORDER = "close_order"
    CHECK_REFUND = "check_refund"
    CLOSE_CANCELLATION = "close_cancellation"
    RELEASE_ORDER = "release_order"
    RESUME_SHIPMENT = "resume_shipment"
    RESTORE_PAYMENT = "restore_payment"
    REVOKE_REFUND = "revoke_refund"
    CHECK_SHIPMENT = "check_shipment"
    QUOTE_CANCELLATION = "quote_cancellation"
    REMIND_STAFF = "remind_staff"
    RECORD_DECISION = "record_decision"
    RECEIVE_REQUEST = "receive_request"
    CHECK_ORDER = "check_order"


MONEY_STEPS = frozenset({StepName.REVERSE_PAYMENT, StepName.GIVE_STORE_CREDIT})
"""Their first noted effect is the pivot."""

FINAL_STEPS = frozenset({StepName.CREDIT_REFUND, StepName.CLOSE_ORDER})
"""Where no money moves, the first of these to be noted is the pivot."""


UNDOABLE = frozenset({*MONEY_STEPS, StepName.STOP_SHIPMENT, StepName.CREDIT_REFUND})
"""Steps with an effect besides the hold, which the process itself takes off last. Which step undoes each stands in its row
(workflows/steps.py)."""

UNDOING = frozenset(
    {StepName.RELEASE_ORDER, StepName.RESUME_SHIPMENT, StepName.RESTORE_PAYMENT, StepName.REVOKE_REFUND}
)

IN_BOOKS_ONLY = frozenset(
    {
        StepName.CREDIT_REFUND,
        StepName.TAKE_UP,
        StepName.VERIFY_ORDER,
        StepName.CLOSE_CANCELLATION,
        StepName.RELEASE_ORDER,
        StepName.REVOKE_REFUND,
    }
)
"""Steps that happen in our own books, or that a person has no part in: nobody can do them outside."""


class StepStatus(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    DECLINED = "declined"
    NEEDS_ATTENTION = "needs_attention"
    RESOLVED = "resolved"
    FAILED = "failed"


class StepRow(Value):
    """One row of the step table. `target` is the order, shipment or tender that the step is about."""

    step: StepName
    target: str
    status: StepStatus
    detail: str = ""
    reference: str | None = None
    started_at: datetime
    ended_at: datetime | None = None


class Owner(StrEnum):
    """Whose turn it is while a run waits."""

    SECOND_PERSON = "second_person"
    SUPERVISOR = "supervisor"
    CARRIER = "carrier"
    GATEWAY = "gateway"
    OPERATIONS = "operations"
    REFUND_DEPARTMENT = "refund_department"
