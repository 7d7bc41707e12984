"""The library: start, watch and steer cancellations."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypedDict, TypeVar
from uuid import uuid4

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import UpdateMethodMultiParam

from client.errors import ExitCode, OrderNotFound, StarterError, explained, told, unreachable
from client.status import Source, Status, Summary
from domain.errors import ErrorCode
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Quote,
    RefundEvent,
    Reject,
    ResolveStep,
    RetryStep,
    ShipmentEvent,
    Submission,
    Withdraw,
)
from domain.outcome import CancellationResult, Owner, State
from domain.policy import Rule, order_not_found
from domain.request import Actor, ActorKind, CancellationRequest, cancellation_id, workflow_id
from runtime import search_attributes as attributes
from runtime.plugin import TASK_QUEUE, plugin
from runtime.settings import connection
from workflows.cancellation import CancellationWorkflow
from workflows.quote import QuoteWorkflow
from workflows.steps import QUOTE_CANCELLATION

T = TypeVar("T")


class _Steering(Protocol):
    """Every message that steers says who acts."""

    @property
    def actor(self) -> Actor: ...


Message = TypeVar("Message", bound=_Steering)

ANSWER_WAIT = timedelta(seconds=30)
QUERY_WAIT = timedelta(seconds=5)
POLL = timedelta(seconds=1)

# A request that arrives while the order's last run is closing is sent again; it then meets a new run.
_SENDINGS = 3
_RUN_CLOSED_FIRST = "AcceptedUpdateCompletedWorkflow"  # the server's name for an update that its run did not answer

# The answers to a query when no worker polls, or none in time, or the one that does cannot go on with the run.
_NO_WORKER = {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION}

# One line a paragraph: the Temporal UI keeps line breaks.
_HOW_TO_STEER = "\n\n".join(
    (
        (
            "**Request Cancellation** in the menu of this page cancels *the cancellation*: everything done so far is rolled "
            "back, last step first, as long as the money has not begun to move. After that it has no effect."
        ),
        "**Terminate** rolls nothing back: the order stays on hold and its parcels stay stopped. Do not use it.",
        (
            "To act, send the updates `approve`, `reject`, `withdraw`, `retry_step`, `resolve_step` and "
            "`choose_refund_method`, or use the command line: `starter.py status {order_id}` says what waits and how to go "
            "on."
        ),
    )
)


class Cancellations:
    """Cancellations on one Temporal namespace. Every method raises `StarterError` and nothing else of its own."""

    def __init__(self, client: Client, *, task_queue: str = TASK_QUEUE) -> None:
        self._client = client
        self._task_queue = task_queue

    @classmethod
    async def connect(cls) -> "Cancellations":
        """Connect as the environment says."""
        try:
            config = connection()
        except (RuntimeError, ValueError):
            raise StarterError(
                ExitCode.WRONG_INPUT,
                "Temporal's connection settings cannot be read; look at TEMPORAL_CONFIG_FILE and the other TEMPORAL_ "
                "variables.",
            ) from None
        try:
            return cls(await Client.connect(**config, plugins=[plugin()]))
        except (RPCError, RuntimeError, ValueError):
            raise unreachable(config["target_host"]) from None

    # Starting

    async def start(self, request: CancellationRequest, wait: timedelta = ANSWER_WAIT) -> Submission:
        """Ask for a cancellation and wait for the decision, with the amounts. Safe to repeat after a lost answer: nothing
        is done twice. The same request gets the same decision while its cancellation is under way, and the result once it
        is over. Another request for the same order joins the one that is under way.

        StarterError: REFUSED when the request id was used with other content, NOT_CANCELLED when verification failed and
        was rolled back, UNDECIDED when the decision takes longer than `wait`.
        """
        order_id = request.order_id
        try:
            return await self._told(order_id, _within(wait, self._submit(request)))
        except TimeoutError:
            raise StarterError(
                ExitCode.UNDECIDED,
                f"The cancellation of order {order_id} is not decided after {_seconds(wait)}; if it has begun, it goes on. "
                f"Look with: starter.py status {order_id}, or send the same request again, that is safe.",
            ) from None

    async def _submit(self, request: CancellationRequest) -> Submission:
        # New for every call: Temporal would answer a known id out of the ended run, although the request was withdrawn
        # since, or has other content. Run and order book know a repeated request by its request id.
        update_id = f"{request.request_id}/{uuid4().hex[:8]}"
        sent = 0
        while True:
            start = self._start_operation(request)
            sent += 1
            try:
                return await self._client.execute_update_with_start_workflow(
                    CancellationWorkflow.submit, request, start_workflow_operation=start, id=update_id
                )
            except (RPCError, WorkflowUpdateFailedError, RPCTimeoutOrCancelledError) as error:
                # The operation holds the same error, and would complain that nobody looked at it.
                await asyncio.gather(start.workflow_handle(), return_exceptions=True)
                if sent == _SENDINGS or not _run_was_closing(error):
                    raise

    def _start_operation(
        self, request: CancellationRequest
    ) -> WithStartWorkflowOperation[CancellationWorkflow, CancellationResult]:
        return WithStartWorkflowOperation(
            CancellationWorkflow.run,
            request,
            id=workflow_id(request.order_id),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            **_shown(request),
        )

    async def look_again(self, request: CancellationRequest, event: RefundEvent | ShipmentEvent) -> None:
        """What an ended cancellation had achieved may have come undone, as `event` tells. Starts a run that looks, or wakes
        up the one that there is. `request` is the one that opened the cancellation."""
        refund = isinstance(event, RefundEvent)
        starting = self._client.start_workflow(
            CancellationWorkflow.run,
            request,
            id=workflow_id(request.order_id),
            task_queue=self._task_queue,
            start_signal="refund_event" if refund else "shipment_event",
            start_signal_args=[event],
            **_shown(request),
        )
        await self._told(request.order_id, starting)

    # Looking

    async def quote(self, request: CancellationRequest, wait: timedelta = ANSWER_WAIT) -> Quote:
        """What `start` would answer now: decision and plan with the amounts. Nothing is done, and nothing is promised.

        StarterError: NOT_CANCELLED when the order cannot be verified as it is, UNDECIDED when there is no answer in time.
        """
        order_id = request.order_id
        why = "no worker answered"
        try:
            return await self._told(order_id, _within(wait, self._quote(request, wait)))
        except TimeoutError:
            pass
        except WorkflowFailureError as failure:
            cause = failure.cause.cause if isinstance(failure.cause, ActivityError) else failure.cause
            if isinstance(cause, ApplicationError):
                if cause.type in QUOTE_CANCELLATION.refusals:
                    raise StarterError(ExitCode.NOT_CANCELLED, cause.message) from None
                why = cause.message.rstrip(".")
        raise StarterError(
            ExitCode.UNDECIDED,
            f"The cancellation of order {order_id} could not be quoted within {_seconds(wait)}: {why}. Nothing was done; "
            "ask again.",
        )

    async def _quote(self, request: CancellationRequest, wait: timedelta) -> Quote:
        return await self._client.execute_workflow(
            QuoteWorkflow.run,
            request,
            id=f"quote-order-{request.order_id}-{uuid4().hex[:8]}",
            task_queue=self._task_queue,
            execution_timeout=wait,  # it changes nothing, so it may end anywhere; nobody wants it later
            static_summary=f"Quote for order {request.order_id}",
        )

    async def status(self, order_id: str) -> Status:
        """Where the order's latest cancellation stands. When no worker answers, what it last published."""
        handle = self._handle(order_id)
        run = await self._told(order_id, handle.describe())
        if run.status is not WorkflowExecutionStatus.RUNNING:
            try:
                return Status.ended(await self._told(order_id, _ended(order_id, handle)))
            except StarterError as lost:
                if lost.code is not ExitCode.NOT_CANCELLED:
                    raise
                return await Status.last_published(run, lost.sentence)
        try:
            return Status.live(await handle.query(CancellationWorkflow.progress, rpc_timeout=QUERY_WAIT))
        except WorkflowQueryFailedError:
            pass
        except RPCError as error:
            if error.status not in _NO_WORKER:
                raise await explained(self._client, order_id, error) from None
        return await Status.last_published(
            run,
            "No worker answers at the moment, so this is what the run published when it last began or ceased to wait. "
            "Nothing is lost: it goes on as soon as a worker runs.",
        )

    async def watch(self, order_id: str, every: timedelta = POLL) -> AsyncIterator[Status | CancellationResult]:
        """Each new status, then the result. The end is awaited beside the looks, so it is told at once; what happened
        between two looks stands in the step table of the next."""
        now = await self.status(order_id)
        end = asyncio.create_task(self.result(order_id))
        seen: Status | None = None
        try:
            while now.source is not Source.RESULT:
                if now != seen:
                    seen = now
                    yield now
                await asyncio.wait({end}, timeout=every.total_seconds())
                if end.done():
                    break
                now = await self.status(order_id)
            yield await end
        finally:
            end.cancel()
            await asyncio.gather(end, return_exceptions=True)

    async def result(self, order_id: str, wait: timedelta | None = None) -> CancellationResult:
        """Wait for the end of the order's latest cancellation, for ever or for `wait`. A roll-back is a result as well.

        StarterError: UNDECIDED when it has not ended in time, NOT_CANCELLED when the run was lost.
        """
        try:
            return await self._told(order_id, _within(wait, _ended(order_id, self._handle(order_id))))
        except TimeoutError:
            assert wait is not None
            raise StarterError(
                ExitCode.UNDECIDED,
                f"The cancellation of order {order_id} has not ended within {_seconds(wait)}; it goes on. "
                f"Look with: starter.py status {order_id}",
            ) from None

    async def list(
        self, *, state: State | None = None, owner: Owner | None = None, limit: int = 50
    ) -> Sequence[Summary]:
        """The latest cancellations, running ones first; those in one state, or those that wait for one owner. The list
        lags a moment behind the runs."""
        # The values are enums of ours, so there is nothing to escape.
        wanted = ["WorkflowType = 'CancellationWorkflow'"]
        wanted += [f"{attributes.STATE.name} = '{state.value}'"] if state else []
        wanted += [f"{attributes.OWNER.name} = '{owner.value}'"] if owner else []

        async def found() -> Sequence[Summary]:
            runs = self._client.list_workflows(" AND ".join(wanted), limit=limit)
            return [await Summary.of(run) async for run in runs]

        return await self._told(None, found())

    # Steering

    async def approve(self, order_id: str, message: Approve) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.approve, message)

    async def reject(self, order_id: str, message: Reject) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.reject, message)

    async def withdraw(self, order_id: str, message: Withdraw) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.withdraw, message)

    async def retry_step(self, order_id: str, message: RetryStep) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.retry_step, message)

    async def resolve_step(self, order_id: str, message: ResolveStep) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.resolve_step, message)

    async def choose_refund_method(self, order_id: str, message: ChooseRefundMethod) -> Acknowledgement:
        return await self._steer(order_id, CancellationWorkflow.choose_refund_method, message)

    async def _steer(
        self,
        order_id: str,
        update: UpdateMethodMultiParam[[Any, Message], Acknowledgement],
        message: Message,
    ) -> Acknowledgement:
        """StarterError: REFUSED with the run's own reason, or because it is over; NOT_FOUND when there is none, or the order
        is not the customer's who is named; UNDECIDED when no worker took it."""
        handle = self._handle(order_id)
        try:
            return await self._told(order_id, _within(ANSWER_WAIT, handle.execute_update(update, message)))
        except TimeoutError:
            raise StarterError(
                ExitCode.UNDECIDED,
                f"No worker answered for order {order_id} within {_seconds(ANSWER_WAIT)}; the message may still be taken. "
                f"Look before you repeat it: starter.py status {order_id}",
            ) from None
        except StarterError as error:
            if error.code is not ExitCode.NOT_FOUND or isinstance(error, OrderNotFound):
                raise
        over = await self.status(order_id)  # or the sentence that there is no cancellation at all
        if over.decision and over.decision.rule is Rule.ORDER_NOT_FOUND:
            raise OrderNotFound(over.decision.sentence)
        if message.actor.kind is ActorKind.CUSTOMER and over.customer_id not in {None, message.actor.id}:
            raise OrderNotFound(order_not_found(order_id))
        if over.source is not Source.RESULT:  # the run was lost
            raise StarterError(ExitCode.REFUSED, over.sentence)
        raise StarterError(
            ExitCode.REFUSED,
            f"The cancellation of order {order_id} is over ({over.state.value.replace('_', ' ')}); nothing can be changed "
            "any more.",
        )

    def _handle(self, order_id: str) -> WorkflowHandle[CancellationWorkflow, CancellationResult]:
        return self._client.get_workflow_handle_for(CancellationWorkflow.run, workflow_id(order_id))

    async def _told(self, order_id: str | None, call: Awaitable[T]) -> T:
        return await told(self._client, order_id, call)


async def _within(wait: timedelta | None, call: Coroutine[Any, Any, T]) -> T:
    """The call's answer, or TimeoutError after `wait`. It runs in a task of its own because Temporal's client turns a
    cancelled update call into an error: so the caller's own cancel stays a cancel."""
    task = asyncio.create_task(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=wait.total_seconds() if wait else None)
        if not done:
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ended(order_id: str, handle: WorkflowHandle[CancellationWorkflow, CancellationResult]) -> CancellationResult:
    """The result of a run, also out of the failure that a roll-back ends with."""
    try:
        return await handle.result()
    except WorkflowFailureError as failure:
        cause = failure.cause
    if not isinstance(cause, ApplicationError):
        raise StarterError(
            ExitCode.NOT_CANCELLED,
            f"The run for order {order_id} was ended from outside (terminated or timed out) and rolled nothing back, so "
            "the order may still be on hold. Send the request again: it is taken up where the order book left it.",
        )
    if cause.type == ErrorCode.ROLLED_BACK and cause.details:
        return CancellationResult.model_validate(cause.details[0])
    raise StarterError(
        ExitCode.NOT_CANCELLED,
        f"The run for order {order_id} failed without an outcome ({cause.type}); what it did stands in the history of "
        f"workflow {workflow_id(order_id)} in the Temporal UI.",
    )


class _Shown(TypedDict):
    """What a run shows of itself from its start."""

    memo: Mapping[str, str]
    search_attributes: TypedSearchAttributes
    static_summary: str
    static_details: str


def _shown(request: CancellationRequest) -> _Shown:
    scope = "whole order" if request.whole_order else f"{len(request.lines)} lines"
    return {
        "memo": {"cancellation_id": cancellation_id(request.order_id, request.request_id)},
        "search_attributes": TypedSearchAttributes(
            [
                SearchAttributePair(attributes.ORDER_ID, request.order_id),
                SearchAttributePair(attributes.STATE, State.RUNNING),
                SearchAttributePair(attributes.REASON, request.reason),
            ]
        ),
        "static_summary": f"Cancel order {request.order_id}: {scope}, {request.reason.replace('_', ' ')}",
        "static_details": _HOW_TO_STEER.format(order_id=request.order_id),
    }


def _run_was_closing(error: Exception) -> bool:
    if isinstance(error, WorkflowUpdateFailedError):
        return isinstance(error.cause, ApplicationError) and error.cause.type == _RUN_CLOSED_FIRST
    return isinstance(error, RPCError) and error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.ABORTED}


def _seconds(wait: timedelta) -> str:
    return f"{wait.total_seconds():g} seconds"
