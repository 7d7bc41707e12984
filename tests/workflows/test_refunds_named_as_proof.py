"""A person names the gateway's own number of a refund as the proof of what they gave back: the gateway knows how much it is,
and whether it arrives."""

from datetime import timedelta

from domain.money import money
from domain.outcome import State
from domain.step import StepName
from sandbox import built_in
from sandbox.shop import SampleOrder, card, request
from tests.system import Handle, System, resolve, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import captured
from tests.workflows.test_given_by_others import paid_by_a_refund
from tests.workflows.test_settled_by_hand import answer_lost, settles, under_way, with_an_unknown_refund
from tests.workflows.test_several_cancellations import FIRST, REST, of_line, two_lines


async def first_is_refunded_in_the_dashboard(system: System, sample: SampleOrder, amount: str) -> Handle:
    """L1 is refused by the gateway; an agent refunds `amount` in its dashboard and names the refund."""
    _, handle = await system.submit(of_line(sample, "L1", "first"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money(amount))
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    return handle


def refused() -> SampleOrder:
    return two_lines(card("100.00 USD", fault="refund.create:refuse"))


async def test_the_rest_is_refunded_after_a_refund_that_was_named(system: System) -> None:
    """I1, I11: it is the first cancellation's, and lowers what the gateway has left once."""
    sample = refused()
    await system.shop.place_order(sample)
    await system.finish(await first_is_refunded_in_the_dashboard(system, sample, "64.00 USD"))
    rest = await system.cancel(of_line(sample, "L2", "rest"))
    assert rest.refunded == REST
    assert await system.refunds(sample.order_id) == [FIRST, REST]
    await system.assert_books_balance()


async def test_the_rest_is_refunded_after_a_named_refund_was_left_to_the_customer(system: System) -> None:
    """I1, I11: the first cancellation is rolled back, and the customer keeps its 64.00. Then all of it is cancelled."""
    sample = refused()
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    handle = await first_is_refunded_in_the_dashboard(system, sample, "64.00 USD")
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    await system.resolve(handle, settled(asked, "nothing_due", "GOODWILL"))
    await system.finish(handle)
    await built_in.lock_order(system.engine, sample.order_id, None)
    assert (await system.cancel(request(sample, request_id="all"))).refunded == REST
    assert await system.refunds(sample.order_id) == [FIRST, REST]
    await system.assert_books_balance()


async def test_a_named_refund_that_fails_after_the_end_is_given_again(system: System) -> None:
    """I1: the gateway took it, and the bank sent it back."""
    sample = captured(fault="refund.create:refuse", parcels=())
    handle, _, theirs = await paid_by_a_refund(system, sample)
    await system.finish(handle)
    await system.shop.gateway.fail(theirs)
    again = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_collection(again)
    assert asked
    assert asked.step is StepName.REVERSE_PAYMENT
    await system.resolve(again, settled(asked, "done_by_hand", "BANK-1"))
    await system.finish(again)
    assert await system.paid_by_hand("BANK-1") == FIRST
    await system.assert_books_balance()


async def test_what_a_named_refund_leaves_is_still_owed(system: System) -> None:
    """I1: the gateway's count says how much was refunded, and the books say the same."""
    sample = captured(fault="refund.create:refuse", parcels=())
    part = money("24.00 USD")
    handle, _, _ = await paid_by_a_refund(system, sample, part)
    assert (await system.finish(handle)).refunded == FIRST
    assert await system.refunds(sample.order_id) == [part, money("40.00 USD")]
    await system.assert_books_balance()


async def test_what_a_named_refund_gave_beyond_what_is_due_is_collected(system: System) -> None:
    """I11: 80.00 were refunded for goods of 64.00."""
    sample = refused()
    await system.shop.place_order(sample)
    handle = await first_is_refunded_in_the_dashboard(system, sample, "80.00 USD")
    asked = await system.wait_for_step(handle, StepName.CHECK_REFUND)
    assert asked
    assert "16.00 USD more than is due" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    assert await system.paid_by_hand("COLLECTED-1") == money("16.00 USD")
    await system.assert_books_balance()


async def test_our_own_refund_that_was_named_while_it_was_unknown_came_once(system: System) -> None:
    """I11: its answer was lost; a person finds it in the gateway's dashboard and says so."""
    sample = answer_lost()
    handle, wait = await with_an_unknown_refund(system, sample)
    await system.resolve(handle, settled(wait, "done_by_hand", await refund_of(system, sample)))
    await system.skip(timedelta(days=1))
    assert await system.wait_for_collection(handle, after=wait) is None
    assert (await system.finish(handle)).refunded == FIRST
    assert await system.refunds(sample.order_id) == [FIRST]
    await system.assert_books_balance()


async def test_our_own_refund_that_was_named_while_it_was_pending_came_once(system: System) -> None:
    """I11"""
    sample = under_way()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.resolve(handle, settled(progress.waits[0], "done_by_hand", await refund_of(system, sample)))
    await settles(system, sample)
    await system.wake(handle)
    assert await system.wait_for_collection(handle, after=progress.waits[0]) is None
    assert (await system.finish(handle)).refunded == FIRST
    assert await system.refunds(sample.order_id) == [FIRST]
    await system.assert_books_balance()
