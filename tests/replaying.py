"""Replay in tests: by a worker that remembers no run, and of the histories that a test has left behind.

With WITHOUT_CACHE=1 every worker of `System.worker` replays a run from its first event in each of its tasks. With
REPLAY_HISTORIES=1 a test that has passed replays what its runs have left.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from temporalio.api.history.v1 import HistoryEvent
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError, _Definition

from runtime.plugin import plugin, sandboxed
from worker import WORKFLOWS, make_replayer
from workflows import continuing

if TYPE_CHECKING:
    from tests.system import Handle, System

WITHOUT_CACHE: Mapping[str, Any] = {
    "max_cached_workflows": 0,
    "max_concurrent_workflow_task_polls": 1,
    "workflow_failure_exception_types": [NondeterminismError],
}
"""Options of a worker. A task that does not replay fails its run: the next attempt could come out right by chance."""

_OTHER_LENGTHS = [*range(1, 10), -3, -6, -9]
"""More events, or less: a workflow task has three, besides what was ordered in it."""

_TRIES = 20
_HUNG = "TMPRL1101"
"""On a busy machine a replay may take longer than the two seconds after which the SDK takes code for hung. That says nothing
of the history."""


def cache_options() -> Mapping[str, Any]:
    """Those of every worker of a test."""
    return WITHOUT_CACHE if os.environ.get("WITHOUT_CACHE") == "1" else {}


def replaying() -> bool:
    return os.environ.get("REPLAY_HISTORIES") == "1"


async def list_handles(system: "System", workflow_id: str) -> "list[Handle]":
    """Every run of this id. The server that skips time cannot list runs: those that the test has started are known."""
    if system.server.supports_time_skipping:
        return [handle for handle in system.started if handle.id == workflow_id]
    query = f"WorkflowId = '{workflow_id}'"
    return [_handle(system.client, run.id, run.run_id) async for run in system.client.list_workflows(query)]


def _handle(client: Client, workflow_id: str, run_id: str) -> "Handle":
    return client.get_workflow_handle(workflow_id, run_id=run_id)


async def find_failed_replays(handles: "Sequence[Handle]", namespace: str) -> list[str]:
    """Why histories do not replay on the code and the constants of now, one sentence each."""
    failed = []
    replayer = make_replayer(namespace)
    async with replayer.workflow_replay_iterator(_histories(handles)) as results:
        async for result in results:
            for _ in range(_TRIES):
                if _HUNG not in str(result.replay_failure):
                    break
                result = await replayer.replay_workflow(result.history, raise_on_replay_failure=False)  # noqa: PLW2901
            if result.replay_failure is not None and not await _replays_at_another_length(result.history, namespace):
                failed.append(f"a history of {result.history.workflow_id} does not replay: {result.replay_failure}")
    return failed


async def _replays_at_another_length(history: WorkflowHistory, namespace: str) -> bool:
    """The length of the history that the SDK tells a run is not always the one of its replay (docs/reliability.md), and
    nobody has kept it. A run asks for it to know whether to continue as new, and for nothing else."""
    for more in _OTHER_LENGTHS:
        replayer = Replayer(
            workflows=WORKFLOWS, namespace=namespace, plugins=[plugin()], workflow_runner=_OtherLength(more)
        )
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        if result.replay_failure is None:
            return True
    return False


class _OtherLength(WorkflowRunner):
    """Runs are told that their history has `more` events where they hear of a local activity's result, or less anywhere."""

    def __init__(self, more: int) -> None:
        self._more = more
        self._runner = sandboxed(SandboxedWorkflowRunner())

    def prepare_workflow(self, defn: _Definition) -> None:
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        run = self._runner.create_instance(det)
        run_code = run.activate

        def activate(act: WorkflowActivation) -> WorkflowActivationCompletion:
            if self._more < 0 or any(job.resolve_activity.is_local for job in act.jobs):
                act.history_length = max(act.history_length + self._more, 1)
            return run_code(act)

        run.activate = activate  # type: ignore[method-assign]
        return run


async def _histories(handles: "Sequence[Handle]") -> AsyncIterator[WorkflowHistory]:
    for handle in handles:
        try:
            history = await handle.fetch_history()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            continue  # the test has let the engine forget it
        if not _continued_early(history.events):
            yield history


def _continued_early(events: "Sequence[HistoryEvent]") -> bool:
    """By a constant that its test has set; a run continues as new after more events."""
    last = events[-1]
    return (
        last.HasField("workflow_execution_continued_as_new_event_attributes")
        and len(events) < continuing._LONGEST_HISTORY
    )
