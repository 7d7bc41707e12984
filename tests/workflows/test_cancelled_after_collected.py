"""The next cancellation of an order, after money of an earlier one was collected: what the customer paid back goes back to
them as well. The gateway does not have it, so a person gives it back."""

from domain.messages import RefundEvent
from domain.money import Money, money
from domain.outcome import Outcome
from domain.request import CancellationRequest
from domain.step import StepName
from sandbox import built_in
from sandbox.shop import SampleOrder, card, request
from tests.system import Handle, System, resolve, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import captured
from tests.workflows.test_several_cancellations import of_line, two_lines

PRICE, REST = money("64.00 USD"), money("36.00 USD")


async def rolled_back_and_collected(system: System, sample: SampleOrder, wanted: CancellationRequest) -> None:
    """The refund had gone out, and the customer paid it back."""
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(wanted)
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    collect = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert collect
    await system.resolve(handle, settled(collect, "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await built_in.lock_order(system.engine, sample.order_id, None)


async def given_by_hand(system: System, handle: Handle, reference: str) -> Money:
    """What a person gives back because the gateway does not have it; the cancellation ends with it."""
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked, "nobody is asked to give it back"
    await system.resolve(handle, settled(asked, "done_by_hand", reference))
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    await system.assert_books_balance()
    return await system.paid_by_hand(reference)


async def test_what_was_collected_in_a_roll_back_goes_back_with_the_next_cancellation(system: System) -> None:
    """I1: 64.00 by card, refunded and paid back."""
    sample = captured(parcels=())
    await rolled_back_and_collected(system, sample, request(sample))
    submitted, handle = await system.submit(request(sample, request_id="two"))
    assert submitted.plan
    assert submitted.plan.refund == PRICE
    assert await given_by_hand(system, handle, "BANK-1") == PRICE
    assert await system.refunds(sample.order_id) == [PRICE]


async def test_what_was_collected_of_a_larger_refund_of_others_goes_back_with_the_rest(system: System) -> None:
    """I1: others refunded 80.00 for 64.00; the customer paid 16.00 back. The rest is 20.00 by card and 16.00 by hand."""
    sample = two_lines(card("100.00 USD", fault="refund.create:refuse"))
    await system.shop.place_order(sample)
    _, handle = await system.submit(of_line(sample, "L1", "first"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.refund_elsewhere(payment, money("80.00 USD"))
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    collect = await system.wait_for_collection(handle, after=wait)
    assert collect
    await system.resolve(handle, settled(collect, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    _, rest = await system.submit(of_line(sample, "L2", "rest"))
    assert await given_by_hand(system, rest, "BANK-1") == money("16.00 USD")
    assert (await system.gateway.read_payment(payment)).refunded == money("100.00 USD")


async def test_a_line_whose_refund_was_rolled_back_and_collected_is_cancelled_again(system: System) -> None:
    """I1: 64.00 of 100.00 were refunded and paid back; the gateway has 36.00 left, and a person gives the other 28.00."""
    sample = two_lines()
    await rolled_back_and_collected(system, sample, of_line(sample, "L1", "first"))
    submitted, handle = await system.submit(of_line(sample, "L1", "again"))
    assert submitted.plan
    assert submitted.plan.refund == PRICE
    assert await given_by_hand(system, handle, "BANK-1") == money("28.00 USD")
    assert await system.refunds(sample.order_id) == [PRICE, REST]
    _, rest = await system.submit(of_line(sample, "L2", "rest"))
    assert await given_by_hand(system, rest, "BANK-2") == REST


async def test_a_collected_refund_that_fails_after_the_next_cancellation_is_given_back_once(system: System) -> None:
    """I1, I11: 64.00 by card and 64.00 paid back; 64.00 go back by the next cancellation, and 64.00 because the refund for
    which they were collected never arrived."""
    sample = captured(parcels=())
    first = request(sample)
    await rolled_back_and_collected(system, sample, first)
    _, handle = await system.submit(request(sample, request_id="two"))
    assert await given_by_hand(system, handle, "BANK-1") == PRICE
    await system.shop.gateway.fail(await refund_of(system, sample))
    await system.library.look_again(first, RefundEvent(event_id="evt_r"))
    again = system.current(sample.order_id)
    asked = await system.wait_for_collection(again)
    assert asked
    await system.resolve(again, settled(asked, "done_by_hand", "GIVEN-BACK-1"))
    assert (await system.finish(again)).outcome is Outcome.ROLLED_BACK
    assert await system.paid_by_hand("GIVEN-BACK-1") == PRICE
    assert await system.refunds(sample.order_id) == [PRICE]
    await system.assert_books_balance()
