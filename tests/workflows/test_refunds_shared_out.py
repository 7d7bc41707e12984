"""What others refund at a payment makes up for what the order's cancellations have lost there: each once, a part of it each
where it is for several, and what nobody has given is owed."""

from datetime import UTC, datetime

from domain.messages import RefundEvent
from domain.money import Money, money
from domain.step import StepName
from domain.terms import RefundMethod
from providers.books.inbox import SqlInbox
from providers.events.stripe import StripeEventKind
from providers.inbox.port import Provider, ProviderEvent
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, card, line
from tests.system import Handle, System, customer_of, settled
from tests.workflows.samples import an_id
from tests.workflows.test_several_cancellations import (
    FIRST,
    WHOLE,
    after_an_event,
    cancel_first,
    of_line,
    two_lines,
)

NOTHING = money("0.00 USD")


def three_lines() -> SampleOrder:
    """40.00, 30.00 and 30.00 on one card."""
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "30.00 USD"), line("L3", 1, "30.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("100.00 USD"),))


def much_stays() -> SampleOrder:
    """64.00 of L1 and 136.00 of L2, on one card."""
    lines = (line("L1", 1, "64.00 USD"), line("L2", 1, "136.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("200.00 USD"),))


async def both_failed(system: System, sample: SampleOrder) -> str:
    """L1 and L2 are cancelled one after the other; both refunds fail afterwards. Returns the payment's number."""
    await system.shop.place_order(sample)
    for line_id in ("L1", "L2"):
        await system.cancel(of_line(sample, line_id, line_id))
    payment = system.shop.payments[sample.order_id][0]
    for made in await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED):
        await system.shop.gateway.fail(made.object_id)
    return payment


async def first_reopened(system: System, sample: SampleOrder) -> Handle:
    """The cancellation that `cancel_first` has carried out, looked at again because of an event of the gateway."""
    await system.library.look_again(of_line(sample, "L1", "first"), RefundEvent(event_id="evt_r"))
    handle = system.current(sample.order_id)
    system.started.append(handle)
    return handle


async def at_gateway(system: System, sample: SampleOrder) -> Money:
    return (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).refunded


async def test_one_refund_of_others_makes_up_for_two_that_failed(system: System) -> None:
    """I11: the account is closed, both refunds fail, and an agent refunds all 100.00 at once: nobody owes anything."""
    sample = two_lines()
    payment = await both_failed(system, sample)
    await system.shop.gateway.refund_elsewhere(payment, WHOLE)
    for line_id in ("L1", "L2"):
        handle = await after_an_event(system, sample, line_id)
        asked = await system.wait_for_collection(handle)
        assert asked is None, asked.reason
    assert await system.store_credit(sample.customer_id) == NOTHING
    await system.assert_books_balance()


async def test_one_refund_of_others_makes_up_for_two_of_three_cancellations(system: System) -> None:
    """I11: the first two fail, an agent refunds 70.00 at once, and the third is cancelled."""
    sample = three_lines()
    payment = await both_failed(system, sample)
    await system.shop.gateway.refund_elsewhere(payment, money("70.00 USD"))
    assert (await system.cancel(of_line(sample, "L3", "L3"))).refunded == money("30.00 USD")
    for line_id in ("L1", "L2"):
        asked = await system.wait_for_collection(await after_an_event(system, sample, line_id))
        assert asked is None, asked.reason
    await system.assert_books_balance()


async def test_a_refund_for_two_that_fails_is_heard_of_by_both(system: System) -> None:
    """I1, I6: the gateway's event is delivered to one of them, and the other one is looked at afterwards."""
    sample = two_lines()
    payment = await both_failed(system, sample)
    theirs = await system.shop.gateway.refund_elsewhere(payment, WHOLE)
    for line_id in ("L1", "L2"):
        await system.finish(await after_an_event(system, sample, line_id))
    await system.shop.gateway.fail(theirs)
    events, heard = SqlInbox(system.engine), list[str]()
    event = ProviderEvent(
        provider=Provider.STRIPE,
        event_id=f"evt_{theirs}",
        kind=StripeEventKind.REFUND_FAILED,
        payment=payment,
        refund=theirs,
        may_undo_outcome=True,
    )
    await events.receive(event)
    while due := [e for e in await events.claim_due(datetime.now(UTC), 50) if e.subject == theirs]:
        ended = await events.find_ended(due[0])
        await events.mark_delivered(due[0], datetime.now(UTC))
        if ended is None:
            continue
        [line_id] = (scope.line_id for scope in ended.request.lines)
        handle = await after_an_event(system, sample, line_id)
        if await system.wait_for_step(handle, StepName.REVERSE_PAYMENT):
            await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
            heard.append(line_id)
        await system.finish(handle)
    assert sorted(heard) == ["L1", "L2"]
    assert await system.store_credit(sample.customer_id) == WHOLE
    await system.assert_books_balance()


async def test_a_refund_of_others_for_the_first_one_is_not_taken_for_the_second(system: System) -> None:
    """I1, I11: the first one's 64.00 fail while the second one's 36.00 are refused and wait. An agent refunds 64.00."""
    sample = two_lines()
    await cancel_first(system, sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    _, handle = await system.submit(of_line(sample, "L2", "L2"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    await system.shop.gateway.refund_elsewhere(payment, FIRST)
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    assert await system.wait_for_collection(handle, after=wait) is None
    await system.finish(handle)
    assert await system.wait_for_collection(await first_reopened(system, sample)) is None
    assert await at_gateway(system, sample) == WHOLE
    await system.assert_books_balance()


async def test_a_refund_of_others_of_the_same_amount_is_not_followed_by_ours(system: System) -> None:
    """I11: L1's refund fails after the end, and an agent refunds as much before the event comes. L2 stays in the order."""
    sample = much_stays()
    await cancel_first(system, sample)
    await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], FIRST)
    handle = await first_reopened(system, sample)
    if await system.wait_for_step(handle, StepName.REVERSE_PAYMENT):
        await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    await system.finish(handle)
    assert await at_gateway(system, sample) + await system.store_credit(sample.customer_id) == FIRST
    await system.assert_books_balance()


async def test_a_person_hears_of_a_refund_of_others_that_may_have_been_for_one_that_failed(system: System) -> None:
    """I11: the same, but the agent refunds 60.00: that may be for something else. Nothing is offered before a person has
    looked. It was for this, and the other 4.00 are refunded."""
    sample = much_stays()
    await cancel_first(system, sample)
    some = money("60.00 USD")
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], some)
    handle = await first_reopened(system, sample)
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert f"60.00 USD by refund {theirs}" in asked.reason
    assert not asked.choices
    await system.resolve(handle, settled(asked, "done_by_hand", theirs))
    await system.finish(handle)
    assert await at_gateway(system, sample) == FIRST
    assert (await system.refunds(sample.order_id))[-1] == FIRST - some
    await system.assert_books_balance()
