"""What starts a run is read before any of its code runs."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from domain.request import workflow_id
from tests.system import System
from tests.workflows.samples import an_id


async def test_a_start_input_that_cannot_be_read_fails_the_run_by_field(system: System) -> None:
    """Rule 4: trying its first task again would never heal it. Whoever started it by hand hears what is wrong."""
    started = await system.client.start_workflow(
        "CancellationWorkflow", {"order_id": "O-1"}, id=workflow_id(an_id()), task_queue=system.task_queue
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await started.result()
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "unreadable_request"
    assert "actor: it is missing" in cause.message


@pytest.mark.parametrize("workflow_type", ["CancellationWorkflow", "QuoteWorkflow", "ExaminationWorkflow"])
@pytest.mark.parametrize("arguments", [[], [None]], ids=["none", "null"])
async def test_a_start_without_an_input_fails_the_run(system: System, workflow_type: str, arguments: list[Any]) -> None:
    """Rule 4: the Temporal UI starts a run so where the box is left empty, and an SDK where its own word for nothing is
    sent."""
    started = await system.client.start_workflow(
        workflow_type, args=arguments, id=workflow_id(an_id()), task_queue=system.task_queue
    )
    try:
        async with asyncio.timeout(5):
            with pytest.raises(WorkflowFailureError) as failure:
                await started.result()
    except TimeoutError:
        await started.terminate()
        raise
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.message) == (
        "unreadable_request",
        "The request cannot be read: a JSON object is needed.",
    )
