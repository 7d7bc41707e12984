"""Letting goods go on again: a carrier that does not take its intercept back, and a stop that never happened."""

from datetime import timedelta

from domain.outcome import Outcome, State
from domain.step import Owner, StepName
from sandbox import built_in
from sandbox.carrier.model import FaultKind, Operation, Script
from sandbox.shop import request
from tests.observing import eventually
from tests.system import System, customer_of, resolve
from tests.workflows.samples import captured, in_network

EXPENSIVE = "600.00 USD"


async def test_an_intercept_that_is_not_taken_back_waits_for_a_person(system: System) -> None:
    """M24: the order is not released as if the parcel were on its way, before a person has said what becomes of it."""
    sample = in_network(Script.INTERCEPT_IS_FINAL)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.withdraw(handle, customer_of(sample))

    async def rests() -> bool:
        waits = (await system.progress(handle)).state is State.NEEDS_ATTENTION
        return waits or await system.outcomes(sample.order_id) != [None]

    await eventually(rests, "the run has ended or waits for a person")
    order = await system.read_order(sample.order_id)
    assert order.held_by is not None
    tracking_number = order.shipments[0].tracking_number
    assert tracking_number is not None
    assert await system.intercepts.active(tracking_number)
    progress = await system.progress(handle)
    assert [(wait.step, wait.target) for wait in progress.waits] == [(StepName.RESUME_SHIPMENT, "S1")]
    assert progress.waits[0].owner is Owner.OPERATIONS
    await system.resolve(handle, resolve(StepName.RESUME_SHIPMENT, "S1", "done_by_hand", "SHIPMENT-77"))
    await system.end(handle)
    assert await system.outcomes(sample.order_id) == [Outcome.WITHDRAWN]
    assert (await system.read_order(sample.order_id)).held_by is None
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested"]
    assert await system.refunds(sample.order_id) == []


async def test_a_stop_that_never_happened_is_not_undone(system: System) -> None:
    """M26: the carrier never answered, and the warehouse has packed the goods another way meanwhile."""
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    label = system.shop.labels[sample.order_id][0]
    for operation in (Operation.SHIPMENT_READ, Operation.TRACKER_READ):
        await system.shop.carrier.add_fault(operation, FaultKind.HTTP_500, times=1_000, parcel=label)
    await system.approve(handle)
    await system.skip(timedelta(minutes=4))

    async def rests() -> bool:
        waits = (await system.progress(handle)).waits
        return [wait.step for wait in waits] == [StepName.STOP_SHIPMENT]

    await eventually(rests, "the stop waits for the carrier's answer")
    await built_in.remove_shipment(system.engine, sample.order_id, "S1")
    await system.shop.carrier.clear_faults()
    await system.withdraw(handle, customer_of(sample))

    async def withdrawn() -> bool:
        return await system.outcomes(sample.order_id) == [Outcome.WITHDRAWN]

    await eventually(withdrawn, "the run has ended, and nobody was asked for anything", within=10)
    assert (await system.read_order(sample.order_id)).held_by is None
    assert await system.carrier_effects(sample.order_id) == []
    assert await system.refunds(sample.order_id) == []
