"""The request that began the run, and the others for the same order that meet it."""

import contextlib
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.signatures import ReceivedRequest, ReceiveRequest
from domain.case import Case
from domain.decision import existing_decision, request_conflict
from domain.errors import ErrorCode
from domain.facts import Requested
from domain.keys import EffectKey, id_of
from domain.messages import Receipt
from domain.request import CancellationRequest
from domain.standing import result_of
from domain.step import StepName
from workflows.journal import Journal
from workflows.step_runner import StepRunner
from workflows.steps import RECEIVE_REQUEST, attempt_step

_ANSWER_WITHIN = timedelta(seconds=3)
"""How long `submit` waits for the decision, once a local attempt has failed, before it answers "received"."""
_ASK_AGAIN_AFTER = timedelta(minutes=1)


class Requests:
    def __init__(self, case: Case, requested: Requested, runner: StepRunner, journal: Journal) -> None:
        self._case = case
        self._requested = requested
        self._runner = runner
        self._journal = journal

    @property
    def _own(self) -> CancellationRequest:
        return self._requested.request

    # Rule: The same request id with other content is a conflict
    def check(self, request: CancellationRequest) -> None:
        """Raises ApplicationError: REQUEST_CONFLICT when the id was used with other content."""
        order_id = self._own.order_id
        if request.order_id != order_id:
            raise ApplicationError(f"This run cancels order {order_id}, not {request.order_id}.")
        if self._case.conflicts_with(request) or Case.opened_by(self._requested).conflicts_with(request):
            raise ApplicationError(request_conflict(request), type=ErrorCode.REQUEST_CONFLICT)

    # Rule: A double click is one cancellation
    async def receive(self, request: CancellationRequest) -> Receipt:
        """Raises ApplicationError: UNDER_WAY, REQUEST_CONFLICT, ROLLED_BACK, HELD_ELSEWHERE."""
        received_at = workflow.now()
        await self._wait_for_decision()
        if self._case.has(request) or self._was_refused_unbooked(request) or self._answers_ended(request):
            return self._receipt(request)
        return await self._receive_further(request, received_at)

    def _was_refused_unbooked(self, request: CancellationRequest) -> bool:
        """A decision that no book keeps (an unknown order, say) is this run's own answer to its own request."""
        return request == self._own and self._case.last_seq == 0

    def _answers_ended(self, request: CancellationRequest) -> bool:
        """The run began with this request, and found a cancellation that was over."""
        return request == self._own and self._runner.had_ended

    async def _wait_for_decision(self) -> None:
        """No timer is started during a local attempt, which has its own limit: where the server hears of its result earlier
        than the run's code, a replay would not start that timer (docs/decisions/0097)."""
        await workflow.wait_condition(lambda: self._is_decided() or self._runner.is_slow)
        if self._is_decided():
            return
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                self._is_decided, timeout=_ANSWER_WITHIN, timeout_summary="The request is answered as received"
            )

    def _is_decided(self) -> bool:
        return self._case.decided is not None or self._case.ended is not None

    def _receipt(self, request: CancellationRequest) -> Receipt:
        case = self._case
        decided, ended = case.decided, case.ended
        if ended is not None and decided is None:
            raise ApplicationError(ended.sentence, type=ErrorCode.ROLLED_BACK)
        joined = case.request is not None and request.request_id != case.request.request_id
        known = case.has(request) or case.last_seq == 0
        decision = decided.decision if decided else None
        if decision is not None and not known:
            decision = existing_decision(decision, request.order_id)
        result = None
        if ended is not None and case.last_seq:
            result = result_of(case, request.order_id, ended.outcome, ended.sentence, existing=True)
        return Receipt(
            cancellation_id=case.cancellation_id,
            order_id=request.order_id,
            request_id=request.request_id,
            run_id=workflow.info().run_id,
            decision=decision,
            plan=decided.plan if decided and known else None,
            joined=joined and ended is None,
            result=result,
        )

    async def _receive_further(self, request: CancellationRequest, received_at: datetime) -> Receipt:
        case = self._case
        order_id = self._own.order_id
        step_input = ReceiveRequest(
            cancellation_id=case.cancellation_id,
            order_id=order_id,
            target=order_id,
            key=EffectKey(case.cancellation_id, StepName.RECEIVE_REQUEST, order_id),
            last_seq=case.last_seq,
            requested=self._requested,
            request=request,
            received_at=received_at,
            ask_again_at=self._journal.next_due or workflow.now() + _ASK_AGAIN_AFTER,
        )
        try:
            received = await attempt_step(RECEIVE_REQUEST, order_id, step_input)
        except ApplicationError as refused:
            raise ApplicationError(refused.message, type=refused.type) from None
        case.add(*received.entries)
        if received.decision or received.result or received.deferred:
            return self._answered(request, received)
        return self._receipt(request)

    def _answered(self, request: CancellationRequest, received: ReceivedRequest) -> Receipt:
        return Receipt(
            cancellation_id=received.result.cancellation_id if received.result else id_of(request),
            order_id=request.order_id,
            request_id=request.request_id,
            run_id=workflow.info().run_id,
            decision=received.decision,
            plan=received.plan,
            joined=False,
            deferred=received.deferred,
            result=received.result,
        )
