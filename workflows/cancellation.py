"""The cancellation of an order: the process, top to bottom.

    verify the order and hold it → approval where it is due → stop every shipment → reverse every tender (the pivot)
    → credit the refund and wait until the money has settled → close the order

Before the pivot everything can be undone, and is, last step first. After it the process only goes forward. What the steps
come to in detail is in workflows/goods.py and workflows/money.py; how a step is carried to its own end, and how people
steer it, in workflows/steering.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.signatures import (
    CloseOrder,
    ReleaseOrder,
    RemindStaff,
    Verification,
    VerifyOrder,
)
from domain.errors import ErrorCode
from domain.messages import Submission
from domain.money import Money
from domain.outcome import (
    CancellationResult,
    CarriedOut,
    Outcome,
    Owner,
    PaperStatus,
    State,
    Wait,
    goods_status,
    money_status,
)
from domain.plan import Plan
from domain.policy import Decision, Gate, Rule, Verdict, order_not_found, request_conflict
from domain.request import Actor, ActorKind, CancellationRequest
from workflows import steps
from workflows.money import MoneySteps
from workflows.saga import RollBack, carried_to_its_end

SYSTEM = Actor(kind=ActorKind.SYSTEM, id="cancellation-workflow")


@dataclass(frozen=True)
class ApprovalStage:
    """How long the approval waits for this owner, and for what the timer is. `remind`: staff is written to as it begins."""

    lasts: timedelta
    owner: Owner
    then: str
    remind: bool = False


@workflow.defn(name="CancellationWorkflow")
class CancellationWorkflow(MoneySteps):
    """One run per order, id `cancel-order-{order_id}`, task queue `order-cancellation`."""

    @workflow.init
    def __init__(self, request: CancellationRequest) -> None:
        super().__init__(request)
        self.rolled_back = RollBack(Outcome.ROLLED_BACK, "")
        self.ended = False

    @workflow.run
    async def run(self, request: CancellationRequest) -> CancellationResult:
        try:
            result = await carried_to_its_end(self.cancel_order(request))
        except ApplicationError:
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result

    # The process

    async def cancel_order(self, request: CancellationRequest) -> CancellationResult:
        try:
            plan = await self.verify_order(request)
            if plan is None:
                return self.refused_or_known()
            await self.approval(Gate.BEFORE_STOPPING)
            plan = await self.stop_shipments(plan)
            await self.approval(Gate.BEFORE_REVERSING)
            plan = await self.stop_what_came_loose(plan)
            await self.reverse_payments(plan)
            await self.credit_refund(plan)
            plan = await self.stop_what_came_loose(plan)
            return await self.close_order(plan)
        except RollBack as cause:
            return await self.roll_back(cause)

    async def verify_order(self, request: CancellationRequest) -> Plan | None:
        """The decision and the plan; the order is held. None: there is nothing to carry out."""
        self.saga.register(self.release_order)
        rounds = count()
        verification = await self.carry_out(
            steps.VERIFY_ORDER,
            request.order_id,
            lambda key: VerifyOrder(
                **self.about(request.order_id, key),
                request=request,
                again=next(rounds) > 0,
                look_again=self.heard_before_verification,
            ),
        )
        assert isinstance(verification, Verification)  # no person can verify an order by hand
        if verification.existing:
            # An earlier run is over, and is told. Or it goes on under its own id, because it was lost before its end, or
            # because what it had achieved came undone: forward only, and every effect is looked up before it is made.
            self.journal.cancellation_id = verification.existing.cancellation_id
            self.journal.pivot_passed = True
            self.approved = verification.approved
            if verification.existing.carried_out and verification.plan:
                self.go_on_from(verification.existing.carried_out)
        self.verification = verification
        self.customer_id = verification.customer_id or self.customer_id
        self.journal.customer_id = verification.customer_id
        self.journal.decision = verification.decision
        self.current_plan = verification.plan
        self.journal.refund_due = verification.plan.refund_due if verification.plan else None
        self.journal.show()
        if verification.plan is not None:
            self.turn_if_wanted()
        return verification.plan

    def go_on_from(self, done: CarriedOut) -> None:
        """This cancellation was closed, and what it had achieved came undone."""
        self.reopened = True
        self.stops, self.reversals = list(done.stops), list(done.reversals)
        self.journal.goods = goods_status(self.stops, done.plan.left_out)
        self.journal.money = money_status(self.reversals, len(self.reversals))
        self.journal.credit_note = done.credit_note
        self.journal.paper = PaperStatus.CREDITED if done.credit_note else PaperStatus.NONE_NEEDED
        self.journal.acted("opened again: what it had achieved came undone", SYSTEM, "")

    async def approval(self, gate: Gate) -> None:
        """Wait for a second person where the decision asks for one at this gate; silence rolls back."""
        decision = self.decision
        if decision.gate is not gate or self.approved:
            return
        due_at = workflow.now() + self.terms.approval_expiry
        for stage in self.approval_stages():
            wait = Wait(state=State.WAITING_FOR_APPROVAL, owner=stage.owner, reason=decision.sentence, due_at=due_at)
            with self.journal.waiting(wait):
                if stage.remind:
                    await self.remind(decision, due_at, escalated=stage.owner is Owner.SUPERVISOR)
                answered = await self.until(lambda: self.approved or self.turning, stage.lasts, stage.then)
            if answered:
                break
        self.turn_if_wanted()
        if not self.approved:
            sentence = f"Nobody approved within {self.terms.approval_expiry}."
            raise self.turn_round(RollBack(Outcome.ROLLED_BACK, sentence))
        self.journal.went_on()

    def approval_stages(self) -> Iterator[ApprovalStage]:
        """Asked, reminded of, escalated to the supervisor; each lasts until the next one."""
        expiry = self.terms.approval_expiry
        reminder = min(self.terms.approval_reminder, expiry)
        yield ApprovalStage(reminder, Owner.SECOND_PERSON, "Remind of the approval")
        if not workflow.patched("approvals-are-escalated"):
            self.journal.acted("reminder: the approval is still due", SYSTEM, "")
            yield ApprovalStage(expiry - reminder, Owner.SECOND_PERSON, "The approval expires")
            return
        escalation = max(reminder, min(self.terms.approval_escalation, expiry))
        yield ApprovalStage(escalation - reminder, Owner.SECOND_PERSON, "Escalate the approval", remind=True)
        yield ApprovalStage(expiry - escalation, Owner.SUPERVISOR, "The approval expires", remind=True)

    async def remind(self, decision: Decision, due_at: datetime, *, escalated: bool) -> None:
        """Tell staff; that nobody can be told holds nothing up."""
        self.journal.acted(
            "escalated: nobody has answered" if escalated else "reminder: the approval is due", SYSTEM, ""
        )
        order_id = self.request.order_id
        await self.look(
            steps.REMIND_STAFF,
            order_id,
            lambda key: RemindStaff(
                **self.about(order_id, key), sentence=decision.sentence, escalated=escalated, due_at=due_at
            ),
        )

    async def close_order(self, plan: Plan) -> CancellationResult:
        result = self.closing_result(plan)
        await self.carry_out(
            steps.CLOSE_ORDER,
            plan.order_id,
            lambda key: CloseOrder(
                **self.about(plan.order_id, key),
                plan=plan,
                stops=tuple(self.stops),
                reversals=tuple(self.reversals),
                result=result,
            ),
        )
        return self.end(self.closing_result(plan))

    # Roll-back: the compensations, each conditional, each carried to its own end

    async def roll_back(self, cause: RollBack) -> CancellationResult:
        self.rolled_back = cause
        self.journal.rolling_back(cause.sentence)
        await self.saga.roll_back()
        result = self.end(self.rolled_back_result())
        if cause.failed:
            raise ApplicationError(cause.sentence, result, type=ErrorCode.ROLLED_BACK, non_retryable=True)
        return result

    async def release_order(self) -> None:
        order_id = self.request.order_id
        await self.carry_out(
            steps.RELEASE_ORDER,
            order_id,
            lambda key: ReleaseOrder(**self.about(order_id, key), result=self.rolled_back_result()),
        )

    # Details

    @property
    def decision(self) -> Decision:
        assert self.journal.decision is not None  # made by verify_order, before anything else
        return self.journal.decision

    def refused_or_known(self) -> CancellationResult:
        """Nothing to carry out: the policy refused, or the order book knows the end of this cancellation already."""
        assert self.verification is not None
        known = self.verification.existing
        if known and known.result:
            result = known.result.model_copy(update={"existing": True})
            self.journal.goods, self.journal.money, self.journal.paper = result.goods, result.money, result.paper
            self.journal.credit_note = result.credit_note
            return self.end(result)
        return self.end(self.result(Outcome.REJECTED, self.decision.sentence))

    def closing_result(self, plan: Plan) -> CancellationResult:
        if plan.left_out:
            return self.result(
                Outcome.PARTIALLY_CANCELLED, "A part was cancelled; offer the customer a return for the rest."
            )
        return self.result(Outcome.CANCELLED, f"Order {plan.order_id}: what was asked for is cancelled.")

    def rolled_back_result(self) -> CancellationResult:
        return self.result(self.rolled_back.outcome, self.rolled_back.sentence)

    def result(self, outcome: Outcome, sentence: str) -> CancellationResult:
        plan = self.current_plan
        back = None
        if plan:
            back = (
                Money.total((reversal.refunded for reversal in self.reversals), plan.currency),
                Money.total((reversal.released for reversal in self.reversals), plan.currency),
            )
        return CancellationResult(
            cancellation_id=self.journal.cancellation_id,
            order_id=self.request.order_id,
            customer_id=self.journal.customer_id,
            outcome=outcome,
            sentence=sentence,
            decision=self.journal.decision,
            goods=self.journal.goods,
            money=self.journal.money,
            paper=self.journal.paper,
            refunded=back[0] if back else None,
            released=back[1] if back else None,
            credit_note=self.journal.credit_note,
            left_out=plan.left_out if plan else (),
            steps=self.journal.rows,
            actions=tuple(self.journal.actions),
        )

    def end(self, result: CancellationResult) -> CancellationResult:
        self.journal.close(State(result.outcome.value))
        self.ended = True
        return result

    # The request again

    @workflow.update
    async def submit(self, request: CancellationRequest) -> Submission:
        """Answers after verification with the decision and the amounts; sent together with the start of the run. Another
        request for the same order joins the cancellation that is under way."""
        await workflow.wait_condition(lambda: self.verification is not None or self.ended)
        seen = self.verification
        if seen is None:
            raise ApplicationError(self.rolled_back.sentence, type=ErrorCode.ROLLED_BACK)
        joined = request.request_id != self.request.request_id
        stranger = request.customer_id is not None and request.customer_id != seen.customer_id
        if joined and stranger:
            not_found = Decision(
                verdict=Verdict.REJECTED,
                rule=Rule.ORDER_NOT_FOUND,
                policy_version=seen.decision.policy_version,
                sentence=order_not_found(request.order_id),
            )
            return self.submission(request, not_found, None, joined=True)
        return self.submission(request, seen.decision, seen.plan, joined=joined)

    @submit.validator
    def _may_submit(self, request: CancellationRequest) -> None:
        if request.order_id != self.request.order_id:
            raise ApplicationError(f"This run cancels order {self.request.order_id}, not {request.order_id}.")
        if request.request_id == self.request.request_id and request != self.request:
            raise ApplicationError(request_conflict(request), type=ErrorCode.REQUEST_CONFLICT)

    def submission(
        self, request: CancellationRequest, decision: Decision, plan: Plan | None, *, joined: bool
    ) -> Submission:
        known = self.verification.existing if self.verification and plan is None else None
        return Submission(
            cancellation_id=self.journal.cancellation_id,
            order_id=request.order_id,
            request_id=request.request_id,
            decision=decision,
            plan=plan,
            joined=joined,
            result=known.result if known and decision.rule is Rule.EXISTING_CANCELLATION else None,
        )
