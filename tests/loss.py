"""How a run is lost: what people, time and the engine do to it from outside."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

LONGEST = timedelta(hours=2)
"""How long a run may last that a test lets time out."""


class Loss(StrEnum):
    """A reset goes on by itself, as a new run that remembers nothing after its first task. FORGOTTEN: the engine has deleted
    the execution, as it does when its retention has passed."""

    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"
    RESET = "reset"
    FORGOTTEN = "forgotten"


async def reset(client: Client, handle: WorkflowHandle[Any, Any], task: int = 0) -> str:
    """To the end of a task, its first one by default, as the button of the Temporal UI offers it; returns the new run's id.
    Raises IndexError where the run has not completed that task."""
    history = await handle.fetch_history()
    completed = [event for event in history.events if event.HasField("workflow_task_completed_event_attributes")]
    answer = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id),
            reason="by mistake",
            workflow_task_finish_event_id=completed[task].event_id,
            request_id=uuid4().hex,
        )
    )
    return answer.run_id


def copy_books(engine: AsyncEngine, to: Path) -> None:
    """Make a backup of a SQLite database."""
    _copy(str(engine.url.database), str(to))


def restore_books(engine: AsyncEngine, backup: Path) -> None:
    """The books are again what they were: they know nothing of what has happened since."""
    _copy(str(backup), str(engine.url.database))


def _copy(source: str, target: str) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


async def delete(client: Client, handle: WorkflowHandle[Any, Any]) -> None:
    """The server deletes in the background: see `status`."""
    execution = WorkflowExecution(workflow_id=handle.id)
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    )


async def status(client: Client, handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionStatus | None:
    """Of the latest run of this id; None: the engine knows of none. The SDK's own `describe` stumbles over search attributes
    that the time-skipping server has emptied."""
    execution = WorkflowExecution(workflow_id=handle.id)
    try:
        answer = await client.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution)
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return WorkflowExecutionStatus(answer.workflow_execution_info.status)
