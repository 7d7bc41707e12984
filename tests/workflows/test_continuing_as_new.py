"""What a run that continues as new leaves to the next one.

A run does so after 250 steps, messages and waits. Here it does so after the first ones, by the same number in
workflows/continuing.py, so that a test need not send hundreds of messages. What is tested happens at the real number too.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from temporalio.service import RPCError

from domain.money import Money
from domain.outcome import Outcome, State
from domain.step import StepName
from domain.terms import Terms
from sandbox.carrier.model import FaultKind as Breakage
from sandbox.carrier.model import Operation, Script
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, line, parcel, request
from tests.observing import eventually, update_id
from tests.system import POLICY, Handle, System, customer_of
from tests.workflows.samples import captured
from tests.workflows.test_namespaces import elsewhere, waits_at_verification
from workflows import continuing

EXPENSIVE = "600.00 USD"


def expensive(parcels: int) -> SampleOrder:
    sample = captured(total=EXPENSIVE, parcels=tuple(parcel(Script.LABEL_ONLY, L1=1) for _ in range(parcels)))
    return sample.model_copy(update={"lines": (line("L1", parcels, EXPENSIVE),)})


async def approved_and_continued(system: System, sample: SampleOrder, monkeypatch: pytest.MonkeyPatch) -> Handle:
    """A run that has grown while it waited for its approval: once it has that, another run goes on, which stops the parcels.
    The carrier takes its time for that. Returns the other run."""
    await system.shop.place_order(sample)
    for label in system.shop.labels[sample.order_id]:
        await system.shop.carrier.add_fault(Operation.SHIPMENT_REFUND, Breakage.SLOW, parcel=label, seconds=5)
    _, first = await system.submit(request(sample))
    await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
    monkeypatch.setattr(continuing, "_MOST_WORK", 3)
    await system.approve(first)
    current = system.current(sample.order_id)

    async def goes_on() -> bool:
        now = await current.describe()
        return now.run_id != first.result_run_id

    await eventually(goes_on, "another run goes on")
    await system.wait_for_attempt(current)
    return current


async def test_a_withdrawal_before_the_pivot_counts_in_a_run_that_goes_on(
    open_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10, rule 16: the customer withdraws while the carrier is asked to stop the parcel, seconds before the money would
    move. That is accepted at once, also by a run that has not come yet to where the one before it waited."""
    system, sample = open_system, expensive(1)
    await approved_and_continued(system, sample, monkeypatch)
    monkeypatch.setattr(continuing, "_MOST_WORK", 250)
    current = system.current(sample.order_id)
    assert not await system.refunds(sample.order_id), "the money has not moved"
    refused = await system.refusal(system.withdraw(current, customer_of(sample)))
    result = await system.finish(current)
    assert (refused, result.outcome) == (None, Outcome.WITHDRAWN)
    assert not await system.refunds(sample.order_id)


async def test_a_run_that_goes_on_and_grows_answers_who_has_sent_a_message(
    open_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6, I10: a run that goes on keeps a message until it waits for the first time itself, and a run that has grown begins
    no round until all messages are answered. Where it grows before it first waits (an order with many parcels, signals by
    the hundred during a slow step), neither waits for the other for ever."""
    system, sample = open_system, expensive(3)
    await approved_and_continued(system, sample, monkeypatch)
    current = system.current(sample.order_id)
    refused = await asyncio.wait_for(system.refusal(system.withdraw(current, customer_of(sample))), 20)
    result = await asyncio.wait_for(system.finish(current), 20)
    assert (refused, result.outcome) == (None, Outcome.WITHDRAWN)


async def test_messages_by_the_hundred_before_the_order_is_verified_hold_up_nobody(
    real_time_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3, I6: no worker was there while events arrived, and somebody approved. The answer waits until the run has read the
    books, and a run that has grown begins no round until all messages are answered."""
    monkeypatch.setattr(continuing, "_MOST_WORK", 3)
    system, sample = real_time_system, captured(parcels=())
    await system.shop.place_order(sample)
    handle = await system.start(request(sample))
    for _ in range(3):
        await system.wake(handle)
    known_as = "approved-early"
    update_id.set(known_as)
    refusal = asyncio.create_task(system.refusal(system.approve(handle)))
    await eventually(lambda: system.has_arrived(handle, known_as), "the server has the approval")
    async with system.worker():
        current = system.current(sample.order_id)
        result = await asyncio.wait_for(system.finish(current), 30)
        assert await refusal is not None
    assert result.outcome is Outcome.CANCELLED


async def test_an_order_to_take_over_is_not_lost_when_the_run_continues(
    real_time_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 11 and 12, I10: a run waits because another namespace holds the order, and has grown meanwhile. A person orders
    it to take over: what is handed on does not say that, so this run does it before it continues."""
    system = real_time_system
    other = await elsewhere(system)
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    async with system.worker(max_cached_workflows=0), other.worker(max_cached_workflows=0):
        _, first = await system.submit(request(sample))
        await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
        second = await other.start(request(sample, request_id="second"))
        await waits_at_verification(other, second)
        monkeypatch.setattr(continuing, "_MOST_WORK", 3)
        current = other.current(sample.order_id)
        await other.retry(current, StepName.VERIFY_ORDER, sample.order_id)
        monkeypatch.setattr(continuing, "_MOST_WORK", 250)

        taken_over = asyncio.create_task(other.wait_for_state(current, State.WAITING_FOR_APPROVAL))
        await asyncio.wait({taken_over}, timeout=10)
        state = (await other.progress(current)).state
        taken_over.cancel()
        await asyncio.gather(taken_over, return_exceptions=True)
        await system.terminate_runs()
        await other.terminate_runs()
        with suppress(RPCError):
            await current.terminate("the test is over")
        assert state is State.WAITING_FOR_APPROVAL, state


async def test_a_rest_is_not_begun_anew_by_each_run_that_goes_on(
    real_time_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 13 and 14: a step without an answer is tried again after its rest, whichever run is there by then. At the real
    numbers: a rest of six hours, and a caller who asks every 80 seconds under new update ids. Here: a rest of three seconds,
    and signals that let the run continue every second."""
    system, sample = real_time_system, captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.HTTP_429, payment=payment, times=1, retry_after=600)
    policy = POLICY.model_copy(update={"terms": Terms(next_round=timedelta(seconds=3))})
    async with system.worker(policy=policy):
        _, handle = await system.submit(request(sample))
        assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
        monkeypatch.setattr(continuing, "_MOST_WORK", 6)
        current = system.current(sample.order_id)
        runs, refunds = set[str | None](), list[Money]()
        for _ in range(15):
            for _ in range(5):
                with suppress(RPCError):  # it has ended
                    await system.wake(current)
                    await system.progress(current)
            runs.add((await current.describe()).run_id)
            if refunds := await system.refunds(sample.order_id):
                break
            await asyncio.sleep(1)
        await system.terminate_runs()
        with suppress(RPCError):
            await current.terminate("the test is over")
        assert len(refunds) == 1, f"five rests later, and {len(runs)} runs, the step was not tried again"
