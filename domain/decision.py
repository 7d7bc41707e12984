"""What the policy answers to a request, by which rule, and its sentences where no order is read."""

from enum import StrEnum

from domain.base import Value
from domain.money import Money
from domain.request import CancellationRequest, ReasonCode


class Verdict(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"
    NEEDS_APPROVAL = "needs_approval"


class Rule(StrEnum):
    """The rule that decided. The first group rejects, the second asks a second person, the third does one or the other as
    the policy says, `within_policy` approves."""

    ORDER_NOT_FOUND = "order_not_found"
    REASON_NOT_ALLOWED = "reason_not_allowed"
    INVALID_SCOPE = "invalid_scope"
    INVALID_ORDER = "invalid_order"
    ALREADY_CANCELLED = "already_cancelled"
    ALREADY_DELIVERED = "already_delivered"
    AMOUNT_EXCEEDS_REFUNDABLE = "amount_exceeds_refundable"
    GIFT_CARD_USED = "gift_card_used"
    AMOUNT_EXCEEDS_AT_MOST = "amount_exceeds_at_most"
    REQUEST_CONFLICT = "request_conflict"

    ABOVE_LIMIT = "above_limit"
    OUTSIDE_WINDOW = "outside_window"
    FRAUD_REVIEW = "fraud_review"
    FREQUENT_CANCELLATIONS = "frequent_cancellations"

    FINAL_SALE = "final_sale"
    CUSTOMISED = "customised"

    WITHIN_POLICY = "within_policy"
    EXISTING_CANCELLATION = "existing_cancellation"


class Gate(StrEnum):
    """Before which step a second person's approval is due."""

    NONE = "none"
    BEFORE_STOPPING = "before_stopping"
    BEFORE_REVERSING = "before_reversing"


class Decision(Value):
    """`sentence` says it to a person. `allowed_reasons` and `maximum` say what would have been accepted."""

    verdict: Verdict
    rule: Rule
    policy_version: str
    sentence: str
    gate: Gate = Gate.NONE
    allowed_reasons: tuple[ReasonCode, ...] = ()
    maximum: Money | None = None

    def describe(self, *, is_answered: bool) -> str:
        """The sentence; nothing where it asks for an approval that has been given or refused since, because it would be
        read as if somebody still had to approve."""
        return "" if is_answered and self.verdict is Verdict.NEEDS_APPROVAL else self.sentence


def order_not_found(order_id: str) -> str:
    return f"Order {order_id} was not found for this customer. Check the order number."


def request_conflict(request: CancellationRequest) -> str:
    return (
        f"Request {request.request_id} for order {request.order_id} was sent before with other content; send new content "
        "under a new request id."
    )


def existing_decision(first: Decision, order_id: str) -> Decision:
    """The answer to another request for an order that is cancelled already: the existing cancellation."""
    return Decision(
        verdict=Verdict.APPROVED,
        rule=Rule.EXISTING_CANCELLATION,
        policy_version=first.policy_version,
        sentence=f"Order {order_id} is already cancelled.",
    )
