"""A roll-back that finds a refund of somebody else's under way: nothing is collected before it has arrived, and nothing at
all where it fails."""

from datetime import timedelta

from domain.money import money
from domain.outcome import Outcome
from domain.step import StepName
from sandbox import built_in
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, System, settled
from tests.workflows.samples import an_id
from tests.workflows.test_several_cancellations import FIRST

LATER = timedelta(hours=13)


async def refund_is_refused(system: System, amount: str) -> tuple[Handle, str]:
    """The order cannot be closed, and the gateway refuses the refund. Somebody refunds `amount` in its dashboard, where a
    refund takes days to settle."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"),),
        tenders=(card("64.00 USD", card="pm_card_pendingRefund"),),
    )
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    return handle, await system.shop.gateway.refund_elsewhere(payment, money(amount))


async def paid_and_rolled_back(system: System, handle: Handle, proof: str) -> None:
    """A person has paid, by that proof, and the roll-back waits."""
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", proof))
    close = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert close
    await system.resolve(handle, settled(close, "roll_back", "the month is closed"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked


async def collect(system: System, handle: Handle) -> str:
    """What the person reads who has collected the money."""
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    assert await system.refusal(system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))) is None
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    return asked.reason


async def test_a_named_refund_that_was_under_way_at_the_roll_back_is_collected_once_it_has_settled(
    system: System,
) -> None:
    """Rule 2, I6"""
    handle, theirs = await refund_is_refused(system, "64.00 USD")
    await paid_and_rolled_back(system, handle, theirs)
    await system.shop.gateway.settle(theirs)
    await system.skip(LATER)
    assert str(FIRST) in await collect(system, handle)
    assert await system.paid_by_hand("COLLECTED-1") == FIRST
    await system.assert_books_balance()


async def test_a_named_refund_that_fails_during_the_roll_back_is_not_collected(system: System) -> None:
    """I1, I6: the customer has nothing of it."""
    handle, theirs = await refund_is_refused(system, "64.00 USD")
    await paid_and_rolled_back(system, handle, theirs)
    await system.shop.gateway.fail(theirs)
    await system.skip(LATER)
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await system.assert_books_balance()


async def test_what_others_refunded_besides_is_collected_after_a_roll_back_once_it_has_settled(system: System) -> None:
    """Rule 2, I11: 64.00 by hand and 24.00 by somebody else's refund."""
    handle, theirs = await refund_is_refused(system, "24.00 USD")
    await paid_and_rolled_back(system, handle, "BANK-1")
    await system.shop.gateway.settle(theirs)
    await system.skip(LATER)
    assert "88.00 USD" in await collect(system, handle)
    assert await system.paid_by_hand("COLLECTED-1") == money("88.00 USD")
    await system.assert_books_balance()
