"""An order that belongs to another account by now, or has left the shop, and the cancellation that it had before."""

import pytest

from domain.decision import Rule
from domain.errors import ErrorCode, Refused
from domain.keys import EffectKey
from domain.money import money
from domain.order import Order, OrderFlag
from domain.outcome import Outcome, State
from domain.payment import Payment
from domain.request import LineScope, ReasonCode
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import built_in
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, SampleTender, card, line, parcel, request
from tests.system import System, customer_of, settled
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id, captured
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar
from workflows.cancellation import CancellationWorkflow

__all__ = ["over_oscar"]

EU_CONSUMER = frozenset({OrderFlag.EU_CONSUMER})


async def merge_accounts(system: System, order_id: str) -> None:
    await built_in.transfer_order(system.engine, order_id, f"C-merged-{order_id}")


async def test_a_refund_that_fails_is_made_up_for_although_the_order_is_not_the_customers_any_more(
    system: System,
) -> None:
    """B23, I3: the books know whose cancellation it is."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    await merge_accounts(system, sample.order_id)
    await system.shop.gateway.fail(await refund_of(system, sample))
    handle = await system.notify_of_refund(sample.order_id)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1") is not None
    assert await system.outcomes(sample.order_id) == [None]
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert await system.store_credit(sample.customer_id) == money("64.00 USD")


async def test_an_order_that_passes_to_another_account_before_it_is_frozen_is_cancelled_all_the_same(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B23, I3: it was the customer's when they asked, and the books know that its hold has begun."""
    sample, passed = captured(parcels=()), list[str]()
    await system.shop.place_order(sample)
    freeze = system.orders.freeze

    async def freeze_what_has_passed(seen: Order, *, key: EffectKey) -> bool:
        if not passed:
            passed.append(sample.order_id)
            await merge_accounts(system, sample.order_id)
        return await freeze(seen, key=key)

    monkeypatch.setattr(system.orders, "freeze", freeze_what_has_passed)
    result = await system.cancel(request(sample))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]


async def test_an_order_that_is_gone_before_it_is_frozen_leaves_no_cancellation_open(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B23, I3: the books have noted that it is about to be frozen. No run is left that could end that."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    not_found = Refused(ErrorCode.ORDER_NOT_FOUND, "The shop has archived the order.")

    async def find_nothing(*_: object, **__: object) -> Order:
        raise not_found

    async def archive(*_: object, **__: object) -> bool:
        monkeypatch.setattr(system.orders, "read", find_nothing)
        raise not_found

    monkeypatch.setattr(system.orders, "freeze", archive)
    submission, handle = await system.submit(request(sample))
    assert (submission.decision.rule, submission.plan) == (Rule.ORDER_NOT_FOUND, None)
    assert (await system.finish(handle)).outcome is Outcome.REJECTED
    assert await system.outcomes(sample.order_id) == [Outcome.REJECTED]


def archive(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop does not find any order any more."""

    async def find_nothing(*_: object, **__: object) -> Order:
        raise Refused(ErrorCode.ORDER_NOT_FOUND, "The shop has archived the order.")

    for name in ("read", "relabel", "resume_pick"):
        monkeypatch.setattr(system.orders, name, find_nothing)


async def test_an_order_that_cannot_be_verified_and_is_gone_then_ends_as_not_found(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3: its payment is unknown to the gateway, so the books have nothing of it yet."""
    read = system.gateway.read_payment

    async def archive_and_read(reference: str) -> Payment:
        archive(system, monkeypatch)
        return await read(reference)

    monkeypatch.setattr(system.gateway, "read_payment", archive_and_read)
    sample = captured(parcels=()).model_copy(
        update={"tenders": (SampleTender(amount=money("64.00 USD"), payment="pi_missing"),)}
    )
    await system.shop.place_order(sample)
    handle = await system.start(request(sample))
    assert await system.wait_for_step(handle, StepName.VERIFY_ORDER, sample.order_id) is not None
    await system.retry(handle, StepName.VERIFY_ORDER, sample.order_id)
    assert (await system.finish(handle)).outcome is Outcome.REJECTED


async def test_a_parcel_on_its_way_goes_on_after_a_roll_back_although_its_order_is_gone(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2: what its carrier does with it does not end because the shop has archived the order."""
    sample = captured(parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    archive(system, monkeypatch)
    await system.withdraw(handle, customer_of(sample))
    assert (await system.finish(handle)).outcome is Outcome.WITHDRAWN
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested", "intercept.cancelled"]


async def test_somebody_is_asked_about_a_parcel_without_a_label_whose_order_is_gone(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2: its label is void, and the shop cannot be told of another one."""
    sample = captured(parcels=(parcel(Script.LABEL_ONLY, L1=1),)).model_copy(
        update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})}
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    archive(system, monkeypatch)
    await system.reject(handle)
    wait = await system.wait_for_step(handle, StepName.RESUME_SHIPMENT, "S1")
    assert wait is not None
    await system.resolve(handle, settled(wait, "done_by_hand", "1Z-NEW"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK


async def test_an_order_that_is_gone_from_a_shop_that_cannot_freeze_holds_no_money_up(over_oscar: Oscar) -> None:
    """B23: there is nothing to be read again of what has left the shop."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    tender = (await over_oscar.place_order(sample)).tenders[0].tender_id
    async with system.worker():
        await system.cancel(request(sample))
        await over_oscar.shop.archive(sample.order_id)
        await system.shop.gateway.fail(await refund_of(system, sample))
        handle = await system.notify_of_refund(sample.order_id)
        wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, tender)
        assert wait is not None
        await system.resolve(handle, settled(wait, "done_by_hand", "BANK-1"))
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))


async def test_who_has_asked_before_gets_the_same_answer_although_the_order_is_another_ones_by_now(
    system: System,
) -> None:
    """I10: whoever asks with another request hears nothing of it."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample))
    await merge_accounts(system, sample.order_id)
    again, handle = await system.submit(request(sample))
    assert again.decision.rule is Rule.WITHIN_POLICY
    assert (await system.finish(handle)).sentence == first.sentence
    another, handle = await system.submit(request(sample, request_id="another"))
    assert (another.decision.rule, another.plan) == (Rule.ORDER_NOT_FOUND, None)
    assert (await system.finish(handle)).outcome is Outcome.REJECTED


async def test_a_withdrawal_that_had_to_wait_is_carried_out_although_the_order_is_another_ones_by_now(
    system: System,
) -> None:
    """E28: it was acknowledged, and its sender hears nothing of a run that is refused as a stranger's."""
    lines = (line("L1", 1, "20.00 USD"), line("L2", 1, "44.00 USD"))
    paid = card("64.00 USD", card=PENDING)
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(paid,), country="DE", flags=EU_CONSUMER)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    withdrawal = request(sample, request_id="by-right", reason=ReasonCode.STATUTORY_WITHDRAWAL)
    receipt = await handle.execute_update(CancellationWorkflow.submit, withdrawal)
    assert receipt.deferred
    await merge_accounts(system, sample.order_id)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    await system.finish(handle)
    _, handle = await system.submit(withdrawal)
    # The clock may have jumped beyond the settlement's due time while the first one ended.
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT, State.NEEDS_ATTENTION)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await system.wake(handle)
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("44.00 USD"))
