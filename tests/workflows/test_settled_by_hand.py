"""A person gives the money back by hand, or it is reserved again: what the gateway does besides is seen, never silent.

What was paid twice is collected by a person, who names the proof, and the ledger never says that customers owe us refunds.
"""

from datetime import timedelta

import pytest

from domain.money import money
from domain.order import OrderState
from domain.outcome import Outcome, State, Wait
from domain.step import StepName
from sandbox import books, built_in
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, card, request
from tests.system import Handle, System, eventually, resolve, settled
from tests.workflows.samples import captured

PRICE = money("64.00 USD")
NOTHING = money("0.00 USD")


async def document_kinds(system: System) -> list[str]:
    return sorted(document.kind.value for document in await books.documents(system.engine))


async def at_the_close(system: System, sample: SampleOrder) -> Handle:
    """Settled by hand, because the gateway refuses for good; the order management system does not close the order."""
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-TRANSFER-9"))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    return handle


# Rolled back


async def test_what_was_paid_by_hand_is_collected_before_the_roll_back_ends(system: System) -> None:
    """M18: the transfer has not come back because the paper is revoked; a person names what shows that it has."""
    sample = captured(parcels=(), fault="refund.create:refuse")
    handle = await at_the_close(system, sample)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert (await system.read_order(sample.order_id)).held_by, "released, and the customer keeps 64.00"
    assert asked
    assert await system.payable() >= 0
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    result = await system.finish(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by) == (OrderState.OPEN, None)
    assert {"BANK-TRANSFER-9", "COLLECTED-1"} <= await system.references()
    assert await document_kinds(system) == ["credit_note", "debit_note"]
    assert await system.refunds(sample.order_id) == []
    await system.assert_books_balance()


async def test_a_cancellation_after_that_roll_back_pays_once(system: System) -> None:
    """M18: 64.00 by hand, collected, and 64.00 by card."""
    sample = captured(parcels=(), fault="refund.create:refuse")
    handle = await at_the_close(system, sample)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    if asked:
        await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    await built_in.lock_order(system.engine, sample.order_id, None)
    await system.submit(request(sample, request_id="once-more"))
    await system.finish(system.current(sample.order_id))
    assert await system.refunds(sample.order_id) == [PRICE]
    assert "COLLECTED-1" in await system.references(), "paid by hand and by card, and nothing collected"
    assert await document_kinds(system) == ["credit_note", "credit_note", "debit_note"]
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED
    await system.assert_books_balance()


async def reserved_again(system: System, sample: SampleOrder) -> str:
    """Cancelled, rolled back by a person, and reserved again under the customer's mandate; returns the new payment."""
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    await system.finish(handle)
    await built_in.lock_order(system.engine, sample.order_id, None)
    old = system.shop.payments[sample.order_id][0]
    authorised = await system.shop.gateway.effects(None, EffectKind.PAYMENT_AUTHORISED)
    [new] = [effect.payment_id for effect in authorised if old in effect.metadata.values()]
    assert (await system.gateway.read_payment(new)).capturable == PRICE
    return new


def under_a_mandate() -> SampleOrder:
    return captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", "0.00 USD", mandate=True),)})


async def test_the_order_names_the_payment_that_was_reserved_again(system: System) -> None:
    """M19: it is the one to capture when the goods go out."""
    sample = under_a_mandate()
    new = await reserved_again(system, sample)
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by) == (OrderState.OPEN, None)
    assert [tender.reference for tender in order.tenders] == [new]


async def test_the_next_cancellation_releases_what_was_reserved_again(system: System) -> None:
    """M19"""
    sample = under_a_mandate()
    new = await reserved_again(system, sample)
    await system.submit(request(sample, request_id="once-more"))
    await system.finish(system.current(sample.order_id))
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED
    assert (await system.gateway.read_payment(new)).capturable == NOTHING
    assert len(await system.shop.gateway.effects(new, EffectKind.PAYMENT_VOIDED)) == 1
    assert await system.voids(sample.order_id) == 1
    assert await system.refunds(sample.order_id) == []


# Paid by hand while the gateway's own refund is unknown or under way


async def with_an_unknown_refund(system: System, sample: SampleOrder) -> tuple[Handle, Wait]:
    """The gateway committed the refund, its answer was lost, and it is too busy to be read. A person is needed."""
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))

    async def committed() -> bool:
        return bool(await system.refunds(sample.order_id))

    await eventually(committed, "the gateway commits the refund")
    await system.disturb_look(sample.order_id, FaultKind.HTTP_429, seconds=600)
    await system.wait_for_look(handle, sample.order_id)
    await system.skip(timedelta(minutes=4))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    return handle, wait


async def with_a_pending_refund(system: System, sample: SampleOrder) -> tuple[Handle, Wait]:
    """The gateway has taken the refund, and it has not settled."""
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    return handle, progress.waits[0]


async def settles(system: System, sample: SampleOrder) -> None:
    payment = system.shop.payments[sample.order_id][0]
    [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.settle(refund.object_id)


async def collected(system: System, sample: SampleOrder, handle: Handle, before: Wait | None) -> None:
    """64.00 by hand and 64.00 by card: the refund department is asked, collects, and names the proof."""
    asked = await system.wait_for_collection(handle, after=before)
    if asked:
        assert await system.payable() >= 0
        await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    assert await system.refunds(sample.order_id) == [PRICE]
    assert {"BANK-TRANSFER-9", "COLLECTED-1"} <= await system.references(), "paid twice, and not collected"
    assert await document_kinds(system) == ["credit_note"]
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED
    await system.assert_books_balance()
    assert asked


def answer_lost() -> SampleOrder:
    return captured(parcels=(), fault="refund.create:drop_after_commit")


def under_way() -> SampleOrder:
    return captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})


async def test_a_wait_for_a_refund_whose_answer_was_lost_says_that_its_outcome_is_unknown(system: System) -> None:
    """M36, rule 6: who reads that the gateway is busy pays by hand; who reads that it is unknown looks first."""
    sample = answer_lost()
    _, wait = await with_an_unknown_refund(system, sample)
    assert await system.refunds(sample.order_id) == [PRICE]
    assert "unknown" in wait.reason.lower()


@pytest.mark.parametrize("event", [True, False])
async def test_a_refund_that_was_unknown_when_a_person_paid_by_hand_is_reported(system: System, *, event: bool) -> None:
    """M36, E23: found by the gateway's event, or by looking when the gateway can be read again."""
    sample = answer_lost()
    handle, wait = await with_an_unknown_refund(system, sample)
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-TRANSFER-9"))
    if event:
        handle = await system.notify_of_refund(sample.order_id)
    else:
        await system.skip(timedelta(days=1))
    await collected(system, sample, handle, wait)


@pytest.mark.parametrize("event", [True, False])
async def test_a_refund_that_settles_after_a_person_paid_by_hand_is_reported(system: System, *, event: bool) -> None:
    """M37, E23: found by the gateway's event, or by looking."""
    sample = under_way()
    handle, wait = await with_a_pending_refund(system, sample)
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-TRANSFER-9"))
    await settles(system, sample)
    if event:
        handle = await system.notify_of_refund(sample.order_id)
    else:
        await system.skip(timedelta(days=1))
    await collected(system, sample, handle, None)


async def test_a_refund_that_settles_after_the_run_was_lost_is_reported_by_the_next(real_time_system: System) -> None:
    """M17, M37, E23: paid by hand while it was under way; the next run knows both from the books. On the dev server: to
    terminate a run whose activity is under way stops the skipping clock for good."""
    system = real_time_system
    sample = under_way()
    async with system.worker():
        handle, wait = await with_a_pending_refund(system, sample)
        await system.resolve(handle, settled(wait, "done_by_hand", "BANK-TRANSFER-9"))
        await system.lose(handle)
        await settles(system, sample)
        await system.submit(request(sample, request_id="again"))
        await collected(system, sample, system.current(sample.order_id), None)
