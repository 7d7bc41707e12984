"""A person orders another try of what is only waited for: it is looked at at once, and nothing is taken for granted."""

from datetime import timedelta

from domain.money import money
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.carrier.model import FaultKind, Operation, Script
from sandbox.shop import card, request
from tests.observing import eventually
from tests.system import System, resolve
from tests.workflows.samples import captured, in_network


async def test_a_retry_during_an_open_intercept_refunds_nothing_before_the_carriers_answer(system: System) -> None:
    """Rule 7: the parcel may still be delivered."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.retry(handle, StepName.STOP_SHIPMENT, "S1")

    async def waits_again() -> bool:
        progress = await system.progress(handle)
        return bool(progress.actions) and progress.state is State.WAITING_FOR_CARRIER

    await eventually(waits_again, "the carrier's answer is waited for again")
    assert await system.refunds(sample.order_id) == []
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested"]


async def test_a_retry_during_the_settlement_looks_at_once(real_time_system: System) -> None:
    """Rule 12: what was acknowledged has its effect. The next look by itself would come after hours."""
    system = real_time_system
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        payment = await system.gateway.read_payment(system.shop.payments[sample.order_id][0])
        await system.shop.gateway.settle(payment.refunds[0].reference)
        await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
        result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_step_that_is_tried_again_is_still_seen_to_wait(system: System) -> None:
    """Rules 13 and 14: the carrier's system is down for hours. The run stays in the lists of what waits while it tries
    again, and what is said at that moment has to be said again."""
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    label = system.shop.labels[sample.order_id][0]
    for operation in (Operation.SHIPMENT_READ, Operation.TRACKER_READ):
        await system.shop.carrier.add_fault(operation, FaultKind.HTTP_500, times=1_000, parcel=label)
    await system.approve(handle)
    await system.skip(timedelta(minutes=4))
    first = await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.skip(timedelta(minutes=9))
    answer = resolve(StepName.STOP_SHIPMENT, "S1", "done_by_hand", "DEPOT-7")

    async def is_tried_again() -> bool:
        described = await handle.describe()
        return bool(described.raw_description.pending_activities)

    await eventually(is_tried_again, "the second round has begun")
    again = await system.progress(handle)
    assert again.waits == first.waits
    refused = await system.refusal(system.resolve(handle, answer))
    assert refused is not None
    assert "being tried again at this moment" in refused
    await system.skip(timedelta(minutes=3))
    assert await system.refusal(system.resolve(handle, answer)) is None
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("600.00 USD")]
