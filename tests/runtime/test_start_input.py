"""What starts a run is read before any of its code runs."""

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
