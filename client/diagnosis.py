"""Whether the product works from here: Temporal, its workers, and the systems that they are connected to."""

import asyncio
from datetime import timedelta
from enum import IntEnum
from uuid import uuid4

from temporalio.client import Client, RPCTimeoutOrCancelledError, WorkflowFailureError

from domain import contract
from domain.base import Value
from domain.examination import Counterpart, Examination, ExaminationRequest
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


class Waiting(Value):
    """How many cancellations wait for a system that is away, or was when they tried last."""

    counterpart: Counterpart
    runs: int


class Diagnosis(Value):
    """`polling`: a worker has asked Temporal for work in the last two minutes. `examination` is what a worker has answered;
    None: none has. `waiting` has the systems that somebody waits for."""

    address: str
    namespace: str
    missing_search_attributes: tuple[str, ...]
    polling: bool
    examination: Examination | None
    waiting: tuple[Waiting, ...] = ()

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
    missing = tuple(await search_attributes.missing(client))
    return Diagnosis(
        address=client.service_client.config.target_host,
        namespace=client.namespace,
        missing_search_attributes=missing,
        polling=polling,
        examination=await _examine(client, task_queue) if polling else None,
        waiting=() if search_attributes.AWAY.name in missing else await _count_waiting(client),
    )


# Rule: One filter says how many runs wait for a system that is away
def waiting_for(counterpart: Counterpart) -> str:
    """List filter."""
    return f"ExecutionStatus = 'Running' AND {search_attributes.AWAY.name} = '{counterpart}'"


async def _count_waiting(client: Client) -> tuple[Waiting, ...]:
    counted = await asyncio.gather(*(client.count_workflows(waiting_for(counterpart)) for counterpart in Counterpart))
    found = zip(Counterpart, counted, strict=True)
    return tuple(Waiting(counterpart=counterpart, runs=runs.count) for counterpart, runs in found if runs.count)


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
