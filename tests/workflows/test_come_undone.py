"""What was achieved no longer holds: voided labels that travel, refunds that fail after they had succeeded, disputes; while
the run goes on, and after it has ended."""

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from domain.messages import ChooseRefundMethod, RetryStep, ShipmentEvent
from domain.money import money
from domain.order import OrderFlag
from domain.outcome import GoodsStatus, MoneyStatus, Outcome, PaperStatus, State
from domain.plan import LeftOutReason
from domain.request import Actor, ActorKind, LineScope
from domain.step import Owner, StepName
from domain.terms import RefundIntercepted, RefundMethod, Terms
from sandbox import books, built_in
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import POLICY, SUPERVISOR, Handle, System, resolve
from tests.workflows.samples import an_id, captured
from workflows.cancellation import CancellationWorkflow

PENDING = "pm_card_pendingRefund"


def two_cards() -> SampleOrder:
    """The first settles at once, the second takes days."""
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "50.00 USD"),),
        tenders=(card("10.00 USD"), card("40.00 USD", card=PENDING)),
    )


def label(system: System, sample: SampleOrder) -> str:
    return system.shop.labels[sample.order_id][0]


async def refund_of(system: System, sample: SampleOrder, tender: int = 0) -> str:
    payment = system.shop.payments[sample.order_id][tender]
    return (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[-1].object_id


# Goods


async def test_a_parcel_that_travels_after_an_accepted_void_is_intercepted_before_the_money_goes_back(
    system: System,
) -> None:
    """C4: it was scanned while the approval was waited for."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.IN_TRANSIT)
    await handle.signal(CancellationWorkflow.shipment_event, ShipmentEvent(event_id="evt_p"))
    await system.approve(handle)
    await system.waits_for(handle, State.WAITING_FOR_CARRIER)
    assert await system.refunds(sample.order_id) == []
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.RETURN_TO_SENDER)
    result = await system.end(handle)
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.COMING_BACK)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_parcel_that_is_delivered_after_an_accepted_void_is_not_refunded(system: System) -> None:
    """C7: no event came; the look after the wait finds it."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.DELIVERED)
    await system.skip(timedelta(hours=3))
    await system.approve(handle)
    result = await system.end(handle)
    assert result.outcome is Outcome.REJECTED
    assert [out.reason for out in result.left_out] == [LeftOutReason.STOP_DECLINED]
    assert await system.refunds(sample.order_id) == []


async def test_a_parcel_that_reaches_a_refunded_customer_is_a_persons_to_fetch(system: System) -> None:
    """C7: scanned while the refund was settling; too late to leave the cancellation."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    order = await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.DELIVERED)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await handle.signal(CancellationWorkflow.shipment_event, ShipmentEvent(event_id="evt_p"))
    progress = await system.waits_for(handle, State.NEEDS_ATTENTION)
    assert progress.waits[0].owner is Owner.OPERATIONS
    assert "fetch the goods" in progress.waits[0].reason
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "done_by_hand", "RETURN-7"))
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    assert (await built_in.stock(system.engine, order.lines[0].sku)).expected_back == 1
    await system.assert_books_balance()


async def test_a_parcel_that_travels_after_the_end_opens_the_cancellation_again_and_is_turned_round(
    system: System,
) -> None:
    """C4: the carrier reports it days later. Nothing is refunded twice, and the stock is right."""
    sample = captured()
    order = await system.shop.place(sample)
    first = await system.cancel(request(sample))
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.IN_TRANSIT)
    handle = await system.notified_of_parcel(sample.order_id)
    await system.waits_for(handle, State.WAITING_FOR_CARRIER)
    assert [(c.cancellation_id, c.outcome) for c in await books.cancellations(system.engine)] == [
        (first.cancellation_id, None)
    ]
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.RETURN_TO_SENDER)
    result = await system.end(handle)
    assert (result.cancellation_id, result.outcome) == (first.cancellation_id, Outcome.CANCELLED)
    assert result.goods is GoodsStatus.COMING_BACK
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    stock = await built_in.stock(system.engine, order.lines[0].sku)
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (0, 0, 1)
    await system.assert_books_balance()


async def test_goods_that_are_done_without_after_the_end_are_not_in_stock(system: System) -> None:
    """C7: the warehouse never booked that they left; the customer has them."""
    sample = captured()
    order = await system.shop.place(sample)
    await system.cancel(request(sample))
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.DELIVERED)
    handle = await system.notified_of_parcel(sample.order_id)
    await system.waits_for(handle, State.NEEDS_ATTENTION)
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "nothing_due", "WRITTEN-OFF-1"))
    await system.end(handle)
    stock = await built_in.stock(system.engine, order.lines[0].sku)
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (0, 0, 0)


async def test_an_event_about_an_ended_cancellation_that_still_holds_changes_nothing(system: System) -> None:
    sample = captured()
    await system.shop.place(sample)
    first = await system.cancel(request(sample))
    handle = await system.notified_of_parcel(sample.order_id)
    result = await system.end(handle)
    assert result.existing
    assert result.cancellation_id == first.cancellation_id
    assert (await system.read_order(sample.order_id)).held_by is None


async def test_an_intercept_that_was_refunded_on_acceptance_and_delivered_goes_to_a_person(bare_system: System) -> None:
    """C6, C7: the policy refunds on acceptance and bears the risk; the cancellation is opened again."""
    system = bare_system
    terms = Terms(refund_intercepted=RefundIntercepted.ON_ACCEPTANCE)
    async with system.worker(policy=POLICY.model_copy(update={"terms": terms})):
        sample = captured(parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
        await system.shop.place(sample)
        first = await system.cancel(request(sample))
        assert first.outcome is Outcome.CANCELLED
        await system.shop.carrier.scan(label(system, sample), TrackerStatus.DELIVERED)
        handle = await system.notified_of_parcel(sample.order_id)
        await system.waits_for(handle, State.NEEDS_ATTENTION)
        with pytest.raises(WorkflowUpdateFailedError):  # it was closed: not rolled back any more
            await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "roll_back"))
        await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "nothing_due", "WRITTEN-OFF-1"))
        result = await system.end(handle)
        assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
        assert (
            await system.end(await system.notified_of_parcel(sample.order_id))
        ).existing  # and is not opened once more


async def test_a_carrier_that_is_silent_about_an_intercept_needs_attention_and_a_person_decides(system: System) -> None:
    """C7, C14: ten days of silence; nothing is refunded meanwhile, and the customer is notified that it was not stopped."""
    sample = captured(parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    assert (await system.waits_for(handle, State.WAITING_FOR_CARRIER)).waits[0].owner is Owner.CARRIER
    await system.skip(timedelta(days=11))
    progress = await system.waits_for(handle, State.NEEDS_ATTENTION)
    assert progress.waits[0].step is StepName.STOP_SHIPMENT
    assert await system.refunds(sample.order_id) == []
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "nothing_due", "UPS-CLAIM-1"))
    result = await system.end(handle)
    assert result.outcome is Outcome.REJECTED
    assert [out.reason for out in result.left_out] == [LeftOutReason.STOP_DECLINED]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script.INTERCEPT_ACCEPTED_THEN_RETURNS, "parcel_stopped"),
        (Script.INTERCEPT_ACCEPTED_THEN_DELIVERED, "parcel_not_stopped"),
        (Script.INTERCEPT_DECLINED, "parcel_not_stopped"),
    ],
)
async def test_the_customer_is_notified_what_became_of_a_parcel_on_its_way(
    system: System, script: Script, kind: str
) -> None:
    """C6, C7: stopped or declined, once, with what is in it."""
    sample = captured(parcels=(parcel(script, L1=1),))
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    if script is not Script.INTERCEPT_DECLINED:
        await system.waits_for(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.advance(3600)
    await system.end(handle)
    sent = [notice for notice in await books.notices(system.engine) if notice.kind.value.startswith("parcel_")]
    assert [(notice.kind.value, notice.notice_id.rpartition("/")[2]) for notice in sent] == [(kind, "S1")]


# Money


async def test_a_payment_that_is_captured_while_the_cancellation_waits_is_refunded_and_not_voided(
    system: System,
) -> None:
    """B1, B2: the plan was to release it; the gateway refuses the void and is read again."""
    sample = captured(total="600.00 USD", parcels=()).model_copy(update={"tenders": (card("600.00 USD", "0.00 USD"),)})
    await system.shop.place(sample)
    submission, handle = await system.submit(request(sample))
    assert submission.plan is not None
    assert submission.plan.release == money("600.00 USD")
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
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
    await system.shop.place(sample)
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


async def test_a_refund_that_fails_after_it_had_succeeded_is_noticed_before_the_end(system: System) -> None:
    """B23: while the other tender was waited for. Made again under the next key; the ledger has the contra transfer."""
    sample = two_cards()
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
    first, second = await refund_of(system, sample), await refund_of(system, sample, 1)
    await system.shop.gateway.fail(first)
    await system.shop.gateway.settle(second)
    await system.wake(handle)
    progress = await system.waits_for(handle, State.NEEDS_ATTENTION)
    assert f"Refund {first} of 10.00 USD to tender T1" in progress.waits[0].reason
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await handle.execute_update(CancellationWorkflow.retry_step, retry)
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
    await system.shop.place(sample)
    ended = await system.cancel(request(sample))
    failed = await refund_of(system, sample)
    await system.shop.gateway.fail(failed)
    handle = await system.notified_of_refund(sample.order_id)
    progress = await system.waits_for(handle, State.NEEDS_ATTENTION)
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
    await handle.execute_update(CancellationWorkflow.choose_refund_method, choice)
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
    await system.shop.place(sample)
    ended = await system.cancel(request(sample))
    for _ in range(2):
        await system.shop.gateway.fail(await refund_of(system, sample))
        handle = await system.notified_of_refund(sample.order_id)
        await system.waits_for(handle, State.NEEDS_ATTENTION)
        retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
        await handle.execute_update(CancellationWorkflow.retry_step, retry)
        assert (await system.end(handle)).outcome is Outcome.CANCELLED
    payment = system.shop.payments[sample.order_id][0]
    keys = [
        e.metadata["cancellation_key"] for e in await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    ]
    assert keys == [f"{ended.cancellation_id}/reverse_payment/T1/{n}" for n in (1, 2, 3)]
    await system.assert_books_balance()


async def test_a_dispute_that_is_opened_while_the_refund_settles_needs_attention(system: System) -> None:
    """B27: at any moment; the refund department answers the dispute with the refund."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0])
    await system.wake(handle)
    progress = await system.waits_for(handle, State.NEEDS_ATTENTION)
    assert progress.waits[0].owner is Owner.REFUND_DEPARTMENT
    assert "answer the dispute" in progress.waits[0].reason
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    assert (await system.end(handle)).money is MoneyStatus.REFUNDED


async def test_what_others_refund_in_the_middle_of_a_run_is_credited_and_not_given_again(system: System) -> None:
    """B9, B18: 20.00 of 64.00 by an agent in the gateway's dashboard, while the approval was waited for."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
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
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("64.00 USD"))
    await system.approve(handle)
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert {t.reference for t in await books.ledger(system.engine)} == {theirs, result.credit_note}


async def test_a_capture_under_way_is_waited_for_and_then_refunded(system: System) -> None:
    """B2: neither void nor refund before the gateway has taken it; the run shows that it waits."""
    sample = captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", "0.00 USD"),)})
    await system.shop.place(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.capture_begins(payment)
    submission, handle = await system.submit(request(sample))
    assert submission.plan is not None
    assert submission.plan.refund == money("64.00 USD")
    await system.skip(timedelta(minutes=4))
    progress = await system.waits_for(handle, State.NEEDS_ATTENTION)
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
    await system.shop.place(sample)
    first = await system.cancel(request(sample, LineScope(line_id="L1", quantity=1)))
    second = await system.cancel(request(sample, request_id="the-rest"))
    assert (first.released, second.released) == (money("20.00 USD"), money("30.00 USD"))
    assert await system.voids(sample.order_id) == 1


async def test_an_order_that_was_closed_at_the_second_try_is_not_taken_out_twice_when_it_is_opened_again(
    system: System,
) -> None:
    """B23, D6: the first try to close it was refused, so the second one had another key."""
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "64.00 USD"),), tenders=(card("64.00 USD"),))
    await system.shop.place(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the accounting period is closed")
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.waits_for(handle, State.NEEDS_ATTENTION)
    await built_in.lock_order(system.engine, sample.order_id, None)
    again = RetryStep(actor=SUPERVISOR, step=StepName.CLOSE_ORDER, target=sample.order_id)
    await handle.execute_update(CancellationWorkflow.retry_step, again)
    await system.end(handle)
    await system.shop.gateway.fail(await refund_of(system, sample))
    handle = await system.notified_of_refund(sample.order_id)
    await system.waits_for(handle, State.NEEDS_ATTENTION)
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await handle.execute_update(CancellationWorkflow.retry_step, retry)
    assert (await system.end(handle)).outcome is Outcome.CANCELLED
    assert (await system.read_order(sample.order_id)).lines[0].cancelled == 1
    await system.assert_books_balance()


async def test_what_an_earlier_cancellation_gave_up_of_a_reservation_does_not_pass_for_released_again(
    system: System,
) -> None:
    """B3: all that is left to capture was captured while the approval was waited for; the part of it is refunded."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "20.00 USD"), line("L2", 1, "700.00 USD"), line("L3", 1, "20.00 USD")),
        tenders=(card("740.00 USD", "5.00 USD"),),
    )
    await system.shop.place(sample)
    await system.cancel(request(sample, LineScope(line_id="L3", quantity=1)))
    _, handle = await system.submit(request(sample, LineScope(line_id="L2", quantity=1), request_id="second"))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
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
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.waits_for(handle, State.NEEDS_ATTENTION)
    if way == "by_hand":
        await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-1"))
    else:
        choice = ChooseRefundMethod(actor=SUPERVISOR, target="T1", method=RefundMethod.STORE_CREDIT)
        await handle.execute_update(CancellationWorkflow.choose_refund_method, choice)
    assert (await system.end(handle)).refunded == money("20.00 USD")
    rest = await system.cancel(request(sample, request_id="the-rest"))
    assert rest.refunded == money("44.00 USD")
    assert await system.refunds(sample.order_id) == [money("44.00 USD")]
    await system.assert_books_balance()


async def refunded_in_part_by_others(system: System, sample: SampleOrder) -> tuple[Handle, str]:
    """20.00 of 64.00, while the approval is waited for; with their refund's id."""
    await system.shop.place(sample.model_copy(update={"age": timedelta(days=60)}))
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("20.00 USD"))
    return handle, theirs


async def test_a_refund_by_others_that_fails_is_made_up_for_although_ours_has_settled(system: System) -> None:
    """B9, B23: only their 20.00 of 64.00 is owed again."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    handle, theirs = await refunded_in_part_by_others(system, sample)
    await system.approve(handle)
    await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.shop.gateway.fail(theirs)
    await system.wake(handle)
    await system.waits_for(handle, State.NEEDS_ATTENTION)
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await handle.execute_update(CancellationWorkflow.retry_step, retry)
    await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
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
        handle = await system.notified_of_refund(sample.order_id)
        await system.waits_for(handle, State.NEEDS_ATTENTION)
        if way == "by_hand":
            await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", reference))
        elif failed == theirs:
            retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
            await handle.execute_update(CancellationWorkflow.retry_step, retry)
        else:
            choice = ChooseRefundMethod(actor=SUPERVISOR, target="T1", method=RefundMethod.STORE_CREDIT)
            await handle.execute_update(CancellationWorkflow.choose_refund_method, choice)
        assert (await system.end(handle)).refunded == money("64.00 USD")
        await system.assert_books_balance()
    again = [money("20.00 USD")] if way == "store_credit" else []
    assert await system.refunds(sample.order_id) == [money("20.00 USD"), money("44.00 USD"), *again]


async def test_what_others_refunded_is_not_owed_when_our_refund_is_refused(system: System) -> None:
    """B9, B29: the other 400.00 of 600.00 go to store credit."""
    sample = captured(total="600.00 USD", parcels=())
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.refund_elsewhere(payment, money("200.00 USD"))
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    await system.approve(handle)
    await system.waits_for(handle, State.NEEDS_ATTENTION)
    choice = ChooseRefundMethod(actor=SUPERVISOR, target="T1", method=RefundMethod.STORE_CREDIT)
    await handle.execute_update(CancellationWorkflow.choose_refund_method, choice)
    assert (await system.end(handle)).refunded == money("600.00 USD")
    assert await built_in.balance(system.engine, f"store-credit-{sample.customer_id}-USD") == money("400.00 USD")
    await system.assert_books_balance()


@pytest.mark.parametrize("ends", ["refused", "failed"])
async def test_what_was_captured_meanwhile_is_owed_when_it_cannot_be_refunded(system: System, ends: str) -> None:
    """B1, B23, B29: the plan was to release it, and by the plan nothing would be owed."""
    paid = card("600.00 USD", "0.00 USD", fault="refund.create:refuse" if ends == "refused" else "", card=PENDING)
    sample = captured(total="600.00 USD", parcels=()).model_copy(update={"tenders": (paid,)})
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.capture(payment, money("600.00 USD"), final=True)
    await system.approve(handle)
    if ends == "failed":
        await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
        await system.shop.gateway.fail(await refund_of(system, sample))
        await system.wake(handle)
    await system.waits_for(handle, State.NEEDS_ATTENTION)
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-1"))
    result = await system.end(handle)
    assert (result.refunded, result.released) == (money("600.00 USD"), money("0.00 USD"))
    assert [document.total for document in await books.documents(system.engine)] == [money("600.00 USD")]
    await system.assert_books_balance()


async def test_what_others_refund_after_the_end_does_not_make_up_for_what_failed(system: System) -> None:
    """B9, B23: 20.00 by others in the middle of the run count, 5.00 of goodwill after its end do not."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"), line("L2", 1, "136.00 USD")),
        tenders=(card("200.00 USD"),),
        flags=frozenset({OrderFlag.FRAUD_REVIEW}),
    )
    await system.shop.place(sample)
    payment = system.shop.payments[sample.order_id][0]
    _, first = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.waits_for(first, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.refund_elsewhere(payment, money("20.00 USD"))
    await system.approve(first)
    assert (await system.end(first)).refunded == money("64.00 USD")
    failed = await refund_of(system, sample)
    await system.shop.gateway.refund_elsewhere(payment, money("5.00 USD"))
    await system.shop.gateway.fail(failed)
    handle = await system.notified_of_refund(sample.order_id)
    progress = await system.waits_for(handle, State.NEEDS_ATTENTION)
    assert "of 44.00 USD to tender T1" in progress.waits[0].reason
    retry = RetryStep(actor=SUPERVISOR, step=StepName.REVERSE_PAYMENT, target="T1")
    await handle.execute_update(CancellationWorkflow.retry_step, retry)
    result = await system.end(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert [refund.amount for refund in await system.refunds(sample.order_id)] == [2000, 4400, 500, 4400]
    await system.assert_books_balance()


async def test_store_credit_is_given_once_for_each_part_that_failed(system: System) -> None:
    """B23, rule 5: half by us and half by others, both failed after the end; the second is not taken for the first."""
    sample = captured(total="600.00 USD", parcels=())
    await system.shop.place(sample)
    _, first = await system.submit(request(sample))
    await system.waits_for(first, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("300.00 USD"))
    await system.approve(first)
    await system.end(first)
    for failed in (await refund_of(system, sample), theirs):
        await system.shop.gateway.fail(failed)
        handle = await system.notified_of_refund(sample.order_id)
        await system.waits_for(handle, State.NEEDS_ATTENTION)
        choice = ChooseRefundMethod(actor=SUPERVISOR, target="T1", method=RefundMethod.STORE_CREDIT)
        await handle.execute_update(CancellationWorkflow.choose_refund_method, choice)
        assert (await system.end(handle)).refunded == money("600.00 USD")
    assert await built_in.balance(system.engine, f"store-credit-{sample.customer_id}-USD") == money("600.00 USD")
    await system.assert_books_balance()
