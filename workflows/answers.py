"""What a run answers: the receipt of a request, and the result. Both follow from the case."""

from temporalio.exceptions import ApplicationError

from domain.errors import ErrorCode
from domain.messages import Submission
from domain.outcome import CancellationResult, Outcome
from domain.policy import Decision, Rule, Verdict, order_not_found
from domain.request import CancellationRequest
from workflows.case import Case


def make_submission(case: Case, request: CancellationRequest) -> Submission:
    """The decision, and the amounts. Another request for the same order joins the cancellation that is under way; one that
    is not the owner's learns nothing of it."""
    verification = case.verification
    if verification is None:
        raise ApplicationError(case.rolled_back_because, type=ErrorCode.ROLLED_BACK)
    joined = request.request_id != case.request.request_id
    decision, plan = verification.decision, verification.plan
    if joined and request.customer_id is not None and request.customer_id != verification.customer_id:
        decision, plan = _find_no_order(request, decision), None
    known = verification.existing if plan is None else None
    return Submission(
        cancellation_id=case.cancellation_id,
        order_id=request.order_id,
        request_id=request.request_id,
        decision=decision,
        plan=plan,
        joined=joined,
        result=known.result if known and decision.rule is Rule.EXISTING_CANCELLATION else None,
    )


def _find_no_order(request: CancellationRequest, decision: Decision) -> Decision:
    return Decision(
        verdict=Verdict.REJECTED,
        rule=Rule.ORDER_NOT_FOUND,
        policy_version=decision.policy_version,
        sentence=order_not_found(request.order_id),
    )


def make_refusal_result(case: Case) -> CancellationResult:
    """The policy refused."""
    return _make_result(case, Outcome.REJECTED, case.decision.sentence if case.decision else "")


def make_closing_result(case: Case) -> CancellationResult:
    if case.plan and case.plan.left_out:
        sentence = "A part was cancelled; offer the customer a return for the rest."
        return _make_result(case, Outcome.PARTIALLY_CANCELLED, sentence)
    return _make_result(case, Outcome.CANCELLED, f"Order {case.order_id}: what was asked for is cancelled.")


def make_rolled_back_result(case: Case) -> CancellationResult:
    assert case.roll_back_cause is not None  # nothing is rolled back without a cause
    return _make_result(case, case.roll_back_cause.outcome, case.roll_back_cause.sentence)


def _make_result(case: Case, outcome: Outcome, sentence: str) -> CancellationResult:
    refunded, released = case.given_back or (None, None)
    return CancellationResult(
        cancellation_id=case.cancellation_id,
        order_id=case.order_id,
        customer_id=case.customer_id,
        outcome=outcome,
        sentence=sentence,
        decision=case.decision,
        goods=case.goods,
        money=case.money,
        paper=case.paper,
        refunded=refunded,
        released=released,
        credit_note=case.credit_note,
        left_out=case.plan.left_out if case.plan else (),
        steps=case.rows,
        actions=case.actions,
    )
