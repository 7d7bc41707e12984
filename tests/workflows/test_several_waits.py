"""Several steps wait at once, and one of them goes on: the lists show the others."""

from domain.money import money
from domain.outcome import Outcome, State
from domain.step import Owner, StepName
from domain.terms import RefundMethod
from runtime import search_attributes
from sandbox.gateway.messages import EffectKind
from sandbox.shop import SampleOrder, card, line, request
from tests.observing import eventually
from tests.system import System, customer_of
from tests.workflows.samples import an_id


async def test_once_one_of_two_waits_is_answered_the_lists_show_the_other(system: System) -> None:
    """I3, I6: one refund is pending, another has failed, and the customer has chosen store credit for it: nobody has to do
    anything any more."""
    tenders = (card("20.00 USD", card="pm_card_pendingRefund"), card("40.00 USD", card="pm_card_pendingRefund"))
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "60.00 USD"),), tenders=tenders)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    first, second = system.shop.payments[sample.order_id]
    [failed] = await system.shop.gateway.effects(second, EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(failed.object_id)
    await system.wake(handle)
    await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T2")
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT, "T2")

    async def shown() -> bool:
        found = (await handle.describe()).typed_search_attributes
        state, owner = found.get(search_attributes.STATE), found.get(search_attributes.OWNER)
        return (state, owner) == (State.WAITING_FOR_SETTLEMENT, Owner.GATEWAY)

    await eventually(shown, "the lists show the refund that is still pending")
    [pending] = await system.shop.gateway.effects(first, EffectKind.REFUND_CREATED)
    await system.shop.gateway.settle(pending.object_id)
    await system.wake(handle)
    result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.store_credit(sample.customer_id) == money("40.00 USD")
