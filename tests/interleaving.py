"""Forces an order of events within one workflow task that a busy machine brings about by chance.

A query that came with the task is answered when the task's local activities have returned. So the server is told of their
results together with the query's answer, and the run's code hears of them in the task after that. This next task is lost
once, as when its worker is killed, and all of it is replayed.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.workflowservice.v1 import QueryWorkflowRequest
from temporalio.bridge.proto import ActivityTaskCompletion
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import _Definition

from domain import contract
from runtime.plugin import sandboxed
from tests.observing import Run

Activate = Callable[[WorkflowActivation], WorkflowActivationCompletion]
_LONGEST = 1.5  # seconds; after two of them the worker takes the run's code for hung


@dataclass
class QueriesLast(WorkflowRunner):
    """The worker's `workflow_runner`, for a test with one run and one local activity at a time. `lost`: the task after the
    query was lost."""

    lost: bool = False
    _answered: bool = False
    _under_way: set[int] = field(default_factory=set)
    _returned: threading.Condition = field(default_factory=threading.Condition)
    _runner: WorkflowRunner = field(default_factory=lambda: sandboxed(SandboxedWorkflowRunner()))

    def watch(self, worker: Worker) -> Worker:
        """Hear of each activity that the worker has reported."""
        reporting = worker._bridge_worker
        report = reporting.complete_activity_task

        async def reported(comp: ActivityTaskCompletion) -> None:
            await report(comp)
            with self._returned:
                self._under_way.clear()
                self._returned.notify_all()

        reporting.complete_activity_task = reported  # type: ignore[method-assign]
        return worker

    def prepare_workflow(self, defn: _Definition) -> None:
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = self._runner.create_instance(det)
        instance.activate = partial(self._activate, instance.activate)  # type: ignore[method-assign]
        return instance

    def _activate(self, activate: Activate, activation: WorkflowActivation) -> WorkflowActivationCompletion:
        jobs = [job.WhichOneof("variant") for job in activation.jobs]
        if "query_workflow" in jobs:
            with self._returned:
                self._returned.wait_for(lambda: not self._under_way, _LONGEST)
            self._answered = True
        elif "resolve_activity" in jobs and self._answered and not self.lost:
            self.lost = True
            raise RuntimeError("the worker is lost here")
        completion = activate(activation)
        with self._returned:
            self._under_way -= {job.resolve_activity.seq for job in activation.jobs}
            self._under_way |= {
                command.schedule_local_activity.seq
                for command in completion.successful.commands
                if command.HasField("schedule_local_activity")
            }
        return completion


async def query_unheard(client: Client, run: Run) -> asyncio.Task[Any]:
    """Send a query while no worker polls and a task is scheduled: it comes to the worker with that task. The server keeps
    one such query of a run and refuses another one, so of two the second to end is kept."""
    asking = QueryWorkflowRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=run.id),
        query=WorkflowQuery(query_type=contract.PROGRESS.name),
    )
    both = [asyncio.create_task(client.workflow_service.query_workflow(asking)) for _ in range(2)]
    (refused,), (kept,) = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    error = refused.exception()
    assert isinstance(error, RPCError), error
    assert error.status is RPCStatusCode.RESOURCE_EXHAUSTED, error
    return kept
