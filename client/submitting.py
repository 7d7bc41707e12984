"""A request on its way: sent until a run has received it, and followed until it is decided."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypedDict

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from client.engine import Run, read_run
from client.errors import ExitCode, RunSuperseded, StarterError, is_left_unanswered
from client.pauses import find_pause
from client.requests import update_id_of
from client.runs import (
    Handle,
    NoWorkerAnswers,
    follow_continued,
    handle_of,
    is_refused_for_now,
    read_plan,
    read_progress,
    read_result,
)
from domain.contract import CANCELLATION, REFUND_EVENT, SHIPMENT_EVENT, SUBMIT
from domain.decision import Verdict, existing_decision
from domain.errors import ErrorCode
from domain.keys import id_of
from domain.messages import Receipt, RefundEvent, ShipmentEvent, Submission
from domain.outcome import CancellationResult, State
from domain.plan import Plan
from domain.request import CancellationRequest, summary_of, workflow_id
from runtime import search_attributes as attributes
from runtime.texts import translate

_FIRST_PAUSE = 0.3  # seconds between two looks while a decision takes its time
_LONGEST_PAUSE = 3.0

# A request that arrives while the order's last run is closing is sent again; it then meets a new run. The same goes for one
# that arrives while the run's task is being repeated, because something else came as it ended: nothing is kept of what comes
# then. And for one that the engine has no room for: it keeps ten for a run that nobody answers, and gives these up in time.
_SENDINGS = 5
_RESEND_AFTER = 0.05  # seconds, doubled each time
_NOT_NOW = {RPCStatusCode.NOT_FOUND, RPCStatusCode.ABORTED, RPCStatusCode.RESOURCE_EXHAUSTED}
_NOT_KEPT = "MultiOperationExecutionFailure"  # the server's name for what it has not done, although it answers


class _RunOptions(TypedDict):
    """What a run shows of itself from its start."""

    memo: Mapping[str, str]
    search_attributes: TypedSearchAttributes
    static_summary: str


class Submitter:
    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    # Rule: A double click is one cancellation [sent, and followed to its answer]
    async def submit(self, request: CancellationRequest) -> Submission:
        """What has become of the request, once it is decided or deferred. The engine answers an update id that it knows with
        the stored answer of the run that received it, also when that run has ended. So where this is not the last word, the
        request is sent again under an id that names the run."""
        first_id = update_id = update_id_of(request)
        while True:
            receipt = await self._send(request, update_id, first_id)
            submission = await self._follow(request, receipt)
            if submission is not None:
                return submission
            update_id = f"{first_id}/{receipt.run_id}"

    async def wake(self, request: CancellationRequest, event: RefundEvent | ShipmentEvent) -> None:
        """Start a run that checks whether the outcome still holds, or wake up the run that is there."""
        await self._client.start_workflow(
            CANCELLATION.name,
            request,
            id=workflow_id(request.order_id),
            task_queue=self._task_queue,
            start_signal=(REFUND_EVENT if isinstance(event, RefundEvent) else SHIPMENT_EVENT).name,
            start_signal_args=[event],
            **_run_options(request),
        )

    # Sending

    async def _send(self, request: CancellationRequest, update_id: str, first_id: str) -> Receipt:
        closing = 0
        while True:
            start = self._start_operation(request)
            try:
                receipt: Receipt = await self._client.execute_update_with_start_workflow(
                    SUBMIT.name, request, start_workflow_operation=start, id=update_id, result_type=SUBMIT.answer
                )
                return receipt
            except (RPCError, WorkflowUpdateFailedError, RPCTimeoutOrCancelledError) as error:
                # The operation holds the same error, and would complain that nobody looked at it.
                run: Handle | BaseException
                (run,) = await asyncio.gather(start.workflow_handle(), return_exceptions=True)
                if _is_under_way(error) and not isinstance(run, BaseException):
                    refused_by = str(run.result_run_id)
                    if (await read_run(self._client, request.order_id, refused_by)).is_open:
                        raise
                    update_id = f"{first_id}/{refused_by}"
                    continue
                closing += 1
                if closing == _SENDINGS or not _is_sent_again(error):
                    raise
                if is_refused_for_now(error) and await find_pause(self._client, request.order_id, of_steps=False):
                    raise
                await asyncio.sleep(_RESEND_AFTER * 2**closing)

    def _start_operation(self, request: CancellationRequest) -> WithStartWorkflowOperation[Any, CancellationResult]:
        return WithStartWorkflowOperation(
            CANCELLATION.name,
            request,
            id=workflow_id(request.order_id),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            **_run_options(request),
        )

    # Following

    async def _follow(self, request: CancellationRequest, receipt: Receipt) -> Submission | None:
        """From the run while it is open, from its result afterwards. None: it was closed without an answer to this
        request."""
        if receipt.result is not None:
            return submission_of(receipt)
        pause = _FIRST_PAUSE
        while True:
            run = await follow_continued(self._client, request.order_id, receipt.run_id)
            if receipt.deferred:
                return submission_of(receipt) if run.is_open else None
            if not run.is_open:
                return await self._ended_submission(request, receipt, run)
            if receipt.decision is None:
                receipt = await self._decided_receipt(receipt, handle_of(self._client, request.order_id, run.run_id))
            if receipt.decision is not None:
                return submission_of(receipt)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _decided_receipt(self, receipt: Receipt, handle: Handle) -> Receipt:
        """The receipt with decision and plan, where the run has made them by now and a worker says so."""
        progress = await read_progress(handle)
        if progress is None or progress.decision is None:
            return receipt
        try:
            plan = await read_plan(handle)
        except NoWorkerAnswers:
            return receipt
        found = {"decision": progress.decision, "cancellation_id": progress.cancellation_id, "plan": plan}
        return receipt.model_copy(update=found)

    async def _ended_submission(self, request: CancellationRequest, receipt: Receipt, run: Run) -> Submission | None:
        try:
            result = await read_result(self._client, receipt.order_id, run.run_id)
        except RunSuperseded:
            raise
        except StarterError as lost:
            if lost.code is not ExitCode.NOT_CANCELLED:
                raise
            return None
        if receipt.decision is not None:
            if result.cancellation_id != receipt.cancellation_id:
                return submission_of(receipt)  # it had an answer of its own, which is not this run's
            return submission_of(receipt.model_copy(update={"result": result}))
        if result.decision is None:
            raise StarterError(ExitCode.NOT_CANCELLED, result.sentence)
        handle = handle_of(self._client, receipt.order_id, run.run_id)
        plan = None if result.decision.verdict is Verdict.REJECTED else await _plan_of_ended(handle)
        found = {"cancellation_id": result.cancellation_id, "decision": result.decision, "plan": plan}
        if result.existing and result.cancellation_id != id_of(request):
            found |= {"decision": existing_decision(result.decision, request.order_id), "plan": None}
        return submission_of(receipt.model_copy(update={**found, "result": result}))


async def _plan_of_ended(handle: Handle) -> Plan | None:
    """The result says what became of it; what was planned is read from the run, by the next worker that answers."""
    while True:
        try:
            return await read_plan(handle)
        except NoWorkerAnswers:
            await asyncio.sleep(_LONGEST_PAUSE)


def submission_of(receipt: Receipt) -> Submission:
    return Submission(**{name: getattr(receipt, name) for name in Submission.model_fields})


def deferred_sentence(order_id: str) -> str:
    """What a request hears that is kept and not decided yet."""
    return translate(
        "The request for order {order_id} was received and is acknowledged by mail. Another cancellation of the "
        "order is under way; when that has ended, this one is decided and carried out. You don't need to send it "
        "again.",
        order_id=order_id,
    )


def _run_options(request: CancellationRequest) -> _RunOptions:
    return {
        "memo": {"cancellation_id": id_of(request)},
        "search_attributes": attributes_at_start(request),
        "static_summary": summary_of(request),
    }


def attributes_at_start(request: CancellationRequest) -> TypedSearchAttributes:
    """What lists show of a run from its start. A run that was started without them sets them in its first task, which costs
    an event."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(attributes.ORDER_ID, request.order_id),
            SearchAttributePair(attributes.STATE, State.RUNNING),
            SearchAttributePair(attributes.REASON, request.reason),
        ]
    )


def _is_under_way(error: Exception) -> bool:
    return _failure_type(error) == ErrorCode.UNDER_WAY


def _is_sent_again(error: Exception) -> bool:
    if isinstance(error, WorkflowUpdateFailedError):
        return is_left_unanswered(error)
    if not isinstance(error, RPCError):
        return False
    is_given_up = error.status is RPCStatusCode.UNAVAILABLE and any(
        _NOT_KEPT in detail.type_url for detail in error.grpc_status.details
    )
    return is_given_up or error.status in _NOT_NOW or is_refused_for_now(error)


def _failure_type(error: Exception) -> str | None:
    cause = error.cause if isinstance(error, WorkflowUpdateFailedError) else None
    return cause.type if isinstance(cause, ApplicationError) else None
