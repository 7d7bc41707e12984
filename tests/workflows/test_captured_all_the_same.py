"""What is given back of a reservation by not capturing it, and is captured all the same: it is followed until the end of the
cancellation, and an event of the gateway says so after it."""

from datetime import UTC, datetime

from domain.messages import RefundEvent
from domain.money import Money, money
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.step import StepName
from providers.books.inbox import SqlInbox
from sandbox import books
from sandbox.shop import SampleOrder, card, line, request
from tests.observing import eventually
from tests.system import Handle, System, settled
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id
from tests.workflows.test_several_cancellations import of_line

NOTHING, TEN = money("0.00 USD"), money("10.00 USD")
OF_LINE = LineScope(line_id="L1", quantity=1)


def two_cards() -> SampleOrder:
    """50.00 and 30.00, paid by 40.00 that are captured, and whose refunds take days, and by 40.00 that are reserved."""
    lines = (line("L1", 1, "50.00 USD"), line("L2", 1, "30.00 USD"))
    tenders = (card("40.00 USD", card=PENDING), card("40.00 USD", "0.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=tenders)


async def captured_while_it_settles(system: System) -> tuple[SampleOrder, Handle]:
    """The shop sends the other line and captures all that is reserved, while the refund of the first card settles."""
    sample = two_cards()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, OF_LINE))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    assert (await system.progress(handle)).released == TEN
    reserved = system.shop.payments[sample.order_id][1]
    await system.shop.gateway.capture(reserved, money("40.00 USD"), final=True)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    return sample, handle


async def test_what_was_not_to_be_captured_and_is_while_the_cancellation_settles_is_refunded_when_a_person_says_so(
    system: System,
) -> None:
    """E29, I1: 10.00 counted as released."""
    sample, handle = await captured_while_it_settles(system)
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T2")
    assert asked
    assert "10.00 USD of tender T2" in asked.reason
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T2")
    result = await system.finish(handle)
    assert (result.outcome, result.refunded, result.released) == (Outcome.CANCELLED, money("50.00 USD"), NOTHING)
    assert await system.refunds(sample.order_id) == [money("40.00 USD"), TEN]
    assert [document.total for document in await books.documents(system.engine)] == [money("40.00 USD")]
    await system.assert_books_balance()


async def test_what_was_captured_for_something_else_is_not_refunded(system: System) -> None:
    """E29, I11: a person says that the order got something else for it."""
    sample, handle = await captured_while_it_settles(system)
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T2")
    assert asked
    await system.resolve(handle, settled(asked, "nothing_due", "EXTRA-1"))
    result = await system.finish(handle)
    assert (result.outcome, result.refunded, result.released) == (Outcome.CANCELLED, money("40.00 USD"), NOTHING)
    assert await system.refunds(sample.order_id) == [money("40.00 USD")]
    await system.assert_books_balance()


async def test_what_is_captured_in_two_parts_is_asked_about_twice_and_both_answers_may_name_the_same_proof(
    system: System,
) -> None:
    """E29, I10: the shop captures 5.00, and 5.00 more while the refund department is asked about the first. Both are for the
    extra order EXTRA-1, and the same person says so each time."""
    reserved = await system.shop.gateway.create_payment(money("40.00 USD"), multicapture=True)
    tenders = (card("40.00 USD", card=PENDING), card("40.00 USD", "0.00 USD", payment=reserved))
    lines = (line("L1", 1, "50.00 USD"), line("L2", 1, "30.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=tenders)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, OF_LINE))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.capture(reserved, money("35.00 USD"), final=False)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T2")
    assert asked
    assert "5.00 USD of tender T2" in asked.reason
    await system.shop.gateway.capture(reserved, money("5.00 USD"), final=True)
    await system.resolve(handle, settled(asked, "nothing_due", "EXTRA-1"))

    async def is_asked_again() -> bool:
        progress = await system.progress(handle)
        return progress.released == NOTHING and any(wait.step is asked.step for wait in progress.waits)

    await eventually(is_asked_again, "the second part is asked about")
    await system.resolve(handle, settled(asked, "nothing_due", "EXTRA-1"))
    result = await system.finish(handle)
    assert (result.outcome, result.refunded, result.released) == (Outcome.CANCELLED, money("40.00 USD"), NOTHING)
    assert await system.refunds(sample.order_id) == [money("40.00 USD")]
    await system.assert_books_balance()


def reserved_for(*prices: str) -> SampleOrder:
    """Lines of these prices, and one card that reserves for all of them."""
    lines = tuple(line(f"L{number}", 1, price) for number, price in enumerate(prices, start=1))
    total = Money.total((sold.total for sold in lines), "USD")
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card(str(total), "0.00 USD"),))


async def take(system: System, sample: SampleOrder, amount: str) -> str:
    """The shop captures for the last time, which releases the rest; returns the payment."""
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.capture(payment, money(amount), final=True)
    return payment


async def hear(system: System, sample: SampleOrder, payment: str) -> Handle | None:
    """The gateway's event that the payment was taken; None: it is about no cancellation."""
    request = await system.find_reopened(sample.order_id, payment, taken=True)
    if request is None:
        return None
    await system.library.look_again(request, RefundEvent(event_id="evt_t", subject=payment))
    handle = system.current(sample.order_id)
    system.started.append(handle)
    return handle


async def refund_when_asked(system: System, handle: Handle, amount: str, outcome: Outcome = Outcome.CANCELLED) -> None:
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert f"{amount} of tender T1" in asked.reason
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    result = await system.finish(handle)
    assert (result.outcome, result.refunded, result.released) == (outcome, money(amount), NOTHING)


async def test_what_is_captured_all_the_same_after_the_end_opens_the_cancellation_again(system: System) -> None:
    """E29, I1: 20.00 of 60.00 were not to be captured."""
    sample = reserved_for("20.00 USD", "40.00 USD")
    await system.shop.place_order(sample)
    assert (await system.cancel(of_line(sample, "L1", "first"))).released == money("20.00 USD")
    payment = await take(system, sample, "60.00 USD")
    handle = await hear(system, sample, payment)
    assert handle
    await refund_when_asked(system, handle, "20.00 USD")
    assert await system.refunds(sample.order_id) == [money("20.00 USD")]
    assert await hear(system, sample, payment) is None
    assert (await system.progress(handle)).credit_note is None
    await system.assert_books_balance()


async def test_each_cancellation_whose_part_is_captured_after_the_end_is_opened_again(system: System) -> None:
    """E29, I1: 20.00 and 10.00 of 60.00 were not to be captured."""
    sample = reserved_for("20.00 USD", "10.00 USD", "30.00 USD")
    await system.shop.place_order(sample)
    for line_id in ("L1", "L2"):
        await system.cancel(of_line(sample, line_id, line_id))
    payment = await take(system, sample, "60.00 USD")
    for amount in ("10.00 USD", "20.00 USD"):
        handle = await hear(system, sample, payment)
        assert handle
        await refund_when_asked(system, handle, amount)
    assert await system.refunds(sample.order_id) == [TEN, money("20.00 USD")]
    events = await SqlInbox(system.engine).claim_due(datetime.now(UTC), 100)
    assert {(event.subject, event.payment_taken) for event in events} == {(payment, True)}
    await system.assert_books_balance()


async def test_the_capture_of_what_stays_opens_nothing_again(system: System) -> None:
    """E29: it is looked at, and the outcome holds."""
    sample = reserved_for("20.00 USD", "40.00 USD")
    await system.shop.place_order(sample)
    await system.cancel(of_line(sample, "L1", "first"))
    handle = await hear(system, sample, await take(system, sample, "40.00 USD"))
    assert handle
    result = await system.finish(handle)
    assert (result.outcome, result.existing, result.released) == (Outcome.CANCELLED, True, money("20.00 USD"))
    assert not any(action.action.startswith("reopened") for action in result.actions)


async def test_what_the_next_cancellation_has_given_back_is_not_refunded_once_more(system: System) -> None:
    """E29, I11: all 60.00 are captured, and go back with the rest of the order before the event is heard of. The result of
    the first cancellation says what it was at its end."""
    sample = reserved_for("20.00 USD", "40.00 USD")
    await system.shop.place_order(sample)
    await system.cancel(of_line(sample, "L1", "first"))
    payment = await take(system, sample, "60.00 USD")
    assert (await system.cancel(of_line(sample, "L2", "rest"))).refunded == money("60.00 USD")
    handle = await hear(system, sample, payment)
    assert handle
    first = await system.finish(handle)
    assert (first.existing, first.refunded, first.released) == (True, NOTHING, money("20.00 USD"))
    assert await system.refunds(sample.order_id) == [money("60.00 USD")]
    await system.assert_books_balance()
