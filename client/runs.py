"""The runs of a cancellation: which one to read, its result, and the list of all."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from client import pauses
from client.engine import IS_NOT_PAUSED, IS_PAUSED, Execution, Run, list_runs, read_run
from client.errors import ExitCode, RunSuperseded, StarterError
from client.status import Summary
from domain.errors import ErrorCode
from domain.outcome import CancellationResult, Progress, State
from domain.plan import Plan
from domain.request import workflow_id
from domain.step import Owner
from runtime import search_attributes as attributes
from workflows.cancellation import CancellationWorkflow

T = TypeVar("T")
Handle = WorkflowHandle[CancellationWorkflow, CancellationResult]

QUERY_WAIT = timedelta(seconds=5)
# A run that another one continues is no cancellation of its own.
_CANCELLATIONS = f"WorkflowType = '{CancellationWorkflow.__name__}' AND ExecutionStatus != 'ContinuedAsNew'"
_EARLIER_RUNS = 50
_PAGE = 100

# The answers to a query when no worker polls, or none in time, or the one that does cannot go on with the run.
_NO_WORKER = {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION}


def handle_of(client: Client, order_id: str, run_id: str | None = None) -> Handle:
    """One run, or the latest."""
    return client.get_workflow_handle_for(CancellationWorkflow.run, workflow_id(order_id), run_id=run_id)


async def find_run(client: Client, order_id: str) -> Run:
    """The order's latest run that knows a cancellation, else its latest: a request that no book keeps (somebody else's
    order, say) hides nothing. Raises RPCError when there is none."""
    latest = await read_run(client, order_id)
    if not _knows_nothing(latest):
        return latest
    ours = list_runs(client, f"{_CANCELLATIONS} AND WorkflowId = {_quoted(latest.workflow_id)}")
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
            f"The run for order {order_id} was terminated or timed out, and rolled nothing back, so the order may still be "
            "on hold. Send the request again: it is taken up where our books left it.",
        )
    if cause.type == ErrorCode.ROLLED_BACK and cause.details:
        return CancellationResult.model_validate(cause.details[0])
    if cause.type == ErrorCode.SUPERSEDED:
        raise RunSuperseded(cause.message)
    raise StarterError(
        ExitCode.NOT_CANCELLED,
        f"The run for order {order_id} failed without an outcome ({cause.type}); what it did stands in the history of "
        f"workflow {workflow_id(order_id)} in the Temporal UI.",
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
        return await _query(handle.query(CancellationWorkflow.progress, rpc_timeout=QUERY_WAIT))
    except NoWorkerAnswers:
        return None


async def read_plan(handle: Handle) -> Plan | None:
    """None when nothing is planned, or in words that this version does not know. Raises NoWorkerAnswers."""
    return await _query(handle.query(CancellationWorkflow.plan, rpc_timeout=QUERY_WAIT))


async def _query(query: Coroutine[Any, Any, T]) -> T | None:
    try:
        return await query
    except ValidationError:  # words of a newer version
        return None
    except (WorkflowQueryFailedError, ValueError) as error:  # ValueError: the SDK cannot say that the run is paused
        raise NoWorkerAnswers from error
    except RPCError as error:
        if error.status not in _NO_WORKER:
            raise
        raise NoWorkerAnswers from error


async def list_summaries(client: Client, *, state: State | None, owner: Owner | None, limit: int) -> Sequence[Summary]:
    """One for each cancellation, by the latest run that knows it; those with an open run first."""
    wanted = [_CANCELLATIONS]
    wanted += [_published(attributes.STATE, state, of_paused=pauses.STATE)] if state else []
    wanted += [_published(attributes.OWNER, owner, of_paused=pauses.OWNER)] if owner else []
    runs = list_runs(client, " AND ".join(wanted))
    shown: dict[tuple[str, str | None], Summary] = {}
    while len(shown) < limit and (page := await _next(runs, _PAGE)):
        # Open runs come first, then the latest that were closed: the first of a cancellation is its latest.
        summaries = [Summary.of(run) for run in page]
        newest = await _newest_runs(client, summaries) if len(wanted) > 1 else {}
        for summary in summaries:
            if newest.get(summary.key, summary.run_id) == summary.run_id:
                shown.setdefault(summary.key, summary)
    return list(shown.values())[:limit]


def _published(attribute: SearchAttributeKey[str], word: StrEnum, *, of_paused: StrEnum) -> str:
    """The filter for what a run has published. A paused one is found by what a pause means instead."""
    published = f"{attribute.name} = '{word.value}'"
    return f"({published} OR {IS_PAUSED})" if word is of_paused else f"({published} AND {IS_NOT_PAUSED})"


async def _next(runs: AsyncIterator[Run], count: int) -> list[Run]:
    page: list[Run] = []
    async for run in runs:
        page.append(run)
        if len(page) == count:
            break
    return page


async def _newest_runs(client: Client, summaries: Sequence[Summary]) -> dict[tuple[str, str | None], str]:
    """The latest run of each cancellation that has ended: what an earlier one has published does not hold any more."""
    orders = {summary.order_id for summary in summaries if summary.ended_at is not None}
    if not orders:
        return {}
    ids = ", ".join(_quoted(workflow_id(order_id)) for order_id in sorted(orders))
    newest: dict[tuple[str, str | None], str] = {}
    async for run in list_runs(client, f"{_CANCELLATIONS} AND WorkflowId IN ({ids})"):
        found = Summary.of(run)
        newest.setdefault(found.key, found.run_id)
    return newest


def _quoted(text: str) -> str:
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
    return f"{wait.total_seconds():g} seconds"
