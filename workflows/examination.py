"""An examination: whether the systems of a worker answer. Only a worker is connected to them, so it is a run, of one
activity and seconds."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from activities.signatures import EXAMINE_COUNTERPARTS
from domain import contract
from domain.examination import Examination, ExaminationRequest

_ATTEMPT = timedelta(seconds=8)
"""More than the worker allows its systems."""


@workflow.defn(name=contract.EXAMINATION.name)
class ExaminationWorkflow:
    """Id `examination-{random}`, task queue `order-cancellation`. It fails when no worker has answered in time."""

    @workflow.run
    async def run(self, request: ExaminationRequest) -> Examination:
        found: Examination = await workflow.execute_activity(
            EXAMINE_COUNTERPARTS,
            request,
            result_type=Examination,
            schedule_to_close_timeout=_ATTEMPT,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary="Examine the systems of a worker",
        )
        return found
