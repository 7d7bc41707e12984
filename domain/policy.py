"""The policy: who may cancel what, until when, and what needs a second person. The decision names the rule it took."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from domain.base import Value
from domain.money import Money
from domain.order import Order, OrderFlag, OrderState
from domain.payment import DisputeState, Payment
from domain.plan import NotCancellable, Plan, Terms, make_plan
from domain.request import ActorKind, CancellationRequest, ReasonCode
from domain.shipment import Tracking


class Verdict(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"
    NEEDS_APPROVAL = "needs_approval"


class Rule(StrEnum):
    """The rule that decided. The first group rejects, the second asks a second person, `within_policy` approves."""

    ORDER_NOT_FOUND = "order_not_found"
    REASON_NOT_ALLOWED = "reason_not_allowed"
    INVALID_SCOPE = "invalid_scope"
    ALREADY_CANCELLED = "already_cancelled"
    ALREADY_DELIVERED = "already_delivered"
    AMOUNT_EXCEEDS_REFUNDABLE = "amount_exceeds_refundable"
    REQUEST_CONFLICT = "request_conflict"

    ABOVE_LIMIT = "above_limit"
    OUTSIDE_WINDOW = "outside_window"
    FRAUD_REVIEW = "fraud_review"
    FINAL_SALE = "final_sale"

    WITHIN_POLICY = "within_policy"
    EXISTING_CANCELLATION = "existing_cancellation"


class Gate(StrEnum):
    """Before which step a second person's approval is due."""

    NONE = "none"
    BEFORE_STOPPING = "before_stopping"
    BEFORE_REVERSING = "before_reversing"


class Decision(Value):
    """`sentence` says it to a person. `allowed_reasons` and `maximum` tell what would have been accepted."""

    verdict: Verdict
    rule: Rule
    policy_version: str
    sentence: str
    gate: Gate = Gate.NONE
    allowed_reasons: tuple[ReasonCode, ...] = ()
    maximum: Money | None = None


_CUSTOMER = (
    ReasonCode.NO_LONGER_NEEDED,
    ReasonCode.ORDERED_BY_MISTAKE,
    ReasonCode.WRONG_ITEM_OR_ADDRESS,
    ReasonCode.FOUND_CHEAPER,
    ReasonCode.ARRIVES_TOO_LATE,
    ReasonCode.DUPLICATE_ORDER,
    ReasonCode.STATUTORY_WITHDRAWAL,
)
_MERCHANT = (
    ReasonCode.OUT_OF_STOCK,
    ReasonCode.PRICING_ERROR,
    ReasonCode.ADDRESS_PROBLEM,
    ReasonCode.CANNOT_SHIP,
    ReasonCode.STAFF_ERROR,
    ReasonCode.POLICY_VIOLATION,
)
_RISK = (ReasonCode.PAYMENT_DECLINED, ReasonCode.SUSPECTED_FRAUD, ReasonCode.CONFIRMED_FRAUD)
_SYSTEM = (ReasonCode.UNPAID_EXPIRED, ReasonCode.MARKETPLACE_CANCELLED)

REASONS_BY_ACTOR: Mapping[ActorKind, tuple[ReasonCode, ...]] = {
    ActorKind.CUSTOMER: (*_CUSTOMER, ReasonCode.OTHER),
    # Customer service and the refund department also pass on what a customer said.
    ActorKind.CUSTOMER_SERVICE: (*_CUSTOMER, *_MERCHANT, ReasonCode.OTHER),
    ActorKind.REFUND_DEPARTMENT: (*_CUSTOMER, *_MERCHANT, ReasonCode.OTHER),
    ActorKind.MERCHANT: (*_MERCHANT, ReasonCode.OTHER),
    ActorKind.RISK: (*_RISK, ReasonCode.OTHER),
    ActorKind.SYSTEM: (*_SYSTEM, ReasonCode.OTHER),
}


def order_not_found(order_id: str) -> str:
    return f"Order {order_id} was not found for this customer. Check the order number."


def request_conflict(request: CancellationRequest) -> str:
    return (
        f"Request {request.request_id} for order {request.order_id} was sent before with other content; send new content "
        "under a new request id."
    )


class Policy(Value):
    """A version of the merchant's rules (`policy.toml`)."""

    version: str
    window: timedelta
    """How long after the order was placed it may be cancelled without a second person."""
    approval_limits: tuple[Money, ...]
    """Per currency, the value above which a second person approves. A currency without a limit always needs one."""
    terms: Terms = Terms()

    def above_limit(self, value: Money) -> bool:
        limit = next((limit for limit in self.approval_limits if limit.currency == value.currency), None)
        return limit is None or value > limit

    def reject(self, rule: Rule, sentence: str, *, maximum: Money | None = None) -> Decision:
        return Decision(
            verdict=Verdict.REJECTED, rule=rule, policy_version=self.version, sentence=sentence, maximum=maximum
        )

    def not_found(self, order_id: str) -> Decision:
        """One and the same answer for an order that does not exist and for somebody else's: nobody learns which."""
        return self.reject(Rule.ORDER_NOT_FOUND, order_not_found(order_id))

    def conflict(self, request: CancellationRequest) -> Decision:
        """The request id was used before, for something else."""
        return self.reject(Rule.REQUEST_CONFLICT, request_conflict(request))

    def admits(self, order: Order, request: CancellationRequest) -> Decision | None:
        """The rules that need nothing but the OMS's order. None: go on and look at the payments and the parcels."""
        if request.customer_id is not None and request.customer_id != order.customer_id:
            return self.not_found(request.order_id)
        allowed = REASONS_BY_ACTOR[request.actor.kind]
        if request.reason not in allowed:
            return Decision(
                verdict=Verdict.REJECTED,
                rule=Rule.REASON_NOT_ALLOWED,
                policy_version=self.version,
                sentence=f"{request.actor.kind.value} may not give the reason {request.reason.value} for order "
                f"{order.order_id}; allowed are {', '.join(allowed)}.",
                allowed_reasons=allowed,
            )
        if order.state is OrderState.CANCELLED:
            return self.reject(Rule.ALREADY_CANCELLED, f"Order {order.order_id} is cancelled already.")
        return None

    def decide(
        self,
        *,
        cancellation_id: str,
        order: Order,
        request: CancellationRequest,
        payments: dict[str, Payment],
        trackings: dict[str, Tracking],
        now: datetime,
    ) -> tuple[Decision, Plan | None]:
        """The decision and, unless it rejects, the plan. `payments` by tender id and `trackings` by shipment id are the
        live truth, read a moment ago."""
        try:
            plan = make_plan(
                cancellation_id=cancellation_id,
                order=order,
                request=request,
                payments=payments,
                trackings=trackings,
                terms=self.terms,
            )
        except NotCancellable as no:
            return self.reject(Rule(no.reason), no.message, maximum=no.maximum), None
        asks = self._second_person(order, request, plan, now)
        if asks is None:
            return (
                Decision(
                    verdict=Verdict.APPROVED,
                    rule=Rule.WITHIN_POLICY,
                    policy_version=self.version,
                    sentence=_summary(plan, payments),
                ),
                plan,
            )
        rule, why, gate = asks
        return (
            Decision(
                verdict=Verdict.NEEDS_APPROVAL,
                rule=rule,
                policy_version=self.version,
                sentence=f"{why} A second person has to approve. {_summary(plan, payments)}",
                gate=gate,
            ),
            plan,
        )

    def _second_person(
        self, order: Order, request: CancellationRequest, plan: Plan, now: datetime
    ) -> tuple[Rule, str, Gate] | None:
        if OrderFlag.FRAUD_REVIEW in order.flags and plan.refund:
            # The parcel of a suspect must not leave while somebody looks; only the money waits for them.
            return Rule.FRAUD_REVIEW, f"Order {order.order_id} is under fraud review.", Gate.BEFORE_REVERSING
        if request.reason is ReasonCode.STATUTORY_WITHDRAWAL and OrderFlag.EU_CONSUMER in order.flags:
            # A right, not a favour: Directive 2011/83/EU, art. 9, gives 14 days from the receipt of the goods, and these
            # have not been received. No window, limit or sale condition of ours stands against it.
            return None
        if OrderFlag.FINAL_SALE in order.flags:
            return Rule.FINAL_SALE, f"Order {order.order_id} is a final sale.", Gate.BEFORE_STOPPING
        if now - order.placed_at > self.window:
            return (
                Rule.OUTSIDE_WINDOW,
                f"Order {order.order_id} was placed more than {self.window.days} days ago.",
                Gate.BEFORE_STOPPING,
            )
        if self.above_limit(plan.value):
            return (
                Rule.ABOVE_LIMIT,
                f"{plan.value} is above the limit that one person may decide on.",
                Gate.BEFORE_STOPPING,
            )
        return None


def _summary(plan: Plan, payments: Mapping[str, Payment]) -> str:
    """What will happen to money and goods, in one or two sentences."""
    parts = []
    if plan.refund:
        parts.append(f"refund {plan.refund}")
    if plan.release:
        parts.append(f"release {plan.release}")
    if not parts:
        parts.append("no money to give back")
    if plan.shipments:
        parts.append(f"stop {len(plan.shipments)} shipment{'s' if len(plan.shipments) > 1 else ''}")
    text = f"Order {plan.order_id}: {', '.join(parts)}."
    if plan.left_out:
        text += " Lines that have reached the customer stay; offer a return for them."
    if any(payment.dispute in {DisputeState.OPEN, DisputeState.LOST} for payment in payments.values()):
        text += " A disputed payment is not refunded until a person decides."
    return text
