"""Others had refunded something before the cancellation was planned, so it gives back so much less. Then theirs fails."""

from datetime import timedelta

import pytest

from domain.money import Money, money
from domain.outcome import Outcome, State
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import built_in
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import Handle, System, customer_of, resolve, settled
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id, captured
from tests.workflows.test_several_cancellations import of_line, two_lines

PART, PRICE, REST = money("20.00 USD"), money("64.00 USD"), money("44.00 USD")
NOTHING = money("0.00 USD")


async def refunded_before(system: System, sample: SampleOrder, amount: Money = PART) -> str:
    """The order is placed, and an agent gives a part of it back in the gateway's dashboard; returns the refund's number."""
    await system.shop.place_order(sample)
    return await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], amount)


async def notify_of_failure(system: System, sample: SampleOrder, refund: str) -> Handle | None:
    """The refund fails after the end of the cancellation, and the gateway's event comes. None: it is matched to none."""
    await system.shop.gateway.fail(refund)
    if await system.find_reopened(sample.order_id, refund) is None:
        return None
    return await system.notify_of_refund(sample.order_id)


async def retried(system: System, handle: Handle) -> None:
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT), "the customer lacks money, and nobody is asked"
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")


async def has_in_all(system: System, sample: SampleOrder) -> Money:
    """What has gone back by the card and has not failed."""
    return (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).refunded


@pytest.mark.parametrize("amount", [PART, PRICE], ids=["a part", "all of it"])
async def test_what_others_had_refunded_is_owed_where_it_fails_after_the_end(system: System, amount: Money) -> None:
    """I1: it counted as given, and the order is cancelled, so the refund department is asked. The books balance."""
    sample = captured()
    theirs = await refunded_before(system, sample, amount)
    assert (await system.cancel(request(sample))).refunded == PRICE - amount
    handle = await notify_of_failure(system, sample, theirs)
    assert handle, "nobody is notified"
    await retried(system, handle)
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, PRICE)
    assert await has_in_all(system, sample) == PRICE
    assert theirs in await system.references()
    await system.assert_books_balance()


async def test_what_others_had_refunded_and_a_person_declares_not_due_is_payable_no_more(system: System) -> None:
    """I4: theirs has failed, and the customer wants nothing for it."""
    sample = captured()
    theirs = await refunded_before(system, sample, PRICE)
    await system.cancel(request(sample))
    handle = await notify_of_failure(system, sample, theirs)
    assert handle, "nobody is notified"
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert await system.payable() == PRICE.amount
    await system.resolve(handle, settled(asked, "nothing_due", "WAIVED-1"))
    assert (await system.finish(handle)).refunded == NOTHING
    assert await system.payable() == 0
    assert "WAIVED-1" in await system.references()
    await system.assert_books_balance()


async def test_what_others_had_refunded_is_owed_where_it_fails_while_ours_is_under_way(system: System) -> None:
    """I1, B23: the customer chooses store credit for it."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    theirs = await refunded_before(system, sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.fail(theirs)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT), "the customer lacks money, and nobody is asked"
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert (await system.finish(handle)).refunded == PRICE
    assert await system.store_credit(sample.customer_id) == PART
    await system.assert_books_balance()


async def test_what_others_had_refunded_and_failed_before_ours_goes_back_with_it(system: System) -> None:
    """I1: while the approval is waited for. There is nothing to ask."""
    sample = captured().model_copy(update={"age": timedelta(days=60)})
    theirs = await refunded_before(system, sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.fail(theirs)
    await system.approve(handle)
    assert (await system.finish(handle)).refunded == PRICE
    assert await system.refunds(sample.order_id) == [PART, PRICE]
    await system.assert_books_balance()


async def test_a_goodwill_refund_of_before_that_fails_is_not_owed_for_lines_that_stay(system: System) -> None:
    """I1: 20.00 of 100.00 were given, and 64.00 of goods are cancelled and refunded in full."""
    sample = two_lines()
    theirs = await refunded_before(system, sample)
    assert (await system.cancel(of_line(sample, "L1", "first"))).refunded == PRICE
    assert await notify_of_failure(system, sample, theirs) is None
    assert (await system.cancel(request(sample, request_id="all"))).refunded == money("36.00 USD")
    assert await has_in_all(system, sample) == money("100.00 USD")
    await system.assert_books_balance()


async def test_of_what_others_had_refunded_only_what_the_goods_that_left_cost_is_owed(system: System) -> None:
    """I1: 30.00 of 64.00 were given before. A parcel over 20.00 cannot be stopped, so 44.00 are due, of which 34.00 go back
    by us."""
    theirs_in_all = money("30.00 USD")
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "44.00 USD"), line("L2", 1, "20.00 USD")),
        tenders=(card("64.00 USD"),),
        parcels=(parcel(Script.LABEL_ONLY, L1=1), parcel(Script.INTERCEPT_DECLINED, L2=1)),
    )
    theirs = await refunded_before(system, sample, theirs_in_all)
    assert (await system.cancel(request(sample))).refunded == PRICE - theirs_in_all
    handle = await notify_of_failure(system, sample, theirs)
    assert handle, "nobody is notified"
    await retried(system, handle)
    assert (await system.finish(handle)).refunded == REST
    assert await has_in_all(system, sample) == REST
    await system.assert_books_balance()


async def test_what_others_had_refunded_is_paid_by_hand_where_it_has_failed(system: System) -> None:
    """I1, I4: the transfer is in the ledger, and the customer has nothing twice."""
    sample = captured()
    theirs = await refunded_before(system, sample, PRICE)
    await system.cancel(request(sample))
    handle = await notify_of_failure(system, sample, theirs)
    assert handle
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-1"))
    assert (await system.finish(handle)).refunded == PRICE
    assert await system.paid_by_hand("BANK-1") == PRICE
    await system.assert_books_balance()


async def test_after_a_roll_back_a_refund_of_before_that_fails_is_nobodys_to_give(system: System) -> None:
    """I1, I4: it failed before ours, and 64.00 went back by us; then all of it is collected, because the order goes on."""
    sample = captured(parcels=()).model_copy(update={"age": timedelta(days=60)})
    theirs = await refunded_before(system, sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.fail(theirs)
    await system.approve(handle)
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    assert str(PRICE) in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await system.assert_books_balance()


async def test_after_a_roll_back_nobody_hears_of_a_refund_of_before_that_fails(system: System) -> None:
    """I1: the customer has the order."""
    sample = captured(parcels=()).model_copy(update={"age": timedelta(days=60)})
    theirs = await refunded_before(system, sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.reject(handle)
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert await notify_of_failure(system, sample, theirs) is None
