"""A roll-back reserves again what was released, and not what was planned to be: some of it was captured meanwhile."""

from datetime import timedelta

import pytest

from domain.money import money
from domain.outcome import State
from domain.step import StepName
from sandbox import built_in
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System, resolve, settled
from tests.workflows.samples import an_id


async def captured_meanwhile(system: System, *, mandate: bool) -> tuple[SampleOrder, str]:
    payment = await system.shop.gateway.create_payment(money("100.00 USD"), multicapture=True, mandate=mandate)
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "100.00 USD"),),
        tenders=(card("100.00 USD", payment=payment),),
        age=timedelta(days=60),
    )
    await system.shop.place_order(sample)
    return sample, payment


async def test_only_what_was_released_is_reserved_again(system: System) -> None:
    """I1, I9: 40.00 were captured meanwhile and refunded; the shop does not close the order, and it is rolled back."""
    sample, payment = await captured_meanwhile(system, mandate=True)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.capture(payment, money("40.00 USD"), final=False)
    await system.approve(handle)
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    progress = await system.progress(handle)
    assert (progress.released, progress.refunded) == (money("60.00 USD"), money("40.00 USD"))
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    [tender] = (await system.read_order(sample.order_id)).tenders
    again = await system.gateway.read_payment(tender.reference)
    assert tender.reference != payment
    assert "40.00 USD of tender T1" in asked.reason
    assert again.capturable == money("60.00 USD")


@pytest.mark.parametrize("mandate", [True, False])
async def test_a_person_is_asked_for_what_was_released_and_no_more(system: System, *, mandate: bool) -> None:
    """I1, I9: the gateway refuses to refund the 40.00, and it is rolled back: the merchant has them."""
    sample, payment = await captured_meanwhile(system, mandate=mandate)
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.capture(payment, money("40.00 USD"), final=False)
    await system.approve(handle)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    await system.resolve(handle, settled(wait, "roll_back", "goes-on"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    assert "a new payment of 60.00 USD" in asked.reason
