"""What others do to a payment while it is cancelled, or before it is cancelled again: captures, refunds and disputes."""

from datetime import timedelta

import pytest

from domain.messages import ChooseRefundMethod
from domain.money import money
from domain.order import OrderFlag
from domain.outcome import MoneyStatus, Outcome, State
from domain.request import LineScope
from domain.step import Owner, StepName
from domain.terms import RefundMethod
from sandbox import books, built_in
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import SUPERVISOR, System, resolve
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id, captured
from workflows.cancellation import CancellationWorkflow


async def test_a_payment_that_is_captured_while_the_cancellation_waits_is_refunded_and_not_voided(
    system: System,
) -> None:
    """B1, B2: the plan was to release it; the gateway refuses the void and is read again."""
    sample = captured(total="600.00 USD", parcels=()).model_copy(update={"tenders": (card("600.00 USD", "0.00 USD"),)})
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert submission.plan is not None
    assert submission.plan.release == money("600.00 USD")
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.capture(payment, money("600.00 USD"), final=True)
    await system.approve(handle)
    result = await system.end(handle)
    assert (result.outcome, result.refunded, result.released) == (
        Outcome.CANCELLED,
        money("600.00 USD"),
        money("0.00 USD"),
    )
    assert await system.refunds(sample.order_id) == [money("600.00 USD")]
    assert await system.voids(sample.order_id) == 0


async def test_several_captures_of_one_authorisation_are_refunded_and_the_rest_is_released(system: System) -> None:
    """B3: 20.00 and 30.00 of 106.00, a capture for each parcel."""
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "106.00 USD"),), tenders=(card("106.00 USD", "20.00 USD"),)
    )
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.capture(payment, money("30.00 USD"), final=False)
    result = await system.cancel(request(sample))
    assert (result.outcome, result.refunded, result.released) == (
        Outcome.CANCELLED,
        money("50.00 USD"),
        money("56.00 USD"),
    )
    assert await system.refunds(sample.order_id) == [money("50.00 USD")]
    assert await system.voids(sample.order_id) == 1
    await system.assert_books_balance()


async def test_a_dispute_that_is_opened_while_the_refund_settles_needs_attention(system: System) -> None:
    """B27: at any moment; the refund department answers the dispute with the refund."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0])
    await system.wake(handle)
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert progress.waits[0].owner is Owner.REFUND_DEPARTMENT
    assert "answer the dispute" in progress.waits[0].reason
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    assert (await system.end(handle)).money is MoneyStatus.REFUNDED


async def test_what_others_refund_in_the_middle_of_a_run_is_credited_and_not_given_again(system: System) -> None:
    """B9, B18: 20.00 of 64.00 by an agent in the gateway's dashboard, while the approval was waited for."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("20.00 USD"))
    await system.approve(handle)
    result = await system.end(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert await system.refunds(sample.order_id) == [money("20.00 USD"), money("44.00 USD")]
    assert [document.total for document in await books.documents(system.engine)] == [money("64.00 USD")]
    assert theirs in {transfer.reference for transfer in await books.ledger(system.engine)}
    await system.assert_books_balance()


async def test_a_refund_of_everything_by_others_is_reconciled_by_amount_and_reference(system: System) -> None:
    """B9: nothing is left at the gateway; the credit note names their refund."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("64.00 USD"))
    await system.approve(handle)
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert {t.reference for t in await books.ledger(system.engine)} == {theirs, result.credit_note}


async def test_a_capture_under_way_is_waited_for_and_then_refunded(system: System) -> None:
    """B2: neither void nor refund before the gateway has taken it; the run shows that it waits."""
    sample = captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", "0.00 USD"),)})
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.capture_begins(payment)
    submission, handle = await system.submit(request(sample))
    assert submission.plan is not None
    assert submission.plan.refund == money("64.00 USD")
    await system.skip(timedelta(minutes=4))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert "still taking 64.00 USD" in progress.waits[0].reason
    await system.shop.gateway.capture_ends(payment)
    result = await system.end(handle)
    assert (result.outcome, result.refunded, result.released) == (
        Outcome.CANCELLED,
        money("64.00 USD"),
        money("0.00 USD"),
    )
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_what_a_first_cancellation_released_is_not_released_again_by_the_next(system: System) -> None:
    """B1: 20.00 of 50.00 reserved, and later the rest; the gateway releases once, the books say 20.00 and 30.00."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "20.00 USD"), line("L2", 1, "30.00 USD")),
        tenders=(card("50.00 USD", "0.00 USD"),),
    )
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample, LineScope(line_id="L1", quantity=1)))
    second = await system.cancel(request(sample, request_id="the-rest"))
    assert (first.released, second.released) == (money("20.00 USD"), money("30.00 USD"))
    assert await system.voids(sample.order_id) == 1


async def test_what_an_earlier_cancellation_gave_up_of_a_reservation_does_not_pass_for_released_again(
    system: System,
) -> None:
    """B3: all that is left to capture was captured while the approval was waited for; the part of it is refunded."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "20.00 USD"), line("L2", 1, "700.00 USD"), line("L3", 1, "20.00 USD")),
        tenders=(card("740.00 USD", "5.00 USD"),),
    )
    await system.shop.place_order(sample)
    await system.cancel(request(sample, LineScope(line_id="L3", quantity=1)))
    _, handle = await system.submit(request(sample, LineScope(line_id="L2", quantity=1), request_id="second"))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.capture(system.shop.payments[sample.order_id][0], money("715.00 USD"), final=False)
    await system.approve(handle)
    result = await system.end(handle)
    assert (result.refunded, result.released) == (money("700.00 USD"), money("0.00 USD"))


@pytest.mark.parametrize("way", ["store_credit", "by_hand"])
async def test_what_went_back_another_way_is_not_refunded_again_with_the_rest_of_the_order(
    system: System, way: str
) -> None:
    """B17, B29: the gateway does not know of it, and still counts all of the payment as refundable."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "20.00 USD"), line("L2", 1, "44.00 USD")),
        tenders=(card("64.00 USD", fault="refund.create:refuse"),),
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    if way == "by_hand":
        await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-1"))
    else:
        choice = ChooseRefundMethod(actor=SUPERVISOR, target="T1", method=RefundMethod.STORE_CREDIT)
        await system.send(handle, CancellationWorkflow.choose_refund_method, choice)
    assert (await system.end(handle)).refunded == money("20.00 USD")
    rest = await system.cancel(request(sample, request_id="the-rest"))
    assert rest.refunded == money("44.00 USD")
    assert await system.refunds(sample.order_id) == [money("44.00 USD")]
    await system.assert_books_balance()


async def test_what_others_refunded_is_not_owed_when_our_refund_is_refused(system: System) -> None:
    """B9, B29: the other 400.00 of 600.00 go to store credit."""
    sample = captured(total="600.00 USD", parcels=())
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.refund_elsewhere(payment, money("200.00 USD"))
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    await system.approve(handle)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    choice = ChooseRefundMethod(actor=SUPERVISOR, target="T1", method=RefundMethod.STORE_CREDIT)
    await system.send(handle, CancellationWorkflow.choose_refund_method, choice)
    assert (await system.end(handle)).refunded == money("600.00 USD")
    assert await built_in.balance(system.engine, f"store-credit-{sample.customer_id}-USD") == money("400.00 USD")
    await system.assert_books_balance()


@pytest.mark.parametrize("ends", ["refused", "failed"])
async def test_what_was_captured_meanwhile_is_owed_when_it_cannot_be_refunded(system: System, ends: str) -> None:
    """B1, B23, B29: the plan was to release it, and by the plan nothing would be owed."""
    paid = card("600.00 USD", "0.00 USD", fault="refund.create:refuse" if ends == "refused" else "", card=PENDING)
    sample = captured(total="600.00 USD", parcels=()).model_copy(update={"tenders": (paid,)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.capture(payment, money("600.00 USD"), final=True)
    await system.approve(handle)
    if ends == "failed":
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        await system.shop.gateway.fail(await refund_of(system, sample))
        await system.wake(handle)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-1"))
    result = await system.end(handle)
    assert (result.refunded, result.released) == (money("600.00 USD"), money("0.00 USD"))
    assert [document.total for document in await books.documents(system.engine)] == [money("600.00 USD")]
    await system.assert_books_balance()
