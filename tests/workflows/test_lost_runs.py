"""A run is lost, and the order is asked for again: the next run knows from the books what was done, and by whom.

Nothing happens twice, nothing is rolled back after the pivot, and the second person stays the second.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from domain.messages import ResolveStep
from domain.money import money
from domain.order import OrderState
from domain.outcome import Outcome, State
from domain.request import Actor, CancellationRequest
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import books, built_in
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, card, parcel, request
from tests.loss import LONGEST, Loss, copy_books, restore_books
from tests.system import AGENT, SUPERVISOR, Handle, System, customer_of, resolve
from tests.workflows.samples import captured

EXPENSIVE = "600.00 USD"
PRICE = money("64.00 USD")
DAYS = timedelta(days=6).total_seconds()

SAME_OR_OTHER = pytest.mark.parametrize("by", ["the_same_request", "another_request"])


def asked_again(sample: SampleOrder, by: str = "another_request") -> CancellationRequest:
    return request(sample, request_id=None if by == "the_same_request" else "again")


def settling_late(sample: SampleOrder) -> SampleOrder:
    """The card's refund is under way for some days."""
    return sample.model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})


async def assert_cancelled(system: System, sample: SampleOrder) -> None:
    """The goods stay stopped, the customer has the money once, and the books say so."""
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by) == (OrderState.CANCELLED, None)
    labels = [shipment.label_reference for shipment in order.shipments]
    assert labels == system.shop.labels.get(sample.order_id, []), "no new label was bought"
    notes = [document.total for document in await books.documents(system.engine)]
    assert len(notes) == 1
    await system.assert_books_balance()


async def lost_after_the_refund(system: System, sample: SampleOrder, how: Loss = Loss.TERMINATED) -> None:
    await system.shop.place_order(sample)
    _, lost = await system.submit(request(sample))
    await system.wait_for_state(lost, State.WAITING_FOR_SETTLEMENT)
    await system.disturb_look(sample.order_id, FaultKind.SLOW)
    await system.lose(lost, how)


async def withdrawn_while_it_looks(system: System, sample: SampleOrder, handle: Handle) -> None:
    """The customer withdraws as the next run looks the order up; then the money settles."""
    await system.wait_for_look(handle, sample.order_id)
    refused = await system.refusal(system.withdraw(handle, customer_of(sample)))
    await system.shop.gateway.advance(DAYS)
    await system.wake(handle)
    await system.finish(handle)
    assert await system.refunds(sample.order_id) == [PRICE]
    await assert_cancelled(system, sample)
    assert refused


# What was refunded


@SAME_OR_OTHER
async def test_a_withdrawal_is_refused_while_the_run_after_a_terminated_one_looks(system: System, by: str) -> None:
    """M1, E15: the money is on its way back, and the books know it from the first moment."""
    sample = settling_late(captured())
    await lost_after_the_refund(system, sample)
    await withdrawn_while_it_looks(system, sample, await system.start(asked_again(sample, by)))


async def test_a_withdrawal_is_refused_while_a_reset_run_looks(real_time_system: System) -> None:
    """M1, E15: a reset run remembers no more than a new one."""
    system = real_time_system
    sample = settling_late(captured())
    async with system.worker():
        await lost_after_the_refund(system, sample, Loss.RESET)
        await withdrawn_while_it_looks(system, sample, system.current(sample.order_id))


@pytest.mark.parametrize("when", ["before it has looked", "when it waits"])
@SAME_OR_OTHER
async def test_what_was_said_to_a_lost_run_is_acknowledged_by_the_next_one(
    real_time_system: System, by: str, when: str
) -> None:
    """I10, E15, E16: a person has paid by hand, and the run was lost before it could say so. They say it again: the books
    keep it, which the next run has not read yet, or it asks whoever has paid once more."""
    system, sample = real_time_system, settling_late(captured())
    await system.shop.place_order(sample)
    paid = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-9")
    async with system.worker():
        _, lost = await system.submit(request(sample))
        await system.wait_for_state(lost, State.WAITING_FOR_SETTLEMENT)
        await system.resolve(lost, paid)
        await system.lose(lost)
    handle = await system.start(asked_again(sample, by))
    sent = []
    if when == "before it has looked":
        sent = await system.send_unheard(handle, lambda: system.resolve(handle, paid))
    async with system.worker():
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        assert await system.refusal(sent[0] if sent else system.resolve(handle, paid)) is None
        await system.shop.gateway.advance(DAYS)
        await system.wake(handle)
        assert await system.wait_for_step(handle, StepName.CHECK_REFUND)
        await system.resolve(handle, resolve(StepName.CHECK_REFUND, "T1", "done_by_hand", "COLLECTED-1"))
        await system.finish(handle)
    assert await system.paid_by_hand("BANK-9") == PRICE
    await assert_cancelled(system, sample)


@pytest.mark.parametrize("how", ["cancel_request", "withdrawal"])
async def test_nothing_is_rolled_back_when_the_next_runs_first_look_fails(system: System, how: str) -> None:
    """M2, E15: a second attempt does not make the order's hold, or what was refunded, this run's own doing."""
    sample = settling_late(captured())
    await system.shop.place_order(sample)
    _, lost = await system.submit(request(sample))
    await system.wait_for_state(lost, State.WAITING_FOR_SETTLEMENT)
    await system.lose(lost)
    await system.disturb_look(sample.order_id, FaultKind.HTTP_429)
    handle = await system.start(request(sample))
    await system.wait_for_look(handle, sample.order_id)
    refused = None
    if how == "cancel_request":
        await handle.cancel()
    else:
        refused = await system.refusal(system.withdraw(handle, customer_of(sample)))
    await system.shop.gateway.advance(DAYS)
    await system.wake(handle)
    await system.finish(handle)
    assert await system.refunds(sample.order_id) == [PRICE]
    await assert_cancelled(system, sample)
    assert refused or how == "cancel_request"


async def test_a_roll_back_asks_for_a_refund_that_a_lost_run_made_under_a_later_key(system: System) -> None:
    """M3: the gateway refused the first one; the second went through. What has settled is collected by a person."""
    sample = captured(parcels=(), fault="refund.create:refuse")
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, lost = await system.submit(request(sample))
    assert await system.wait_for_step(lost, StepName.REVERSE_PAYMENT)
    await system.retry(lost, StepName.REVERSE_PAYMENT, "T1")
    assert await system.wait_for_step(lost, StepName.CLOSE_ORDER)
    await system.lose(lost)
    _, handle = await system.submit(asked_again(sample))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert await system.refunds(sample.order_id) == [PRICE]
    assert (await system.read_order(sample.order_id)).held_by, "released, and the customer keeps the 64.00"
    assert asked
    await system.resolve(handle, resolve(StepName.RESTORE_PAYMENT, "T1", "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert (await system.read_order(sample.order_id)).held_by is None
    assert "COLLECTED-1" in await system.references()
    await system.assert_books_balance()


async def test_a_closed_cancellation_whose_refund_failed_is_not_withdrawn(system: System) -> None:
    """M14: what is reopened only goes forward, also while the run that the gateway's event started still looks."""
    sample = captured()
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    payment = system.shop.payments[sample.order_id][0]
    [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(refund.object_id)
    await system.disturb_look(sample.order_id, FaultKind.SLOW)
    handle = await system.notify_of_refund(sample.order_id)
    await system.wait_for_look(handle, sample.order_id)
    refused = await system.refusal(system.withdraw(handle, customer_of(sample)))
    if await system.wait_for_step(handle, StepName.REVERSE_PAYMENT):
        await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    await system.finish(handle)
    assert (await system.gateway.read_payment(payment)).refunded == PRICE, "no goods, and no money"
    await assert_cancelled(system, sample)
    assert refused


# What was given another way


async def lost_before_the_close(
    system: System, sample: SampleOrder, settlement: Actor | ResolveStep, how: Loss = Loss.TERMINATED
) -> None:
    """The gateway refused, somebody chose store credit or resolved the step, and the shop does not close the order.
    The gateway forgets its keys before the order is asked for again."""
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, lost = await system.submit(request(sample), lasts=LONGEST if how is Loss.TIMED_OUT else None)
    assert await system.wait_for_step(lost, StepName.REVERSE_PAYMENT)
    if isinstance(settlement, ResolveStep):
        await system.resolve(lost, settlement)
    else:
        await system.choose(lost, settlement, RefundMethod.STORE_CREDIT)
    assert await system.wait_for_step(lost, StepName.CLOSE_ORDER)
    await system.lose(lost, how)
    await built_in.lock_order(system.engine, sample.order_id, None)
    await system.shop.gateway.advance(timedelta(days=2).total_seconds())


async def carried_on(system: System, sample: SampleOrder, by: str) -> None:
    """Asked for again and carried to its end; whatever the next run asks a person to do is not what this is about."""
    await system.submit(asked_again(sample, by))
    await system.finish(system.current(sample.order_id))


BANK_TRANSFER = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-TRANSFER-9")


@SAME_OR_OTHER
@pytest.mark.parametrize("chosen_by", ["the_customer", "staff"])
async def test_store_credit_that_a_lost_run_gave_is_not_followed_by_a_refund(
    system: System, chosen_by: str, by: str
) -> None:
    """M4, M17: chosen when the gateway refused; by now the gateway would refund."""
    sample = captured(parcels=(), fault="refund.create:refuse")
    await lost_before_the_close(system, sample, AGENT if chosen_by == "staff" else customer_of(sample))
    await carried_on(system, sample, by)
    assert await system.store_credit(sample.customer_id) == PRICE
    assert await system.refunds(sample.order_id) == []
    await assert_cancelled(system, sample)


async def test_store_credit_that_a_lost_run_gave_is_not_asked_for_again(system: System) -> None:
    """M4: the gateway would refuse once more; there is nothing left to refund or to choose."""
    sample = captured(parcels=(), fault="refund.create:refuse*2")
    await lost_before_the_close(system, sample, customer_of(sample))
    _, handle = await system.submit(asked_again(sample))
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    if asked:
        await system.resolve(handle, BANK_TRANSFER)
    await system.finish(handle)
    assert await system.store_credit(sample.customer_id) == PRICE
    assert "BANK-TRANSFER-9" not in await system.references(), "64.00 of store credit and 64.00 by transfer"
    await assert_cancelled(system, sample)
    assert not asked


async def assert_paid_by_hand_alone(system: System, sample: SampleOrder) -> None:
    assert await system.refunds(sample.order_id) == [], "64.00 by bank transfer and 64.00 by card"
    assert await system.payable() == 0
    assert "BANK-TRANSFER-9" in await system.references()
    await assert_cancelled(system, sample)


@SAME_OR_OTHER
@pytest.mark.parametrize("how", [Loss.TERMINATED, Loss.TIMED_OUT])
async def test_what_a_person_paid_before_the_run_was_lost_is_not_paid_again(system: System, how: Loss, by: str) -> None:
    """M17, E15: a transfer that is in the ledger counts, whichever run wrote it there."""
    sample = captured(parcels=(), fault="refund.create:refuse")
    await lost_before_the_close(system, sample, BANK_TRANSFER, how)
    await carried_on(system, sample, by)
    await assert_paid_by_hand_alone(system, sample)


@SAME_OR_OTHER
@pytest.mark.parametrize("how", [Loss.RESET, Loss.FORGOTTEN])
async def test_what_a_person_paid_is_not_paid_again_after_the_engine_lost_its_memory(
    real_time_system: System, how: Loss, by: str
) -> None:
    """M17, E15: reset, or deleted because its retention has passed."""
    system = real_time_system
    sample = captured(parcels=(), fault="refund.create:refuse")
    async with system.worker():
        await lost_before_the_close(system, sample, BANK_TRANSFER, how)
        await carried_on(system, sample, by)
        await assert_paid_by_hand_alone(system, sample)


# What was approved and stopped


async def lost_with_an_intercept(system: System, sample: SampleOrder, how: Loss = Loss.TERMINATED) -> None:
    """Approved by a second person; the carrier took the intercept and says no more."""
    await system.shop.place_order(sample)
    _, lost = await system.submit(request(sample), lasts=LONGEST if how is Loss.TIMED_OUT else None)
    await system.wait_for_state(lost, State.WAITING_FOR_APPROVAL)
    await system.approve(lost)
    await system.wait_for_state(lost, State.WAITING_FOR_CARRIER)
    await system.lose(lost, how)


async def approval_still_counts(system: System, sample: SampleOrder, by: str) -> None:
    """A second person who would refuse now comes too late: the parcel comes back, and the money goes back."""
    await system.submit(asked_again(sample, by))
    handle = system.current(sample.order_id)
    progress = await system.wait_for_state(
        handle, State.WAITING_FOR_APPROVAL, State.WAITING_FOR_CARRIER, State.NEEDS_ATTENTION
    )
    refused = await system.refusal(system.reject(handle))
    if refused:
        await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
        await system.notify_of_parcel(sample.order_id)
    await system.finish(handle)
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested"]
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED, (
        "the order goes on, and its parcel comes back"
    )
    assert await system.refunds(sample.order_id) == [money(EXPENSIVE)]
    await assert_cancelled(system, sample)
    assert progress.state is not State.WAITING_FOR_APPROVAL


@SAME_OR_OTHER
@pytest.mark.parametrize("how", [Loss.TERMINATED, Loss.TIMED_OUT])
async def test_an_approval_that_a_lost_run_was_given_still_counts(system: System, how: Loss, by: str) -> None:
    """M15, E15: it is in the books, like the intercept that it led to."""
    sample = captured(total=EXPENSIVE, parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    await lost_with_an_intercept(system, sample, how)
    await approval_still_counts(system, sample, by)


@SAME_OR_OTHER
@pytest.mark.parametrize("how", [Loss.RESET, Loss.FORGOTTEN])
async def test_an_approval_still_counts_after_the_engine_lost_its_memory(
    real_time_system: System, how: Loss, by: str
) -> None:
    """M15, E15: reset, or deleted because its retention has passed."""
    system = real_time_system
    sample = captured(total=EXPENSIVE, parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    async with system.worker():
        await lost_with_an_intercept(system, sample, how)
        await approval_still_counts(system, sample, by)


async def test_an_intercept_that_a_lost_run_asked_for_is_taken_back_with_a_withdrawal(system: System) -> None:
    """M15, rule 1: no money has moved, so the customer may withdraw; whoever stopped the parcel, it goes on."""
    sample = captured(parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    await system.shop.place_order(sample)
    _, lost = await system.submit(request(sample))
    await system.wait_for_state(lost, State.WAITING_FOR_CARRIER)
    await system.lose(lost)
    await system.disturb_look(sample.order_id, FaultKind.SLOW)
    handle = await system.start(asked_again(sample))
    await system.wait_for_look(handle, sample.order_id)
    refused = await system.refusal(system.withdraw(handle, customer_of(sample)))
    await system.finish(handle)
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested", "intercept.cancelled"]
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by) == (OrderState.OPEN, None)
    assert await system.refunds(sample.order_id) == []
    assert not refused


# Who asked


async def requester_stays_first(system: System, sample: SampleOrder, handle: Handle) -> None:
    """The agent, who asked, cannot approve; somebody else can."""
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    refused = await system.refusal(system.approve(handle, AGENT))
    if not refused:
        await system.finish(handle)
    assert await system.refunds(sample.order_id) == [], "600.00 went out on the word of one person"
    assert refused
    await system.approve(handle, SUPERVISOR)
    await system.finish(handle)
    assert await system.refunds(sample.order_id) == [money(EXPENSIVE)]
    await assert_cancelled(system, sample)


def by_agent(sample: SampleOrder, request_id: str | None = None) -> CancellationRequest:
    return request(sample, request_id=request_id).model_copy(update={"actor": AGENT, "customer_id": None})


async def test_who_asked_in_a_lost_run_does_not_approve_in_the_next(system: System) -> None:
    """M16, A9: another request took the cancellation up; it is the agent's own all the same."""
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    _, lost = await system.submit(by_agent(sample))
    await system.wait_for_state(lost, State.WAITING_FOR_APPROVAL)
    await system.lose(lost)
    _, handle = await system.submit(asked_again(sample))
    await requester_stays_first(system, sample, handle)


@pytest.mark.parametrize("lost_meanwhile", [False, True])
async def test_who_joined_the_request_does_not_approve_it(system: System, *, lost_meanwhile: bool) -> None:
    """M16, A9, rule 16: requesters are all whose requests opened or joined the cancellation, in any run of it."""
    sample = captured(total=EXPENSIVE)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.submit(by_agent(sample, "joined"))
    if lost_meanwhile:
        await system.lose(handle)
        _, handle = await system.submit(request(sample))
    await requester_stays_first(system, sample, handle)


# What the books forgot


async def test_a_run_whose_books_were_restored_from_a_backup_verifies_the_order_anew(
    system: System, tmp_path: Path
) -> None:
    """Rule 11: the books are the truth. They know nothing of the run that waits, which begins again."""
    sample = captured(parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    await system.shop.place_order(sample)
    backup = tmp_path / "backup.db"
    copy_books(system.engine, backup)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    restore_books(system.engine, backup)
    await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
    await system.wake(handle)
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [PRICE]
    await assert_cancelled(system, sample)
