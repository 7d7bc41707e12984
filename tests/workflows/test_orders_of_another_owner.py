"""An order that belongs to another account by now, or has left the shop, when a run looks at its ended cancellation again."""

import pytest

from domain.decision import Rule
from domain.money import money
from domain.outcome import Outcome
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import built_in
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System, customer_of, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import an_id, captured
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar

__all__ = ["over_oscar"]


async def merge_accounts(system: System, order_id: str) -> None:
    await built_in.transfer_order(system.engine, order_id, f"C-merged-{order_id}")


@pytest.mark.xfail(strict=True, reason="the run that the event starts is refused, and nobody hears of the refund")
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


@pytest.mark.xfail(strict=True, reason="the run that the event starts is refused, and nobody hears of the refund")
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


@pytest.mark.xfail(strict=True, reason="the order was not found for this customer")
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


async def test_what_is_not_decided_yet_is_decided_for_the_orders_owner_alone(bare_system: System) -> None:
    """The run was lost before the decision, and the order is another customer's since."""
    system, sample = bare_system, captured(parcels=())
    await system.shop.place_order(sample)
    async with system.worker():
        await system.disturb_look(sample.order_id, FaultKind.SLOW, times=3)
        handle = await system.start(request(sample))
        await system.wait_for_look(handle, sample.order_id)
        await system.lose(handle)
        await merge_accounts(system, sample.order_id)
        result = await system.cancel(request(sample))
    assert result.outcome is Outcome.REJECTED
    assert await system.refunds(sample.order_id) == []
