"""The ways in which a step can be refused. One sentence each, for the person who has to act on it.

An adapter raises these; the worker turns them into Temporal failures (activities/failures.py). Anything else that is
raised is a programming error: it is retried and seen, and it never rolls back money.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The type of a failure, as the workflow, the Temporal UI and a caller see it."""

    ORDER_NOT_FOUND = "order_not_found"
    ORDER_HELD = "order_held"
    ORDER_LOCKED = "order_locked"
    ORDER_CHANGED = "order_changed"
    """Others have taken units out of the order while its cancellation was under way."""
    GOODS_LOST = "goods_lost"
    """They did not come back, and only a person can take them out of an order whose units are on sale at once."""
    SHIPMENT_NOT_STOPPABLE = "shipment_not_stoppable"
    STOP_NOT_UNDOABLE = "stop_not_undoable"
    PAYMENT_NOT_FOUND = "payment_not_found"
    PAYMENT_DISPUTED = "payment_disputed"
    REFUND_REFUSED = "refund_refused"
    """The customer's card, account or bank does not take it: they may have the money another way."""
    REFUND_UNCLEAR = "refund_unclear"
    """A no whose meaning is not known: a person looks before the customer is written to."""
    REFUND_EXCEEDS_CAPTURED = "refund_exceeds_captured"
    AMOUNT_REFUSED = "amount_refused"
    """The gateway does not take this amount."""
    BALANCE_EMPTY = "balance_empty"
    """The merchant's own balance at the gateway does not cover it."""
    ALREADY_REFUNDED = "already_refunded"
    REFUND_NOT_CANCELLABLE = "refund_not_cancellable"
    NO_MANDATE = "no_mandate"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    PROVIDER_REJECTED_CREDENTIALS = "provider_rejected_credentials"
    PROVIDER_REJECTED_SETTINGS = "provider_rejected_settings"
    """What we send, or how the account is set up, is not what the provider expects of us."""
    MAIL_REFUSED = "mail_refused"
    UNAVAILABLE = "unavailable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    REQUEST_CONFLICT = "request_conflict"
    ROLLED_BACK = "rolled_back"
    """Everything was undone, or is being undone: nothing else is carried out any more."""
    NOT_POSSIBLE = "not_possible"
    """What a person said cannot be done, or not by them."""
    AMOUNT_EXCEEDS_AT_MOST = "amount_exceeds_at_most"
    """More money would go out than this sender may give back."""
    UNDER_WAY = "under_way"
    """A cancellation of another scope is under way."""
    NOT_THE_HOLDER = "not_the_holder"
    """Another run writes for this cancellation."""
    HAS_ENDED = "has_ended"
    """This run has ended the cancellation already: its last task was repeated, or an attempt came late."""
    HELD_ELSEWHERE = "held_elsewhere"
    """A run of another namespace writes for this cancellation; a person may order to take over."""
    SUPERSEDED = "superseded"
    """The run's cancellation was taken over by a run of another namespace."""
    NOTHING_NEW = "nothing_new"
    """A look has found nothing that was not known: it is repeated after a while."""
    INTERNAL_ERROR = "internal_error"
    """A programming error: seen at once, and tried again at the pace of the rests."""


# Rule: What is ours to put right is tried again under the same key
OURS_TO_PUT_RIGHT = frozenset(
    {ErrorCode.PROVIDER_REJECTED_CREDENTIALS, ErrorCode.PROVIDER_REJECTED_SETTINGS, ErrorCode.BALANCE_EMPTY}
)
"""Nothing happened, and nothing speaks against the effect itself: once we have put it right, it is made under the same
key."""


class StepError(Exception):
    """A counterpart's answer that the process has to deal with. `booked`: what the books have learnt all the same."""

    code: ErrorCode

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.booked: object = None


class Refused(StepError):
    """The counterpart said no, and asking again will not change it."""


class Unavailable(StepError):
    """The counterpart cannot be asked at the moment. Nothing happened at a provider; in the books the same call under the
    same key finds what may have happened. Ask again, not before `retry_after` seconds when it named a time."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, message)
        self.retry_after = retry_after


class NotLocal(Unavailable):
    """The counterpart is asked over a network, so an ordinary attempt asks it. Nothing is wrong."""


class NothingNew(StepError):
    """A look has found nothing that was not known. Look again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(ErrorCode.NOTHING_NEW, message)
        self.retry_after = retry_after


class OutcomeUnknown(StepError):
    """The call was made and its answer was lost: the effect may exist. Look it up before acting again."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(ErrorCode.OUTCOME_UNKNOWN, message)
        self.retry_after = retry_after
