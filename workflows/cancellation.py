"""The cancellation of an order: the process, top to bottom.

    verify the order and hold it → approval where it is needed → stop every shipment → approval under fraud review
    → reverse every tender (the pivot) → credit the refund → close the order → wait until the money has settled

Before the pivot everything can be undone, and is, last step first. After it the process goes forward by itself; until the
order is closed staff can still order a roll-back. What is known of the cancellation is the case (domain/case.py), and each
part asks it what is done already: a run that takes up a lost one goes through the same steps from the top. The details of
the steps are in workflows/goods.py and workflows/money.py; how a step is carried to its own end, in
workflows/step_runner.py; and how what people say is accepted, in workflows/decisions.py.
"""

from datetime import timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from domain import contract
from domain.carried import Carried
from domain.case import Case
from domain.decision import Gate
from domain.errors import ErrorCode
from domain.facts import Ended, Requested
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Receipt,
    RefundEvent,
    Reject,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Withdraw,
)
from domain.outcome import CancellationResult, Progress
from domain.plan import Plan
from domain.request import CancellationRequest
from domain.said import Steering
from domain.standing import result_of
from domain.step import StepName
from workflows import steps
from workflows.approval import Approval
from workflows.continuing import ContinuesAsNew
from workflows.decisions import Decisions
from workflows.goods import GoodsSteps
from workflows.journal import Journal
from workflows.messages import read_signal, update
from workflows.money import MoneySteps
from workflows.requests import Requests
from workflows.saga import shield_from_cancellation
from workflows.step_runner import StepRunner
from workflows.waiting import RollBack, Superseded, TakenOver, Waiting

_PROMPT = timedelta(seconds=5)
"""After the start. When the first task begins later, somebody may have sent a query, which comes with that task; the answer
to the request must not follow from a local activity then (docs/decisions/0097)."""


@workflow.defn(name=contract.CANCELLATION.name)
class CancellationWorkflow:
    """One run per order, id `cancel-order-{order_id}`, task queue `order-cancellation`."""

    @workflow.init
    def __init__(self, start: CancellationRequest | Carried = None) -> None:  # type: ignore[assignment]
        if start is None:
            return  # started without an input: the plugin refuses that before `run`
        carried = start if isinstance(start, Carried) else None
        began = workflow.info().start_time
        self.requested = start.requested if isinstance(start, Carried) else Requested(request=start, at=began)
        self.continues = carried is not None
        self.request = request = self.requested.request
        self.case = Case(carried.entries) if carried else Case.opened_by(self.requested)
        self.journal = Journal(self.case, request, continues=self.continues)
        self.decisions = Decisions(self.case, self.requested, continues=self.continues)
        seen, looks = (carried.seen, carried.looks) if carried else ((), ())
        order_id = request.order_id
        self.waiting = Waiting(self.case, order_id, self.decisions, self.journal, seen)
        self.runner = StepRunner(self.case, order_id, self.waiting, self.decisions, self.journal, carried=carried)
        self.requests = Requests(self.case, self.requested, self.runner, self.journal)
        self.approval = Approval(order_id, self.runner, self.waiting, self.decisions, self.journal)
        self.goods_steps = GoodsSteps(order_id, self.runner, self.waiting, looks)
        self.money_steps = MoneySteps(order_id, self.runner, self.waiting)

    @workflow.run
    async def run(self, start: CancellationRequest | Carried = None) -> CancellationResult:  # type: ignore[assignment]
        self.journal.publish_start()
        try:
            result = await shield_from_cancellation(self.cancel_order())
        except ApplicationError:
            await self.finish_messages()
            raise
        await self.finish_messages()
        return result

    async def finish_messages(self) -> None:
        """Whoever has sent one gets an answer before the run closes."""
        self.decisions.arrive()
        await workflow.wait_condition(workflow.all_handlers_finished)

    # The process

    async def cancel_order(self) -> CancellationResult:
        while True:
            try:
                return await self.run_steps()
            except TakenOver:
                continue  # the books knew more: start over from their facts
            except ContinuesAsNew:
                self.continue_as_new()
            except Superseded:
                raise ApplicationError(
                    f"The cancellation of order {self.request.order_id} was taken over by a run of another namespace.",
                    type=ErrorCode.SUPERSEDED,
                    non_retryable=True,
                ) from None

    # Rule: The steps come in this order
    async def run_steps(self) -> CancellationResult:
        try:
            await self.continue_holding()
            await self.verify_order()
            if self.case.ended:
                return self.end()
            await self.waiting.raise_if_rolling_back()
            await self.approval.wait_for_approval(Gate.BEFORE_STOPPING)
            await self.goods_steps.stop_shipments()
            await self.approval.wait_for_approval(Gate.BEFORE_REVERSING)
            await self.goods_steps.recheck_parcels()
            await self.goods_steps.recheck_order()
            await self.money_steps.reverse_payments()
            await self.money_steps.credit_refund()
            await self.goods_steps.recheck_parcels()
            await self.close_order()
            if not self.case.ended:  # the close of a frozen order ends the cancellation too where the money has settled
                await self.goods_steps.recheck_order()
                await self.money_steps.settle()
                await self.goods_steps.recheck_parcels()
                await self.close_cancellation()
            return self.end()
        except RollBack:
            return await self.roll_back()

    async def verify_order(self) -> None:
        """Afterwards the decision and the plan are in the books and the order is on hold, or the cancellation has ended: it
        was refused, or had ended before."""
        if self.case.decided and self.case.last_seq:
            return  # an earlier run has decided already
        order_id = self.request.order_id
        look_again = self.runner.events > 0  # an event started the run: the order's cancellation may be over
        is_prompt = workflow.now() - workflow.info().workflow_start_time < _PROMPT
        await self.runner.run_step(
            steps.VERIFY_ORDER if is_prompt else steps.VERIFY_ORDER_NOT_LOCAL,
            order_id,
            request=self.request,
            requested_at=self.requested.at,
            look_again=look_again,
        )
        self.journal.show_details()
        self.journal.publish_cancellation_id()

    async def continue_holding(self) -> None:
        """A run that continues an earlier one becomes the holder in its place. What that one knew it has already."""
        if self.continues and self.case.last_seq:
            await self.runner.continue_holding()
        self.continues = False

    def continue_as_new(self) -> NoReturn:
        """Nothing is under way: another run of the same id continues with what this one knows. The memo says when the first
        of them began."""
        carried = Carried(
            requested=self.requested,
            entries=self.case.entries,
            resting=self.runner.resting,
            seen=self.waiting.seen,
            looks=self.goods_steps.looks,
            events=self.runner.events,
            parcel_events=self.runner.parcel_events,
        )
        workflow.continue_as_new(carried, memo={**workflow.memo(), "opened_at": self.requested.at})

    async def close_order(self) -> None:
        """Close the order, and once more where the state of a parcel has changed since."""
        while not self.case.order_closed:
            await self.runner.run_step(steps.CLOSE_ORDER, self.request.order_id)

    async def close_cancellation(self) -> None:
        """Close the order once more first, where a parcel's state has changed while the money settled. That may end the
        cancellation as well."""
        while not self.case.ended:
            await self.close_order()
            if not self.case.ended:
                await self.runner.run_step(steps.CLOSE_CANCELLATION, self.request.order_id)

    # Roll-back: the compensations, each conditional, each carried to its own end

    async def roll_back(self) -> CancellationResult:
        """Undo what the facts show as done or possibly done, whoever did it, the last first."""
        cause = self.case.roll_back_cause
        assert cause is not None
        self.journal.show_details()
        for step, target in self.case.steps_to_undo():
            await self.undo(step, target)
        if self.case.last_seq:
            await self.undo(StepName.VERIFY_ORDER, self.request.order_id)  # its last fact is the end
        else:
            self.case.add_unrecorded(Ended(outcome=cause.outcome, sentence=cause.sentence), workflow.now())
        return self.end()

    async def undo(self, step: StepName, target: str) -> None:
        undo = steps.UNDO_OF[step]
        if not self.case.is_done(undo.name, target) and not self.case.never_stopped(step, target):
            await self.runner.run_step(undo, target)

    def end(self) -> CancellationResult:
        """Raises ApplicationError: ROLLED_BACK where a step's failure has ended what this run did."""
        ended, existing = self.case.ended, self.runner.had_ended
        assert ended is not None
        self.journal.publish_state()
        result = result_of(self.case, self.request.order_id, ended.outcome, ended.sentence, existing=existing)
        cause = self.case.roll_back_cause
        if cause is not None and cause.failed and not existing:
            raise ApplicationError(cause.sentence, result, type=ErrorCode.ROLLED_BACK, non_retryable=True)
        return result

    # Messages

    @update(
        contract.SUBMIT,
        description='Ask for the cancellation; a repetition is safe. {"request_id": "r-1", "order_id": "1001", '
        '"customer_id": "C-1", "actor": {"kind": "customer", "id": "C-1"}, "channel": "web_shop", '
        '"reason": "no_longer_needed"}',
    )
    async def submit(self, request: CancellationRequest) -> Receipt:
        """Answers after a few seconds at most; what becomes of the request is read by the queries, or from the result."""
        self.waiting.continuing.count()
        return await self.requests.receive(request)

    @submit.validator
    def _check_submit(self, request: CancellationRequest) -> None:
        self.requests.check(request)

    @update(
        contract.APPROVE,
        description="A second person lets the cancellation go on; not whoever requested it. "
        '{"actor": "refund_department:…"}',
    )
    async def approve(self, message: Approve) -> Acknowledgement:
        return await self.accept(message, "Approved; the cancellation goes on.")

    @approve.validator
    def _check_approve(self, message: Approve) -> None:
        self.decisions.check(message)

    @update(
        contract.REJECT,
        description='A second person refuses; what was done is rolled back. {"actor": "refund_department:…"}',
    )
    async def reject(self, message: Reject) -> Acknowledgement:
        return await self.accept(message, "Refused; what was done is rolled back.")

    @reject.validator
    def _check_reject(self, message: Reject) -> None:
        self.decisions.check(message)

    @update(
        contract.WITHDRAW,
        description="The customer wants to keep the order: what was done is rolled back. Before the money moves. "
        '{"actor": "customer_service:…"}',
    )
    async def withdraw(self, message: Withdraw) -> Acknowledgement:
        return await self.accept(message, "Withdrawn; what was done is rolled back.")

    @withdraw.validator
    def _check_withdraw(self, message: Withdraw) -> None:
        self.decisions.check(message)

    @update(
        contract.RETRY_STEP,
        description='Try the step that waits again, now. {"actor": "refund_department:…"}',
    )
    async def retry_step(self, message: RetryStep) -> Acknowledgement:
        return await self.accept(message, "The step is tried again now.")

    @retry_step.validator
    def _check_retry_step(self, message: RetryStep) -> None:
        self.decisions.check(message)

    @update(
        contract.RESOLVE_STEP,
        description="Decide about the step that waits: done_by_hand, nothing_due or roll_back, with the proof as reference. "
        '{"actor": "refund_department:…", "resolution": "done_by_hand", "reference": "…"}',
    )
    async def resolve_step(self, message: ResolveStep) -> Acknowledgement:
        return await self.accept(message, f"Recorded: {message.resolution.replace('_', ' ')} ({message.reference}).")

    @resolve_step.validator
    def _check_resolve_step(self, message: ResolveStep) -> None:
        self.decisions.check(message)

    @update(
        contract.CHOOSE_REFUND_METHOD,
        description="The customer chooses how to have money that the tender cannot take: store_credit or bank_transfer. "
        '{"actor": "customer_service:…", "target": "T1", "method": "store_credit"}',
    )
    async def choose_refund_method(self, message: ChooseRefundMethod) -> Acknowledgement:
        way = message.method.replace("_", " ")
        return await self.accept(message, f"The money of {message.target} is given back by {way}.")

    @choose_refund_method.validator
    def _check_choose_refund_method(self, message: ChooseRefundMethod) -> None:
        self.decisions.check(message)

    async def accept(self, message: Steering, sentence: str) -> Acknowledgement:
        self.waiting.continuing.count()
        await self.decisions.accept(message)
        return Acknowledgement(state=self.journal.state, sentence=sentence)

    # Signals only wake the run up, or show a person what waits for its end: it reads carrier and gateway itself before it
    # believes anything. So it does not matter which arguments they have, or how many.

    @workflow.signal(name=contract.SHIPMENT_EVENT.name)
    def shipment_event(self, event: Any = None, *_: Any) -> None:
        self.runner.note_event(of_parcel=True)
        parcel = read_signal(ShipmentEvent, event)
        if parcel and parcel.put_off and parcel.tracking_number:
            self.journal.show_put_off(parcel.tracking_number, parcel.put_off, steps.STOP_SHIPMENT.owner)

    @workflow.signal(name=contract.REFUND_EVENT.name)
    def refund_event(self, event: Any = None, *_: Any) -> None:
        self.runner.note_event()
        money = read_signal(RefundEvent, event)
        if money and money.put_off and money.subject:
            self.journal.show_put_off(money.subject, money.put_off, steps.CHECK_REFUND.owner)

    @workflow.query(name=contract.PROGRESS.name)
    def progress(self) -> Progress:
        return self.journal.progress()

    @workflow.query(name=contract.PLAN.name)
    def plan(self) -> Plan | None:
        """What was decided, less what could not be stopped."""
        return self.case.plan
