"""A local attempt that is given up after two seconds, and had its effect."""

import asyncio
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause

from domain.outcome import Outcome
from domain.step import StepName
from sandbox import built_in
from sandbox.gateway.messages import FaultKind
from sandbox.shop import request
from tests.system import System
from tests.workflows.samples import an_id, captured


async def test_a_refusal_whose_first_attempt_was_given_up_is_not_an_earlier_one(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt has kept the refusal, and its answer comes too late. The ordinary one finds it in the books, as
    something that is over; it is this run's own all the same, as its holder says, and not an existing one."""
    sample = captured()
    await system.shop.place_order(sample)
    refuse, late = system.books.refuse, True

    async def slow(*args: Any, **kwargs: Any) -> Any:
        nonlocal late
        entries = await refuse(*args, **kwargs)
        if late:
            late = False
            await asyncio.sleep(4)
        return entries

    monkeypatch.setattr(system.books, "refuse", slow)
    asked = request(sample).model_dump(mode="json") | {"reason": "out_of_stock"}
    result = await system.cancel(request(sample).model_validate(asked))
    assert (result.outcome, result.existing) == (Outcome.REJECTED, False)


async def test_a_time_in_the_past_does_not_break_the_runs_own_code(open_system: System) -> None:
    """A gateway (or what stands before it) answers 429 with `Retry-After: -5`: it is asked again at once, and the engine,
    which takes no timer that lies in the past, does not hear of it."""
    system, sample = open_system, captured(parcels=())
    await system.shop.place_order(sample)
    await system.disturb_look(sample.order_id, FaultKind.HTTP_429, seconds=-5, times=1)
    handle = await system.start(request(sample))
    await system.finish(handle)
    assert not await system.has_failed_task(handle)


async def test_an_event_in_the_moment_of_the_end_repeats_nothing(
    open_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway's event arrives while the last task carries out what is left, so the server has that task repeated. The
    run finds in the books that it has ended the cancellation itself, and ends; it takes nothing up."""
    system, sample = open_system, captured(parcels=())
    await system.shop.place_order(sample)
    close, woken = system.books.close, 0

    async def close_as_an_event_arrives(*args: Any, **kwargs: Any) -> Any:
        nonlocal woken
        if not woken:
            woken += 1
            await system.wake(system.current(sample.order_id))
        return await close(*args, **kwargs)

    monkeypatch.setattr(system.books, "close", close_as_an_event_arrives)
    _, handle = await system.submit(request(sample))
    result = await system.finish(handle)
    events = [*(await handle.fetch_history()).events]
    tasks = [
        e.workflow_task_failed_event_attributes.cause
        for e in events
        if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    assert tasks == [WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND]
    assert (result.outcome, result.existing) == (Outcome.CANCELLED, False)
    assert [row.step for row in result.steps] == [
        StepName.VERIFY_ORDER,
        StepName.REVERSE_PAYMENT,
        StepName.CREDIT_REFUND,
        StepName.CLOSE_ORDER,
        StepName.CLOSE_CANCELLATION,
    ]
    assert all(row.ended_at is None or row.started_at <= row.ended_at for row in result.steps)
    assert b'"take_up"' not in b"".join(e.SerializeToString() for e in events)
    await system.assert_books_balance()


async def test_an_event_in_the_moment_of_a_roll_back_does_not_make_it_a_success(
    open_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3, rule 10: a run that a failure has rolled back fails, also when its last task is repeated and it finds that it has
    ended."""
    system, sample = open_system, captured()
    order = await system.shop.place_order(sample)
    tender = order.tenders[0].model_copy(update={"reference": "pi_unknown"})
    broken = order.model_copy(update={"order_id": an_id(), "tenders": (tender,)})
    await built_in.add_order(system.engine, broken, email="c@customer.example")
    release, woken = system.books.release, 0

    async def release_as_an_event_arrives(*args: Any, **kwargs: Any) -> Any:
        nonlocal woken
        if not woken:
            woken += 1
            await system.wake(system.current(broken.order_id))
        return await release(*args, **kwargs)

    monkeypatch.setattr(system.books, "release", release_as_an_event_arrives)
    handle = await system.start(request(sample).model_copy(update={"order_id": broken.order_id}))
    result = await system.read_rolled_back(handle)
    assert woken
    assert (result.outcome, result.existing) == (Outcome.ROLLED_BACK, False)
