"""What a shop keeps as two tenders on one payment, and what two orders have paid with one: what goes back of it."""

import pytest

from domain.money import Money, money
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import built_in
from sandbox.carrier.model import Script
from sandbox.gateway_admin import OpenPayment
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System, customer_of, resolve
from tests.workflows.samples import an_id, in_network
from tests.workflows.test_shops_that_cannot_freeze import over_oscar

__all__ = ["over_oscar"]

WHOLE = money("100.00 USD")


async def two_tenders(system: System, taken: str) -> tuple[SampleOrder, str]:
    """An order of two lines that its shop keeps as two tenders on one payment, which is all the order's."""
    payment = await system.shop.gateway.create_payment(WHOLE, capture=money(taken))
    tenders = (card("60.00 USD", payment=payment), card("40.00 USD", payment=payment))
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "60.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=tenders)
    await system.shop.place_order(sample)
    return sample, payment


@pytest.mark.parametrize("percent", [10, 30, 50, 70, 90])
async def test_of_two_tenders_on_a_partly_captured_payment_what_was_captured_goes_back(
    system: System, percent: int
) -> None:
    """B3, I1: so much was captured, so much is refunded, and the rest is released."""
    sample, payment = await two_tenders(system, f"{percent}.00 USD")
    _, handle = await system.submit(request(sample))
    result = await system.finish(handle)
    assert (await system.gateway.read_payment(payment)).refunded == money(f"{percent}.00 USD")
    assert (result.refunded, result.released) == (money(f"{percent}.00 USD"), money(f"{100 - percent}.00 USD"))


async def test_of_two_tenders_on_one_payment_what_went_back_before_is_not_given_again(system: System) -> None:
    """B8, I11: 30.00 of 100.00 were refunded by an agent before: 70.00 are left."""
    sample, payment = await two_tenders(system, "100.00 USD")
    await system.shop.gateway.refund_elsewhere(payment, money("30.00 USD"))
    submission, handle = await system.submit(request(sample))
    assert submission.plan is not None
    assert submission.plan.refund == money("70.00 USD")
    assert (await system.finish(handle)).refunded == money("70.00 USD")


async def test_nobody_is_asked_to_pay_by_hand_what_went_back_before(system: System) -> None:
    """B8, I11: with two tenders on one payment, of which an agent had refunded 30.00, the customer has 100.00 at most."""
    sample, payment = await two_tenders(system, "100.00 USD")
    await system.shop.gateway.refund_elsewhere(payment, money("30.00 USD"))
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait is None, wait.reason


@pytest.mark.parametrize("percent", [30, 50, 80])
async def test_of_two_tenders_on_a_reservation_what_is_captured_meanwhile_goes_back(
    system: System, percent: int
) -> None:
    """B1, B3, I1: all was reserved when it was decided; a part is captured before the approval."""
    payment = await system.shop.gateway.create_payment(money("1000.00 USD"), capture=None)
    tenders = (card("600.00 USD", payment=payment), card("400.00 USD", payment=payment))
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "1000.00 USD"),), tenders=tenders)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    taken = money(f"{percent * 10}.00 USD")
    await system.shop.gateway.capture(payment, taken, final=True)
    await system.approve(handle)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait is None, wait.reason
    result = await system.finish(handle)
    assert (await system.gateway.read_payment(payment)).refunded == taken
    assert result.refunded == taken


async def test_two_tenders_of_an_order_on_a_payment_of_two_orders_get_back_what_was_captured_for_it(
    system: System,
) -> None:
    """E3, F3: of 150.00 for two orders just this order's 100.00 were captured, when its goods left; the shop
    keeps them as two tenders."""
    payment = await system.shop.gateway.create_payment(money("150.00 USD"), capture=WHOLE)
    tenders = (card("60.00 USD", payment=payment), card("40.00 USD", payment=payment))
    sample = in_network(Script.INTERCEPT_ACCEPTED_THEN_RETURNS).model_copy(
        update={"lines": (line("L1", 1, str(WHOLE)),), "tenders": tenders}
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    result = await system.finish(handle)
    assert (result.refunded, result.released) == (WHOLE, money("0.00 USD"))


async def test_a_refund_of_two_tenders_on_a_payment_that_fails_after_the_end_is_made_up_for_once(
    system: System,
) -> None:
    """B23, I11: it was one refund, of both."""
    sample, payment = await two_tenders(system, "100.00 USD")
    assert (await system.cancel(request(sample))).refunded == WHOLE
    [failing] = (await system.gateway.read_payment(payment)).refunds
    await system.shop.gateway.fail(failing.reference)
    handle = await system.notify_of_refund(sample.order_id)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, WHOLE)
    assert await system.store_credit(sample.customer_id) == WHOLE
    await system.assert_books_balance()


async def test_of_two_tenders_on_one_payment_what_an_agent_refunds_meanwhile_is_not_given_again(system: System) -> None:
    """B9, I11: 300.00 of 1000.00 in the dashboard while the approval is waited for."""
    payment = await system.shop.gateway.create_payment(money("1000.00 USD"), capture=money("1000.00 USD"))
    tenders = (card("600.00 USD", payment=payment), card("400.00 USD", payment=payment))
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "1000.00 USD"),), tenders=tenders)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.refund_elsewhere(payment, money("300.00 USD"))
    await system.approve(handle)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait is None, wait.reason
    result = await system.finish(handle)
    assert result.refunded == money("1000.00 USD")
    await system.assert_books_balance()


async def test_of_two_tenders_on_one_payment_the_rest_that_was_captured_goes_back(system: System) -> None:
    """B3, I1: 40.00 were cancelled while all was reserved; the 60.00 of the rest were captured, and are cancelled too."""
    payment = await system.shop.gateway.create_payment(WHOLE, capture=None)
    tenders = (card("60.00 USD", payment=payment), card("40.00 USD", payment=payment))
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "60.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=tenders)
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample, LineScope(line_id="L1", quantity=1), request_id="first"))
    assert first.released == money("40.00 USD")
    await system.shop.gateway.capture(payment, money("60.00 USD"), final=True)
    _, handle = await system.submit(request(sample, request_id="rest"))
    result = await system.finish(handle)
    assert (result.refunded, (await system.gateway.read_payment(payment)).refunded) == (money("60.00 USD"),) * 2


async def test_an_uncompleted_payment_of_two_tenders_is_closed_and_what_is_paid_in_the_last_moment_goes_back(
    system: System,
) -> None:
    """E1: the shop keeps it as two tenders."""
    payment = await system.shop.gateway.create_open_payment(money("1000.00 USD"), OpenPayment.ACTION)
    tenders = (card("600.00 USD", payment=payment), card("400.00 USD", payment=payment))
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "1000.00 USD"),), tenders=tenders)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL, State.CANCELLED)
    if progress.state is State.WAITING_FOR_APPROVAL:
        await system.shop.gateway.complete(payment)
        await system.approve(handle)
    await system.finish(handle)
    now = await system.gateway.read_payment(payment)
    assert now.unpaid is None
    assert now.refunded == now.captured


async def test_two_tenders_on_a_reservation_that_is_rolled_back_are_reserved_again_once(system: System) -> None:
    """M19, I9: all was reserved under a mandate; a person orders the roll-back, and the order is cancelled afterwards."""
    payment = await system.shop.gateway.create_payment(WHOLE, capture=None, mandate=True)
    tenders = (card("60.00 USD", payment=payment), card("40.00 USD", payment=payment))
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, str(WHOLE)),), tenders=tenders)
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample, request_id="first"))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await built_in.lock_order(system.engine, sample.order_id, None)
    order = await system.read_order(sample.order_id)
    assert order.held_by is None
    reserved = {t.reference: (await system.gateway.read_payment(t.reference)).capturable for t in order.tenders}
    assert Money.total(reserved.values(), "USD") == WHOLE
    again = await system.cancel(request(sample, request_id="second"))
    assert again.released == WHOLE
    for reference in reserved:
        assert not (await system.gateway.read_payment(reference)).capturable
