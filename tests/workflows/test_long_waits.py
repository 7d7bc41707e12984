"""A wait costs next to nothing, however long: no run has 2,000 events, nothing is lost, and the result is right.

Counts are of the histories of all runs of the chain that a cancellation goes through when it continues as new.
"""

import asyncio
from datetime import UTC, timedelta
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from client.engine import Execution
from domain.messages import Approve
from domain.money import money
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import SUPERVISOR, Handle, System, customer_of, eventually
from tests.workflows.samples import captured
from workflows import continuing
from workflows.cancellation import CancellationWorkflow

MOST_EVENTS = 2_000
PENDING = "pm_card_pendingRefund"
EXPENSIVE = "600.00 USD"
PRICE = money("64.00 USD")
TWO_MONTHS = timedelta(days=60)
CONTINUED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW


async def chain(system: System, handle: Handle) -> list[WorkflowHistory]:
    """The history of each run, the first one first."""
    run_id = handle.first_execution_run_id or handle.result_run_id
    found: list[WorkflowHistory] = []
    while True:
        one_run = system.client.get_workflow_handle(handle.id, run_id=run_id)
        found.append(await one_run.fetch_history())
        last = found[-1].events[-1]
        if last.event_type != CONTINUED:
            return found
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id


async def events_of(system: System, handle: Handle) -> list[int]:
    """How many events each run of the chain has."""
    return [len(history.events) for history in await chain(system, handle)]


async def assert_small(system: System, handle: Handle, *, runs: int = 1) -> None:
    """No run comes near what the server takes, and at least so many went through it."""
    found = await events_of(system, handle)
    assert max(found) < MOST_EVENTS, found
    assert len(found) >= runs, found


def above_limit() -> SampleOrder:
    return captured(total=EXPENSIVE, parcels=())


async def waiting_for_approval(system: System, sample: SampleOrder) -> Handle:
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    return handle


# Time


async def test_two_months_of_settlement(system: System) -> None:
    """M11, E17, rule 13: looked up every six hours."""
    sample = captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.skip(TWO_MONTHS)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)  # it is overdue
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    await system.skip(timedelta(hours=7))
    assert (await system.finish(handle)).refunded == PRICE
    assert await system.refunds(sample.order_id) == [PRICE]
    assert max(await events_of(system, handle)) < 120


async def test_two_months_of_a_carriers_silence(system: System) -> None:
    """M11, E17, rule 13: looked up every two hours."""
    sample = captured(parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.skip(TWO_MONTHS)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
    await system.skip(timedelta(hours=3))
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested"]
    assert await system.refunds(sample.order_id) == [PRICE]
    assert max(await events_of(system, handle)) < 120


async def test_weeks_of_silence_about_eight_intercepts(system: System) -> None:
    """M11, E17, rule 13"""
    sample = captured(parcels=tuple(parcel(Script.INTERCEPT_SILENT, L1=1) for _ in range(8)))
    sample = sample.model_copy(update={"lines": (line("L1", 8, "64.00 USD"),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    for _ in range(3):
        await system.skip(timedelta(days=5))
    for label in system.shop.labels[sample.order_id]:
        await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
    await system.skip(timedelta(hours=3))
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested"] * 8
    assert max(await events_of(system, handle)) < 500


async def test_a_month_of_a_silent_gateway(system: System) -> None:
    """M11, E17, rule 13: the step's rounds are further and further apart, and its refund is made once in the end.

    The skipping server forgets an activity's schedule-to-close limit when it schedules it on a whole second: once in a
    thousand rounds, of which there are more than a hundred here. Such a run is no answer, and another order is tried.
    """
    for _ in range(5):
        ended_after, limits_were_kept = await _wait_for_a_silent_gateway(system)
        if limits_were_kept:
            break
    assert ended_after > timedelta(days=30)


async def _wait_for_a_silent_gateway(system: System) -> tuple[timedelta, bool]:
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.HTTP_429, payment=payment, times=500, retry_after=50)
    _, handle = await system.submit(request(sample))
    await system.skip(timedelta(minutes=3))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert "slow down" in wait.reason
    result = await system.end(handle)
    assert result.refunded == PRICE
    ended = next(row.ended_at for row in result.steps if row.step is StepName.REVERSE_PAYMENT)
    assert ended is not None
    assert await system.refunds(sample.order_id) == [PRICE]
    histories = await chain(system, handle)
    attempts = [e.activity_task_started_event_attributes.attempt for history in histories for e in history.events]
    limits_were_kept = max(attempts) <= 3
    if limits_were_kept:
        await assert_small(system, handle, runs=2)
    return ended - histories[0].events[0].event_time.ToDatetime(UTC), limits_were_kept


# Messages


async def test_signals_one_after_the_other_make_no_run_long(open_system: System) -> None:
    """E17, rule 13: each is a look, and the run continues as new; the settlement is found all the same."""
    system = open_system
    sample = captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    while len(await events_of(system, handle)) < 2:
        for _ in range(20):
            await system.wake(system.current(sample.order_id))
            await system.progress(handle)  # it has come to the run
    await is_shown_as_one(system, handle, sample)
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    await system.wake(system.current(sample.order_id))
    assert (await system.library.result(sample.order_id)).refunded == PRICE
    assert await system.refunds(sample.order_id) == [PRICE]
    await assert_small(system, handle, runs=2)
    await system.assert_books_balance()


async def is_shown_as_one(system: System, handle: Handle, sample: SampleOrder) -> None:
    """Lists leave out the runs that were continued; what the run is about, and how to act, is on the page of the last."""
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_SETTLEMENT)
    assert (await system.library.status(sample.order_id)).state is State.WAITING_FOR_SETTLEMENT

    async def is_listed() -> bool:
        listed = [
            summary for summary in (await system.library.list()).cancellations if summary.order_id == sample.order_id
        ]
        second = (await chain(system, handle))[1].events[0].event_time.ToDatetime(UTC)
        return [(summary.execution, summary.started_at < second) for summary in listed] == [(Execution.RUNNING, True)]

    await eventually(is_listed, "the list has one line, since the first run began")

    async def says_how_to_act() -> bool:
        page = await system.current(sample.order_id).query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        about = f"Cancel order {sample.order_id}: whole order"
        return about in page.current_details and "send an update" in page.current_details.lower()

    await eventually(says_how_to_act, "the page says what the run is about, and how to act")


async def test_hundreds_of_repetitions_of_a_request_are_one_message(open_system: System) -> None:
    """M20, E17, rule 15: a repetition is the same update, of which a run may have 2,000: it adds nothing to the run. The
    customer can still withdraw."""
    system, sample = open_system, above_limit()
    await system.shop.place_order(sample)
    first = await system.library.start(request(sample))
    handle = system.current(sample.order_id)
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    before = await events_of(system, handle)
    for _ in range(20):
        again = await asyncio.gather(*(system.library.start(request(sample)) for _ in range(20)))
        assert {answer.cancellation_id for answer in again} == {first.cancellation_id}
    assert await events_of(system, handle) == before
    await system.withdraw(handle, customer_of(sample))
    assert (await system.finish(handle)).outcome is Outcome.WITHDRAWN


async def test_ten_repetitions_while_nobody_answers_leave_room_for_a_withdrawal(open_system: System) -> None:
    """M21, rule 15: the server takes ten messages of a run at a time, and no handler waits long."""
    system, sample = open_system, above_limit()
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("payment_intent.retrieve", FaultKind.HTTP_429, payment=payment, times=1_000)
    handle = await system.start(request(sample))
    sent = [
        asyncio.create_task(handle.execute_update(CancellationWorkflow.submit, request(sample), id=uuid4().hex))
        for _ in range(10)
    ]
    receipts = await asyncio.gather(*sent)
    assert {receipt.decision for receipt in receipts} == {None}, "they are answered as received"
    await system.withdraw(handle, customer_of(sample))
    assert (await system.finish(handle)).outcome is Outcome.WITHDRAWN


async def test_a_caller_whose_repetitions_have_ids_of_their_own_does_not_make_the_run_deaf(open_system: System) -> None:
    """M20, E17: another SDK's caller; the server takes 2,000 updates a run."""
    system, sample = open_system, above_limit()
    handle = await waiting_for_approval(system, sample)
    for _ in range(520):
        receipt = await handle.execute_update(CancellationWorkflow.submit, request(sample), id=uuid4().hex)
        assert receipt.decision is not None
    await system.approve(handle)
    assert (await system.finish(handle)).refunded == money(EXPENSIVE)
    await assert_small(system, handle, runs=2)


async def test_an_approval_in_the_middle_of_continuing_as_new_counts(
    open_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10, E17: wherever it lands while signals make the run continue, it is acknowledged once and has its effect."""
    system, sample = open_system, above_limit()
    handle = await waiting_for_approval(system, sample)

    async def grow() -> None:
        while True:
            try:
                await system.wake_by_carrier(system.current(sample.order_id))
                await system.progress(system.current(sample.order_id))
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return  # it has ended

    async def has_grown() -> bool:
        return sum(await events_of(system, handle)) >= 185

    monkeypatch.setattr(continuing, "_MOST_WORK", 60)
    growing = asyncio.create_task(grow())
    await eventually(has_grown, "the run is about to continue as new", within=200)
    # As a caller does: the engine refuses for the moment what comes as it fails the task that would have ended the run.
    await system.library.approve(sample.order_id, Approve(actor=SUPERVISOR))
    await growing
    assert (await system.finish(handle)).refunded == money(EXPENSIVE)
    assert await system.refunds(sample.order_id) == [money(EXPENSIVE)]
    await assert_small(system, handle)
