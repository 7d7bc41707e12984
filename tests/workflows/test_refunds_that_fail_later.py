"""What was achieved no longer holds: refunds that fail after they had succeeded, while the run goes on and after its end."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker

from domain.messages import ChooseRefundMethod, RetryStep
from domain.money import Money, money
from domain.order import OrderFlag
from domain.outcome import MoneyStatus, Outcome, PaperStatus, State
from domain.request import Actor, ActorKind, LineScope
from domain.step import Owner, StepName
from domain.terms import RefundMethod
from providers.orders.built_in.tables import GivenBackRow
from sandbox import books, built_in
from sandbox.gateway.messages import EffectKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import SUPERVISOR, System, customer_of, resolve, settled
from tests.workflows.refunds import PENDING, refund_of, refunded_in_part_by_others
from tests.workflows.samples import an_id, captured
from workflows.cancellation import CancellationWorkflow


def two_cards() -> SampleOrder:
    """The first settles at once, the second takes days."""
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "50.00 USD"),),
        tenders=(card("10.00 USD"), card("40.00 USD", card=PENDING)),
    )


async def test_a_refund_that_fails_after_it_had_succeeded_is_noticed_before_the_end(system: System) -> None:
    """B23: while the other tender was waited for. Made again under the next key; the ledger has the contra transfer."""
    sample = two_cards()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    first, second = await refund_of(system, sample), await refund_of(system, sample, 1)
    await system.shop.gateway.fail(first)
    await system.shop.gateway.settle(second)
    await system.wake(handle)
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert f"Refund {first} of 10.00 USD to tender T1" in progress.waits[0].reason
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await system.send(handle, CancellationWorkflow.retry_step, retry)
    result = await system.end(handle)
    assert (result.outcome, result.money, result.refunded) == (
        Outcome.CANCELLED,
        MoneyStatus.REFUNDED,
        money("50.00 USD"),
    )
    about_first = [t for t in await books.ledger(system.engine) if t.reference == first]
    assert [(t.debit, t.credit) for t in about_first] == [
        ("refunds_payable", "gateway_clearing"),
        ("gateway_clearing", "refunds_payable"),
    ]
    await system.assert_books_balance()


async def test_a_refund_that_fails_after_the_end_opens_the_cancellation_again(system: System) -> None:
    """B23: succeeded can become failed days later. The customer chooses store credit; the books balance, and the customer
    is notified each time."""
    sample = captured()
    await system.shop.place_order(sample)
    ended = await system.cancel(request(sample))
    failed = await refund_of(system, sample)
    await system.shop.gateway.fail(failed)
    handle = await system.notify_of_refund(sample.order_id)
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert (progress.cancellation_id, progress.waits[0].owner) == (ended.cancellation_id, Owner.REFUND_DEPARTMENT)
    assert (progress.goods, progress.paper, progress.credit_note) == (
        ended.goods,
        PaperStatus.CREDITED,
        ended.credit_note,
    )
    assert [entry.action for entry in progress.actions] == ["reopened: A refund has failed."]
    assert progress.waits[0].choices == (RefundMethod.STORE_CREDIT, RefundMethod.BANK_TRANSFER)
    owed = [t for t in await books.ledger(system.engine) if t.credit == "refunds_payable" and t.reference == failed]
    assert [t.amount for t in owed] == [money("64.00 USD")]
    choice = ChooseRefundMethod(
        actor=Actor(kind=ActorKind.CUSTOMER, id=sample.customer_id), target="T1", method=RefundMethod.STORE_CREDIT
    )
    await system.send(handle, CancellationWorkflow.choose_refund_method, choice)
    result = await system.end(handle)
    assert (result.outcome, result.refunded, result.credit_note) == (
        Outcome.CANCELLED,
        money("64.00 USD"),
        ended.credit_note,
    )
    assert await built_in.balance(system.engine, f"store-credit-{sample.customer_id}-USD") == money("64.00 USD")
    [given] = await books.given_back(system.engine, sample.order_id)
    assert given.refunded == money("64.00 USD")
    kinds = [notice.kind.value for notice in await books.notices(system.engine)]
    assert (kinds.count("refunded"), kinds.count("refund_failed"), kinds.count("cancelled")) == (2, 1, 1)
    await system.assert_books_balance()


async def test_a_refund_made_again_after_the_end_has_the_next_key(system: System) -> None:
    """B23, rule 5; and once more after that."""
    sample = captured()
    await system.shop.place_order(sample)
    ended = await system.cancel(request(sample))
    for _ in range(2):
        await system.shop.gateway.fail(await refund_of(system, sample))
        handle = await system.notify_of_refund(sample.order_id)
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
        await system.send(handle, CancellationWorkflow.retry_step, retry)
        assert (await system.end(handle)).outcome is Outcome.CANCELLED
    payment = system.shop.payments[sample.order_id][0]
    keys = [
        e.metadata["cancellation_key"] for e in await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    ]
    assert keys == [f"{ended.cancellation_id}/reverse_payment/T1/{n}" for n in (1, 2, 3)]
    await system.assert_books_balance()


async def test_an_order_that_was_closed_at_the_second_try_is_not_taken_out_twice_when_it_is_opened_again(
    system: System,
) -> None:
    """B23, D6: the first try to close it was refused, so the second one had another key."""
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "64.00 USD"),), tenders=(card("64.00 USD"),))
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the accounting period is closed")
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await built_in.lock_order(system.engine, sample.order_id, None)
    again = RetryStep(actor=SUPERVISOR, step=StepName.CLOSE_ORDER, target=sample.order_id)
    await system.send(handle, CancellationWorkflow.retry_step, again)
    await system.end(handle)
    await system.shop.gateway.fail(await refund_of(system, sample))
    handle = await system.notify_of_refund(sample.order_id)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await system.send(handle, CancellationWorkflow.retry_step, retry)
    assert (await system.end(handle)).outcome is Outcome.CANCELLED
    assert (await system.read_order(sample.order_id)).lines[0].cancelled == 1
    await system.assert_books_balance()


async def test_a_refund_by_others_that_fails_is_made_up_for_although_ours_has_settled(system: System) -> None:
    """B9, B23: only their 20.00 of 64.00 is owed again."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    handle, theirs = await refunded_in_part_by_others(system, sample)
    await system.approve(handle)
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.shop.gateway.fail(theirs)
    await system.wake(handle)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await system.send(handle, CancellationWorkflow.retry_step, retry)
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    result = await system.end(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert await system.refunds(sample.order_id) == [money("20.00 USD"), money("44.00 USD"), money("20.00 USD")]
    await system.assert_books_balance()


@pytest.mark.parametrize("way", ["store_credit", "by_hand"])
async def test_of_a_tender_refunded_in_parts_each_part_that_fails_is_given_again_and_once(
    system: System, way: str
) -> None:
    """B9, B23: ours fails after the end and goes another way; then theirs fails too."""
    sample = captured()
    handle, theirs = await refunded_in_part_by_others(system, sample)
    await system.approve(handle)
    await system.end(handle)
    for failed, reference in ((await refund_of(system, sample), "BANK-1"), (theirs, "BANK-2")):
        await system.shop.gateway.fail(failed)
        handle = await system.notify_of_refund(sample.order_id)
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        if way == "by_hand":
            await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", reference))
        elif failed == theirs:
            retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
            await system.send(handle, CancellationWorkflow.retry_step, retry)
        else:
            choice = ChooseRefundMethod(actor=SUPERVISOR, target="T1", method=RefundMethod.STORE_CREDIT)
            await system.send(handle, CancellationWorkflow.choose_refund_method, choice)
        assert (await system.end(handle)).refunded == money("64.00 USD")
        await system.assert_books_balance()
    again = [money("20.00 USD")] if way == "store_credit" else []
    assert await system.refunds(sample.order_id) == [money("20.00 USD"), money("44.00 USD"), *again]


async def test_what_others_refund_after_the_end_does_not_make_up_for_what_failed(system: System) -> None:
    """B9, B23: 20.00 by others in the middle of the run count, 5.00 of goodwill after its end do not."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"), line("L2", 1, "136.00 USD")),
        tenders=(card("200.00 USD"),),
        flags=frozenset({OrderFlag.FRAUD_REVIEW}),
    )
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    _, first = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.refund_elsewhere(payment, money("20.00 USD"))
    await system.approve(first)
    assert (await system.end(first)).refunded == money("64.00 USD")
    failed = await refund_of(system, sample)
    await system.shop.gateway.refund_elsewhere(payment, money("5.00 USD"))
    await system.shop.gateway.fail(failed)
    handle = await system.notify_of_refund(sample.order_id)
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert "of 44.00 USD to tender T1" in progress.waits[0].reason
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await system.send(handle, CancellationWorkflow.retry_step, retry)
    result = await system.end(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert [refund.amount for refund in await system.refunds(sample.order_id)] == [2000, 4400, 500, 4400]
    await system.assert_books_balance()


async def test_store_credit_is_given_once_for_each_part_that_failed(system: System) -> None:
    """B23, rule 5: half by us and half by others, both failed after the end; the second is not taken for the first."""
    sample = captured(total="600.00 USD", parcels=())
    await system.shop.place_order(sample)
    _, first = await system.submit(request(sample))
    await system.wait_for_state(first, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("300.00 USD"))
    await system.approve(first)
    await system.end(first)
    for failed in (await refund_of(system, sample), theirs):
        await system.shop.gateway.fail(failed)
        handle = await system.notify_of_refund(sample.order_id)
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        choice = ChooseRefundMethod(actor=SUPERVISOR, target="T1", method=RefundMethod.STORE_CREDIT)
        await system.send(handle, CancellationWorkflow.choose_refund_method, choice)
        assert (await system.end(handle)).refunded == money("600.00 USD")
    assert await built_in.balance(system.engine, f"store-credit-{sample.customer_id}-USD") == money("600.00 USD")
    await system.assert_books_balance()


async def test_a_refund_that_fails_again_after_the_customer_read_refunded_is_written_of(system: System) -> None:
    """B23, rule 8: it fails while it is pending, staff has it made again, it settles and the customer reads "refunded"; then
    it fails after the end, and the customer is to choose another way. They are written to once for each."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.fail(await refund_of(system, sample))
    await system.wake(handle)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    await system.shop.gateway.fail(await refund_of(system, sample))
    handle = await system.notify_of_refund(sample.order_id)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert wait.choices
    kinds = [notice.kind.value for notice in await system.notices(sample.order_id)]
    assert kinds.count("refund_failed") == 2, f"the customer's last word is: {kinds[-1]}"
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.fail(await refund_of(system, sample))
    await system.wake(handle)
    assert await system.wait_for_wait(
        handle, lambda again: again.reason != wait.reason and bool(again.choices), "it has failed again"
    )
    kinds = [notice.kind.value for notice in await system.notices(sample.order_id)]
    assert kinds.count("refund_failed") == 2


async def shown_in_shop(system: System, sample: SampleOrder) -> Money:
    """What the shop's own record says has gone back to the customer."""
    async with async_sessionmaker(system.engine)() as session:
        rows = await session.scalars(select(GivenBackRow).where(GivenBackRow.order_id == sample.order_id))
        return Money(amount=sum(row.amount for row in rows), currency="USD")


async def test_the_order_does_not_show_a_refund_that_has_failed_besides_the_store_credit_for_it(system: System) -> None:
    """I3, B23: the shop's own record of what went back is what the customer has."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    await system.shop.gateway.fail(await refund_of(system, sample))
    handle = await system.notify_of_refund(sample.order_id)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert (await system.finish(handle)).refunded == money("64.00 USD")
    assert await shown_in_shop(system, sample) == money("64.00 USD")


async def test_the_order_shows_all_of_what_was_paid_by_hand_with_one_proof(system: System) -> None:
    """I3, B23: the refund was made in two parts, each has failed, and a person has paid both by one transfer."""
    sample = captured()
    handle, theirs = await refunded_in_part_by_others(system, sample)
    await system.approve(handle)
    await system.end(handle)
    for failed in (await refund_of(system, sample), theirs):
        await system.shop.gateway.fail(failed)
        handle = await system.notify_of_refund(sample.order_id)
        wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
        assert wait
        await system.resolve(handle, settled(wait, "done_by_hand", "BANK-1"))
        assert (await system.end(handle)).refunded == money("64.00 USD")
    assert await shown_in_shop(system, sample) == money("64.00 USD")
