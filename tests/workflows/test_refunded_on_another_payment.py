"""Others refund what is to be cancelled in the gateway's dashboard, on another payment of the order than the plan does: only
a person knows whether it was for this, and is asked before the money moves."""

from datetime import timedelta

import pytest

from domain.money import Money, money
from domain.outcome import CancellationResult, Outcome, State, Wait
from domain.request import LineScope
from domain.step import Owner, StepName
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, System, settled
from tests.workflows.samples import an_id

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


async def ask(system: System, handle: Handle, theirs: str, amount: str) -> Wait:
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


@pytest.mark.xfail(strict=True, reason="nobody is asked, and the customer has 80.00 for goods of 40.00")
async def test_what_others_refund_for_it_on_the_other_card_is_not_given_twice(system: System) -> None:
    """E30, I1, I11: the person finds that it was for this, and names it."""
    sample = two_cards()
    handle, theirs = await refunded_by_others(system, sample, "40.00 USD")
    wait = await ask(system, handle, theirs, "40.00 USD")
    assert (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).refunded == money("0.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await end(system, handle, sample, FORTY)
    assert await system.paid_by_hand(theirs) == FORTY


@pytest.mark.xfail(strict=True, reason="nobody is asked")
async def test_what_others_refund_for_something_else_on_the_other_card_changes_nothing(system: System) -> None:
    """E30, I1: the person says so by trying the step again."""
    sample = two_cards()
    handle, theirs = await refunded_by_others(system, sample, "15.00 USD")
    await ask(system, handle, theirs, "15.00 USD")
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    await end(system, handle, sample, money("15.00 USD"), FORTY)


@pytest.mark.xfail(strict=True, reason="nobody is asked")
async def test_a_refund_on_the_other_card_stands_for_no_more_than_it_is(system: System) -> None:
    """E30, I1: the rest goes back as planned."""
    sample = two_cards()
    handle, theirs = await refunded_by_others(system, sample, "15.00 USD")
    wait = await ask(system, handle, theirs, "15.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await end(system, handle, sample, money("15.00 USD"), money("25.00 USD"))
    assert await system.paid_by_hand(theirs) == money("15.00 USD")
