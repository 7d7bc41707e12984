"""Others refund what is to be cancelled in the gateway's dashboard, on another payment of the order than the plan does: only
a person knows whether it was for this, and is asked before the money moves."""

from datetime import timedelta

from domain.messages import RefundEvent
from domain.money import Money, money
from domain.outcome import CancellationResult, Outcome, State, Wait
from domain.request import LineScope
from domain.step import Owner, StepName
from domain.terms import RefundMethod
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, System, customer_of, settled
from tests.workflows.samples import an_id
from tests.workflows.test_several_cancellations import of_line

FORTY = money("40.00 USD")


def two_cards() -> SampleOrder:
    """40.00 and 60.00, paid by two cards with 50.00 each. For the first line, the plan refunds on the first card alone."""
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "60.00 USD"))
    tenders = (card("50.00 USD"), card("50.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=tenders, age=timedelta(days=60))


async def refunded_by_others(system: System, sample: SampleOrder, amount: str) -> tuple[Handle, str]:
    """On the second card, while the approval is waited for; with their refund's id."""
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][1], money(amount))
    await system.approve(handle)
    return handle, theirs


async def wait_for_question(system: System, handle: Handle, theirs: str, amount: str) -> Wait:
    wait = await system.wait_for_wait(handle, lambda wait: wait.state is State.NEEDS_ATTENTION, "somebody is asked")
    assert wait, "nobody is asked"
    assert (wait.step, wait.target, wait.owner) == (StepName.REVERSE_PAYMENT, "T1", Owner.REFUND_DEPARTMENT)
    assert f"{amount} on tender T2 (refund {theirs})" in wait.reason
    return wait


async def end(system: System, handle: Handle, sample: SampleOrder, *given: Money) -> CancellationResult:
    """`given`: what the gateway has refunded, whoever made it."""
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, FORTY)
    assert sorted(await system.refunds(sample.order_id), key=lambda made: made.amount) == [*given]
    assert await system.payable() == 0
    await system.assert_books_balance()
    return result


async def test_what_others_refund_for_it_on_the_other_card_is_not_given_twice(system: System) -> None:
    """E30, I1, I11: the person finds that it was for this, and names it."""
    sample = two_cards()
    handle, theirs = await refunded_by_others(system, sample, "40.00 USD")
    wait = await wait_for_question(system, handle, theirs, "40.00 USD")
    assert (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).refunded == money("0.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await end(system, handle, sample, FORTY)
    assert await system.paid_by_hand(theirs) == FORTY


async def test_what_others_refund_for_something_else_on_the_other_card_changes_nothing(system: System) -> None:
    """E30, I1: the person says so by trying the step again."""
    sample = two_cards()
    handle, theirs = await refunded_by_others(system, sample, "15.00 USD")
    await wait_for_question(system, handle, theirs, "15.00 USD")
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    await end(system, handle, sample, money("15.00 USD"), FORTY)


async def test_a_refund_on_the_other_card_stands_for_no_more_than_it_is(system: System) -> None:
    """E30, I1: the rest goes back as planned."""
    sample = two_cards()
    handle, theirs = await refunded_by_others(system, sample, "15.00 USD")
    wait = await wait_for_question(system, handle, theirs, "15.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await end(system, handle, sample, money("15.00 USD"), money("25.00 USD"))
    assert await system.paid_by_hand(theirs) == money("15.00 USD")


async def test_what_others_refund_on_the_other_card_is_not_given_as_store_credit_as_well(system: System) -> None:
    """E30, I11: the gateway has refused the refund, and the customer has chosen store credit when an agent finds the other
    card."""
    sample = two_cards()
    await system.shop.place_order(sample)
    first, second = system.shop.payments[sample.order_id]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=first)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    theirs = await system.shop.gateway.refund_elsewhere(second, FORTY)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    wait = await system.wait_for_wait(handle, lambda wait: theirs in wait.reason, "somebody is asked")
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await end(system, handle, sample, FORTY)


async def named(system: System, sample: SampleOrder) -> str:
    """The cancellation of the first line has ended: others had refunded it on the second card. Returns their refund."""
    handle, theirs = await refunded_by_others(system, sample, "40.00 USD")
    wait = await wait_for_question(system, handle, theirs, "40.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await end(system, handle, sample, FORTY)
    return theirs


async def test_what_others_refunded_on_the_other_card_is_no_part_of_the_rest(system: System) -> None:
    """E30, I1: all of the order's money has gone back, each amount by the payment that has it."""
    sample = two_cards()
    await named(system, sample)
    _, handle = await system.submit(of_line(sample, "L2", "rest"))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    assert (await system.finish(handle)).refunded == money("60.00 USD")
    assert await system.refunds(sample.order_id) == [money("50.00 USD"), FORTY, money("10.00 USD")]
    await system.assert_books_balance()


async def test_a_refund_on_the_other_card_that_fails_after_the_end_is_owed(system: System) -> None:
    """E30, B23: its event opens the cancellation again."""
    sample = two_cards()
    theirs = await named(system, sample)
    await system.shop.gateway.fail(theirs)
    found = await system.find_reopened(sample.order_id, theirs)
    assert found
    await system.library.look_again(found, RefundEvent(event_id="evt_r", subject=theirs))
    handle = system.current(sample.order_id)
    system.started.append(handle)
    wait = await system.wait_for_wait(handle, lambda wait: wait.state is State.NEEDS_ATTENTION, "somebody is asked")
    assert wait
    assert f"Refund {theirs} of 40.00 USD to tender T2" in wait.reason
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T2")
    assert (await system.finish(handle)).refunded == FORTY
    assert (await system.gateway.read_payment(system.shop.payments[sample.order_id][1])).refunded == FORTY
    await system.assert_books_balance()


async def test_what_others_refunded_on_the_other_card_is_collected_when_it_is_rolled_back(system: System) -> None:
    """E30, I11: a part of it was for this, the rest is refused by the gateway, and staff has it all rolled back."""
    sample = two_cards()
    await system.shop.place_order(sample)
    first, second = system.shop.payments[sample.order_id]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=first)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(second, money("15.00 USD"))
    await system.approve(handle)
    wait = await wait_for_question(system, handle, theirs, "15.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    refused = await system.wait_for_wait(handle, lambda wait: bool(wait.choices), "the refund was refused")
    assert refused
    await system.resolve(handle, settled(refused, "roll_back", "goes-on"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT, "T2")
    assert asked
    assert f"15.00 USD by refund {theirs}" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert (await system.read_rolled_back(handle)).refunded == money("0.00 USD")
    await system.assert_books_balance()
