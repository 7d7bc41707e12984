"""What the customer has twice, or keeps after a roll-back: it is seen, reported to a person, and collected once."""

from datetime import timedelta

from domain.money import Money, money
from domain.order import OrderState
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.step import StepName
from domain.terms import RefundMethod
from providers.outbox.port import NoticeKind
from sandbox import books, built_in
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, System, customer_of, resolve, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import an_id, captured
from tests.workflows.test_settled_by_hand import settles, under_way, with_an_unknown_refund

PRICE = money("64.00 USD")
NOTHING = money("0.00 USD")


async def still_refunded(system: System, sample: SampleOrder) -> Money:
    return (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).refunded


async def test_nothing_is_due_because_the_bank_pays_and_the_unknown_refund_had_gone_out(system: System) -> None:
    """E23, rule 6: staff says that nothing is due, and the refund whose answer was lost turns up: the refund department is
    notified, and the paper says what went out."""
    sample = captured(parcels=(), fault="refund.create:drop_after_commit")
    handle, wait = await with_an_unknown_refund(system, sample)
    await system.resolve(handle, settled(wait, "nothing_due", "DISPUTE-7"))
    await system.skip(timedelta(days=1))
    asked = await system.wait_for_collection(handle, after=wait)
    assert await system.refunds(sample.order_id) == [PRICE]
    assert asked or await books.documents(system.engine), "64.00 went out, nobody is notified and no paper says so"


async def test_a_larger_refund_that_others_made_meanwhile_is_not_followed_by_ours_in_silence(system: System) -> None:
    """I11: staff refunded the line of 60.00 with 4.00 for the trouble, in the gateway's dashboard."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "60.00 USD"), line("L2", 1, "440.00 USD")),
        tenders=(card("500.00 USD"),),
        age=timedelta(days=60),
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("64.00 USD"))
    await system.approve(handle)
    asked = await system.wait_for_collection(handle)
    total = Money.total(await system.refunds(sample.order_id), "USD")
    assert asked or total == money("64.00 USD"), f"{total} for a line of 60.00, and nobody is notified"


async def test_what_the_customer_kept_of_a_cancellation_that_was_rolled_back_is_not_paid_again(system: System) -> None:
    """I11, M18: 64.00 of store credit were spent before the roll-back, and staff let the customer keep them. The next
    cancellation does not give the card its 64.00 as well, or somebody is asked first."""
    sample = captured(parcels=(), fault="refund.create:refuse")
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await built_in.spend_balance(system.engine, f"store-credit-{sample.customer_id}-USD", PRICE, key="order-2")
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    await system.resolve(handle, settled(asked, "nothing_due", "GOODWILL-1"))
    await system.finish(handle)
    await built_in.lock_order(system.engine, sample.order_id, None)
    await system.submit(request(sample, request_id="once-more"))
    await system.finish(system.current(sample.order_id))
    assert await system.refunds(sample.order_id) == [], "64.00 of store credit and 64.00 by card"


async def test_whoever_collects_after_a_roll_back_hears_of_all_that_is_to_be_collected(system: System) -> None:
    """M18, M36, E23: the refund had gone out, and a person had paid 64.00 besides. Who reads that 64.00 went back
    collects 64.00, and not 128.00."""
    sample = captured(parcels=(), fault="refund.create:drop_after_commit")
    handle, wait = await with_an_unknown_refund(system, sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-TRANSFER-9"))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.shop.gateway.advance(1000)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    await system.skip(timedelta(minutes=12))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert not (await system.finish(handle)).refunded, "all of it was collected"
    booked = await system.paid_by_hand("COLLECTED-1")
    assert str(booked) in asked.reason, f"{booked} is booked as collected; the person read: {asked.reason}"


async def test_what_was_released_is_reserved_again_beside_what_a_person_collected(system: System) -> None:
    """M19, rule 1: 50.00 of 106.00 were refunded and 56.00 released; after the roll-back the order is paid in full again, or
    somebody is notified that it is not."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "106.00 USD"),),
        tenders=(card("106.00 USD", "50.00 USD", mandate=True),),
    )
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    assert await system.paid_by_hand("COLLECTED-1") == money("50.00 USD")
    order = await system.read_order(sample.order_id)
    reserved = (await system.gateway.read_payment(order.tenders[0].reference)).capturable
    assert reserved == money("56.00 USD") or "56.00" in asked.reason, "the goods go out, and 56.00 are not paid"


async def rolled_back_under_way(system: System, sample: SampleOrder) -> Handle:
    """The refund was under way when a person ordered the roll-back, and cannot be cancelled any more."""
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    wait = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert wait
    assert "under way" in wait.reason
    assert await system.refusal(system.resolve(handle, settled(wait, "done_by_hand", "TOO-EARLY")))
    return handle


async def test_nothing_is_collected_for_a_refund_under_way_that_fails_after_the_roll_back(system: System) -> None:
    """I1: who had collected 64.00 for it would have had them twice."""
    sample = under_way()
    handle = await rolled_back_under_way(system, sample)
    await system.shop.gateway.fail(await refund_of(system, sample))
    await system.skip(timedelta(minutes=12))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert await still_refunded(system, sample) == NOTHING
    await system.assert_books_balance()


async def test_a_refund_under_way_is_collected_once_it_has_arrived_after_the_roll_back(system: System) -> None:
    """M18"""
    sample = under_way()
    handle = await rolled_back_under_way(system, sample)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.retry(handle, StepName.RESTORE_PAYMENT, "T1")
    asked = await system.wait_for_wait(handle, lambda wait: "collect it" in wait.reason, "a person is asked to collect")
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert await system.paid_by_hand("COLLECTED-1") == PRICE
    await system.assert_books_balance()


async def test_a_refund_that_fails_after_it_was_collected_in_a_roll_back_is_seen(system: System) -> None:
    """I1: the customer paid back what never arrived. The roll-back is opened again for its money alone: a person gives it
    back, and the order goes on as it was."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    collect = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert collect
    await system.resolve(handle, settled(collect, "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await system.shop.gateway.fail(await refund_of(system, sample))
    again = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_collection(again)
    assert asked
    assert "64.00 USD" in asked.reason
    assert await system.refusal(system.resolve(again, settled(asked, "roll_back", "R-1")))
    assert await system.payable() == PRICE.amount
    await system.resolve(again, settled(asked, "done_by_hand", "GIVEN-BACK-1"))
    assert (await system.finish(again)).outcome is Outcome.ROLLED_BACK
    assert await system.paid_by_hand("GIVEN-BACK-1") == PRICE
    assert await system.refunds(sample.order_id) == [PRICE]
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by) == (OrderState.OPEN, None)
    kinds = [notice.kind for notice in await system.notices(sample.order_id)]
    assert NoticeKind.REFUND_FAILED not in kinds
    await system.assert_books_balance()


# The refund for which it was collected fails


async def collected_beside_ours(system: System, sample: SampleOrder) -> None:
    """A person paid while the refund was under way; it arrived as well, and the customer paid the second one back."""
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.resolve(handle, settled(progress.waits[0], "done_by_hand", "BANK-1"))
    await settles(system, sample)
    await system.wake(handle)
    asked = await system.wait_for_collection(handle, after=progress.waits[0])
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)


async def test_a_collected_refund_that_fails_after_the_end_is_given_again(system: System) -> None:
    """I1, I4: 64.00 by hand, 64.00 paid back, and the refund failed: the customer has nothing of 64.00."""
    sample = under_way()
    await collected_beside_ours(system, sample)
    await system.shop.gateway.fail(await refund_of(system, sample))
    again = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_collection(again)
    assert asked
    assert await system.payable() == PRICE.amount
    await system.resolve(again, settled(asked, "done_by_hand", "BANK-2"))
    assert (await system.finish(again)).outcome is Outcome.CANCELLED
    assert await system.paid_by_hand("BANK-2") == PRICE
    assert await system.payable() == 0
    await system.assert_books_balance()


async def test_a_collected_refund_that_fails_before_the_end_is_given_again(system: System) -> None:
    """I1: 10.00 by hand on the first card, 10.00 paid back, and its refund fails while the second one is waited for."""
    pending = "pm_card_pendingRefund"
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "50.00 USD"),),
        tenders=(card("10.00 USD", card=pending), card("40.00 USD", card=pending)),
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-1"))
    ours = await refund_of(system, sample, 0)
    await system.shop.gateway.settle(ours)
    await system.wake(handle)
    collect = await system.wait_for_step(handle, StepName.CHECK_REFUND, "T1")
    assert collect
    await system.resolve(handle, settled(collect, "done_by_hand", "COLLECTED-1"))
    await system.shop.gateway.fail(ours)
    await system.shop.gateway.settle(await refund_of(system, sample, 1))
    await system.wake(handle)
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "BANK-2"))
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.paid_by_hand("BANK-2") == money("10.00 USD")
    assert await system.payable() == 0
    await system.assert_books_balance()


async def test_what_was_collected_for_a_refund_of_others_that_fails_is_given_again(system: System) -> None:
    """I1: 64.00 by hand and 40.00 by others, of which 40.00 were paid back; theirs failed, so 40.00 of 64.00 are missing."""
    sample = captured(fault="refund.create:refuse", parcels=())
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    payment = system.shop.payments[sample.order_id][0]
    theirs = await system.shop.gateway.refund_elsewhere(payment, money("40.00 USD"))
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-1"))
    collect = await system.wait_for_collection(handle, after=wait)
    assert collect
    await system.resolve(handle, settled(collect, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    await system.shop.gateway.fail(theirs)
    again = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_collection(again)
    assert asked
    await system.resolve(again, settled(asked, "done_by_hand", "BANK-2"))
    assert (await system.finish(again)).outcome is Outcome.CANCELLED
    assert await system.paid_by_hand("BANK-2") == money("40.00 USD")
    await system.assert_books_balance()
