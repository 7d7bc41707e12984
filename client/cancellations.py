"""The library: start, watch and steer cancellations."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from client.diagnosis import Diagnosis, diagnose
from client.engine import Execution, Run
from client.errors import ExitCode, OrderNotFound, StarterError, UnderWay, translate_errors, unreachable
from client.listing import EVERYTHING, Filter, SummaryPage, list_page
from client.pauses import find_pause, waits_of
from client.program import own_command
from client.runs import find_run, handle_of, read_progress, read_result, seconds, wait_within
from client.status import Source, Status, published_state
from client.steering import explain_closed, send_message, was_recorded
from client.submitting import Submitter
from domain import contract
from domain.contract import UpdateType
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
from domain.outcome import CancellationResult
from domain.request import CancellationRequest
from domain.said import Steering
from runtime.connection import connection
from runtime.plugin import TASK_QUEUE, plugin
from runtime.texts import translate, translate_code

T = TypeVar("T")
Message = TypeVar("Message", bound=Steering)

ANSWER_WAIT = timedelta(seconds=30)
POLL = timedelta(seconds=1)
_LAST_ANSWER = 0.1
"""Seconds in which a thread of the client has left the answer that it delivered; it takes microseconds."""


class Cancellations:
    """Cancellations on one Temporal namespace. Every method raises `StarterError` and nothing else of its own."""

    def __init__(self, client: Client, *, task_queue: str = TASK_QUEUE) -> None:
        self._client = client
        self._task_queue = task_queue
        self._submitter = Submitter(client, task_queue)

    @classmethod
    async def connect(cls) -> "Cancellations":
        """Connect as the environment says."""
        try:
            config = connection()
        except (RuntimeError, ValueError):
            raise StarterError(
                ExitCode.WRONG_INPUT,
                translate(
                    "Temporal's connection settings cannot be read; check TEMPORAL_CONFIG_FILE and the other "
                    "TEMPORAL_ variables."
                ),
            ) from None
        try:
            return cls(await Client.connect(**config, plugins=[plugin()]))
        except (RPCError, RuntimeError, ValueError):
            raise unreachable(config["target_host"]) from None

    async def close(self) -> None:
        """Call it last where the process ends soon after. The client delivers each answer by a thread of its own, and the
        interpreter aborts when it ends while such a thread is still on its way out of the last one."""
        await asyncio.sleep(_LAST_ANSWER)

    async def __aenter__(self) -> "Cancellations":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Starting

    async def start(self, request: CancellationRequest, wait: timedelta = ANSWER_WAIT) -> Submission:
        """Ask for a cancellation and wait for the decision, with the amounts. Safe to repeat after a lost answer: it is the
        same request, so nothing is done twice, and the answer is the same decision and plan, with the result once it is
        over. Another request for the same order and scope joins the cancellation that is under way. A statutory withdrawal
        of another scope is deferred: received at once, and carried out when the one that is under way has ended.

        StarterError: UnderWay when any other request meets a cancellation of another scope, RunPaused when it meets one that
        somebody has paused, REFUSED when the request id was used with other content, NOT_CANCELLED when verification failed
        and was rolled back, UNDECIDED when the decision takes longer than `wait`.
        """
        order_id = request.order_id
        try:
            return await self._call(order_id, wait_within(wait, self._submitter.submit(request)))
        except TimeoutError:
            raise await self._undecided(
                order_id,
                translate(
                    "The cancellation of order {order_id} is not decided after {wait}; if it has begun, it goes on. "
                    "Look with: {command}, or send the same request again; that is safe.",
                    order_id=order_id,
                    wait=seconds(wait),
                    command=own_command("status", order_id),
                ),
                when_paused=translate(
                    "The request is not decided after {wait}, and may not have been kept. Unpause it, then send the "
                    "same request again; that is safe",
                    wait=seconds(wait),
                ),
            ) from None

    async def look_again(self, request: CancellationRequest, event: RefundEvent | ShipmentEvent) -> None:
        """The outcome of an ended cancellation may not hold any more, as `event` says. Starts a run that looks, or wakes up
        the one that there is. `request` is the one that opened the cancellation."""
        await self._call(request.order_id, self._submitter.wake(request, event))

    # Reading

    async def quote(self, request: CancellationRequest, wait: timedelta = ANSWER_WAIT) -> Quote:
        """What `start` would answer now: decision and plan with the amounts. Nothing is done, and nothing is promised.

        StarterError: NOT_CANCELLED when the order cannot be verified as it is, UNDECIDED when there is no answer in time.
        UnderWay: another cancellation of the order, which the request would not join, has to end first.
        """
        order_id = request.order_id
        why = translate("no worker answered, or it still waits for another system")
        try:
            return await self._call(order_id, wait_within(wait, self._run_quote(request, wait)))
        except TimeoutError:
            pass
        except WorkflowFailureError as failure:
            cause = failure.cause
            if isinstance(cause, ApplicationError):
                if cause.type == ErrorCode.UNDER_WAY:
                    raise UnderWay(cause.message) from None
                if cause.type in contract.QUOTE.refusals:
                    raise StarterError(ExitCode.NOT_CANCELLED, cause.message) from None
                why = cause.message.rstrip(".")
        raise StarterError(
            ExitCode.UNDECIDED,
            translate(
                "The cancellation of order {order_id} could not be quoted within {wait}: {why}. Nothing was done; "
                "ask again.",
                order_id=order_id,
                wait=seconds(wait),
                why=why,
            ),
        )

    async def _run_quote(self, request: CancellationRequest, wait: timedelta) -> Quote:
        quote: Quote = await self._client.execute_workflow(
            contract.QUOTE.name,
            request,
            id=f"quote-order-{request.order_id}-{uuid4().hex[:8]}",
            task_queue=self._task_queue,
            execution_timeout=wait,  # it changes nothing, so it may end anywhere; nobody wants it later
            static_summary=f"Quote for order {request.order_id}",
            result_type=contract.QUOTE.answer,
        )
        return quote

    async def status(self, order_id: str) -> Status:
        """Where the order's latest cancellation stands. When no worker answers, or somebody has paused the run, what it last
        published. A pause, also of a step, is a wait for operations."""
        return await self._call(order_id, self._read_status(order_id))

    async def _read_status(self, order_id: str) -> Status:
        run = await find_run(self._client, order_id)
        if not run.is_open:
            try:
                return Status.ended(await read_result(self._client, order_id, run.run_id))
            except StarterError as lost:
                if lost.code is not ExitCode.NOT_CANCELLED:
                    raise
                return Status.last_published(run, lost.sentence)
        return (await self._open_status(run)).while_paused(waits_of(run, self._client.namespace))

    async def _open_status(self, run: Run) -> Status:
        if run.execution is Execution.PAUSED:
            state = translate_code(published_state(run))
            return Status.last_published(
                run,
                translate(
                    "While it is paused it answers nothing, so this is what it last published; its state was: {state}.",
                    state=state,
                ),
            )
        progress = await read_progress(handle_of(self._client, run.order_id, run.run_id))
        if progress is not None:
            return Status.live(progress)
        return Status.last_published(
            run,
            translate(
                "No worker answers at the moment that this version understands, so this is what the run published "
                "when it last began or ceased to wait. Nothing is lost: it goes on as soon as a worker runs."
            ),
        )

    async def watch(self, order_id: str, every: timedelta = POLL) -> AsyncIterator[Status | CancellationResult]:
        """Each new status, then the result. The end is awaited beside the looks, so it comes at once; what happened between
        two looks stands in the step table of the next."""
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
        """Wait for the end of the order's latest cancellation, for ever or for `wait`, also while it is paused. A roll-back
        is a result as well.

        StarterError: UNDECIDED when it has not ended in time, NOT_CANCELLED when the run was lost.
        """
        try:
            return await self._call(order_id, wait_within(wait, self._read_result(order_id)))
        except TimeoutError:
            assert wait is not None
            raise await self._undecided(
                order_id,
                translate(
                    "The cancellation of order {order_id} has not ended within {wait}; it goes on. Look with: "
                    "{command}",
                    order_id=order_id,
                    wait=seconds(wait),
                    command=own_command("status", order_id),
                ),
                when_paused=translate("It has not ended within {wait}. Unpause it, and it goes on", wait=seconds(wait)),
            ) from None

    async def _read_result(self, order_id: str) -> CancellationResult:
        while True:
            run = await find_run(self._client, order_id)
            result = await read_result(self._client, order_id, run.run_id)
            # The one that was waited for may turn out to know no cancellation, where an earlier one does.
            if not run.is_open or (await find_run(self._client, order_id)).run_id == run.run_id:
                return result

    async def list(self, which: Filter = EVERYTHING, *, limit: int = 50, cursor: str | None = None) -> SummaryPage:
        """The latest cancellations, running ones first. One row for each, whatever the number of its runs. The list lags a
        moment behind the runs.

        StarterError: WRONG_INPUT when the cursor is not of this list.
        """
        return await self._call(None, list_page(self._client, which, limit=limit, cursor=cursor))

    async def diagnose(self) -> Diagnosis:
        """Whether Temporal, a worker and the systems that it is connected to work, and what is not known of the orders.
        Nothing is changed. It takes seconds, also where nobody answers."""
        return await self._call(None, diagnose(self._client, self._task_queue))

    # Steering

    async def approve(self, order_id: str, message: Approve) -> Acknowledgement:
        return await self._send(order_id, contract.APPROVE, message)

    async def reject(self, order_id: str, message: Reject) -> Acknowledgement:
        return await self._send(order_id, contract.REJECT, message)

    async def withdraw(self, order_id: str, message: Withdraw) -> Acknowledgement:
        return await self._send(order_id, contract.WITHDRAW, message)

    async def retry_step(self, order_id: str, message: RetryStep) -> Acknowledgement:
        return await self._send(order_id, contract.RETRY_STEP, message)

    async def resolve_step(self, order_id: str, message: ResolveStep) -> Acknowledgement:
        return await self._send(order_id, contract.RESOLVE_STEP, message)

    async def choose_refund_method(self, order_id: str, message: ChooseRefundMethod) -> Acknowledgement:
        return await self._send(order_id, contract.CHOOSE_REFUND_METHOD, message)

    async def _send(
        self, order_id: str, update: UpdateType[Message, Acknowledgement], message: Message
    ) -> Acknowledgement:
        """StarterError: REFUSED with the run's own reason, or because it is over; RunPaused; NOT_FOUND when there is none,
        or the order is not the customer's who is named; UNDECIDED when no worker answered in time."""
        try:
            sending = send_message(self._client, order_id, update, message)
            return await self._call(order_id, wait_within(ANSWER_WAIT, sending))
        except TimeoutError:
            raise await self._undecided(
                order_id,
                translate(
                    "The message for order {order_id} was not answered within {wait}: no worker runs, or the worker still "
                    "waits for another system. The message may still be taken. Look before you repeat it: {command}",
                    order_id=order_id,
                    wait=seconds(ANSWER_WAIT),
                    command=own_command("status", order_id),
                ),
                when_paused=translate(
                    "It did not answer within {wait}; the message may still be taken. Unpause it, then look "
                    "before you repeat it, with {command}",
                    wait=seconds(ANSWER_WAIT),
                    command=own_command("status", order_id),
                ),
            ) from None
        except StarterError as error:
            if error.code is not ExitCode.NOT_FOUND or isinstance(error, OrderNotFound):
                raise
        ended = await self.status(order_id)  # or the sentence that there is no cancellation at all
        if was_recorded(ended, message):
            return Acknowledgement(
                state=ended.state,
                sentence=translate("It was recorded before the end. {sentence}", sentence=ended.sentence),
            )
        raise explain_closed(ended, message)

    async def _undecided(self, order_id: str, sentence: str, *, when_paused: str) -> StarterError:
        """`when_paused` is said instead where the run or a step of it is paused, before the command that unpauses."""
        paused = await find_pause(self._client, order_id, when_paused)
        return StarterError(ExitCode.UNDECIDED, paused or sentence)

    async def _call(self, order_id: str | None, call: Awaitable[T]) -> T:
        return await translate_errors(self._client, order_id, call)
