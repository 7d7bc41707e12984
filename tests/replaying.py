"""Replay in tests: by a worker that remembers no run, and of the histories that a test has left behind.

With WITHOUT_CACHE=1 every worker of `System.worker` replays a run from its first event in each of its tasks. With
REPLAY_HISTORIES=1 a test that has passed replays what its runs have left.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import NondeterminismError

from worker import make_replayer
from workflows import continuing

if TYPE_CHECKING:
    from tests.system import Handle, System

WITHOUT_CACHE: Mapping[str, Any] = {
    "max_cached_workflows": 0,
    "max_concurrent_workflow_task_polls": 1,
    "workflow_failure_exception_types": [NondeterminismError],
}
"""Options of a worker. A task that does not replay fails its run: the next attempt could come out right by chance."""

_WORK: Final = (
    "activity_task_scheduled_event_attributes",
    "marker_recorded_event_attributes",
    "workflow_execution_signaled_event_attributes",
    "workflow_execution_update_accepted_event_attributes",
)
"""Steps and messages."""

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
            if result.replay_failure is not None:
                failed.append(f"a history of {result.history.workflow_id} does not replay: {result.replay_failure}")
    return failed


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
    """By a constant that its test has set; a run continues as new after more work."""
    work = sum(any(event.HasField(kind) for kind in _WORK) for event in events)
    continued = events[-1].HasField("workflow_execution_continued_as_new_event_attributes")
    return continued and work < continuing._MOST_WORK
