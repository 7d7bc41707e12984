"""Runs as the engine has them, read by its raw calls: the SDK (1.35) does not know that a run can be paused, and fails on
each list with such a run in it. This is the only place where the library reads what the engine says of a run."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from temporalio.api.common.v1 import Memo, WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo, WorkflowExecutionPauseInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client
from temporalio.common import TypedSearchAttributes
from temporalio.converter import decode_typed_search_attributes

from domain.request import workflow_id
from runtime import search_attributes as attributes

T = TypeVar("T")

_PAGE = 100
_STATUS = "WORKFLOW_EXECUTION_STATUS_"

IS_PAUSED = f"({attributes.PAUSE_INFO.name} IS NOT NULL AND CloseTime IS NULL)"
"""List filter: somebody has paused the run, or an activity of it. A run that ended while paused keeps the attribute."""
IS_NOT_PAUSED = f"({attributes.PAUSE_INFO.name} IS NULL OR CloseTime IS NOT NULL)"


class Execution(StrEnum):
    """What the engine says of the run. `canceled`, `terminated` and `timed_out` mean that the run was lost: nothing was
    rolled back, and the order may still be on hold. `paused`: somebody has paused it, and it stands still until somebody
    unpauses it. `unknown` is a word of a newer engine."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"
    CONTINUED_AS_NEW = "continued_as_new"
    PAUSED = "paused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Pause:
    """Somebody has paused a run, or one activity of it. The identity and the reason are what they have said, if anything."""

    at: datetime
    identity: str
    reason: str
    activity_id: str = ""
    """Empty: the whole run."""
    activity: str = ""


@dataclass(frozen=True)
class Run:
    """One run. `pauses` is read of a run by itself, never in a list; `is_paused` holds in both."""

    order_id: str
    workflow_id: str
    run_id: str
    execution: Execution
    cancellation_id: str | None
    """As the run shows it from its start and corrects it by the books; None where no book keeps the request."""
    started_at: datetime
    """Of the first run, where this one continues it."""
    closed_at: datetime | None
    attributes: TypedSearchAttributes
    pauses: tuple[Pause, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def is_paused(self) -> bool:
        """Whether the run stands still, or one activity of it."""
        paused = self.execution is Execution.PAUSED or self.attributes.get(attributes.PAUSE_INFO) is not None
        return self.is_open and paused


# Rule: What has become of a run is read from the engine
async def read_run(
    client: Client, order_id: str, run_id: str | None = None, *, rpc_timeout: timedelta | None = None
) -> Run:
    """One run of an order's cancellation, or the latest. Raises RPCError, NOT_FOUND when there is none."""
    found = await client.workflow_service.describe_workflow_execution(
        DescribeWorkflowExecutionRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id(order_id), run_id=run_id or ""),
        ),
        retry=True,
        timeout=rpc_timeout,
    )
    return await _run_of(client, found.workflow_execution_info, _pauses_of(found))


@dataclass(frozen=True)
class RunPage:
    """Some runs of a list. `next_token` is empty on the last page."""

    runs: Sequence[Run]
    next_token: bytes


async def read_page(client: Client, query: str, size: int, token: bytes) -> RunPage:
    """At most `size` of the runs that a list filter finds: open ones first, then the latest that were closed. Raises
    RPCError."""
    page = await client.workflow_service.list_workflow_executions(
        ListWorkflowExecutionsRequest(namespace=client.namespace, page_size=size, next_page_token=token, query=query),
        retry=True,
    )
    return RunPage([await _run_of(client, info) for info in page.executions], page.next_page_token)


# Rule: What has become of a run is read from the engine [of many]
async def list_runs(client: Client, query: str) -> AsyncIterator[Run]:
    """All that a list filter finds, in the same order."""
    token = b""
    while True:
        page = await read_page(client, query, _PAGE, token)
        for run in page.runs:
            yield run
        token = page.next_token
        if not token:
            return


async def _run_of(client: Client, info: WorkflowExecutionInfo, pauses: tuple[Pause, ...] = ()) -> Run:
    opened_at = await _memo_value(client, info.memo, "opened_at", datetime)
    return Run(
        order_id=info.execution.workflow_id.removeprefix(workflow_id("")),
        workflow_id=info.execution.workflow_id,
        run_id=info.execution.run_id,
        execution=execution_of(info.status),
        cancellation_id=await _memo_value(client, info.memo, "cancellation_id", str),
        started_at=opened_at or info.start_time.ToDatetime(UTC),
        closed_at=info.close_time.ToDatetime(UTC) if info.HasField("close_time") else None,
        attributes=decode_typed_search_attributes(info.search_attributes),
        pauses=pauses if not info.HasField("close_time") else (),
    )


def execution_of(status: int) -> Execution:
    """A number that this version does not know is `unknown`: one such run is not to take the others from a list."""
    if status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED:
        return Execution.RUNNING
    words = {int(number): name.removeprefix(_STATUS).lower() for name, number in WorkflowExecutionStatus.items()}
    word = words.get(status)
    return Execution(word) if word in set(Execution) else Execution.UNKNOWN


async def _memo_value(client: Client, memo: Memo, key: str, kind: type[T]) -> T | None:
    if key not in memo.fields:
        return None
    (value,) = await client.data_converter.decode([memo.fields[key]], [kind])
    found: T | None = value
    return found


def _pauses_of(found: DescribeWorkflowExecutionResponse) -> tuple[Pause, ...]:
    """Of the run first, then of its activities."""
    extended = found.workflow_extended_info
    of_run = [_pause_of_run(extended.pause_info)] if extended.HasField("pause_info") else []
    return (*of_run, *(_pause_of_activity(pending) for pending in found.pending_activities if pending.paused))


def _pause_of_run(info: WorkflowExecutionPauseInfo) -> Pause:
    return Pause(at=info.paused_time.ToDatetime(UTC), identity=info.identity, reason=info.reason)


def _pause_of_activity(pending: PendingActivityInfo) -> Pause:
    info = pending.pause_info
    by = info.rule if info.HasField("rule") else info.manual
    return Pause(
        at=info.pause_time.ToDatetime(UTC),
        identity=by.identity,
        reason=by.reason,
        activity_id=pending.activity_id,
        activity=pending.activity_type.name,
    )
