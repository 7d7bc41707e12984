"""A query that reaches a worker which does not know its run: the worker replays the run for it. What it is told by that goes
into no history."""

import asyncio
from collections.abc import Callable

import pytest
from temporalio.worker import Worker

from domain.outcome import State
from sandbox.carrier.model import Script
from sandbox.shop import request
from tests.faults.moments import Moments
from tests.fixtures.workers import Workers
from tests.system import Handle, System
from tests.workflows.samples import in_network
from worker import make_replayer
from workflows.cancellation import CancellationWorkflow

RUNS = 6
"""Which comes first, the query or the task, is the server's matter."""


@pytest.mark.parametrize(
    "make_worker", [System.worker, lambda system: Moments().worker(system)], ids=["worker", "halted"]
)
async def test_a_run_that_was_queried_between_its_tasks_replays(
    process_system: System, workers: Workers, make_worker: Callable[[System], Worker]
) -> None:
    """I7: its worker has died. Another one answers the query, with a cancel request in its history that no task has shown it
    yet, and carries out the task that comes with a signal besides. Also the worker of the harnesses, halted at each task."""
    system = process_system
    first = workers.start()
    handles = [await _waiting_for_carrier(system) for _ in range(RUNS)]
    first.kill()
    async with make_worker(system):
        await asyncio.gather(*(_query_and_disturb(handle) for handle in handles))
        for handle in handles:
            await system.end(handle)
    replayer = make_replayer(system.client.namespace)
    for handle in handles:
        await replayer.replay_workflow(await handle.fetch_history())


async def _query_and_disturb(handle: Handle) -> None:
    """The query is sent to the dead worker's own queue first, and so is the task: it moves to the others' queue when the
    query has, a moment later."""
    query = asyncio.create_task(handle.query(CancellationWorkflow.progress))
    await asyncio.wait({query}, timeout=1)
    await handle.cancel()
    await query
    await handle.signal(CancellationWorkflow.shipment_event)


async def _waiting_for_carrier(system: System) -> Handle:
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    return handle
