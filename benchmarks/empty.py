"""The floor: a workflow of four empty activities, started the way a cancellation is.

A module of its own that imports Temporal and nothing else, because the sandbox loads it again for each run.
"""

from datetime import timedelta

from temporalio import activity, workflow

TASK_QUEUE = "floor"


@activity.defn
async def nothing() -> None:
    return


@workflow.defn
class EmptyWorkflow:
    @workflow.run
    async def run(self) -> None:
        for _ in range(4):
            await workflow.execute_activity(nothing, start_to_close_timeout=timedelta(seconds=30))

    @workflow.update
    async def submit(self) -> None:
        """Answered by the first workflow task."""
