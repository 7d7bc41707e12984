"""A suspect's money that was taken after the cancellation was decided: then it was only reserved, and nobody was asked."""

from domain.decision import Verdict
from domain.messages import RetryStep
from domain.money import money
from domain.order import OrderFlag
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import SUPERVISOR, System
from tests.workflows.samples import an_id
from workflows.cancellation import CancellationWorkflow


async def test_a_suspects_money_that_was_taken_meanwhile_waits_for_a_second_person(system: System) -> None:
    """Decision 0042: 64.00 are reserved; while the parcel is intercepted, the shop captures them."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"),),
        tenders=(card("64.00 USD", "0.00 USD"),),
        parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),),
        flags=frozenset({OrderFlag.FRAUD_REVIEW}),
    )
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert submission.decision.verdict is Verdict.APPROVED
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.capture(payment, money("64.00 USD"), final=True)
    await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
    await system.wake_by_carrier(handle)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert "A second person looks first" in wait.reason
    assert await system.refunds(sample.order_id) == []
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await system.send(handle, CancellationWorkflow.retry_step, retry)
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
