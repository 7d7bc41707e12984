"""A person names, as the proof of what they gave back, a refund that they made on another payment of the order: it counts as
what it is at the gateway, on that payment."""

from domain.messages import RefundEvent
from domain.money import money
from domain.outcome import State
from domain.request import LineScope
from domain.step import StepName
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, request
from tests.system import Handle, System, settled
from tests.workflows.test_refunded_on_another_payment import FORTY, end, two_cards
from tests.workflows.test_refunds_on_other_payments import given_back
from tests.workflows.test_several_cancellations import of_line


async def refunded_on_the_second_card(
    system: System, sample: SampleOrder, amount: str, *, fails: bool = False
) -> tuple[Handle, str]:
    """L1 (40.00) was to go back on the first card, which refuses it; an agent refunds on the second one, and says so.
    `fails`: that refund has failed before."""
    await system.shop.place_order(sample)
    first, second = system.shop.payments[sample.order_id]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=first)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    assert wait
    theirs = await system.shop.gateway.refund_elsewhere(second, money(amount))
    if fails:
        await system.shop.gateway.fail(theirs)
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    return handle, theirs


async def test_the_rest_of_the_order_goes_back_in_full(system: System) -> None:
    """E30, I1: what was refunded on the second card is gone there alone."""
    sample = two_cards()
    handle, theirs = await refunded_on_the_second_card(system, sample, "40.00 USD")
    await end(system, handle, sample, FORTY)
    assert await system.paid_by_hand(theirs) == FORTY
    _, rest = await system.submit(of_line(sample, "L2", "rest"))
    await system.wait_for_state(rest, State.WAITING_FOR_APPROVAL)
    await system.approve(rest)
    assert (await system.finish(rest)).refunded == money("60.00 USD")
    assert await given_back(system, sample) == money("100.00 USD")
    await system.assert_books_balance()


async def test_a_named_refund_on_the_second_card_that_fails_after_the_end_is_owed_again(system: System) -> None:
    """E30, B23, I1: its event opens the cancellation again."""
    sample = two_cards()
    handle, theirs = await refunded_on_the_second_card(system, sample, "40.00 USD")
    await system.finish(handle)
    await system.shop.gateway.fail(theirs)
    found = await system.find_reopened(sample.order_id, theirs)
    assert found
    await system.library.look_again(found, RefundEvent(event_id="evt_r", subject=theirs))
    again = system.current(sample.order_id)
    system.started.append(again)
    wait = await system.wait_for_collection(again)
    assert wait
    assert f"Refund {theirs} of 40.00 USD to tender T2" in wait.reason
    await system.retry(again, StepName.REVERSE_PAYMENT, "T2")
    assert (await system.finish(again)).refunded == FORTY
    assert await given_back(system, sample) == FORTY
    await system.assert_books_balance()


async def test_a_named_refund_on_the_second_card_counts_for_what_it_gave_back(system: System) -> None:
    """E30, I1: the rest is owed still."""
    sample = two_cards()
    handle, theirs = await refunded_on_the_second_card(system, sample, "15.00 USD")
    await end(system, handle, sample, money("15.00 USD"), money("25.00 USD"))
    assert await system.paid_by_hand(theirs) == money("15.00 USD")


async def test_a_named_refund_on_the_second_card_that_has_failed_is_owed(system: System) -> None:
    """E30, I1: whoever has named it is asked what they will do instead."""
    sample = two_cards()
    handle, theirs = await refunded_on_the_second_card(system, sample, "40.00 USD", fails=True)
    wait = await system.wait_for_wait(handle, lambda wait: theirs in wait.reason, "the failed refund is named")
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-1"))
    assert (await system.finish(handle)).refunded == FORTY
    assert await system.paid_by_hand("BANK-1") == FORTY
    await system.assert_books_balance()
