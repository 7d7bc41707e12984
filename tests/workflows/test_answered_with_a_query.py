"""A message and a query come to a run in one task: the message is answered, whatever becomes of the next task."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from domain.money import money
from domain.outcome import Outcome, State
from sandbox.shop import SampleOrder, request
from tests.interleaving import QueriesLast, query_unheard
from tests.system import Handle, System, customer_of
from tests.workflows.samples import captured

EXPENSIVE = "600.00 USD"
Send = Callable[[System, SampleOrder, Handle], Awaitable[None]]


async def approve(system: System, _: SampleOrder, handle: Handle) -> None:
    await system.approve(handle)


async def reject(system: System, _: SampleOrder, handle: Handle) -> None:
    await system.reject(handle)


async def withdraw(system: System, sample: SampleOrder, handle: Handle) -> None:
    await system.withdraw(handle, customer_of(sample))


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="no answer: BadUpdateWorkflowExecutionMessage at each attempt of the task",
)
@pytest.mark.parametrize(
    ("send", "outcome"),
    [(approve, Outcome.CANCELLED), (reject, Outcome.ROLLED_BACK), (withdraw, Outcome.WITHDRAWN)],
)
async def test_a_decision_that_comes_with_a_query_is_answered(
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
