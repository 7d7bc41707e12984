"""Runs and steps that somebody pauses, as the Temporal UI and its command line do it."""

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    PauseWorkflowExecutionRequest,
    UnpauseWorkflowExecutionRequest,
)
from temporalio.client import Client

from domain.request import workflow_id

WHO, WHY = "ops@shop.example", "the gateway is down"


async def pause(client: Client, run: str) -> None:
    """The latest run of a workflow id."""
    await client.workflow_service.pause_workflow_execution(
        PauseWorkflowExecutionRequest(
            namespace=client.namespace, workflow_id=run, identity=WHO, reason=WHY, request_id=uuid4().hex
        )
    )


async def unpause(client: Client, run: str) -> None:
    await client.workflow_service.unpause_workflow_execution(
        UnpauseWorkflowExecutionRequest(
            namespace=client.namespace, workflow_id=run, identity=WHO, request_id=uuid4().hex
        )
    )


async def pause_step(client: Client, order_id: str) -> str:
    """The step that the order's run is at work on; its name."""
    run = client.get_workflow_handle(workflow_id(order_id))
    (pending,) = (await run.describe()).raw_description.pending_activities
    await client.workflow_service.pause_activity(
        PauseActivityRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=run.id),
            identity=WHO,
            reason=WHY,
            id=pending.activity_id,
        )
    )
    return pending.activity_type.name


async def follow_instructions(sentence: str, address: str) -> None:
    """Run the command of Temporal's own command line with which a sentence ends, as it stands there."""
    _, _, command = sentence.rpartition(": temporal ")
    assert command, sentence
    await asyncio.to_thread(
        subprocess.run,
        [str(Path(sys.executable).with_name("temporal")), *shlex.split(command)],
        env={**os.environ, "TEMPORAL_ADDRESS": address},
        check=True,
        capture_output=True,
        timeout=60,
    )
