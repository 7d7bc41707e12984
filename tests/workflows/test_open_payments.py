"""A payment that the customer has not completed is closed with its order, so that a cancelled order cannot be paid."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from domain.money import money
from domain.order import OrderState
from domain.outcome import MoneyStatus, Outcome, State
from domain.request import Actor, ActorKind, CancellationRequest, ReasonCode
from domain.step import StepName
from providers.outbox.port import NoticeKind
from sandbox import books, built_in
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import OpenPayment
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System, resolve
from tests.workflows.samples import an_id
from tests.workflows.test_settled_by_hand import PRICE

NOTHING = money("0.00 USD")


def unpaid(wants: OpenPayment, *, fault: str = "") -> SampleOrder:
    tender = card("64.00 USD", wants=wants, fault=fault)
    return SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(tender,))


def expired(sample: SampleOrder) -> CancellationRequest:
    """The shop's own request, once the time to pay is over."""
    by_shop = {"actor": Actor(kind=ActorKind.SYSTEM, id="shop"), "reason": ReasonCode.UNPAID_EXPIRED}
    return request(sample).model_copy(update=by_shop)


@pytest.mark.parametrize("wants", OpenPayment)
async def test_a_payment_that_was_not_completed_is_closed_at_the_gateway(system: System, wants: OpenPayment) -> None:
    """E1, F1."""
    sample = unpaid(wants)
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    decided, handle = await system.submit(expired(sample))
    assert "close the payment of 64.00 USD" in decided.decision.sentence
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.NOTHING_DUE)
    assert (result.refunded, result.released) == (NOTHING, NOTHING)
    closed = await system.shop.gateway.effects(payment, EffectKind.PAYMENT_CLOSED)
    assert [effect.key for effect in closed] == [f"{result.cancellation_id}/reverse_payment/T1/1.void"]
    with pytest.raises(httpx2.HTTPStatusError):
        await system.shop.gateway.complete(payment)
    assert await books.documents(system.engine) == []
    written = {notice.kind for notice in await books.notices(system.engine)}
    assert written == {NoticeKind.RECEIVED, NoticeKind.CANCELLED}
    await system.assert_books_balance()


async def test_a_customer_who_pays_just_before_it_is_closed_gets_the_money_back(system: System) -> None:
    """E1: the gateway has it by then."""
    sample = unpaid(OpenPayment.ACTION, fault="payment_intent.cancel:pay")
    await system.shop.place_order(sample)
    result = await system.cancel(expired(sample))
    assert (result.outcome, result.money, result.refunded) == (Outcome.CANCELLED, MoneyStatus.REFUNDED, PRICE)
    assert await system.refunds(sample.order_id) == [PRICE]
    await system.assert_books_balance()


async def test_a_lost_answer_to_the_close_is_looked_up(system: System) -> None:
    """B18, E1."""
    sample = unpaid(OpenPayment.CONFIRMATION, fault="payment_intent.cancel:drop_after_commit")
    await system.shop.place_order(sample)
    result = await system.cancel(expired(sample))
    assert result.outcome is Outcome.CANCELLED
    payment = system.shop.payments[sample.order_id][0]
    assert len(await system.shop.gateway.effects(payment, EffectKind.PAYMENT_CLOSED)) == 1


async def test_an_order_that_goes_on_after_its_payment_was_closed_needs_a_new_one(system: System) -> None:
    """E1: a person orders the roll-back before the order is closed."""
    sample = unpaid(OpenPayment.METHOD)
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(expired(sample))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    assert "ask the customer for a new payment of 64.00 USD" in asked.reason
    await system.resolve(handle, resolve(StepName.RESTORE_PAYMENT, "T1", "nothing_due", "ASKED-1"))
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert (await system.read_order(sample.order_id)).state is OrderState.OPEN


async def of_two_orders(system: System, **more: Any) -> tuple[SampleOrder, str]:
    """An order of 60.00 that is to be paid by an open payment of 100.00 for two orders; with that payment."""
    payment = await system.shop.gateway.create_open_payment(money("100.00 USD"), OpenPayment.ACTION)
    tenders = (card("60.00 USD", payment=payment),)
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "60.00 USD"),), tenders=tenders, **more)
    await system.shop.place_order(sample)
    return sample, payment


async def test_of_an_open_payment_for_two_orders_it_is_said_what_is_not_to_be_taken(system: System) -> None:
    """E1, E3: it cannot be closed for one of its orders, and the customer can still pay for the cancelled one. As with a
    shared reservation decision, plan, step table and mail say so."""
    ours, payment = await of_two_orders(system)
    submission, handle = await system.submit(request(ours))
    assert "do not take 60.00 USD" in submission.decision.sentence
    assert "stays open" in submission.decision.sentence
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.NOTHING_DUE)
    assert (result.refunded, result.released) == (NOTHING, NOTHING)
    assert "not captured: 60.00 USD" in {step.detail for step in result.steps}
    [mail] = [n for n in await system.notices(ours.order_id) if n.kind is NoticeKind.RESERVATION_RELEASED]
    assert (mail.amount, mail.notice_id.rpartition("/")[2]) == (money("60.00 USD"), "not_to_be_paid")
    await system.shop.gateway.complete(payment)
    assert (await system.gateway.read_payment(payment)).captured == money("100.00 USD")


async def test_what_is_paid_of_an_open_payment_for_two_orders_before_the_run_gets_there_is_refunded(
    system: System,
) -> None:
    """E1, E3: the customer pays for both orders while the approval is waited for; the other order's part stays."""
    ours, payment = await of_two_orders(system, age=timedelta(days=60))
    _, handle = await system.submit(request(ours))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.complete(payment)
    await system.approve(handle)
    assert (await system.finish(handle)).refunded == money("60.00 USD")
    assert await system.refunds(ours.order_id) == [money("60.00 USD")]
    await system.assert_books_balance()
