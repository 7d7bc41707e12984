"""The cancellation of an order: the process, top to bottom.

    verify the order and hold it → approval where it is due → stop every shipment → reverse every tender (the pivot)
    → credit the refund and wait until the money has settled → close the order

Before the pivot everything can be undone, and is, last step first. After it the process only goes forward. The workflow has
its parts: the business of each stands in workflows/held_order.py, approval.py, goods.py and money.py, over what is known of
the cancellation (case.py). How a step is carried to its own end is in step_runner.py, what people may say in decisions.py.
"""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from domain.errors import ErrorCode
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    RefundEvent,
    Reject,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Submission,
    Withdraw,
)
from domain.outcome import CancellationResult, Progress
from domain.plan import Plan
from domain.policy import Gate
from domain.request import CancellationRequest
from workflows import answers
from workflows.approval import Approval
from workflows.case import Case
from workflows.decisions import Decisions
from workflows.goods import Goods
from workflows.held_order import HeldOrder
from workflows.journal import Journal
from workflows.money import Payments
from workflows.saga import RollBack, Saga, shield_from_cancellation
from workflows.step_runner import StepRunner


@workflow.defn(name="CancellationWorkflow")
class CancellationWorkflow:
    """One run per order, id `cancel-order-{order_id}`, task queue `order-cancellation`."""

    @workflow.init
    def __init__(self, request: CancellationRequest) -> None:
        self._case = Case(request)
        self._journal = Journal(self._case)
        self._decisions = Decisions(self._case)
        self._saga = Saga()
        runner = StepRunner(self._case, self._journal, self._decisions)
        self._order = HeldOrder(self._case, runner, self._saga)
        self._approval = Approval(self._case, self._journal, runner)
        self._goods = Goods(self._case, runner, self._saga)
        self._payments = Payments(self._case, runner, self._saga)

    @workflow.run
    async def run(self, request: CancellationRequest) -> CancellationResult:
        try:
            result = await shield_from_cancellation(self.cancel_order())
        except ApplicationError:
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result

    # The process

    async def cancel_order(self) -> CancellationResult:
        try:
            plan = await self._order.verify_order()
            if plan is None:
                return self.end_without_plan()
            await self._approval.wait_for_approval(Gate.BEFORE_STOPPING)
            plan = await self._goods.stop_shipments(plan)
            await self._approval.wait_for_approval(Gate.BEFORE_REVERSING)
            plan = await self._goods.recheck_voided_labels(plan)
            await self._payments.reverse_payments(plan)
            await self._payments.credit_refund(plan)
            plan = await self._goods.recheck_voided_labels(plan)
            await self._order.close_order(plan)
            return self.end_with(answers.make_closing_result(self._case))
        except RollBack as cause:
            return await self.roll_back(cause)

    def end_without_plan(self) -> CancellationResult:
        """Nothing to carry out: the policy refused, or the order book knows the end of this cancellation already."""
        known = self._case.repeat_known_result()
        return self.end_with(known or answers.make_refusal_result(self._case))

    async def roll_back(self, cause: RollBack) -> CancellationResult:
        """The compensations, each conditional, each carried to its own end."""
        self._case.begin_roll_back(cause.sentence)
        await self._saga.roll_back()
        result = self.end_with(answers.make_rolled_back_result(self._case))
        if cause.failed:
            raise ApplicationError(cause.sentence, result, type=ErrorCode.ROLLED_BACK, non_retryable=True)
        return result

    def end_with(self, result: CancellationResult) -> CancellationResult:
        self._case.end(result.outcome)
        self._journal.publish_state()
        return result

    # Updates

    @workflow.update
    async def submit(self, request: CancellationRequest) -> Submission:
        """Answers after verification with the decision and the amounts; sent together with the start of the run."""
        await workflow.wait_condition(lambda: self._case.verification is not None or self._case.has_ended)
        return answers.make_submission(self._case, request)

    @submit.validator
    def _check_submit(self, request: CancellationRequest) -> None:
        self._decisions.check_submission(request)

    @workflow.update
    async def approve(self, message: Approve) -> Acknowledgement:
        return self._decisions.accept_approval(message)

    @approve.validator
    def _check_approve(self, message: Approve) -> None:
        self._decisions.check_approval(message)

    @workflow.update
    async def reject(self, message: Reject) -> Acknowledgement:
        return self._decisions.accept_rejection(message)

    @reject.validator
    def _check_reject(self, message: Reject) -> None:
        self._decisions.check_rejection(message)

    @workflow.update
    async def withdraw(self, message: Withdraw) -> Acknowledgement:
        return self._decisions.accept_withdrawal(message)

    @withdraw.validator
    def _check_withdraw(self, message: Withdraw) -> None:
        self._decisions.check_withdrawal(message)

    @workflow.update
    async def retry_step(self, message: RetryStep) -> Acknowledgement:
        return self._decisions.accept_retry(message)

    @retry_step.validator
    def _check_retry_step(self, message: RetryStep) -> None:
        self._decisions.check_retry(message)

    @workflow.update
    async def resolve_step(self, message: ResolveStep) -> Acknowledgement:
        return self._decisions.accept_resolution(message)

    @resolve_step.validator
    def _check_resolve_step(self, message: ResolveStep) -> None:
        self._decisions.check_resolution(message)

    @workflow.update
    async def choose_refund_method(self, message: ChooseRefundMethod) -> Acknowledgement:
        return self._decisions.accept_refund_method(message)

    @choose_refund_method.validator
    def _check_choose_refund_method(self, message: ChooseRefundMethod) -> None:
        self._decisions.check_refund_method(message)

    # Signals: they only wake the run up. It reads carrier and gateway itself before it believes anything.

    @workflow.signal
    def shipment_event(self, event: ShipmentEvent) -> None:
        self._case.record_event(about_parcel=True)

    @workflow.signal
    def refund_event(self, event: RefundEvent) -> None:
        self._case.record_event(about_parcel=False)

    # Queries

    @workflow.query
    def progress(self) -> Progress:
        return self._case.to_progress()

    @workflow.query
    def plan(self) -> Plan | None:
        return self._case.plan
