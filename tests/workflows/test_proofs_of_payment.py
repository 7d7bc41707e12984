"""What may be named as the proof of a payment by hand, and what may not: a refund that pays something else is none."""

from datetime import timedelta

from domain.messages import RefundEvent
from domain.money import Money, money
from domain.outcome import Outcome, State, Wait
from domain.step import Owner, StepName
from sandbox import built_in
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, System, resolve, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import an_id, captured
from tests.workflows.test_several_cancellations import FIRST, REST, cancel_first, of_line, refund_of_first, two_lines
from tests.workflows.test_shared_payments import OURS, THEIRS, two_orders
from tests.workflows.test_shared_payments import WHOLE as PAID

HALF, WHOLE = money("50.00 USD"), money("100.00 USD")


def halves(card_number: str = "pm_card_visa") -> SampleOrder:
    """Two lines of the same price, on one card."""
    lines = (line("L1", 1, "50.00 USD"), line("L2", 1, "50.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("100.00 USD", card=card_number),))


async def at_gateway(system: System, sample: SampleOrder) -> Money:
    """What the gateway has given back of the order's first payment."""
    return (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).refunded


async def refuses(system: System, sample: SampleOrder) -> str:
    """The gateway refuses the next refund; returns the payment."""
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    return payment


async def second_half_is_refused(system: System, sample: SampleOrder) -> tuple[Handle, Wait, str]:
    """The first half is refunded, the refund of the second is refused. Returns the first one's refund as well."""
    await system.shop.place_order(sample)
    await system.cancel(of_line(sample, "L1", "first"))
    ours = await refund_of_first(system, sample)
    await refuses(system, sample)
    _, handle = await system.submit(of_line(sample, "L2", "rest"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    return handle, wait, ours


async def test_the_refund_of_an_earlier_cancellation_is_no_proof_of_a_payment(system: System) -> None:
    """Rule 6, I1: the agent sees 50.00 in the gateway's dashboard and names them; they are the first half's."""
    sample = halves()
    handle, wait, ours = await second_half_is_refused(system, sample)
    refusal = await system.refusal(system.resolve(handle, settled(wait, "done_by_hand", ours)))
    assert refusal
    assert ours in refusal
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    assert (await system.finish(handle)).refunded == HALF
    assert await system.refunds(sample.order_id) == [HALF, HALF]
    await system.assert_books_balance()


async def test_a_roll_back_collects_nothing_that_an_earlier_cancellation_refunded(system: System) -> None:
    """Rule 1, I1: nothing has gone back of the second half."""
    sample = halves()
    handle, wait, ours = await second_half_is_refused(system, sample)
    await system.refusal(system.resolve(handle, settled(wait, "done_by_hand", ours)))
    step = StepName.REVERSE_PAYMENT
    await system.resolve(handle, resolve(step, "T1", "roll_back"))
    assert await system.wait_for_step(handle, StepName.RESTORE_PAYMENT) is None
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert await at_gateway(system, sample) == HALF


async def test_the_refund_of_an_earlier_cancellation_is_no_proof_while_ours_is_pending(system: System) -> None:
    """Rule 6, I11: ours settles, and each half has gone back once."""
    sample = halves("pm_card_pendingRefund")
    await system.shop.place_order(sample)
    _, first = await system.submit(of_line(sample, "L1", "first"))
    await system.wait_for_state(first, State.WAITING_FOR_SETTLEMENT)
    ours = await refund_of_first(system, sample)
    await system.shop.gateway.settle(ours)
    await system.wake(first)
    await system.finish(first)
    _, handle = await system.submit(of_line(sample, "L2", "rest"))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    refusal = await system.refusal(system.resolve(handle, settled(progress.waits[0], "done_by_hand", ours)))
    payment = system.shop.payments[sample.order_id][0]
    second = (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[-1].object_id
    await system.shop.gateway.settle(second)
    await system.wake(handle)
    assert await system.wait_for_collection(handle) is None
    assert refusal
    assert (await system.finish(handle)).refunded == HALF
    await system.assert_books_balance()


async def test_the_refund_of_a_later_cancellation_is_no_proof_for_the_one_that_is_opened_again(system: System) -> None:
    """Rule 6, I1: only the books know whose refund it is, and they refuse it."""
    sample = halves()
    first = await cancel_first(system, sample)
    await system.cancel(of_line(sample, "L2", "rest"))
    payment = system.shop.payments[sample.order_id][0]
    theirs = (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[-1].object_id
    await system.library.look_again(first, RefundEvent(event_id="evt_r"))
    handle = system.current(sample.order_id)
    system.started.append(handle)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    refusal = await system.refusal(system.resolve(handle, settled(wait, "done_by_hand", theirs)))
    assert refusal
    assert theirs in refusal
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    assert (await system.finish(handle)).refunded == HALF
    assert await at_gateway(system, sample) == WHOLE
    await system.assert_books_balance()


async def test_a_refund_that_a_roll_back_left_with_the_customer_is_no_proof(system: System) -> None:
    """Rule 6, I1: the second half is rolled back, and its refund is left as goodwill; then the first half's refund fails."""
    sample = halves()
    await system.shop.place_order(sample)
    first = of_line(sample, "L1", "first")
    await system.cancel(first)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(of_line(sample, "L2", "rest"))
    close = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert close
    await system.resolve(handle, settled(close, "roll_back", "the month is closed"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    await system.resolve(handle, settled(asked, "nothing_due", "GOODWILL"))
    await system.finish(handle)
    payment = system.shop.payments[sample.order_id][0]
    ours, left = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(ours.object_id)
    await system.library.look_again(first, RefundEvent(event_id="evt_r"))
    again = system.current(sample.order_id)
    system.started.append(again)
    wait = await system.wait_for_step(again, StepName.REVERSE_PAYMENT)
    assert wait
    refusal = await system.refusal(system.resolve(again, settled(wait, "done_by_hand", left.object_id)))
    assert refusal
    assert f"{left.object_id} is the refund of another cancellation" in refusal
    await system.resolve(again, settled(wait, "done_by_hand", "BANK-1"))
    await system.finish(again)
    assert await system.paid_by_hand("BANK-1") == HALF
    await system.assert_books_balance()


async def test_a_refund_of_before_the_plan_is_no_proof_of_a_payment(system: System) -> None:
    """Rule 9, I1: 10.00 were refunded for a late delivery long before, so 54.00 are planned."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    before = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("10.00 USD"))
    await refuses(system, sample)
    submission, handle = await system.submit(request(sample))
    assert submission.plan
    assert submission.plan.refund == money("54.00 USD")
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    refusal = await system.refusal(system.resolve(handle, settled(wait, "done_by_hand", before)))
    assert refusal
    assert before in refusal
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    await system.finish(handle)
    assert await at_gateway(system, sample) == FIRST
    await system.assert_books_balance()


async def test_a_proof_with_a_space_is_the_same_proof(system: System) -> None:
    """I11: it was copied with a space behind it."""
    sample = captured(fault="refund.create:refuse", parcels=())
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], FIRST)
    await system.resolve(handle, settled(wait, "done_by_hand", f"{theirs} "))
    assert await system.wait_for_collection(handle, after=wait) is None
    assert (await system.finish(handle)).refunded == FIRST
    await system.assert_books_balance()


def two_cards() -> SampleOrder:
    """10.00 and 40.00, and the gateway refuses to refund either."""
    tenders = (card("10.00 USD", fault="refund.create:refuse"), card("40.00 USD", fault="refund.create:refuse"))
    return SampleOrder(order_id=an_id(), lines=(line("L1", 1, "50.00 USD"),), tenders=tenders)


async def both_are_refused(system: System, sample: SampleOrder) -> tuple[Handle, Wait, Wait]:
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    first = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    second = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T2")
    assert first
    assert second
    return handle, first, second


async def test_a_refund_that_was_named_for_two_cards_is_the_ones_that_has_it(system: System) -> None:
    """Rule 6, I11: both were refunded in the dashboard, and the agent names the second card's number twice."""
    sample = two_cards()
    handle, first, second = await both_are_refused(system, sample)
    one, other = system.shop.payments[sample.order_id]
    theirs = await system.shop.gateway.refund_elsewhere(one, money("10.00 USD"))
    named = await system.shop.gateway.refund_elsewhere(other, money("40.00 USD"))
    await system.resolve(handle, settled(first, "done_by_hand", named))
    await system.resolve(handle, settled(second, "done_by_hand", named))
    asked = await system.wait_for_wait(handle, lambda wait: wait.step is StepName.CHECK_REFUND, "it is to be collected")
    assert asked is None
    assert (await system.finish(handle)).refunded == HALF
    assert {theirs, named} <= await system.references()
    assert await system.paid_by_hand(named) == money("40.00 USD")
    await system.assert_books_balance()


async def test_a_refund_that_was_named_for_two_cards_leaves_the_other_ones_money_owed(system: System) -> None:
    """I1: only the second card was refunded in the dashboard."""
    sample = two_cards()
    handle, first, second = await both_are_refused(system, sample)
    other = system.shop.payments[sample.order_id][1]
    named = await system.shop.gateway.refund_elsewhere(other, money("40.00 USD"))
    await system.resolve(handle, settled(first, "done_by_hand", named))
    await system.resolve(handle, settled(second, "done_by_hand", named))
    asked = await system.wait_for_wait(handle, lambda wait: named in wait.reason, "a person hears what the number is")
    assert asked
    assert f"{named} was named as the proof of a payment for tender T1, and is the refund of T2" in asked.reason
    again = await system.refusal(system.resolve(handle, settled(asked, "done_by_hand", named)))
    assert again
    assert f"{named} is the refund of T2" in again
    await system.resolve(handle, settled(asked, "done_by_hand", "BANK-1"))
    assert (await system.finish(handle)).refunded == HALF
    assert await system.paid_by_hand("BANK-1") == money("10.00 USD")
    assert await system.paid_by_hand(named) == money("40.00 USD")
    await system.assert_books_balance()


async def test_a_named_refund_is_looked_up_until_the_gateway_has_answered(system: System) -> None:
    """Rule 14, I11: the gateway is away when the proof is named, and the run waits for it before it goes on."""
    sample = two_lines(card("100.00 USD", fault="refund.create:refuse"))
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    _, handle = await system.submit(of_line(sample, "L1", "first"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    theirs = await system.shop.gateway.refund_elsewhere(payment, FIRST)
    away = FaultKind.HTTP_429
    await system.shop.gateway.add_fault("payment_intent.retrieve", away, payment=payment, times=6, retry_after=30)
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await system.skip(timedelta(minutes=3))
    asked = await system.wait_for_step(handle, StepName.CHECK_REFUND)
    assert asked
    assert asked.owner is Owner.REFUND_DEPARTMENT
    assert (await system.finish(handle)).refunded == FIRST
    rest = await system.cancel(of_line(sample, "L2", "rest"))
    assert (rest.outcome, rest.refunded) == (Outcome.CANCELLED, REST)
    assert await at_gateway(system, sample) == WHOLE
    await system.assert_books_balance()


async def test_the_refund_of_the_other_order_of_a_payment_is_no_proof(system: System) -> None:
    """E3, rule 6: a refund that another cancellation has made is refused as a proof of what is owed here."""
    ours, theirs, payment = await two_orders(system, captured=PAID)
    await system.cancel(request(ours))
    failing = await refund_of(system, ours)
    assert (await system.cancel(request(theirs))).refunded == THEIRS
    await system.shop.gateway.fail(failing)
    handle = await system.notify_of_refund(ours.order_id)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    [of_other] = [r for r in (await system.gateway.read_payment(payment)).refunds if not r.status.has_failed]
    refusal = await system.refusal(system.resolve(handle, settled(wait, "done_by_hand", of_other.reference)))
    assert refusal
    assert f"is the refund of another cancellation of order {theirs.order_id}" in refusal
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-1"))
    await system.finish(handle)
    assert await system.paid_by_hand("BANK-1") == OURS
    await system.assert_books_balance()
