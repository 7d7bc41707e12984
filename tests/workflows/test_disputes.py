"""A bank that asks about a payment, disputes it, or has given the money back: the customer is paid once."""

from domain.outcome import MoneyStatus, Outcome, State
from domain.step import Owner, StepName
from domain.terms import RefundMethod
from providers.outbox.port import NoticeKind
from sandbox import books
from sandbox.shop import SampleOrder, request
from tests.system import Handle, System, customer_of, resolve, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import captured
from tests.workflows.test_settled_by_hand import PRICE, under_way
from tests.workflows.test_texts import read_page


async def kinds(system: System) -> set[NoticeKind]:
    return {notice.kind for notice in await books.notices(system.engine)}


async def number_of_dispute(system: System, sample: SampleOrder) -> str:
    payment = await system.gateway.read_payment(system.shop.payments[sample.order_id][0])
    return payment.charge_backs[0].reference


async def number_of_open_dispute(system: System, sample: SampleOrder) -> str:
    (number,) = (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).open_disputes
    return number


async def test_an_inquiry_is_answered_by_the_refund(system: System) -> None:
    """E8, F12: no money was taken yet, and a full refund closes the inquiry."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0], "warning_needs_response")
    decision, handle = await system.submit(request(sample))
    assert "disputed" not in decision.decision.sentence
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    assert await system.refunds(sample.order_id) == [PRICE]
    await system.assert_books_balance()


async def test_of_a_prevented_dispute_the_customer_has_the_money_already(system: System) -> None:
    """E8, F13, I11: nothing is refunded; the refund department names the dispute."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0], "prevented")
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert wait.owner is Owner.REFUND_DEPARTMENT
    assert "has the money already" in wait.reason
    assert not wait.choices
    number = await number_of_dispute(system, sample)
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", number))
    result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == []
    assert NoticeKind.REFUND_FAILED not in await kinds(system)
    await system.assert_books_balance()


async def nothing_is_offered(system: System, handle: Handle, sample: SampleOrder) -> None:
    wait = await system.wait_for_wait(handle, lambda wait: "failed" in wait.reason, "it is seen that the refund failed")
    assert wait
    assert (wait.owner, wait.choices) == (Owner.REFUND_DEPARTMENT, ())
    assert await system.refusal(system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT))
    assert NoticeKind.REFUND_FAILED not in await kinds(system), "the bank answers the customer"


async def test_no_other_way_is_offered_when_the_refund_says_that_a_dispute_made_it_fail(system: System) -> None:
    """E7, F11: the refund failed because of a dispute that the payment does not show yet."""
    sample = under_way()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.fail(await refund_of(system, sample), "charge_for_pending_refund_disputed")
    await system.wake(handle)
    await nothing_is_offered(system, handle, sample)
    assert await system.refunds(sample.order_id) == [PRICE]


async def test_no_other_way_is_offered_when_a_dispute_ends_the_wait_for_our_balance(system: System) -> None:
    """E7, F11: the refund had not been sent for want of our own balance."""
    sample = captured(parcels=(), fault="refund.create:pending_insufficient_funds")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0])
    await system.wake(handle)
    await nothing_is_offered(system, handle, sample)


async def test_a_refund_that_failed_for_a_reason_of_ours_is_finances_and_not_the_customers(system: System) -> None:
    """E6, F10b: our own balance stayed empty for too long. It is topped up, and the refund is made again."""
    sample = captured(parcels=(), fault="refund.create:pending_insufficient_funds")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.fail(await refund_of(system, sample), "insufficient_funds")
    await system.wake(handle)
    await nothing_is_offered(system, handle, sample)
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    assert await system.refunds(sample.order_id) == [PRICE, PRICE]
    await system.assert_books_balance()


async def test_only_a_dispute_of_this_payment_is_the_proof_that_the_bank_has_paid(system: System) -> None:
    """B27: with a mistyped number the customer would read of a refund that nobody has made."""
    sample, other = (captured(parcels=()) for _ in range(2))
    for order in (sample, other):
        await system.shop.place_order(order)
        await system.shop.gateway.dispute(system.shop.payments[order.order_id][0])
    numbers = [await number_of_open_dispute(system, order) for order in (sample, other)]
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert numbers[0] in wait.reason
    assert numbers[0] in (await read_page(handle)).partition("resolve_step")[2]
    for mistyped in ("dp_12345", numbers[1]):
        no = await system.refusal(system.resolve(handle, settled(wait, "done_by_hand", mistyped)))
        assert no
        assert f"{mistyped} is no dispute" in no
        assert numbers[0] in no
    assert (await system.progress(handle)).waits == (wait,)
    await system.resolve(handle, settled(wait, "done_by_hand", numbers[0]))
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.BY_HAND)
    await system.assert_books_balance()
