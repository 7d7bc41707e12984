"""One payment that pays several orders, because an order was split or goes to several addresses: of it, a cancellation gives
back what its own order paid, and no more."""

import pytest
from sqlalchemy import update

from domain.decision import Verdict
from domain.money import Money, money
from domain.outcome import MoneyStatus, Outcome, State, Wait
from domain.request import LineScope
from domain.step import StepName
from providers.orders.built_in.tables import TenderRow
from providers.outbox.port import NoticeKind
from sandbox import books, built_in
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, SampleParcel, card, line, parcel, request
from tests.system import AGENT, POLICY, Handle, System, resolve, settled
from tests.workflows.samples import an_id, in_network

WHOLE, OURS, THEIRS = money("100.00 USD"), money("60.00 USD"), money("40.00 USD")
NOTHING = money("0.00 USD")


SENT = tuple(parcel(Script.INTERCEPT_ACCEPTED_THEN_RETURNS, **{line_id: 1}) for line_id in ("L1", "L2"))
"""Both lines of an order have left, each in its own parcel."""


async def two_orders(
    system: System, *, captured: Money | None, parcels: tuple[SampleParcel, ...] = ()
) -> tuple[SampleOrder, SampleOrder, str]:
    """An order of 60.00 in two lines and one of 40.00, paid by one payment of 100.00, which is returned with them. The
    first one's `parcels` have left."""
    payment = await system.shop.gateway.create_payment(WHOLE, capture=captured)
    lines = (line("L1", 1, "20.00 USD"), line("L2", 1, "40.00 USD"))
    ours = SampleOrder(order_id=an_id(), lines=lines, tenders=(card(str(OURS), payment=payment),), parcels=parcels)
    theirs = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, str(THEIRS)),), tenders=(card(str(THEIRS), payment=payment),)
    )
    for sample in (ours, theirs):
        await system.shop.place_order(sample)
    return ours, theirs, payment


async def reserved(system: System, payment: str) -> Money:
    return (await system.gateway.read_payment(payment)).capturable


async def test_of_a_payment_for_two_orders_each_gets_back_its_own_share(system: System) -> None:
    """F3, E3: captured; one order after the other."""
    ours, theirs, _ = await two_orders(system, captured=WHOLE)
    first = await system.cancel(request(ours))
    assert (first.outcome, first.refunded) == (Outcome.CANCELLED, OURS)
    assert [document.total for document in await books.documents(system.engine)] == [OURS]
    second = await system.cancel(request(theirs))
    assert (second.outcome, second.refunded) == (Outcome.CANCELLED, THEIRS)
    assert await system.refunds(ours.order_id) == [OURS, THEIRS]
    await system.assert_books_balance()


async def test_the_rest_of_an_order_gets_back_the_rest_of_its_share(system: System) -> None:
    """F3, E3: one line, then all that remains of this order."""
    ours, _, _ = await two_orders(system, captured=WHOLE)
    first = await system.cancel(request(ours, LineScope(line_id="L1", quantity=1)))
    rest = await system.cancel(request(ours, request_id="the-rest"))
    assert (first.refunded, rest.refunded) == (money("20.00 USD"), THEIRS)
    assert await system.refunds(ours.order_id) == [money("20.00 USD"), THEIRS]


async def test_what_was_refunded_for_the_other_order_is_not_taken_from_this_ones_share(system: System) -> None:
    """F3, E3: somebody has given the other order's 40.00 back at the gateway."""
    ours, _, payment = await two_orders(system, captured=WHOLE)
    await system.shop.gateway.refund_elsewhere(payment, THEIRS)
    assert (await system.cancel(request(ours))).refunded == OURS


async def test_what_somebody_has_refunded_of_this_orders_share_is_not_refunded_again(system: System) -> None:
    """F3, B8: 70.00 have gone back, so 30.00 are left for an order of 60.00."""
    ours, _, payment = await two_orders(system, captured=WHOLE)
    await system.shop.gateway.refund_elsewhere(payment, money("70.00 USD"))
    assert (await system.cancel(request(ours))).refunded == money("30.00 USD")


async def test_a_shared_reservation_is_not_released_for_one_of_its_orders(system: System) -> None:
    """F3, E3: 60.00 are not captured, and the merchant may still capture 40.00 for the other order."""
    ours, _, payment = await two_orders(system, captured=None)
    submission, handle = await system.submit(request(ours))
    assert submission.plan is not None
    assert (submission.plan.release, submission.plan.refund) == (OURS, NOTHING)
    result = await system.finish(handle)
    assert (result.outcome, result.money, result.released) == (Outcome.CANCELLED, MoneyStatus.RELEASED, OURS)
    assert await system.voids(ours.order_id) == 0
    assert await reserved(system, payment) == WHOLE
    await system.shop.gateway.capture(payment, THEIRS, final=True)
    assert (await system.gateway.read_payment(payment)).captured == THEIRS


async def test_decision_plan_and_mail_say_that_a_shared_reservation_ends_with_the_capture(system: System) -> None:
    """F3, E3: the process releases nothing of it; the gateway does, once the merchant captures the rest."""
    ours, _, _ = await two_orders(system, captured=None)
    submission, handle = await system.submit(request(ours))
    assert submission.plan is not None
    assert "do not capture 60.00 USD" in submission.decision.sentence
    [planned] = submission.plan.model_dump(mode="json")["tenders"]
    assert planned["released_by_capture"] is True
    await system.finish(handle)
    [mail] = [n for n in await system.notices(ours.order_id) if n.kind is NoticeKind.RESERVATION_RELEASED]
    assert mail.amount == OURS
    assert mail.notice_id.endswith("/not_captured")


async def test_the_mail_about_a_part_of_a_reservation_says_that_it_is_not_charged(system: System) -> None:
    """F3: the same where one order alone is reserved for, and a part of it is cancelled."""
    lines = (line("L1", 1, "20.00 USD"), line("L2", 1, "40.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("60.00 USD", "0.00 USD"),))
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    assert "do not capture 20.00 USD" in submission.decision.sentence
    await system.finish(handle)
    [mail] = [n for n in await system.notices(sample.order_id) if n.kind is NoticeKind.RESERVATION_RELEASED]
    assert mail.notice_id.endswith("/not_captured")


async def test_what_was_captured_for_the_other_order_stays(system: System) -> None:
    """F3, E3: the other order has shipped, and its 40.00 are captured. What is still reserved is left alone: a part of the
    other order's may be in it."""
    ours, _, payment = await two_orders(system, captured=THEIRS)
    result = await system.cancel(request(ours))
    assert (result.refunded, result.released) == (NOTHING, OURS)
    assert await system.refunds(ours.order_id) == []
    assert await reserved(system, payment) == OURS
    assert (await system.gateway.read_payment(payment)).refundable == THEIRS


async def test_what_was_captured_for_this_order_is_refunded_and_the_others_reservation_stays(system: System) -> None:
    """F3, E3: 60.00 are captured for the goods of this order, which have left; the other order's 40.00 are reserved."""
    ours, _, payment = await two_orders(system, captured=OURS, parcels=SENT)
    result = await system.cancel(request(ours))
    assert (result.refunded, result.released) == (OURS, NOTHING)
    assert await system.voids(ours.order_id) == 0
    assert await reserved(system, payment) == THEIRS


async def wait_for_question_whose_it_is(system: System, sample: SampleOrder) -> tuple[Handle, Wait]:
    """The cancellation, and what a person is asked about what was captured of its shared payment."""
    _, handle = await system.submit(request(sample))
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert "nobody can tell whether for this order or for another one that it pays" in asked.reason
    return handle, asked


async def test_a_person_is_asked_whose_just_as_much_as_the_order_paid_is_where_nothing_has_left(system: System) -> None:
    """I1: equal prices make another order's capture look like this one's. Here it is this one's."""
    ours, _, payment = await two_orders(system, captured=OURS)
    handle, asked = await wait_for_question_whose_it_is(system, ours)
    assert await system.refunds(ours.order_id) == []
    refund = await system.shop.gateway.refund_elsewhere(payment, OURS)
    await system.resolve(handle, settled(asked, "done_by_hand", refund))
    assert (await system.finish(handle)).refunded == OURS
    assert await reserved(system, payment) == THEIRS


async def test_a_person_is_asked_where_only_the_other_orders_share_was_captured_and_the_rest_is_gone(
    system: System,
) -> None:
    """I1: the capture of 40.00 was the last one, and this order has an article of 40.00, too. It was the other one's."""
    ours, _, payment = await two_orders(system, captured=None)
    await system.shop.gateway.capture(payment, THEIRS, final=True)
    handle, asked = await wait_for_question_whose_it_is(system, ours)
    await system.resolve(handle, settled(asked, "nothing_due", "ORDER-2"))
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, NOTHING)
    assert await system.refunds(ours.order_id) == []


async def test_what_the_merchant_captures_of_this_orders_share_after_all_is_refunded(bare_system: System) -> None:
    """F3, E3: all 100.00 are captured between the decision and the reversal; 60.00 of that were not to be."""
    system = bare_system
    ours, _, payment = await two_orders(system, captured=None)
    async with system.worker(policy=POLICY.model_copy(update={"approval_limits": ()})):
        submission, handle = await system.submit(request(ours))
        assert submission.decision.verdict is Verdict.NEEDS_APPROVAL
        await system.shop.gateway.capture(payment, WHOLE, final=True)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.refunded, result.released) == (OURS, NOTHING)
    assert await system.refunds(ours.order_id) == [OURS]


async def test_no_more_goes_out_than_the_order_paid_by_the_tender(system: System) -> None:
    """Rule 9, E3: the payment is larger than what the order has of it, whatever the rest is for."""
    payment = await system.shop.gateway.create_payment(money("70.00 USD"), capture=money("70.00 USD"))
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD", payment=payment),)
    )
    await system.shop.place_order(sample)
    asked = request(sample).model_copy(update={"actor": AGENT})
    assert (await system.cancel(asked)).refunded == money("64.00 USD")
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_two_tenders_on_one_payment_get_back_their_own_shares(system: System) -> None:
    """F3: a shop that keeps one payment as two tenders."""
    payment = await system.shop.gateway.create_payment(WHOLE, capture=WHOLE)
    tenders = (card(str(OURS), payment=payment), card(str(THEIRS), payment=payment))
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, str(WHOLE)),), tenders=tenders)
    await system.shop.place_order(sample)
    assert (await system.cancel(request(sample))).refunded == WHOLE


@pytest.mark.parametrize("final", [True, False], ids=["shipped-the rest released", "shipped-the rest reserved"])
async def test_of_two_orders_that_paid_half_each_the_one_that_has_shipped_gets_back_what_was_captured(
    system: System, final: bool
) -> None:
    """E3, I1: one payment for two orders of 50.00, of which 50.00 were captured: a card is charged for what is shipped."""
    payment = await system.shop.gateway.create_payment(WHOLE, multicapture=True)
    half = {"lines": (line("L1", 1, "50.00 USD"),), "tenders": (card("50.00 USD", payment=payment),)}
    moving = in_network(Script.INTERCEPT_ACCEPTED_THEN_RETURNS)
    ours = moving.model_copy(update=half)
    for sample in (ours, SampleOrder(order_id=an_id(), **half)):
        await system.shop.place_order(sample)
    await system.shop.gateway.capture(payment, money("50.00 USD"), final=final)
    result = await system.cancel(request(ours))
    assert result.outcome is Outcome.CANCELLED
    refunded = (await system.gateway.read_payment(payment)).refunded
    assert refunded == result.refunded == money("50.00 USD")


async def half_of_a_payment(system: System) -> tuple[SampleOrder, str]:
    """E3: 50.00 of 100.00 were captured for the last time, and the order paid 50.00. Either the other half was not in stock,
    or it is one of two orders that paid a half each."""
    payment = await system.shop.gateway.create_payment(WHOLE)
    await system.shop.gateway.capture(payment, money("50.00 USD"), final=True)
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "50.00 USD"),), tenders=(card("50.00 USD", payment=payment),)
    )
    await system.shop.place_order(sample)
    return sample, payment


async def test_a_person_is_asked_whose_the_half_is_that_was_captured_of_a_payment(system: System) -> None:
    """I1: it is this order's, and they refund it."""
    sample, payment = await half_of_a_payment(system)
    handle, asked = await wait_for_question_whose_it_is(system, sample)
    assert "50.00 USD of 100.00 USD was captured" in asked.reason
    refund = await system.shop.gateway.refund_elsewhere(payment, money("50.00 USD"))
    await system.resolve(handle, settled(asked, "done_by_hand", refund))
    assert (await system.finish(handle)).refunded == money("50.00 USD")
    assert await system.refunds(sample.order_id) == [money("50.00 USD")]


async def test_the_half_of_a_payment_that_is_another_orders_is_left_to_it(system: System) -> None:
    """I1: a person has found out."""
    sample, _ = await half_of_a_payment(system)
    handle, asked = await wait_for_question_whose_it_is(system, sample)
    await system.resolve(handle, settled(asked, "nothing_due", "ORDER-2"))
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, NOTHING)
    assert await system.refunds(sample.order_id) == []


async def test_the_rest_of_an_order_gets_back_what_was_captured_for_it_where_the_other_order_is_reserved_as_much(
    system: System,
) -> None:
    """E3, I1: 60.00 captured for this order, 40.00 reserved for the other; 20.00 were refunded by an earlier cancellation,
    so that as much is left of what was captured as is reserved for the other order."""
    ours, _, _ = await two_orders(system, captured=OURS, parcels=SENT)
    first = await system.cancel(request(ours, LineScope(line_id="L1", quantity=1)))
    assert first.refunded == money("20.00 USD")
    rest = await system.cancel(request(ours, request_id="the-rest"))
    assert (rest.refunded, rest.released) == (money("40.00 USD"), money("0.00 USD"))


async def test_the_rest_after_a_release_leaves_what_was_captured_for_the_other_order(system: System) -> None:
    """E3: the mirror of it; 30.00 were captured for a part of the other order."""
    ours, _, _ = await two_orders(system, captured=money("30.00 USD"))
    first = await system.cancel(request(ours, LineScope(line_id="L1", quantity=1)))
    assert first.released == money("20.00 USD")
    rest = await system.cancel(request(ours, request_id="the-rest"))
    assert (rest.refunded, rest.released) == (money("0.00 USD"), money("40.00 USD"))


async def test_what_was_captured_for_another_order_is_not_refunded_because_a_part_of_it_was(system: System) -> None:
    """E3: one payment for orders of 60.00, 40.00 and 40.00. The first one's goods have left, and its 60.00
    were captured. 20.00 of these went back; the 40.00 that are left of them are not the second order's, which was only
    reserved."""
    payment = await system.shop.gateway.create_payment(money("140.00 USD"), capture=OURS)
    first = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "20.00 USD"), line("L2", 1, "40.00 USD")),
        tenders=(card("60.00 USD", payment=payment),),
        parcels=SENT,
    )
    second = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "40.00 USD"),), tenders=(card("40.00 USD", payment=payment),)
    )
    for sample in (first, second):
        await system.shop.place_order(sample)
    part = await system.cancel(request(first, LineScope(line_id="L1", quantity=1)))
    assert part.refunded == money("20.00 USD")
    result = await system.cancel(request(second))
    assert (result.refunded, result.released) == (money("0.00 USD"), money("40.00 USD"))


async def test_the_rest_of_an_order_that_has_shipped_gets_back_what_was_captured_for_just_that_rest(
    system: System,
) -> None:
    """E3, decision 0077: one payment for orders of 60.00 and 40.00. Of the first, 20.00 are cancelled before anything is
    captured, so its share is 40.00 as well; its rest ships, 40.00 are captured by the last capture, and it is sent back."""
    payment = await system.shop.gateway.create_payment(WHOLE, capture=None)
    ours = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "20.00 USD"), line("L2", 1, "40.00 USD")),
        tenders=(card("60.00 USD", payment=payment),),
        parcels=(parcel(Script.INTERCEPT_ACCEPTED_THEN_RETURNS, L2=1),),
    )
    await system.shop.place_order(ours)
    first = await system.cancel(request(ours, LineScope(line_id="L1", quantity=1)))
    assert first.released == money("20.00 USD")
    await system.shop.gateway.capture(payment, money("40.00 USD"), final=True)
    rest = await system.cancel(request(ours, request_id="the-rest"))
    assert (rest.outcome, rest.refunded) == (Outcome.CANCELLED, money("40.00 USD"))


@pytest.mark.parametrize("taken", ["600.00 USD", None], ids=["ours captured", "all reserved"])
async def test_what_is_captured_and_refunded_for_the_other_order_while_the_run_waits_is_not_this_ones(
    system: System, taken: str | None
) -> None:
    """E3, decision 0077: what others have refunded of a shared payment counts against the other orders first. The other
    order's 400.00 are captured and refunded by an agent while this one waits for approval."""
    payment = await system.shop.gateway.create_payment(money("1000.00 USD"), multicapture=True)
    if taken:
        await system.shop.gateway.capture(payment, money(taken), final=False)
    tenders = (card("600.00 USD", payment=payment),)
    ours = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "600.00 USD"),), tenders=tenders)
    await system.shop.place_order(ours)
    _, handle = await system.submit(request(ours))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    rest = money("400.00 USD") if taken else money("1000.00 USD")
    await system.shop.gateway.capture(payment, rest, final=True)
    await system.shop.gateway.refund_elsewhere(payment, money("400.00 USD"))
    await system.approve(handle)
    result = await system.finish(handle)
    assert result.refunded == money("600.00 USD")
    assert (await system.gateway.read_payment(payment)).refunded == money("1000.00 USD")


async def test_a_shop_that_counts_what_is_left_of_what_was_paid_gets_no_share_taken_off(system: System) -> None:
    """DESIGN 6, I1: like the amounts of its lines, a shop may lower what a tender has paid, once a part of it went back.
    The payment is of this order alone."""
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "60.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("100.00 USD"),))
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample, LineScope(line_id="L1", quantity=1), request_id="first"))
    assert first.refunded == money("40.00 USD")
    async with system.engine.begin() as shop:
        await shop.execute(update(TenderRow).where(TenderRow.order_id == sample.order_id).values(amount=6000))
    rest = await system.cancel(request(sample, request_id="rest"))
    assert (rest.outcome, rest.refunded) == (Outcome.CANCELLED, money("60.00 USD"))


async def test_what_an_order_has_paid_back_is_not_given_out_of_the_other_orders_share(system: System) -> None:
    """E3, rule 9: 60.00 of 100.00 are refunded and collected from the customer again by a roll-back. What the gateway has
    left is the other order's 40.00; the 60.00 were paid back to somebody, and a person gives them."""
    ours, theirs, _ = await two_orders(system, captured=WHOLE)
    await built_in.lock_order(system.engine, ours.order_id, "the month is closed")
    _, handle = await system.submit(request(ours, request_id="first"))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, ours.order_id, "roll_back"))
    wait = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", "PAID-BACK-1"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await built_in.lock_order(system.engine, ours.order_id, None)
    _, handle = await system.submit(request(ours, request_id="second"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    other = await system.cancel(request(theirs))
    assert (other.outcome, other.refunded) == (Outcome.CANCELLED, THEIRS)
