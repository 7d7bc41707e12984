"""A person orders another try of what is only waited for: it is looked at at once, and nothing is taken for granted."""

from domain.money import money
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.shop import card, request
from tests.observing import eventually
from tests.system import System
from tests.workflows.samples import captured, in_network


async def test_a_retry_during_an_open_intercept_refunds_nothing_before_the_carriers_answer(system: System) -> None:
    """Rule 7: the parcel may still be delivered."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_CARRIER)
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
    await system.shop.place(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
        payment = await system.gateway.read_payment(system.shop.payments[sample.order_id][0])
        await system.shop.gateway.settle(payment.refunds[0].reference)
        await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
        result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
