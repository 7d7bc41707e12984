"""Each refund that others make on another payment of the order is asked about before money goes out, whichever way it
goes, until a person has said of this very refund what it was for."""

from datetime import timedelta

from domain.money import Money, money
from domain.outcome import State
from domain.request import LineScope
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, System, customer_of, eventually, settled
from tests.workflows.samples import an_id
from tests.workflows.test_refunded_on_another_payment import (
    FORTY,
    end,
    refunded_by_others,
    two_cards,
    wait_for_question,
)

FIFTEEN, TWENTY_FIVE = money("15.00 USD"), money("25.00 USD")


async def approved(system: System, sample: SampleOrder) -> Handle:
    """The cancellation of the first line, whose money goes back now."""
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    return handle


async def given_back(system: System, sample: SampleOrder) -> Money:
    """All that the gateway has given the customer, whoever made it."""
    payments = system.shop.payments[sample.order_id]
    return Money.total([(await system.gateway.read_payment(payment)).refunded for payment in payments], "USD")


async def test_of_two_refunds_on_the_other_card_both_count(system: System) -> None:
    """E30, I1, I11: a refund in two parts is named one by one."""
    sample = two_cards()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    second = system.shop.payments[sample.order_id][1]
    one = await system.shop.gateway.refund_elsewhere(second, FIFTEEN)
    other = await system.shop.gateway.refund_elsewhere(second, TWENTY_FIVE)
    await system.approve(handle)
    wait = await wait_for_question(system, handle, one, "15.00 USD")
    assert other in wait.reason
    await system.resolve(handle, settled(wait, "done_by_hand", one))
    asked = await system.wait_for_collection(handle, after=wait)
    assert asked
    assert (one in asked.reason, other in asked.reason) == (False, True)
    await system.resolve(handle, settled(asked, "done_by_hand", other))
    await end(system, handle, sample, FIFTEEN, TWENTY_FIVE)


async def test_what_others_refund_on_the_other_card_while_the_question_waits_is_asked_about(system: System) -> None:
    """E30, I1, I11: the answer is about the first refund alone."""
    sample = two_cards()
    handle, one = await refunded_by_others(system, sample, "15.00 USD")
    wait = await wait_for_question(system, handle, one, "15.00 USD")
    second = system.shop.payments[sample.order_id][1]
    other = await system.shop.gateway.refund_elsewhere(second, TWENTY_FIVE)
    await system.resolve(handle, settled(wait, "done_by_hand", one))
    asked = await system.wait_for_collection(handle, after=wait)
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", other))
    await end(system, handle, sample, FIFTEEN, TWENTY_FIVE)


async def transfer_chosen(system: System, sample: SampleOrder) -> tuple[Handle, str]:
    """The gateway has refused the refund, an agent refunds 40.00 on the other card, and the customer wants a transfer."""
    await system.shop.place_order(sample)
    first, second = system.shop.payments[sample.order_id]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=first)
    handle = await approved(system, sample)
    refused = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    assert refused
    theirs = await system.shop.gateway.refund_elsewhere(second, FORTY)
    await system.choose(handle, customer_of(sample), RefundMethod.BANK_TRANSFER)
    asked = await system.wait_for_collection(handle, after=refused)
    assert asked
    assert theirs in asked.reason
    return handle, theirs


async def test_whoever_is_asked_for_a_transfer_hears_of_a_refund_on_the_other_card(system: System) -> None:
    """E30, I1, I11: they would pay once more what the customer has."""
    sample = two_cards()
    handle, theirs = await transfer_chosen(system, sample)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await end(system, handle, sample, FORTY)


async def test_a_transfer_is_asked_for_once_it_is_known_that_the_other_refund_was_for_something_else(
    system: System,
) -> None:
    """E30, I1: what the customer has chosen still holds."""
    sample = two_cards()
    handle, theirs = await transfer_chosen(system, sample)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    assert wait
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    asked = await system.wait_for_collection(handle, after=wait)
    assert asked
    assert asked.reason.startswith("The customer chose a bank transfer: transfer 40.00 USD")
    await system.resolve(handle, settled(asked, "done_by_hand", "BANK-1"))
    await end(system, handle, sample, FORTY)
    assert await system.paid_by_hand("BANK-1") == FORTY
    assert await system.paid_by_hand(theirs) == money("0.00 USD")


async def test_what_others_refund_while_the_gateway_does_not_answer_is_asked_about_before_the_next_try(
    system: System,
) -> None:
    """E30, I1, I11: our refund's answer is lost, and it was never made."""
    sample = two_cards()
    await system.shop.place_order(sample)
    first, second = system.shop.payments[sample.order_id]
    await system.shop.gateway.add_fault("refund.create", FaultKind.DROP_BEFORE_COMMIT, payment=first, times=3)
    handle = await approved(system, sample)

    async def is_lost() -> bool:
        return await system.shop.gateway.faults_left(first) < 3

    await eventually(is_lost, "the refund's answer is lost")
    theirs = await system.shop.gateway.refund_elsewhere(second, FORTY)
    wait = await wait_for_question(system, handle, theirs, "40.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    await end(system, handle, sample, FORTY)


async def test_what_others_refund_on_a_card_of_which_a_part_is_not_to_be_captured_is_asked_about(
    system: System,
) -> None:
    """E30, I1, I11: 50.00 go back on the first card, and 5.00 are not captured on the second one."""
    lines = (line("L1", 1, "55.00 USD"), line("L2", 1, "45.00 USD"))
    tenders = (card("50.00 USD"), card("50.00 USD", "30.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=tenders, age=timedelta(days=60))
    handle, theirs = await refunded_by_others(system, sample, "30.00 USD")
    wait = await wait_for_question(system, handle, theirs, "30.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    result = await system.finish(handle)
    assert (result.refunded, result.released) == (money("50.00 USD"), money("5.00 USD"))
    assert await given_back(system, sample) == money("50.00 USD")
    await system.assert_books_balance()


def of_both_cards() -> SampleOrder:
    """60.00 and 40.00, paid by two cards with 50.00 each. For the first line, the plan refunds 50.00 and 10.00."""
    lines = (line("L1", 1, "60.00 USD"), line("L2", 1, "40.00 USD"))
    tenders = (card("50.00 USD"), card("50.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=tenders, age=timedelta(days=60))


async def test_more_than_is_due_on_the_other_card_is_asked_about(system: System) -> None:
    """E30, I1, I11: something goes back on both cards, and others refund more on the second one than that."""
    sample = of_both_cards()
    handle, theirs = await refunded_by_others(system, sample, "50.00 USD")
    wait = await wait_for_question(system, handle, theirs, "50.00 USD")
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    result = await system.finish(handle)
    assert result.refunded == money("60.00 USD")
    assert await given_back(system, sample) == money("60.00 USD")
    await system.assert_books_balance()


async def test_what_is_due_on_the_other_card_is_taken_over_there(system: System) -> None:
    """E30, decision 0040: nobody has to be asked about it."""
    sample = of_both_cards()
    handle, _ = await refunded_by_others(system, sample, "10.00 USD")
    assert (await system.finish(handle)).refunded == money("60.00 USD")
    assert await given_back(system, sample) == money("60.00 USD")
    await system.assert_books_balance()
