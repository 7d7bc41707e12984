"""A bank debit is processed for days, and may fail: then nothing was ever taken."""

from datetime import timedelta

from domain.money import money
from domain.outcome import MoneyStatus, Outcome, State
from domain.request import LineScope
from domain.step import StepName
from providers.outbox.port import NoticeKind
from sandbox import built_in
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, System, resolve
from tests.workflows.samples import an_id
from tests.workflows.test_captured_all_the_same import hear, refund_when_asked

NOTHING = money("0.00 USD")


async def cancelled_while_processed(
    system: System, scope: LineScope | None = None, *, locked: str = ""
) -> tuple[SampleOrder, str, Handle]:
    """20.00 and 44.00, paid by a debit that is still processed when the cancellation gets to it."""
    payment = await system.shop.gateway.create_debit(money("64.00 USD"))
    lines = (line("L1", 1, "20.00 USD"), line("L2", 1, "44.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("64.00 USD", payment=payment),))
    await system.shop.place_order(sample)
    if locked:
        await built_in.lock_order(system.engine, sample.order_id, locked)
    _, handle = await system.submit(request(sample, *([scope] if scope else [])))
    await system.skip(timedelta(minutes=4))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert "still taking" in progress.waits[0].reason
    return sample, payment, handle


async def test_of_a_debit_that_fails_nothing_goes_back_and_its_payment_is_closed(system: System) -> None:
    """E1, I1: nobody is asked to transfer what was never taken."""
    _, payment, handle = await cancelled_while_processed(system)
    await system.shop.gateway.debit_fails(payment)
    await system.wake(handle)
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.NOTHING_DUE)
    assert (result.refunded, result.released) == (NOTHING, NOTHING)
    closed = await system.gateway.read_payment(payment)
    assert (closed.unpaid, closed.released) == (None, True)


async def test_of_a_debit_that_is_taken_the_money_goes_back(system: System) -> None:
    """E1."""
    sample, payment, handle = await cancelled_while_processed(system)
    await system.shop.gateway.capture_ends(payment)
    await system.wake(handle)
    assert (await system.finish(handle)).refunded == money("64.00 USD")
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_of_a_debit_that_fails_a_part_is_not_to_be_paid_and_is_refunded_where_it_is_paid(system: System) -> None:
    """E1, E29, I1: 20.00 of 64.00 are cancelled. The customer reads that they need not pay them, and pays all of it after
    the end."""
    sample, payment, handle = await cancelled_while_processed(system, LineScope(line_id="L1", quantity=1))
    await system.shop.gateway.debit_fails(payment)
    await system.wake(handle)
    result = await system.finish(handle)
    assert (result.outcome, result.refunded, result.released) == (Outcome.CANCELLED, NOTHING, NOTHING)
    [mail] = [n for n in await system.notices(sample.order_id) if n.kind is NoticeKind.RESERVATION_RELEASED]
    assert (mail.amount, mail.notice_id.rpartition("/")[2]) == (money("20.00 USD"), "not_to_be_paid")
    await system.shop.gateway.complete(payment)
    again = await hear(system, sample, payment)
    assert again
    await refund_when_asked(system, again, "20.00 USD")
    assert await system.refunds(sample.order_id) == [money("20.00 USD")]
    await system.assert_books_balance()


async def test_an_order_that_goes_on_after_its_debit_failed_needs_a_new_payment(system: System) -> None:
    """E1: a person orders the roll-back before the order is closed."""
    sample, payment, handle = await cancelled_while_processed(system, locked="the month is closed")
    await system.shop.gateway.debit_fails(payment)
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    assert "ask the customer for a new payment of 64.00 USD" in asked.reason
    await system.resolve(handle, resolve(StepName.RESTORE_PAYMENT, "T1", "nothing_due", "ASKED-1"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
