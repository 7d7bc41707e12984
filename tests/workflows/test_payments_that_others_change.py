"""Orders that do not stay frozen, and what they are paid with when the run goes on after a wait."""

from datetime import timedelta

import pytest

from domain.money import money
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.step import Owner, StepName
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.gateway.messages import FaultKind
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, customer_of, resolve, settled
from tests.workflows.samples import an_id
from tests.workflows.test_shops_that_cannot_freeze import TWO_LINES, Oscar, over_oscar, two_lines

__all__ = ["over_oscar"]


async def wait_for_approval(over_oscar: Oscar, sample: SampleOrder, *scope: LineScope) -> Handle:
    _, handle = await over_oscar.system.submit(request(sample, *scope))
    await over_oscar.system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    return handle


async def pay(over_oscar: Oscar, amount: str) -> str:
    return await over_oscar.system.shop.gateway.create_payment(money(amount), capture=money(amount))


@pytest.mark.parametrize("is_known", [True, False], ids=["it_is_known", "withdrawn"])
async def test_a_payment_that_is_added_to_an_order_that_is_cancelled_as_a_whole_is_a_persons_question(
    over_oscar: Oscar, *, is_known: bool
) -> None:
    """I1: the plan gives back what had been paid when it was made."""
    system, sample = over_oscar.system, two_lines()
    await over_oscar.place_order(sample)
    async with system.worker():
        handle = await wait_for_approval(over_oscar, sample)
        await over_oscar.shop.add_payment(sample.order_id, await pay(over_oscar, "15.00 USD"), money("15.00 USD"))
        added = (await over_oscar.read(sample.order_id)).tenders[1].tender_id
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert wait.owner is Owner.OPERATIONS
        assert f"tender {added} (15.00 USD) is a new payment" in wait.reason
        assert await system.refunds(sample.order_id) == []
        if is_known:
            await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-1"))
        else:
            await system.withdraw(handle, customer_of(sample))
        result = await system.finish(handle)
    assert result.outcome is (Outcome.CANCELLED if is_known else Outcome.WITHDRAWN)
    assert await system.refunds(sample.order_id) == ([money(TWO_LINES)] if is_known else [])


async def test_a_payment_that_is_added_after_another_one_was_known_is_a_persons_question_too(over_oscar: Oscar) -> None:
    """I1: 15.00 are known, and 80.00 are taken while a parcel is intercepted."""
    system, sample = over_oscar.system, two_lines()
    order = await over_oscar.place_order(sample)
    async with system.worker():
        handle = await wait_for_approval(over_oscar, sample)
        parcel = await over_oscar.send(order, Script.INTERCEPT_SILENT, 0)
        await over_oscar.shop.add_payment(sample.order_id, await pay(over_oscar, "15.00 USD"), money("15.00 USD"))
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-1"))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await over_oscar.shop.add_payment(sample.order_id, await pay(over_oscar, "80.00 USD"), money("80.00 USD"))
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        again = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert again is not None
        assert "(80.00 USD) is a new payment" in again.reason
        assert "15.00 USD" not in again.reason, "that is known"
        assert await system.refunds(sample.order_id) == []
        await system.resolve(handle, settled(again, "done_by_hand", "TICKET-1"))
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(sample.order_id)) == (Outcome.CANCELLED, [money(TWO_LINES)])


async def test_a_payment_that_is_added_while_the_gateway_is_away_is_a_persons_question_afterwards(
    over_oscar: Oscar,
) -> None:
    """I1: the order was looked at before. Only what was planned goes back, and the person refunds the other payment."""
    system, sample = over_oscar.system, two_lines()
    await over_oscar.place_order(sample)
    async with system.worker():
        handle = await wait_for_approval(over_oscar, sample)
        await system.disturb_look(sample.order_id, FaultKind.HTTP_429, seconds=90)
        await system.approve(handle)
        await system.wait_for_look(handle, sample.order_id)
        await over_oscar.shop.add_payment(sample.order_id, await pay(over_oscar, "80.00 USD"), money("80.00 USD"))
        assert await system.refunds(sample.order_id) == []
        await system.skip(timedelta(minutes=5))
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert "(80.00 USD) is a new payment" in wait.reason
        assert "the money is on its way back" in wait.reason
        await system.resolve(handle, settled(wait, "done_by_hand", "REFUND-2"))
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money(TWO_LINES))


@pytest.mark.parametrize("lines", [0, 1], ids=["everything", "a_line"])
async def test_a_payment_that_is_replaced_while_the_run_waits_is_a_persons_question(
    over_oscar: Oscar, *, lines: int
) -> None:
    """I1: the reservation has ended, and the shop has taken the money by another payment. What is decided anew goes by
    that one."""
    system = over_oscar.system
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "550.00 USD"), line("L2", 1, "50.00 USD")),
        tenders=(card(TWO_LINES, "0.00 USD"),),
    )
    order = await over_oscar.place_order(sample)
    scope = [LineScope(line_id=sold.line_id, quantity=1) for sold in order.lines[:lines]]
    async with system.worker():
        handle = await wait_for_approval(over_oscar, sample, *scope)
        [old] = system.shop.payments[sample.order_id]
        await system.gateway.void(await system.gateway.read_payment(old), key=f"by-the-shop-{sample.order_id}")
        new = await pay(over_oscar, TWO_LINES)
        await over_oscar.shop.replace_payment(sample.order_id, new)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert f"tender {order.tenders[0].tender_id} (600.00 USD) is a new payment" in wait.reason
        await system.resolve(handle, resolve(StepName.CHECK_ORDER, sample.order_id, "roll_back"))
        assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
        _, handle = await system.submit(request(sample, *scope, request_id="anew"))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await system.approve(handle)
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    refunded = money("550.00 USD") if lines else money(TWO_LINES)
    assert (await system.gateway.read_payment(new)).refunded == refunded


async def test_a_price_that_changes_while_the_run_waits_is_a_persons_question(over_oscar: Oscar) -> None:
    """I1: of a part of the order its price is what goes back."""
    system = over_oscar.system
    lines = (line("L1", 1, "550.00 USD"), line("L2", 1, "50.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card(TWO_LINES),))
    order = await over_oscar.place_order(sample)
    changed = order.lines[0].line_id
    async with system.worker():
        handle = await wait_for_approval(over_oscar, sample, LineScope(line_id=changed, quantity=1))
        await over_oscar.shop.change_price(sample.order_id, changed, money("580.00 USD"))
        await over_oscar.shop.add_payment(sample.order_id, await pay(over_oscar, "30.00 USD"), money("30.00 USD"))
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert f"line {changed} costs 580.00 USD instead of 550.00 USD" in wait.reason
        await over_oscar.shop.change_price(sample.order_id, changed, money("550.00 USD"))
        await system.retry(handle, StepName.CHECK_ORDER, sample.order_id)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("550.00 USD"))


async def test_a_payment_for_what_stays_in_the_order_is_nobodys_question(over_oscar: Oscar) -> None:
    """What is cancelled was paid by a payment that the order still names, and costs what it did."""
    system = over_oscar.system
    lines = (line("L1", 1, "550.00 USD"), line("L2", 1, "50.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card(TWO_LINES),))
    order = await over_oscar.place_order(sample)
    async with system.worker():
        handle = await wait_for_approval(over_oscar, sample, LineScope(line_id=order.lines[0].line_id, quantity=1))
        await over_oscar.shop.add_payment(sample.order_id, await pay(over_oscar, "15.00 USD"), money("15.00 USD"))
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("550.00 USD"))
