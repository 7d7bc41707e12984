"""The policy: who may cancel what, until when, and what needs a second person. The decision names the rule it took."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from pydantic import model_validator

from domain.base import Value
from domain.clocks import RefundClock, refund_due
from domain.decision import Decision, Gate, Rule, Verdict, order_not_found, request_conflict
from domain.defects import defect_of
from domain.money import Money
from domain.order import Order, OrderFlag, OrderState, SaleCondition
from domain.payment import Payment
from domain.plan import Plan
from domain.planning import NotCancellable, make_plan
from domain.request import CHANGES_OF_MIND, ActorKind, CancellationRequest, LineScope, ReasonCode
from domain.shipment import Tracking
from domain.terms import Terms, terms_for


def above_at_most(plan: Plan, at_most: Money | None, advice: str) -> str:
    """Why somebody whose limit is `at_most` may not have this plan carried out."""
    return f"{plan.given_back} of order {plan.order_id} would go back, and at most {at_most} may here. {advice}"


class OnCondition(StrEnum):
    """What the policy does when a customer changes their mind about a line that was sold under a condition."""

    ALLOWED = "allowed"
    NEEDS_APPROVAL = "needs_approval"
    REFUSED = "refused"


class AbuseLimit(Value):
    """So many cancellations of one customer `within` so long are frequent: a second person looks at the next one."""

    cancellations: int
    within: timedelta


class CustomerHistory(Value):
    """How often the customer has changed their mind lately: cancellations that were carried out, of other orders."""

    cancellations: int = 0


class Mailboxes(Value):
    """Where staff reads of an approval that is due, and who reads of it when nobody answers. None: nobody is written to, and
    the list of waiting runs is all there is."""

    approvals: str | None = None
    escalations: str | None = None


class _Bound(NamedTuple):
    """The condition of sale that binds a request, what the policy does then, and the lines in words."""

    rule: Rule
    action: OnCondition
    lines: str


class _Approval(NamedTuple):
    """Why a second person has to approve, and before which step."""

    rule: Rule
    why: str
    gate: Gate = Gate.BEFORE_STOPPING


class Policy(Value):
    """A version of the merchant's rules (`policy.toml`)."""

    version: str
    window: timedelta
    """How long after the order was placed it may be cancelled without a second person."""
    approval_limits: tuple[Money, ...]
    """Per currency, the money that goes out above which a second person approves. A currency without a limit always needs
    one."""
    reasons: Mapping[ActorKind, tuple[ReasonCode, ...]]
    """Who may give which reason. An actor that is not listed may give none."""
    conditions: Mapping[SaleCondition, OnCondition] = {}
    """For lines that are no regular sale. A condition that is not listed needs approval."""
    abuse: AbuseLimit | None = None
    refund_clocks: tuple[RefundClock, ...] = ()
    mailboxes: Mailboxes = Mailboxes()
    terms: Terms = Terms()

    @model_validator(mode="after")
    def _clocks_run(self) -> "Policy":
        clocks = {name: given for name, given in self.terms if isinstance(given, timedelta)}
        for name, given in {"window": self.window, **clocks}.items():
            if given <= timedelta(0):
                raise ValueError(f"{name} must be longer than nothing")
        terms = self.terms
        if not terms.approval_reminder <= terms.approval_escalation <= terms.approval_expiry:
            raise ValueError("an approval is reminded of, escalated and expires: these times must be in that sequence")
        return self

    def above_limit(self, amount: Money) -> bool:
        limit = next((limit for limit in self.approval_limits if limit.currency == amount.currency), None)
        return limit is None or amount > limit

    def reject(self, rule: Rule, sentence: str, *, maximum: Money | None = None) -> Decision:
        return Decision(
            verdict=Verdict.REJECTED, rule=rule, policy_version=self.version, sentence=sentence, maximum=maximum
        )

    # Rule: An unknown order and somebody else's get one and the same answer
    def not_found(self, order_id: str) -> Decision:
        """One and the same answer for an order that does not exist and for somebody else's: nobody learns which."""
        return self.reject(Rule.ORDER_NOT_FOUND, order_not_found(order_id))

    def conflict(self, request: CancellationRequest) -> Decision:
        """The request id was used before, for something else."""
        return self.reject(Rule.REQUEST_CONFLICT, request_conflict(request))

    # Rule: An actor may give only the reasons that policy.toml allows them
    def reject_actor(self, order: Order, request: CancellationRequest) -> Decision | None:
        """What this actor may not ask, whether the request opens a cancellation or joins one. None: they may."""
        allowed = self.reasons.get(request.actor.kind, ())
        if request.reason not in allowed:
            return Decision(
                verdict=Verdict.REJECTED,
                rule=Rule.REASON_NOT_ALLOWED,
                policy_version=self.version,
                sentence=f"{request.actor.kind.value} may not give the reason {request.reason.value} for order "
                f"{order.order_id}; allowed are {', '.join(allowed)}.",
                allowed_reasons=allowed,
            )
        if request.shipping and request.actor.kind is ActorKind.CUSTOMER:
            return self.reject(
                Rule.INVALID_SCOPE,
                f"Only staff can refund shipping while lines of order {order.order_id} remain. Ask again without "
                "`shipping`.",
            )
        return None

    def reject_by_order(self, order: Order, request: CancellationRequest) -> Decision | None:
        """The rules that need nothing but the OMS's order, of its own customer. None: go on and look at the payments and the
        parcels."""
        if no := self.reject_actor(order, request):
            return no
        if order.state is OrderState.CANCELLED:
            return self.reject(Rule.ALREADY_CANCELLED, f"Order {order.order_id} is cancelled already.")
        if defect := defect_of(order):
            return self.reject(Rule.INVALID_ORDER, defect)
        return None

    def decide(
        self,
        *,
        cancellation_id: str,
        order: Order,
        request: CancellationRequest,
        payments: dict[str, Payment],
        trackings: dict[str, Tracking],
        history: CustomerHistory,
        now: datetime,
        learnt_at: datetime,
    ) -> tuple[Decision, Plan | None]:
        """The decision and, unless it rejects, the plan. `payments` by tender id and `trackings` by shipment id are the
        live truth, read a moment ago; `history` covers the time of the abuse limit. The legal clocks begin with `learnt_at`,
        when the request arrived."""
        try:
            plan = make_plan(
                cancellation_id=cancellation_id,
                order=order,
                request=request,
                payments=payments,
                trackings=trackings,
                terms=terms_for(self.terms, request.reason, suspect=OrderFlag.FRAUD_REVIEW in order.flags),
                refund_due=refund_due(self.refund_clocks, order, learnt_at),
            )
        except NotCancellable as no:
            return self.reject(Rule(no.reason), no.message, maximum=no.maximum), None
        suspect = OrderFlag.FRAUD_REVIEW in order.flags
        bound = None if suspect else self._bound(order, request, plan)
        if bound is None or bound.action is not OnCondition.REFUSED:
            if plan.exceeds(request.at_most):
                sentence = above_at_most(
                    plan, request.at_most, "Ask under a new request id, as somebody who may give it back."
                )
                return self.reject(Rule.AMOUNT_EXCEEDS_AT_MOST, sentence, maximum=request.at_most), None
            approval = self._second_person(order, request, plan, history, now)
            return self._accept(approval, _summary(plan, payments), suspect=suspect), plan
        others = _other_goods(order, request)
        if others is None:
            how_to_go_on = "Ask for the other lines, or for staff to decide."
            return self.reject(bound.rule, f"{bound.lines} cannot be cancelled by the customer. {how_to_go_on}"), None
        decision, plan_for_others = self.decide(
            cancellation_id=cancellation_id,
            order=order,
            request=others,
            payments=payments,
            trackings=trackings,
            history=history,
            now=now,
            learnt_at=learnt_at,
        )
        sentence = f"{decision.sentence} Not cancelled: {bound.lines}; the right to withdraw does not cover it."
        return decision.model_copy(update={"sentence": sentence}), plan_for_others

    def _accept(self, approval: _Approval | None, summary: str, *, suspect: bool) -> Decision:
        """The decision on a request that nothing rejects. `summary` says what its plan does."""
        if approval is None:
            return Decision(
                verdict=Verdict.APPROVED,
                rule=Rule.FRAUD_REVIEW if suspect else Rule.WITHIN_POLICY,
                policy_version=self.version,
                sentence=summary,
            )
        return Decision(
            verdict=Verdict.NEEDS_APPROVAL,
            rule=approval.rule,
            policy_version=self.version,
            sentence=f"{approval.why} A second person has to approve. {summary}",
            gate=approval.gate,
        )

    # Rule: A condition of sale binds a customer who changes their mind, as policy.toml says
    def _bound(self, order: Order, request: CancellationRequest, plan: Plan) -> _Bound | None:
        """The strictest condition of sale among the planned lines that binds this request. It binds only a customer who
        changes their mind. The statutory right of an EU consumer is stronger than a final sale, but does not exist for goods
        made to the customer's own specification (Directive 2011/83/EU, art. 16 (c))."""
        if request.reason not in CHANGES_OF_MIND:
            return None
        planned = {line.line_id for line in plan.lines}
        found = []
        for condition, rule in (
            (SaleCondition.CUSTOMISED, Rule.CUSTOMISED),
            (SaleCondition.FINAL_SALE, Rule.FINAL_SALE),
        ):
            if rule is Rule.FINAL_SALE and is_statutory(order, request):
                continue
            lines = [line.line_id for line in order.lines if line.condition is condition and line.line_id in planned]
            action = self.conditions.get(condition, OnCondition.NEEDS_APPROVAL)
            if lines and action is not OnCondition.ALLOWED:
                many = "s" if len(lines) > 1 else ""
                what = f"Line{many} {', '.join(lines)} of order {order.order_id} ({condition.replace('_', ' ')})"
                found.append(_Bound(rule, action, what))
        return max(found, key=lambda bound: bound.action is OnCondition.REFUSED, default=None)

    # Rule: A second person approves these, before this step; policy.toml has the limits
    def _second_person(
        self, order: Order, request: CancellationRequest, plan: Plan, history: CustomerHistory, now: datetime
    ) -> _Approval | None:
        """Why a second person has to approve; None: nobody has to."""
        if OrderFlag.FRAUD_REVIEW in order.flags:
            # The parcel of a suspect must not leave while somebody looks, whatever else the policy says; only money that was
            # taken waits for them.
            why = f"Order {order.order_id} is under fraud review."
            return _Approval(Rule.FRAUD_REVIEW, why, Gate.BEFORE_REVERSING) if plan.refund else None
        bound = self._bound(order, request, plan)
        if bound:
            return _Approval(bound.rule, f"{bound.lines} can only be cancelled with approval.")
        if is_statutory(order, request):
            # A right, not a favour: Directive 2011/83/EU, art. 9, gives 14 days from the receipt of the goods, and these
            # have not been received. No window, limit or count of ours stands against it.
            return None
        if now - order.placed_at > self.window:
            return _Approval(
                Rule.OUTSIDE_WINDOW, f"Order {order.order_id} was placed more than {_span(self.window)} ago."
            )
        if above := self._above_limit(order, plan):
            return above
        if self.abuse and request.reason in CHANGES_OF_MIND and history.cancellations >= self.abuse.cancellations:
            return _Approval(
                Rule.FREQUENT_CANCELLATIONS,
                f"The customer has cancelled {history.cancellations} other orders in {_span(self.abuse.within)}.",
            )
        return None

    # Rule: Whoever asks for an order part by part does not get past the limit
    def _above_limit(self, order: Order, plan: Plan) -> _Approval | None:
        """The limit is on what goes out of an order without a second person, by however many cancellations."""
        limit = "is above the limit that one person may decide on."
        if self.above_limit(plan.given_back):
            return _Approval(Rule.ABOVE_LIMIT, f"{plan.given_back} {limit}")
        if (
            plan.given_back
            and order.given_without_approval
            and self.above_limit(plan.given_back + order.given_without_approval)
        ):
            together = f"{plan.given_back}, with {order.given_without_approval} by earlier cancellations of the order,"
            return _Approval(Rule.ABOVE_LIMIT, f"{together} {limit}")
        return None


NOT_AGAINST_A_RIGHT = frozenset({Rule.OUTSIDE_WINDOW, Rule.ABOVE_LIMIT, Rule.FREQUENT_CANCELLATIONS, Rule.FINAL_SALE})
"""Rules that ask for a second person, and do not stand against a statutory withdrawal."""


def is_statutory(order: Order, request: CancellationRequest) -> bool:
    """An EU consumer withdraws by right."""
    return request.reason is ReasonCode.STATUTORY_WITHDRAWAL and OrderFlag.EU_CONSUMER in order.flags


def _other_goods(order: Order, request: CancellationRequest) -> CancellationRequest | None:
    """The same request without the goods made to the customer's specification: the right to withdraw holds for the others,
    and is not to be declared twice for them. None: it is no withdrawal from the whole order, or there are no others."""
    # By the order's own line ids, which nobody may be able to name in a request.
    others = tuple(
        LineScope.model_construct(line_id=line.line_id, quantity=line.remaining)
        for line in order.lines
        if line.remaining and line.condition is not SaleCondition.CUSTOMISED
    )
    if not (others and request.whole_order and is_statutory(order, request)):
        return None
    return request.model_copy(update={"lines": others})


def _span(span: timedelta) -> str:
    """In whole days where it is some, else in hours."""
    hours = span // timedelta(hours=1)
    return f"{hours} hours" if hours % 24 else f"{span.days} days"


# Rule: A part of a reservation is released by not capturing it [said in the decision]
def _summary(plan: Plan, payments: Mapping[str, Payment]) -> str:
    """What will happen to money and goods, in one or two sentences."""
    parts = []
    if plan.refund:
        parts.append(f"refund {plan.refund}")
    if released := plan.release - plan.not_captured:
        parts.append(f"release {released}")
    if plan.not_captured:
        parts.append(f"do not capture {plan.not_captured}")
    if closed := plan.unpaid - plan.left_open:
        parts.append(f"close the payment of {closed}, which was not completed")
    if plan.left_open:
        parts.append(f"do not take {plan.left_open}")
    if not parts:
        parts.append("no money to give back")
    if plan.shipments:
        parts.append(f"stop {len(plan.shipments)} shipment{'s' if len(plan.shipments) > 1 else ''}")
    text = f"Order {plan.order_id}: {', '.join(parts)}."
    if plan.rounding:
        more, than = (plan.rounding, "more") if plan.rounding.amount > 0 else (-plan.rounding, "less")
        text += f" That is {more} {than} than the lines are worth: the gateway takes no amount in between."
    if plan.not_captured:
        text += " It stays reserved until the rest of the payment is captured or the reservation expires."
    if plan.left_open:
        text += " Its payment was not completed and pays for more than this order, so it stays open; lower its amount."
    if plan.left_out:
        text += " Lines that cannot be stopped any more stay; offer a return for them."
    if any(payment.disputed for payment in payments.values()):
        text += " A disputed payment is not refunded until a person decides."
    return text
