"""A run that a worker has replayed for a query alone is replayed once more for its next task (docs/decisions/0099).

The server sends a query to a worker that does not know the run with all of its history, also with what no task has shown
the run yet. The SDK (temporalio 1.35) lets the run's code have that as well. The task that comes afterwards shows it only
what is left, and what the code orders then goes into a history that no replay can repeat: a replay shows all of it at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import Worker, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.workflow import _Definition

_ALONE = "legacy_query"
"""The id of a query that the server sends by itself, not beside a task."""


class QueriedRuns(WorkflowRunner):
    """The `workflow_runner` of a worker, around the one that runs the code."""

    def __init__(self, runner: WorkflowRunner) -> None:
        self._runner = runner
        self._evict: Callable[[str], None] | None = None

    def watch(self, worker: Worker) -> Worker:
        """Evict runs from this worker's cache. The SDK has no public name for that."""
        self._evict = worker._bridge_worker.request_workflow_eviction
        return worker

    def prepare_workflow(self, defn: _Definition) -> None:
        self._runner.prepare_workflow(defn)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        self._runner.set_worker_level_failure_exception_types(types)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        run, seen = self._runner.create_instance(det), _Seen()
        run_code = run.activate

        def activate(act: WorkflowActivation) -> WorkflowActivationCompletion:
            seen.add(act)
            completion = run_code(act)
            if self._evict is not None and seen.may_be_ahead(act):
                self._evict(act.run_id)
            return completion

        run.activate = activate  # type: ignore[method-assign]
        return run


@dataclass
class _Seen:
    """What a run in the cache has been shown. `ends`: where the history ended, each time that it was no replay."""

    was_replayed: bool | None = None
    ends: set[int] = field(default_factory=set)

    def add(self, act: WorkflowActivation) -> None:
        if self.was_replayed is None:
            self.was_replayed = act.is_replaying
        if not act.is_replaying and not any(job.HasField("query_workflow") for job in act.jobs):
            self.ends.add(act.history_length)

    def may_be_ahead(self, act: WorkflowActivation) -> bool:
        """Whether the run may have been shown, for this query, what no task has shown it. Once its history has ended at two
        places, the first of them was a task's."""
        is_alone = any(job.query_workflow.query_id == _ALONE for job in act.jobs)
        return is_alone and bool(self.was_replayed) and len(self.ends) == 1
