"""What somebody else gives the customer besides: in the gateway's dashboard, or as the bank that decides a dispute.

It is found before another way is taken, and where it comes to more than is due, the refund department is asked to collect.
"""

import pytest

from domain.messages import RefundEvent
from domain.money import Money, money
from domain.outcome import Outcome, State, Wait
from domain.payment import Payment
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import books, built_in
from sandbox.shop import SampleOrder, card, request
from tests.system import Handle, System, customer_of, resolve, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import captured
from tests.workflows.test_settled_by_hand import settles, under_way
from tests.workflows.test_several_cancellations import REST, of_line, two_lines

PRICE = money("64.00 USD")
NOTHING = money("0.00 USD")


async def refund_refused(system: System, sample: SampleOrder) -> Handle:
    """The gateway refuses our refund for good, so a person or the customer has to say how the money goes back."""
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    return handle


async def refunded_by_others(system: System, sample: SampleOrder) -> str:
    """An agent refunds all of it in the gateway's dashboard; returns the refund's number."""
    return await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], PRICE)


async def paid_by_a_refund(system: System, sample: SampleOrder, amount: Money = PRICE) -> tuple[Handle, Wait, str]:
    """Our refund is refused; an agent refunds in the gateway's dashboard, and names that refund's number as their proof."""
    handle = await refund_refused(system, sample)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], amount)
    await system.resolve(handle, settled(wait, "done_by_hand", theirs))
    return handle, wait, theirs


# Before another way is taken


async def test_store_credit_is_not_given_for_what_others_refunded_meanwhile(system: System) -> None:
    """Rule 5, I11: the customer has it already; their refund is credited under its own number."""
    sample = captured(fault="refund.create:refuse", parcels=())
    handle = await refund_refused(system, sample)
    theirs = await refunded_by_others(system, sample)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert (await system.finish(handle)).refunded == PRICE
    assert await system.store_credit(sample.customer_id) == NOTHING
    assert theirs in await system.references()
    await system.assert_books_balance()


async def test_store_credit_is_not_given_while_the_bank_disputes(system: System) -> None:
    """Rule 5, I11: the dispute was opened since the run looked last; the refund department answers it first."""
    sample = captured(fault="refund.create:refuse", parcels=())
    handle = await refund_refused(system, sample)
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0])
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    asked = await system.wait_for_wait(handle, lambda wait: "disputes" in wait.reason, "a person hears of the dispute")
    assert await system.store_credit(sample.customer_id) == NOTHING
    assert asked
    assert not asked.choices
    await system.resolve(handle, settled(asked, "nothing_due", "DISPUTE-1"))
    assert (await system.finish(handle)).refunded == NOTHING


async def test_no_transfer_is_asked_for_over_what_others_refunded_meanwhile(system: System) -> None:
    """Rule 5, I11"""
    sample = captured(fault="refund.create:refuse", parcels=())
    handle = await refund_refused(system, sample)
    theirs = await refunded_by_others(system, sample)
    await system.choose(handle, customer_of(sample), RefundMethod.BANK_TRANSFER)
    assert (await system.finish(handle)).refunded == PRICE
    assert theirs in await system.references()
    await system.assert_books_balance()


# Besides what went another way


async def test_what_is_paid_by_hand_and_was_refunded_by_others_meanwhile_is_seen(system: System) -> None:
    """I11: the refund department is asked to collect before the cancellation ends."""
    sample = captured(fault="refund.create:refuse", parcels=())
    handle = await refund_refused(system, sample)
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    theirs = await refunded_by_others(system, sample)
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-1"))
    asked = await system.wait_for_collection(handle, after=wait)
    assert asked
    assert "64.00 USD more than is due" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(handle)).refunded == PRICE, "the result has what was collected as well"
    assert {theirs, "BANK-1", "COLLECTED-1"} <= await system.references()
    await system.assert_books_balance()


async def test_who_refunded_in_the_dashboard_and_says_so_has_paid_once(system: System) -> None:
    """I11: the person names the gateway's own number of their refund, so nothing came twice."""
    sample = captured(fault="refund.create:refuse", parcels=())
    handle, wait, _ = await paid_by_a_refund(system, sample)
    assert await system.wait_for_collection(handle, after=wait) is None
    assert (await system.finish(handle)).refunded == PRICE
    await system.assert_books_balance()


async def test_a_refund_of_others_after_the_end_besides_store_credit_is_seen(system: System) -> None:
    """I11: days later an agent gets the card's refund through, and the gateway's event comes."""
    sample = captured(fault="refund.create:refuse", parcels=())
    handle = await refund_refused(system, sample)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.store_credit(sample.customer_id) == PRICE
    await refunded_by_others(system, sample)
    again = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_collection(again)
    assert asked
    await system.resolve(again, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(again)).outcome is Outcome.CANCELLED
    assert await system.paid_by_hand("COLLECTED-1") == PRICE
    await system.assert_books_balance()


async def test_a_refund_that_an_agent_made_up_for_before_the_event_came_is_not_given_again(system: System) -> None:
    """I11: ours fails after the end, and an agent refunds the same 64.00 at once. Nobody has to do anything any more,
    and the books name the refund that arrived."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    ours = await refund_of(system, sample)
    await system.shop.gateway.fail(ours)
    theirs = await refunded_by_others(system, sample)
    again = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_step(again, StepName.REVERSE_PAYMENT)
    if asked:
        await system.choose(again, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert (await system.finish(again)).refunded == PRICE
    assert await system.store_credit(sample.customer_id) == NOTHING
    assert asked is None
    posted = [(t.reference, t.debit) for t in await books.ledger(system.engine) if t.reference in {ours, theirs}]
    assert posted == [(ours, "refunds_payable"), (ours, "gateway_clearing"), (theirs, "refunds_payable")]
    await system.assert_books_balance()


async def test_a_refund_of_others_besides_what_a_roll_back_left_as_store_credit_is_seen(system: System) -> None:
    """I11: 64.00 of store credit were spent and kept when the first line was rolled back. All is cancelled then, 36.00 go
    back, and days later an agent gets 64.00 through by card."""
    sample = two_lines(card("100.00 USD", fault="refund.create:refuse"))
    await system.shop.place_order(sample)
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(of_line(sample, "L1", "L1"))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    account = f"store-credit-{sample.customer_id}-USD"
    await built_in.spend_balance(system.engine, account, PRICE, key=f"spent-{sample.order_id}")
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT)
    assert asked
    await system.resolve(handle, settled(asked, "nothing_due", "GOODWILL"))
    await system.finish(handle)
    await built_in.lock_order(system.engine, sample.order_id, None)
    assert (await system.cancel(request(sample, request_id="all"))).refunded == REST
    theirs = await refunded_by_others(system, sample)
    reopened = await system.find_reopened(sample.order_id, theirs)
    assert reopened, "the customer has 164.00 for an order of 100.00, and nobody is notified"
    await system.library.look_again(reopened, RefundEvent(event_id="evt_1"))
    again = system.current(sample.order_id)
    system.started.append(again)
    asked = await system.wait_for_collection(again)
    assert asked
    assert "64.00 USD more than is due" in asked.reason
    await system.resolve(again, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(again)
    await system.assert_books_balance()


# By the bank


async def test_a_lost_dispute_besides_a_settled_refund_is_seen(system: System) -> None:
    """I11: the refund department is asked to collect before the cancellation ends, and the ledger names the dispute."""
    sample = under_way()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.dispute(payment)
    await system.wake(handle)
    before = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.shop.gateway.dispute(payment, "lost")
    await settles(system, sample)
    await system.wake(handle)
    asked = await system.wait_for_collection(handle, after=before.waits[0])
    assert asked
    assert "64.00 USD more than is due" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(handle)).refunded == PRICE, "the bank's part was collected, not ours"
    assert await system.paid_by_hand("COLLECTED-1") == PRICE
    assert any(reference.startswith("dp_") for reference in await system.references())
    await system.assert_books_balance()


async def test_what_the_bank_gave_back_for_goods_that_were_kept_is_not_demanded_back(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I11: 64.00 of 100.00 are cancelled and refunded; the bank decides about the other 36.00 for the customer."""
    sample = two_lines()
    await system.shop.place_order(sample)
    await system.cancel(of_line(sample, "L1", "first"))
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.dispute(payment)
    await system.shop.gateway.dispute(payment, "lost")
    read = system.gateway.read_payment

    async def disputed_for_the_rest(reference: str) -> Payment:
        found = await read(reference)
        backs = tuple(back.model_copy(update={"amount": REST}) for back in found.charge_backs)
        return found.model_copy(update={"charge_backs": backs})

    monkeypatch.setattr(system.gateway, "read_payment", disputed_for_the_rest)
    assert await system.wait_for_collection(await system.notify_of_refund(sample.order_id)) is None
    await system.assert_books_balance()
