"""The cancellation of an order: the process, top to bottom.

    verify the order and hold it → approval where it is due → stop every shipment → reverse every tender (the pivot)
    → credit the refund and wait until the money has settled → close the order

Before the pivot everything can be undone, and is, last step first. After it the process only goes forward.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.signatures import (
    CheckRefund,
    CheckShipment,
    CloseOrder,
    CreditRefund,
    GiveStoreCredit,
    ReleaseOrder,
    RemindStaff,
    RestorePayment,
    ResumeShipment,
    ReversePayment,
    RevokeRefund,
    StopShipment,
    Verification,
    VerifyOrder,
)
from domain.errors import ErrorCode
from domain.messages import Resolution, ResolveStep, Submission
from domain.money import Money
from domain.outcome import (
    ByHand,
    CancellationResult,
    GoodsStatus,
    MoneyStatus,
    Outcome,
    Owner,
    PaperStatus,
    Reversal,
    State,
    StepStatus,
    Wait,
    goods_status,
    money_status,
)
from domain.plan import Plan, PlannedLine, PlannedShipment, PlannedTender, RefundIntercepted, RefundMethod
from domain.policy import Decision, Gate, Rule, Verdict, order_not_found, request_conflict
from domain.request import Actor, ActorKind, CancellationRequest
from domain.shipment import Stop, StopAction, StopStatus
from workflows import steps
from workflows.saga import RollBack, Saga, carried_to_its_end
from workflows.steering import AnotherWay, SteeredWorkflow, due

SYSTEM = Actor(kind=ActorKind.SYSTEM, id="cancellation-workflow")


@dataclass(frozen=True)
class ApprovalStage:
    """How long the approval waits for this owner, and for what the timer is. `remind`: staff is written to as it begins."""

    lasts: timedelta
    owner: Owner
    then: str
    remind: bool = False


@workflow.defn(name="CancellationWorkflow")
class CancellationWorkflow(SteeredWorkflow):
    """One run per order, id `cancel-order-{order_id}`, task queue `order-cancellation`."""

    @workflow.init
    def __init__(self, request: CancellationRequest) -> None:
        super().__init__(request)
        self.saga = Saga()
        self.verification: Verification | None = None
        self.stops: list[Stop] = []
        self.stopped_at = workflow.now()
        self.heard_when_stopped = 0
        self.reversals: list[Reversal] = []
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
        verification = await self.carry_out(
            steps.VERIFY_ORDER,
            request.order_id,
            lambda key: VerifyOrder(
                **self.about(request.order_id, key), request=request, look_again=self.heard_before_verification
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
                self.reopened = True
                self.stops = list(verification.existing.carried_out.stops)
                self.reversals = list(verification.existing.carried_out.reversals)
        self.verification = verification
        self.customer_id = verification.customer_id or self.customer_id
        self.journal.decision = verification.decision
        self.current_plan = verification.plan
        self.journal.refund_due = verification.plan.refund_due if verification.plan else None
        self.journal.show()
        if verification.plan is not None:
            self.turn_if_wanted()
        return verification.plan

    async def approval(self, gate: Gate) -> None:
        """Wait for a second person where the decision asks for one at this gate; silence rolls back."""
        decision = self.decision
        if decision.gate is not gate or self.approved:
            return
        due_at = due(self.terms.approval_expiry)
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

    async def stop_shipments(self, plan: Plan) -> Plan:
        """Stop every parcel that is not known to be stopped."""
        known = {stop.shipment_id for stop in self.stops}
        moving = [planned for planned in plan.shipments if planned.shipment.shipment_id not in known]
        for planned in moving:
            self.saga.register(partial(self.resume_shipment, planned.shipment.shipment_id))
        return await self.stop(plan, moving)

    async def stop_what_came_loose(self, plan: Plan) -> Plan:
        """A label that was voided may be used all the same: after a wait, or when the carrier has told of it, every such
        parcel is stopped again. One that lies still is only looked at."""
        voided = {
            stop.shipment_id
            for stop in self.stops
            if stop.action is StopAction.VOID_LABEL and stop.status is StopStatus.STOPPED
        }
        waited = workflow.now() - self.stopped_at >= self.terms.carrier_poll
        heard = self.heard_of_parcels > self.heard_when_stopped
        doubtful = [planned for planned in plan.shipments if planned.shipment.shipment_id in voided]
        if not doubtful or not (waited or heard) or not workflow.patched("voided-labels-are-looked-at-again"):
            return plan
        return await self.stop(plan, doubtful)

    async def stop(self, plan: Plan, shipments: Sequence[PlannedShipment]) -> Plan:
        """Stop these parcels; the lines of those that the carrier did not stop leave the plan as a return offer."""
        stops = await self.each([self.stop_shipment(planned) for planned in shipments])
        again = {stop.shipment_id for stop in stops}
        self.stops = [stop for stop in self.stops if stop.shipment_id not in again] + stops
        self.stopped_at, self.heard_when_stopped = workflow.now(), self.heard_of_parcels
        declined = frozenset(stop.shipment_id for stop in self.stops if stop.status is StopStatus.DECLINED)
        self.current_plan = plan = plan.without(declined)
        self.journal.goods = goods_status(self.stops, plan.left_out)
        self.turn_if_wanted()
        if not plan.lines:
            sentence = "The carrier did not stop the goods; offer the customer a return."
            raise self.turn_round(RollBack(Outcome.REJECTED, sentence))
        return plan

    async def stop_shipment(self, planned: PlannedShipment) -> Stop:
        shipment_id = planned.shipment.shipment_id
        stop = await self.carry_out(
            steps.STOP_SHIPMENT, shipment_id, lambda key: StopShipment(**self.about(shipment_id, key))
        )
        when = self.terms.refund_intercepted
        if (
            isinstance(stop, Stop)
            and stop.status is StopStatus.REQUESTED
            and when is not RefundIntercepted.ON_ACCEPTANCE
        ):
            self.journal.goods = GoodsStatus.WAITING
            stop = await self.watch(
                steps.STOP_SHIPMENT,
                shipment_id,
                stop,
                state=State.WAITING_FOR_CARRIER,
                owner=Owner.CARRIER,
                why="The carrier took the intercept; its tracking has not told the outcome yet.",
                patience=self.terms.carrier_patience,
                poll=self.terms.carrier_poll,
                look=lambda now: self.look(
                    steps.CHECK_SHIPMENT,
                    shipment_id,
                    lambda key: CheckShipment(**self.about(shipment_id, key), stop=now, refund_intercepted=when),
                ),
                open_=lambda now: now.status is StopStatus.REQUESTED,
            )
        if isinstance(stop, ResolveStep):
            by_hand = stop.resolution is Resolution.DONE_BY_HAND
            return Stop(
                shipment_id=shipment_id,
                action=planned.action,
                status=StopStatus.STOPPED if by_hand else StopStatus.DECLINED,
                reference=stop.reference,
            )
        if stop.status is StopStatus.DECLINED and self.money_moved:
            return await self.write_off(planned, stop)
        status = StepStatus.DECLINED if stop.status is StopStatus.DECLINED else StepStatus.DONE
        self.journal.ended(*self.place(steps.STOP_SHIPMENT, shipment_id), status, stop.detail, stop.reference)
        return stop

    async def write_off(self, planned: PlannedShipment, stop: Stop) -> Stop:
        """The goods reach a customer who has the money back already: a person fetches them, or does without."""
        shipment_id = planned.shipment.shipment_id
        answer = None
        while not isinstance(answer, ResolveStep):
            answer = await self.ask(
                steps.STOP_SHIPMENT,
                shipment_id,
                f"Shipment {shipment_id} was not stopped ({stop.detail}), and its money is on its way back: fetch the "
                "goods, or do without them, and resolve the step.",
                due=self.terms.attention_due,
                again=None,
            )
        fetched = answer.resolution is Resolution.DONE_BY_HAND
        return Stop(
            shipment_id=shipment_id,
            action=StopAction.NONE,
            status=StopStatus.COMING_BACK if fetched else StopStatus.LOST,
            detail="fetched by hand" if fetched else "done without",
            reference=answer.reference,
        )

    async def reverse_payments(self, plan: Plan) -> None:
        """The pivot: from here on the process only goes forward."""
        self.journal.pivot_passed = True
        tenders = [tender for tender in plan.tenders if tender.refund or tender.release]
        if tenders:
            self.journal.money = MoneyStatus.WAITING
        await self.each([self.reverse_payment(tender, of=len(tenders)) for tender in tenders])
        self.journal.money = money_status(self.reversals, len(tenders))

    async def reverse_payment(self, planned: PlannedTender, *, of: int) -> None:
        self.saga.register(lambda: self.restore_payment(planned))
        known = self.known_reversal(planned)
        if known is None:
            await self.void_or_refund(planned, of=of)
        elif known.dead:
            self.journal.began(*self.place(steps.REVERSE_PAYMENT, planned.tender.tender_id))
            await self.replace_failed_refund(planned, of=of)

    async def void_or_refund(self, planned: PlannedTender, *, of: int) -> None:
        """Until the gateway has taken it, the customer has it another way, or a person has settled it."""
        tender_id = planned.tender.tender_id
        try:
            reversal = await self.carry_out(
                steps.REVERSE_PAYMENT,
                tender_id,
                lambda key: ReversePayment(
                    **self.about(tender_id, key), planned=planned, lines=self.lines, reason=self.request.reason
                ),
            )
        except AnotherWay as way:
            await self.give_back_by(way.method, planned, of=of)
            return
        self.note(planned, reversal, of=of)
        if self.reversal_of(planned).dead:
            await self.replace_failed_refund(planned, of=of)

    async def replace_failed_refund(self, planned: PlannedTender, *, of: int) -> None:
        """A refund that failed is made again, or goes back another way; the customer is owed it all the same."""
        tender_id = planned.tender.tender_id
        failed = next(refund for refund in reversed(self.reversal_of(planned).refunds) if refund.status.dead)
        self.renew(steps.REVERSE_PAYMENT, tender_id, after=failed.key)
        try:
            answer = await self.ask(
                steps.REVERSE_PAYMENT,
                tender_id,
                f"The refund {failed.reference} over {failed.amount} failed: {failed.reason or 'no reason given'}.",
                due=self.terms.attention_due,
                again=None,
                choice=True,
            )
        except AnotherWay as way:
            await self.give_back_by(way.method, planned, of=of)
            return
        if isinstance(answer, ResolveStep):
            self.note(planned, answer, of=of)
        else:
            await self.void_or_refund(planned, of=of)

    async def give_back_by(self, method: RefundMethod, planned: PlannedTender, *, of: int) -> None:
        """The other way that the customer chose. A bank transfer is made by a person, who names its reference."""
        tender_id, amount = planned.tender.tender_id, self.owed(planned)
        if method is RefundMethod.BANK_TRANSFER:
            answer = None
            while not isinstance(answer, ResolveStep):
                answer = await self.ask(
                    steps.REVERSE_PAYMENT,
                    tender_id,
                    f"The customer chose a bank transfer: transfer {amount} and resolve the step with its reference.",
                    due=self.terms.attention_due,
                    again=None,
                )
            self.note(planned, answer, of=of)
            return
        given = await self.carry_out(
            steps.GIVE_STORE_CREDIT,
            tender_id,
            lambda key: GiveStoreCredit(**self.about(tender_id, key), amount=amount),
        )
        if isinstance(given, ResolveStep):
            self.note(planned, given, of=of)
            return
        credit = Reversal(
            tender_id=tender_id,
            released=planned.release,
            refunds=(given,),
            as_store_credit=True,
            detail="given as store credit",
        )
        self.note(planned, credit, of=of)

    async def credit_refund(self, plan: Plan) -> None:
        """Put the refund on paper, wait until the money has settled, and post the settlement."""
        self.saga.register(self.revoke_refund)
        await self.post_credit(plan)
        pending = {reversal.tender_id for reversal in self.reversals if reversal.pending}
        if pending:
            await self.each([self.settlement(tender) for tender in plan.tenders if tender.tender.tender_id in pending])
            if workflow.patched("settled-refunds-are-looked-at-again"):
                await self.each([self.settled_still(tender) for tender in plan.tenders])
            await self.post_credit(plan)
        self.journal.money = money_status(self.reversals, len(self.reversals))

    async def post_credit(self, plan: Plan) -> None:
        credited = await self.carry_out(
            steps.CREDIT_REFUND,
            plan.order_id,
            lambda key: CreditRefund(**self.about(plan.order_id, key), plan=plan, reversals=tuple(self.reversals)),
        )
        number = credited.reference if isinstance(credited, ResolveStep) else credited.credit_note
        self.journal.credit_note = number
        self.journal.paper = PaperStatus.CREDITED if number else PaperStatus.NONE_NEEDED
        self.journal.ended(*self.place(steps.CREDIT_REFUND, plan.order_id), StepStatus.DONE, reference=number)

    async def settlement(self, planned: PlannedTender) -> None:
        """Until the money of one tender has settled. A refund can still fail days after the gateway took it."""
        tender_id = planned.tender.tender_id
        of = len(self.reversals)
        while self.reversal_of(planned).pending:
            watched = await self.watch(
                steps.REVERSE_PAYMENT,
                tender_id,
                self.reversal_of(planned),
                state=State.WAITING_FOR_SETTLEMENT,
                owner=Owner.GATEWAY,
                why="The gateway has taken the refund; the money has not settled yet.",
                patience=self.terms.settlement_due,
                poll=self.terms.settlement_poll,
                look=lambda now: self.look(
                    steps.CHECK_REFUND,
                    tender_id,
                    lambda key: CheckRefund(**self.about(tender_id, key), planned=planned, reversal=now),
                ),
                open_=lambda now: now.pending,
                urgent=lambda now: (
                    now.disputed
                    and "The bank disputes the payment while its refund is under way: answer the "
                    "dispute with the refund's reference, so that the money does not go back twice."
                ),
            )
            self.note(planned, watched, of=of)
            if self.reversal_of(planned).dead:
                await self.replace_failed_refund(planned, of=of)

    async def settled_still(self, planned: PlannedTender) -> None:
        """While one tender was waited for, the refund of another that had settled may have failed."""
        before = self.known_reversal(planned)
        if before is None or before.by_hand or before.as_store_credit or not before.refunds:
            return
        tender_id = planned.tender.tender_id
        now = await self.look(
            steps.CHECK_REFUND,
            tender_id,
            lambda key: CheckRefund(**self.about(tender_id, key), planned=planned, reversal=before),
        )
        if now is not None and now.dead:
            self.note(planned, now, of=len(self.reversals))
            await self.replace_failed_refund(planned, of=len(self.reversals))
            await self.settlement(planned)

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

    async def resume_shipment(self, shipment_id: str) -> None:
        if any(stop.shipment_id == shipment_id and stop.status is StopStatus.DECLINED for stop in self.stops):
            return  # it was never stopped
        await self.carry_out(
            steps.RESUME_SHIPMENT,
            shipment_id,
            lambda key: ResumeShipment(
                **self.about(shipment_id, key), undoes=self.keys_of(steps.STOP_SHIPMENT, shipment_id)
            ),
        )
        self.journal.goods = GoodsStatus.MOVING_AGAIN

    async def restore_payment(self, planned: PlannedTender) -> None:
        tender_id = planned.tender.tender_id
        undoes = self.keys_of(steps.REVERSE_PAYMENT, tender_id) + self.keys_of(steps.GIVE_STORE_CREDIT, tender_id)
        await self.carry_out(
            steps.RESTORE_PAYMENT,
            tender_id,
            lambda key: RestorePayment(**self.about(tender_id, key), planned=planned, undoes=undoes),
        )
        moved = any(reversal.refunded or reversal.released for reversal in self.reversals)
        self.journal.money = MoneyStatus.RESTORED if moved else MoneyStatus.UNTOUCHED

    async def revoke_refund(self) -> None:
        order_id = self.request.order_id
        await self.carry_out(steps.REVOKE_REFUND, order_id, lambda key: RevokeRefund(**self.about(order_id, key)))
        self.journal.paper = PaperStatus.REVOKED if self.journal.credit_note else PaperStatus.UNTOUCHED

    # Details

    @property
    def decision(self) -> Decision:
        assert self.journal.decision is not None  # made by verify_order, before anything else
        return self.journal.decision

    def about(self, target: str, key: str) -> dict[str, str]:
        """What every step is told."""
        return {
            "cancellation_id": self.journal.cancellation_id,
            "order_id": self.request.order_id,
            "target": target,
            "key": key,
        }

    @property
    def lines(self) -> tuple[PlannedLine, ...]:
        return self.current_plan.lines if self.current_plan else ()

    @property
    def money_moved(self) -> bool:
        """Whether money has begun to go back, by this run or by an earlier one that it goes on from."""
        earlier = self.verification is not None and self.verification.money_moved
        return earlier or any(reversal.refunded or reversal.released for reversal in self.reversals)

    def known_reversal(self, planned: PlannedTender) -> Reversal | None:
        return next((known for known in self.reversals if known.tender_id == planned.tender.tender_id), None)

    def reversal_of(self, planned: PlannedTender) -> Reversal:
        known = self.known_reversal(planned)
        assert known is not None
        return known

    def owed(self, planned: PlannedTender) -> Money:
        """What the customer is owed on a tender whose refund was refused or failed."""
        before = self.known_reversal(planned)
        return planned.refund - before.settled if before else planned.refund

    def note(self, planned: PlannedTender, outcome: Reversal | ResolveStep, *, of: int) -> None:
        """Keep what became of one of `of` tenders, in the place of what was known of it before."""
        tender_id = planned.tender.tender_id
        if isinstance(outcome, ResolveStep):
            nothing = outcome.resolution is Resolution.NOTHING_DUE
            outcome = Reversal(
                tender_id=tender_id,
                released=Money.zero(planned.refund.currency) if nothing else planned.release,
                by_hand=None if nothing else ByHand(reference=outcome.reference, amount=self.owed(planned)),
                detail=outcome.note,
            )
        else:
            reference = outcome.refunds[-1].reference if outcome.refunds else None
            place = self.place(steps.REVERSE_PAYMENT, tender_id)
            self.journal.ended(*place, StepStatus.DONE, outcome.detail, reference)
        before = self.known_reversal(planned)
        if before is not None:
            outcome = outcome.following(before)
        self.reversals = [known for known in self.reversals if known.tender_id != tender_id] + [outcome]
        self.journal.money = money_status(self.reversals, of)
        self.journal.show()

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
