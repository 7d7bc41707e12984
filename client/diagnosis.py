"""Whether the product works from here: Temporal, its workers, and the systems that they are connected to."""

from datetime import timedelta
from enum import IntEnum
from uuid import uuid4

from temporalio.client import Client, RPCTimeoutOrCancelledError, WorkflowFailureError

from domain import contract
from domain.base import Value
from domain.examination import Examination, ExaminationRequest
from runtime import search_attributes
from runtime.health import has_polled

WORKER_WAIT = timedelta(seconds=10)
"""Longer than a worker takes for its systems, whatever they do."""


class DiagnosisCode(IntEnum):
    """How `doctor` ends; numbers of `ExitCode` that are near in meaning."""

    ALL_ANSWER = 0
    SYSTEM_DOES_NOT_ANSWER = 1
    SEARCH_ATTRIBUTES_MISSING = 3
    NO_WORKER_ANSWERS = 6


class Diagnosis(Value):
    """`polling`: a worker has asked Temporal for work in the last two minutes. `examination` is what a worker has answered;
    None: none has."""

    address: str
    namespace: str
    missing_search_attributes: tuple[str, ...]
    polling: bool
    examination: Examination | None

    @property
    def code(self) -> DiagnosisCode:
        """The first thing that is wrong. What an order management system cannot do does not count."""
        if self.missing_search_attributes:
            return DiagnosisCode.SEARCH_ATTRIBUTES_MISSING
        if self.examination is None:
            return DiagnosisCode.NO_WORKER_ANSWERS
        return DiagnosisCode.SYSTEM_DOES_NOT_ANSWER if self.examination.failed else DiagnosisCode.ALL_ANSWER


async def diagnose(client: Client, task_queue: str) -> Diagnosis:
    """Raises RPCError when Temporal does not answer."""
    polling = await has_polled(client, task_queue)
    return Diagnosis(
        address=client.service_client.config.target_host,
        namespace=client.namespace,
        missing_search_attributes=tuple(await search_attributes.missing(client)),
        polling=polling,
        examination=await _examine(client, task_queue) if polling else None,
    )


async def _examine(client: Client, task_queue: str) -> Examination | None:
    """What one of the workers answers. None: no worker has answered in time, or none knows the workflow."""
    try:
        examination: Examination = await client.execute_workflow(
            contract.EXAMINATION.name,
            ExaminationRequest(),
            id=f"examination-{uuid4().hex[:8]}",
            task_queue=task_queue,
            execution_timeout=WORKER_WAIT,  # it changes nothing, so it may be ended at any point
            static_summary="Examine the systems of a worker",
            result_type=contract.EXAMINATION.answer,
        )
    except (WorkflowFailureError, RPCTimeoutOrCancelledError):
        return None
    return examination
