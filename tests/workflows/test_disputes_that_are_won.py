"""An open dispute that a person has named as the proof that the bank pays, and that the bank decides for the merchant: the
customer has nothing of it, so the money is owed again, and a person is asked."""

from domain.messages import RefundEvent
from domain.money import money
from domain.outcome import Outcome, State
from domain.request import CancellationRequest
from domain.step import StepName
from sandbox.shop import SampleOrder, card, line, request
from tests.system import AGENT, Handle, System, resolve, settled
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id, captured
from tests.workflows.test_disputes import number_of_open_dispute
from tests.workflows.test_several_cancellations import of_line, two_lines


async def name_open_dispute(system: System, sample: SampleOrder, asked: CancellationRequest) -> tuple[Handle, str]:
    """The payment is disputed, so nothing is refunded, and the person names the number that the wait shows."""
    _, handle = await system.submit(asked)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    assert wait
    number = await number_of_open_dispute(system, sample)
    assert number in wait.reason
    await system.resolve(handle, settled(wait, "done_by_hand", number))
    return handle, number


async def refund_after_all(system: System, handle: Handle, number: str, amount: str) -> None:
    asked = await system.wait_for_wait(handle, lambda wait: wait.state is State.NEEDS_ATTENTION, "somebody is asked")
    assert asked, "nobody is asked"
    assert f"Dispute {number}" in asked.reason
    assert f"{amount} of tender T1" in asked.reason
    again = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", number, AGENT)
    assert f"{number} is no dispute" in str(await system.refusal(system.resolve(handle, again)))
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")


async def test_what_the_bank_does_not_give_after_all_is_owed_again_while_the_cancellation_is_under_way(
    system: System,
) -> None:
    """B27, I1: the refund of the other card settles days later, and the bank decides meanwhile."""
    tenders = (card("50.00 USD"), card("30.00 USD", card=PENDING))
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "80.00 USD"),), tenders=tenders)
    await system.shop.place_order(sample)
    disputed = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.dispute(disputed)
    handle, number = await name_open_dispute(system, sample, request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.dispute(disputed, "won")
    await system.shop.gateway.settle(await refund_of(system, sample, 1))
    await system.wake(handle)
    await refund_after_all(system, handle, number, "50.00 USD")
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("80.00 USD"))
    assert (await system.gateway.read_payment(disputed)).refunded == money("50.00 USD")
    assert await system.payable() == 0
    await system.assert_books_balance()


async def hear(system: System, sample: SampleOrder, number: str) -> Handle | None:
    """The gateway's event that the dispute was won; None: it is about no cancellation."""
    found = await system.find_reopened(sample.order_id, number, won=True)
    if found is None:
        return None
    await system.library.look_again(found, RefundEvent(event_id="evt_d", subject=number))
    handle = system.current(sample.order_id)
    system.started.append(handle)
    return handle


async def test_a_dispute_that_is_won_after_the_end_opens_the_cancellation_again_that_rests_on_it(
    system: System,
) -> None:
    """B27, I1: the bank decides weeks later."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment)
    first, number = await name_open_dispute(system, sample, request(sample))
    assert (await system.finish(first)).outcome is Outcome.CANCELLED
    await system.shop.gateway.dispute(payment, "won")
    handle = await hear(system, sample, number)
    assert handle
    await refund_after_all(system, handle, number, "64.00 USD")
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert await hear(system, sample, number) is None
    assert await system.payable() == 0
    await system.assert_books_balance()


async def test_each_cancellation_that_rests_on_a_dispute_is_opened_again_when_it_is_won(system: System) -> None:
    """B27, I1: 64.00 and 36.00 of one payment, of which all is disputed."""
    sample = two_lines()
    await system.shop.place_order(sample)
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment)
    for line_id in ("L1", "L2"):
        ended, number = await name_open_dispute(system, sample, of_line(sample, line_id, line_id))
        await system.finish(ended)
    await system.shop.gateway.dispute(payment, "won")
    for amount in ("64.00 USD", "36.00 USD"):
        handle = await hear(system, sample, number)
        assert handle
        await refund_after_all(system, handle, number, amount)
        await system.finish(handle)
    assert await hear(system, sample, number) is None
    assert await system.refunds(sample.order_id) == [money("64.00 USD"), money("36.00 USD")]
    await system.assert_books_balance()


async def test_a_dispute_that_is_won_and_that_nobody_has_named_opens_nothing_again(system: System) -> None:
    """I11: the refund is the proof by which it was won."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment)
    number = await number_of_open_dispute(system, sample)
    await system.shop.gateway.dispute(payment, "won")
    assert await hear(system, sample, number) is None
