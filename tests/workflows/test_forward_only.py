"""After the pivot: retried, waited for, or handed to a person; never undone by itself, never done twice."""

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError

from domain.messages import ChooseRefundMethod, RetryStep
from domain.money import money
from domain.outcome import GoodsStatus, MoneyStatus, Outcome, State
from domain.request import Actor, ActorKind
from domain.step import Owner, StepName, StepStatus
from domain.terms import RefundMethod
from sandbox import books, built_in
from sandbox.carrier.model import FaultKind as CarrierFault
from sandbox.carrier.model import Operation
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, card, request
from tests.system import SUPERVISOR, System, eventually, resolve
from tests.workflows.samples import captured, split_tender
from workflows.cancellation import CancellationWorkflow


def retry(step: StepName, target: str) -> RetryStep:
    return RetryStep(actor=SUPERVISOR, step=step, target=target)


def choose(sample: SampleOrder, method: RefundMethod) -> ChooseRefundMethod:
    """The customer's own choice for the first tender."""
    actor = Actor(kind=ActorKind.CUSTOMER, id=sample.customer_id)
    return ChooseRefundMethod(actor=actor, target="T1", method=method)


async def notices(system: System) -> list[str]:
    return [notice.kind.value for notice in await books.notices(system.engine)]


# The gateway's answer


@pytest.mark.parametrize(
    "fault", ["drop_after_commit", "http_500_after_commit", "drop_before_commit", "http_500_before"]
)
async def test_a_lost_answer_is_looked_up_and_the_refund_made_once(system: System, fault: str) -> None:
    """B18, I5"""
    sample = captured(fault=f"refund.create:{fault}")
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    await system.assert_books_balance()


async def test_a_lost_answer_to_a_void_is_looked_up(system: System) -> None:
    """B18, for a void."""
    sample = captured(parcels=()).model_copy(
        update={"tenders": (card("64.00 USD", "0.00 USD", fault="payment_intent.cancel:drop_after_commit"),)}
    )
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.released == money("64.00 USD")
    assert await system.voids(sample.order_id) == 1


async def test_a_busy_gateway_is_asked_again_when_it_says_so_under_the_same_key(system: System) -> None:
    """B19: 429 with Retry-After, twice."""
    sample = captured(fault="refund.create:http_429*2")
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    payment = system.shop.payments[sample.order_id][0]
    effects = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    assert [effect.metadata["cancellation_key"] for effect in effects] == [
        f"{result.cancellation_id}/reverse_payment/T1/1"
    ]


async def test_an_authorisation_that_expired_counts_as_released(system: System) -> None:
    """B6: no refund."""
    sample = captured(parcels=()).model_copy(
        update={"tenders": (card("64.00 USD", "0.00 USD", fault="payment_intent.cancel:expire"),)}
    )
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.RELEASED)
    assert await system.refunds(sample.order_id) == []


async def test_the_goods_stay_stopped_while_the_gateway_is_down_for_hours(system: System) -> None:
    """D3: it keeps trying, visibly, and never resumes the parcel."""
    sample = captured()
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.HTTP_429, payment=payment, times=30, retry_after=50)
    _, handle = await system.submit(request(sample))
    await system.skip(timedelta(minutes=4))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert progress.goods is GoodsStatus.NEVER_HANDED_OVER
    assert "slow down" in progress.waits[0].reason
    result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    started, ended = next((r.started_at, r.ended_at) for r in result.steps if r.step is StepName.REVERSE_PAYMENT)
    assert ended is not None
    assert ended - started > timedelta(hours=1)
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_refund_refused_for_good_waits_for_a_person_and_the_goods_stay_stopped(system: System) -> None:
    """D4"""
    sample = captured(fault="refund.create:refuse")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert progress.goods is GoodsStatus.NEVER_HANDED_OVER
    assert progress.waits[0].owner is Owner.REFUND_DEPARTMENT
    assert progress.waits[0].due_at > progress.steps[0].started_at
    answer = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-TRANSFER-9")
    await system.send(handle, CancellationWorkflow.resolve_step, answer)
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.BY_HAND)
    assert await system.refunds(sample.order_id) == []
    assert {transfer.reference for transfer in await books.ledger(system.engine)} == {
        "BANK-TRANSFER-9",
        result.credit_note,
    }
    await system.assert_books_balance()


async def test_of_two_tenders_the_first_is_never_repeated_when_the_second_is_refused(system: System) -> None:
    """B17: the money axis says so; the second goes to a person, who tries it again."""
    sample = split_tender().model_copy(
        update={"tenders": (card("10.00 USD"), card("42.35 USD", fault="refund.create:refuse"))}
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)

    async def said() -> bool:
        return (await handle.query(CancellationWorkflow.progress)).money is MoneyStatus.PARTLY_REFUNDED

    await eventually(said, "the money axis says that one of two tenders is refunded")
    progress = await handle.query(CancellationWorkflow.progress)
    assert {(row.target, row.status) for row in progress.steps if row.step is StepName.REVERSE_PAYMENT} == {
        ("T1", StepStatus.DONE),
        ("T2", StepStatus.NEEDS_ATTENTION),
    }
    await system.send(handle, CancellationWorkflow.retry_step, retry(StepName.REVERSE_PAYMENT, "T2"))
    result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("10.00 USD"), money("42.35 USD")]
    await system.assert_books_balance()


async def test_a_disputed_payment_is_not_refunded_before_a_person_decides(system: System) -> None:
    """B27: goods stopped; the person finds that the bank has taken the money back."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", disputed=True),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert "disputed" in progress.waits[0].reason
    answer = resolve(StepName.REVERSE_PAYMENT, "T1", "nothing_due", "DISPUTE-1")
    await system.send(handle, CancellationWorkflow.resolve_step, answer)
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.NOTHING_DUE)
    assert await system.refunds(sample.order_id) == []
    assert await books.documents(system.engine) == []


# Settlement


async def test_a_pending_refund_is_waited_for_and_the_customer_notified_only_then(system: System) -> None:
    """B22, D9: settled five days later; "refund started" before, "refunded" after."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    assert progress.money is MoneyStatus.REFUND_PENDING
    sent = await notices(system)
    assert "refund_started" in sent
    assert "refunded" not in sent
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    assert "refunded" in await notices(system)
    await system.assert_books_balance()


async def test_a_refund_that_fails_after_it_was_pending_is_made_again_under_a_new_key(system: System) -> None:
    """B23, rule 5: the key rises only after the failure was confirmed; never silently something else."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    payment = system.shop.payments[sample.order_id][0]
    first = (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[0]
    await system.shop.gateway.fail(first.object_id)
    await system.wake(handle)
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert "failed" in progress.waits[0].reason
    await system.send(handle, CancellationWorkflow.retry_step, retry(StepName.REVERSE_PAYMENT, "T1"))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    keys = [
        effect.metadata["cancellation_key"]
        for effect in await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    ]
    assert keys == [f"{result.cancellation_id}/reverse_payment/T1/{n}" for n in (1, 2)]
    await system.assert_books_balance()


async def test_a_refund_that_failed_goes_back_by_bank_transfer_when_the_customer_chooses_it(system: System) -> None:
    """B23: a person makes the transfer and names its reference."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    payment = system.shop.payments[sample.order_id][0]
    first = (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[0]
    await system.shop.gateway.fail(first.object_id)
    await system.wake(handle)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.send(handle, CancellationWorkflow.choose_refund_method, choose(sample, RefundMethod.BANK_TRANSFER))

    async def transfer_is_asked_for() -> bool:
        waits = (await handle.query(CancellationWorkflow.progress)).waits
        return bool(waits) and "bank transfer: transfer 64.00 USD" in waits[0].reason

    await eventually(transfer_is_asked_for, "the refund department is asked to transfer the money")
    answer = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "SEPA-4711")
    await system.send(handle, CancellationWorkflow.resolve_step, answer)
    result = await system.end(handle)
    assert (result.outcome, result.money, result.refunded) == (
        Outcome.CANCELLED,
        MoneyStatus.BY_HAND,
        money("64.00 USD"),
    )
    await system.assert_books_balance()


async def test_a_tender_that_cannot_be_refunded_goes_to_store_credit_when_the_customer_chooses_it(
    system: System,
) -> None:
    """B29, D4: at once, not after many retries; never by itself."""
    sample = captured(fault="refund.create:refuse")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    stranger = choose(sample, RefundMethod.STORE_CREDIT).model_copy(
        update={"actor": Actor(kind=ActorKind.CUSTOMER, id="C-other")}
    )
    shop = stranger.model_copy(update={"actor": Actor(kind=ActorKind.SYSTEM, id="shop")})
    for nobody in (stranger, shop):
        with pytest.raises(WorkflowUpdateFailedError):
            await system.send(handle, CancellationWorkflow.choose_refund_method, nobody)
    await system.send(handle, CancellationWorkflow.choose_refund_method, choose(sample, RefundMethod.STORE_CREDIT))
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    assert await system.refunds(sample.order_id) == []
    assert await built_in.balance(system.engine, f"store-credit-{sample.customer_id}-USD") == money("64.00 USD")
    settled = [transfer for transfer in await books.ledger(system.engine) if transfer.debit == "refunds_payable"]
    assert [transfer.credit for transfer in settled] == ["store_credit_liability"]
    await system.assert_books_balance()


async def test_there_is_nothing_to_choose_while_a_payment_is_disputed(system: System) -> None:
    """B27: store credit now could pay twice."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", disputed=True),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await system.send(handle, CancellationWorkflow.choose_refund_method, choose(sample, RefundMethod.STORE_CREDIT))
    assert "nothing to choose" in str(refused.value.cause)


async def test_store_credit_that_was_given_is_taken_back_when_a_person_orders_the_roll_back(system: System) -> None:
    sample = split_tender().model_copy(
        update={
            "tenders": (
                card("10.00 USD", fault="refund.create:refuse"),
                card("42.35 USD", fault="refund.create:refuse*2"),
            )
        }
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    for tender in ("T1", "T2"):
        await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, tender)
    await system.send(handle, CancellationWorkflow.choose_refund_method, choose(sample, RefundMethod.STORE_CREDIT))

    async def given() -> bool:
        return await system.store_credit(sample.customer_id) == money("10.00 USD")

    await eventually(given, "the store credit is given")
    await system.send(handle, CancellationWorkflow.resolve_step, resolve(StepName.REVERSE_PAYMENT, "T2", "roll_back"))
    result = await system.read_rolled_back(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    assert await built_in.balance(system.engine, f"store-credit-{sample.customer_id}-USD") == money("0.00 USD")


async def test_a_refund_that_does_not_settle_in_time_needs_attention_and_still_finishes(system: System) -> None:
    """B21: the due time runs, finance can find it."""
    sample = captured(fault="refund.create:pending_insufficient_funds")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.skip(timedelta(days=8))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert progress.waits[0].step is StepName.REVERSE_PAYMENT
    payment = system.shop.payments[sample.order_id][0]
    refund = (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[0]
    await system.shop.gateway.settle(refund.object_id)
    result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED


# The order management system, and steering


async def test_an_order_that_the_oms_will_not_close_waits_with_both_references(system: System) -> None:
    """D6: refunded, then refused; never refunded again."""
    sample = captured()
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the accounting period is closed")
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    references = {row.step: row.reference for row in progress.steps}
    assert references[StepName.REVERSE_PAYMENT] is not None
    assert references[StepName.CREDIT_REFUND] == progress.credit_note
    assert "accounting period" in progress.waits[0].reason
    await built_in.lock_order(system.engine, sample.order_id, None)
    await system.send(handle, CancellationWorkflow.retry_step, retry(StepName.CLOSE_ORDER, sample.order_id))
    result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_step_that_does_not_wait_cannot_be_steered(system: System) -> None:
    sample = captured(fault="refund.create:refuse")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await system.send(handle, CancellationWorkflow.retry_step, retry(StepName.STOP_SHIPMENT, "S1"))
    assert "is waiting for: reverse_payment T1" in str(refused.value.cause)


async def test_a_person_orders_the_roll_back_after_the_pivot(system: System) -> None:
    """Rule 1: nothing had been refunded, so everything is undone and the run ends as failed."""
    sample = captured(fault="refund.create:refuse")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    answer = resolve(StepName.REVERSE_PAYMENT, "T1", "roll_back")
    await system.send(handle, CancellationWorkflow.resolve_step, answer)
    result = await system.read_rolled_back(handle)
    assert (result.outcome, result.goods) == (Outcome.ROLLED_BACK, GoodsStatus.MOVING_AGAIN)
    assert await system.refunds(sample.order_id) == []
    assert (await system.read_order(sample.order_id)).held_by is None


async def test_a_roll_back_after_a_refund_asks_a_person_for_the_money(system: System) -> None:
    """`restore_payment` says so honestly: what has settled cannot be taken back by the gateway."""
    sample = split_tender().model_copy(
        update={"tenders": (card("10.00 USD"), card("42.35 USD", fault="refund.create:refuse"))}
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.send(handle, CancellationWorkflow.resolve_step, resolve(StepName.REVERSE_PAYMENT, "T2", "roll_back"))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    while progress.waits[0].step is not StepName.RESTORE_PAYMENT:
        progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert "collect it from the customer" in progress.waits[0].reason
    await system.send(
        handle, CancellationWorkflow.resolve_step, resolve(StepName.RESTORE_PAYMENT, "T1", "done_by_hand", "PAYMENT-2")
    )
    result = await system.read_rolled_back(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    assert await system.refunds(sample.order_id) == [money("10.00 USD")]


# The carrier


async def test_no_refund_before_the_carrier_has_answered(system: System) -> None:
    """C14: its API is down; the run keeps trying, shows it, and refunds nothing meanwhile."""
    sample = captured()
    await system.shop.place_order(sample)
    label = system.shop.labels[sample.order_id][0]
    await system.shop.carrier.add_fault(
        Operation.SHIPMENT_REFUND, CarrierFault.HTTP_429, times=8, parcel=label, seconds=60
    )
    _, handle = await system.submit(request(sample))
    await system.skip(timedelta(minutes=4))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    assert progress.waits[0].owner is Owner.CARRIER
    assert await system.refunds(sample.order_id) == []
    result = await system.end(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


@pytest.mark.parametrize("fault", [CarrierFault.DROP_AFTER_COMMIT, CarrierFault.HTTP_500_AFTER_COMMIT])
async def test_a_lost_answer_of_the_carrier_voids_the_label_once(system: System, fault: CarrierFault) -> None:
    sample = captured()
    await system.shop.place_order(sample)
    label = system.shop.labels[sample.order_id][0]
    await system.shop.carrier.add_fault(Operation.SHIPMENT_REFUND, fault, parcel=label)
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]
