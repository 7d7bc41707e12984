"""The runs of a cancellation: which one to read, and its result."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from client.engine import Execution, Run, list_runs, read_run
from client.errors import ExitCode, RunSuperseded, StarterError
from domain.contract import CANCELLATION, PLAN, PROGRESS, Answer, QueryType
from domain.errors import ErrorCode
from domain.outcome import CancellationResult, Progress
from domain.plan import Plan
from domain.request import workflow_id
from runtime import search_attributes as attributes
from runtime.texts import translate

T = TypeVar("T")
Handle = WorkflowHandle[Any, CancellationResult]

QUERY_WAIT = timedelta(seconds=5)
# Rule: A run that no book keeps is no cancellation in a list
CANCELLATIONS = (
    f"WorkflowType = '{CANCELLATION.name}' AND ExecutionStatus != 'ContinuedAsNew' "
    f"AND ({attributes.ORDER_ID.name} IS NOT NULL OR ExecutionStatus = 'Running')"
)
"""List filter. No cancellation of its own: a quote, a run that another one continues, and one that has ended without an
order's id because no book keeps its request (an unknown order, or somebody else's). By its status, because the Temporal UI
shows an error page for `CloseTime IS NULL`."""

_EARLIER_RUNS = 50

# The answers to a query when no worker polls, or none in time, or the one that does cannot go on with the run.
_NO_WORKER = {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION}


def handle_of(client: Client, order_id: str, run_id: str | None = None) -> Handle:
    """One run, or the latest."""
    return client.get_workflow_handle(workflow_id(order_id), run_id=run_id, result_type=CANCELLATION.answer)


async def find_run(client: Client, order_id: str) -> Run:
    """The order's latest run that knows a cancellation, else its latest: a request that no book keeps (somebody else's
    order, say) hides nothing. Raises RPCError when there is none."""
    latest = await read_run(client, order_id)
    if not _knows_nothing(latest):
        return latest
    ours = list_runs(client, f"{CANCELLATIONS} AND WorkflowId = {quoted(latest.workflow_id)}")
    for run in await _next(ours, _EARLIER_RUNS):
        if run.run_id != latest.run_id and not _knows_nothing(run):
            return run
    return latest


def _knows_nothing(run: Run) -> bool:
    return run.execution is Execution.COMPLETED and run.cancellation_id is None


async def read_result(client: Client, order_id: str, run_id: str) -> CancellationResult:
    """Wait for the end of a run, also while it is paused; also reads the failure that a roll-back ends with. The run is
    named, because the server ends the wait for an order's latest run at the moment at which it is paused.

    StarterError: NOT_CANCELLED when the run was lost; RunSuperseded.
    """
    try:
        return await handle_of(client, order_id, run_id).result()
    except WorkflowFailureError as failure:
        cause = failure.cause
    if not isinstance(cause, ApplicationError):
        raise StarterError(
            ExitCode.NOT_CANCELLED,
            translate(
                "The run for order {order_id} was terminated or timed out, and rolled nothing back, so the order may "
                "still be on hold. Send the request again: it is taken up where our books left it.",
                order_id=order_id,
            ),
        )
    if cause.type == ErrorCode.ROLLED_BACK and cause.details:
        return CancellationResult.model_validate(cause.details[0])
    if cause.type == ErrorCode.SUPERSEDED:
        raise RunSuperseded(cause.message)
    raise StarterError(
        ExitCode.NOT_CANCELLED,
        translate(
            "The run for order {order_id} failed without an outcome ({cause}); what it did stands in the history of "
            "workflow {workflow} in the Temporal UI.",
            order_id=order_id,
            cause=cause.type,
            workflow=workflow_id(order_id),
        ),
    )


async def follow_continued(client: Client, order_id: str, run_id: str) -> Run:
    """The run, or the one that goes on with it."""
    while True:
        run = await read_run(client, order_id, run_id)
        if run.execution is not Execution.CONTINUED_AS_NEW:
            return run
        try:
            await handle_of(client, order_id, run_id).result(follow_runs=False)
        except WorkflowContinuedAsNewError as further:
            run_id = further.new_execution_run_id


class NoWorkerAnswers(Exception):
    """Nobody has answered a query in time; the next attempt may be luckier."""


async def read_progress(handle: Handle) -> Progress | None:
    """None when no worker answers at the moment, or one whose words this version does not know."""
    try:
        return await _query(handle, PROGRESS)
    except NoWorkerAnswers:
        return None


async def read_plan(handle: Handle) -> Plan | None:
    """None when nothing is planned, or in words that this version does not know. Raises NoWorkerAnswers."""
    return await _query(handle, PLAN)


async def _query(handle: Handle, kind: QueryType[Answer]) -> Answer | None:
    try:
        answer: Answer | None = await handle.query(kind.name, result_type=kind.answer, rpc_timeout=QUERY_WAIT)
        return answer
    except ValidationError:  # words of a newer version
        return None
    except (WorkflowQueryFailedError, ValueError) as error:  # ValueError: the SDK cannot say that the run is paused
        raise NoWorkerAnswers from error
    except RPCError as error:
        if error.status not in _NO_WORKER:
            raise
        raise NoWorkerAnswers from error


async def _next(runs: AsyncIterator[Run], count: int) -> list[Run]:
    page: list[Run] = []
    async for run in runs:
        page.append(run)
        if len(page) == count:
            break
    return page


def quoted(text: str) -> str:
    """For a list filter."""
    return "'" + text.replace("'", "''") + "'"


async def wait_within(wait: timedelta | None, call: Coroutine[Any, Any, T]) -> T:
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


def is_refused_for_now(error: BaseException) -> bool:
    """The engine takes no update while the run's task is being repeated; nor does it while the run is paused."""
    return isinstance(error, RPCError) and error.status is RPCStatusCode.FAILED_PRECONDITION


def seconds(wait: timedelta) -> str:
    figure = f"{wait.total_seconds():g}"
    return translate("{figure} seconds", figure=figure)
