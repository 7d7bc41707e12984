"""A message and a query come to a run in one task: the message is answered, whatever becomes of the next task."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from domain.messages import Approve
from domain.money import money
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.shop import SampleOrder, request
from tests.interleaving import QueriesLast, query_unheard
from tests.loss import Loss
from tests.observing import eventually, update_id
from tests.system import SUPERVISOR, Handle, System, customer_of
from tests.workflows.samples import captured
from worker import make_replayer
from workflows.cancellation import CancellationWorkflow

EXPENSIVE = "600.00 USD"
Send = Callable[[System, SampleOrder, Handle], Awaitable[None]]


async def approve(system: System, _: SampleOrder, handle: Handle) -> None:
    await system.approve(handle)


async def reject(system: System, _: SampleOrder, handle: Handle) -> None:
    await system.reject(handle)


async def withdraw(system: System, sample: SampleOrder, handle: Handle) -> None:
    await system.withdraw(handle, customer_of(sample))


async def ask_again(system: System, sample: SampleOrder, handle: Handle) -> None:
    other = request(sample, request_id="other")
    await handle.execute_update(CancellationWorkflow.submit, other, id=update_id.get())
    await system.library.approve(sample.order_id, Approve(actor=SUPERVISOR))


@pytest.mark.parametrize(
    ("send", "outcome"),
    [
        (approve, Outcome.CANCELLED),
        (reject, Outcome.ROLLED_BACK),
        (withdraw, Outcome.WITHDRAWN),
        (ask_again, Outcome.CANCELLED),
    ],
)
async def test_a_message_that_comes_with_a_query_is_answered(
    real_time_system: System, send: Send, outcome: Outcome
) -> None:
    """I6, I10: the SDK loses the answer of an update that follows from a local activity when the server has heard of the
    activity's result earlier than the run's code, and the next task is replayed; the run would then be stuck for ever."""
    system, sample = real_time_system, captured(total=EXPENSIVE, parcels=())
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    sent = await system.send_unheard(handle, lambda: send(system, sample, handle))
    asked = await query_unheard(system.client, handle)
    order = QueriesLast()
    async with order.watch(system.worker(workflow_runner=order)):
        _, unanswered = await asyncio.wait({*sent, asked}, timeout=15)
        assert not unanswered
        result = await system.finish(handle)
    assert order.lost
    assert result.outcome is outcome
    assert await system.refunds(sample.order_id) == ([money(EXPENSIVE)] if outcome is Outcome.CANCELLED else [])


async def test_a_run_that_has_waited_for_a_worker_verifies_its_order_by_an_ordinary_activity(
    bare_system: System,
) -> None:
    """I6: while no worker was there people have asked what becomes of it, so a query may come with its first task."""
    system, sample = bare_system, captured(parcels=())
    await system.shop.place_order(sample)
    handle = await system.start(request(sample))
    await system.skip(timedelta(seconds=6))
    async with system.worker():
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    scheduled = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in (await handle.fetch_history()).events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert scheduled == [StepName.VERIFY_ORDER, StepName.REVERSE_PAYMENT]


async def test_a_query_that_comes_with_the_request_does_no_harm(real_time_system: System) -> None:
    """I7, I10: the answer to the request itself follows from a local activity, whose result the server may hear of earlier
    than the run's code."""
    system, sample = real_time_system, captured(parcels=())
    await system.shop.place_order(sample)
    handle = await system.start(request(sample))
    sent = await system.send_unheard(handle, lambda: submit(handle, sample))
    asked = await query_unheard(system.client, handle)
    order = QueriesLast(lost=True)
    async with order.watch(system.worker(workflow_runner=order)):
        await asyncio.gather(asked, *sent)
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    await make_replayer(system.client.namespace).replay_workflow(await handle.fetch_history())


async def test_a_run_that_the_sdk_has_lost_track_of_is_healed_by_a_reset(real_time_system: System) -> None:
    """I6: only when the next task is lost as well is the run stuck. Operations see it, and a reset as docs/operations.md
    says it heals it."""
    system, sample = real_time_system, captured(parcels=())
    await system.shop.place_order(sample)
    handle = await system.start(request(sample), task_lasts=timedelta(seconds=3))
    sent = await system.send_unheard(handle, lambda: submit(handle, sample))
    asked = await query_unheard(system.client, handle)
    order = QueriesLast()
    async with order.watch(system.worker(workflow_runner=order)):
        await asked

        async def is_stuck() -> bool:
            return (await handle.describe()).raw_description.pending_workflow_task.attempt > 2

        await eventually(is_stuck, "the run is stuck")
        await system.lose(handle, Loss.RESET)
        result = await system.finish(system.current(sample.order_id))
        (answer,) = await asyncio.gather(*sent, return_exceptions=True)
    assert order.lost
    assert isinstance(answer, WorkflowUpdateFailedError), "its sender sees an error"
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    await system.assert_books_balance()


async def submit(handle: Handle, sample: SampleOrder) -> None:
    await handle.execute_update(CancellationWorkflow.submit, request(sample), id=update_id.get())
