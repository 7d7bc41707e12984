"""Several cancellations of one order, one after the other: each gives back what its own goods are worth, whatever has become
of what the earlier ones gave back."""

from domain.messages import RefundEvent
from domain.money import Money, money
from domain.outcome import Outcome, State
from domain.request import CancellationRequest, LineScope
from domain.step import StepName
from domain.terms import RefundMethod
from sandbox import books, built_in
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.shop import SampleOrder, SampleTender, card, line, request
from tests.system import Handle, System, customer_of, resolve, settled
from tests.workflows.samples import an_id

FIRST, REST, WHOLE = money("64.00 USD"), money("36.00 USD"), money("100.00 USD")


def two_lines(paid: SampleTender | None = None) -> SampleOrder:
    """64.00 of L1 and 36.00 of L2, on one card."""
    lines = (line("L1", 1, "64.00 USD"), line("L2", 1, "36.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(paid or card("100.00 USD"),))


def of_line(sample: SampleOrder, line_id: str, request_id: str, units: int = 1) -> CancellationRequest:
    return request(sample, LineScope(line_id=line_id, quantity=units), request_id=request_id)


async def refund_of_first(system: System, sample: SampleOrder) -> str:
    [made] = await system.shop.gateway.effects(system.shop.payments[sample.order_id][0], EffectKind.REFUND_CREATED)
    return made.object_id


async def credited(system: System) -> list[Money]:
    return [document.total for document in await books.documents(system.engine)]


async def cancel_first(system: System, sample: SampleOrder) -> CancellationRequest:
    """L1 is cancelled and over; then its refund fails, and nobody has heard of it yet."""
    await system.shop.place_order(sample)
    first = of_line(sample, "L1", "first")
    await system.cancel(first)
    await system.shop.gateway.fail(await refund_of_first(system, sample))
    return first


async def first_is_refused(system: System, sample: SampleOrder, resolution: str) -> None:
    """The gateway refuses the refund of L1 for good, and a person says what becomes of it."""
    await system.shop.place_order(sample)
    _, handle = await system.submit(of_line(sample, "L1", "first"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    await system.resolve(handle, settled(wait, resolution, "REF-1"))
    await system.finish(handle)


async def test_the_rest_does_not_pay_again_what_the_first_one_owes(system: System) -> None:
    """Rule 9, I11: the money of a refund that has failed is the first cancellation's to give back."""
    sample = two_lines()
    await cancel_first(system, sample)
    submission, handle = await system.submit(of_line(sample, "L2", "rest"))
    assert submission.plan is not None
    assert submission.plan.refund == REST
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [FIRST, REST]
    assert sorted(await credited(system), key=lambda total: total.amount) == [REST, FIRST]


async def test_the_customer_of_two_cancellations_has_what_the_order_cost(system: System) -> None:
    """I11: the rest is cancelled before the first one is opened again, and pays its own debt another way."""
    sample = two_lines()
    first = await cancel_first(system, sample)
    await system.cancel(of_line(sample, "L2", "rest"))
    await system.library.look_again(first, RefundEvent(event_id="evt_r"))
    handle = system.current(sample.order_id)
    system.started.append(handle)
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert (await system.finish(handle)).refunded == FIRST
    credit = await system.store_credit(sample.customer_id)
    at_gateway = (await system.gateway.read_payment(system.shop.payments[sample.order_id][0])).refunded
    assert (credit, at_gateway) == (FIRST, REST)
    await system.assert_books_balance()


async def test_what_was_declared_not_due_is_not_paid_by_the_next_cancellation(system: System) -> None:
    """I1: the customer took a voucher at the till for L1; the gateway still has its money."""
    sample = two_lines(card("100.00 USD", fault="refund.create:refuse"))
    await first_is_refused(system, sample, "nothing_due")
    rest = await system.cancel(of_line(sample, "L2", "rest"))
    assert rest.refunded == REST
    assert await system.refunds(sample.order_id) == [REST]
    assert await credited(system) == [REST]


async def collect_after_a_payment_by_hand(system: System, sample: SampleOrder) -> None:
    """L1 is paid by hand while its refund is pending; the refund settles, and is collected."""
    await system.shop.place_order(sample)
    _, handle = await system.submit(of_line(sample, "L1", "first"))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.resolve(handle, settled(progress.waits[0], "done_by_hand", "BANK-1"))
    await system.shop.gateway.settle(await refund_of_first(system, sample))
    await system.wake(handle)
    asked = await system.wait_for_collection(handle, after=progress.waits[0])
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)


async def test_a_refund_that_was_paid_by_hand_and_collected_counts_once(system: System) -> None:
    """I1, E23: the gateway has given back 64.00 and knows it; the 64.00 by hand are back."""
    sample = two_lines(card("100.00 USD", card="pm_card_pendingRefund"))
    await collect_after_a_payment_by_hand(system, sample)
    submission, handle = await system.submit(of_line(sample, "L2", "rest"))
    assert submission.plan is not None
    assert submission.plan.refund == REST
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    assert await system.refunds(sample.order_id) == [FIRST, REST]


async def test_after_a_new_reservation_the_rest_can_still_be_cancelled_in_parts(system: System) -> None:
    """Rule 9: of 100.00 reserved, 40.00 are given up. The rest is voided, rolled back and reserved again: 60.00, of which
    the next cancellation gives up half and the last one the other half."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "40.00 USD"), line("L2", 2, "60.00 USD")),
        tenders=(card("100.00 USD", "0.00 USD", mandate=True),),
    )
    await system.shop.place_order(sample)
    await system.cancel(of_line(sample, "L1", "first"))
    await built_in.lock_order(system.engine, sample.order_id, "the month is closed")
    _, handle = await system.submit(of_line(sample, "L2", "undone", units=2))
    assert await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    await system.resolve(handle, resolve(StepName.CLOSE_ORDER, sample.order_id, "roll_back"))
    await system.finish(handle)
    await built_in.lock_order(system.engine, sample.order_id, None)
    new = (await system.read_order(sample.order_id)).tenders[0].reference
    assert (await system.gateway.read_payment(new)).capturable == money("60.00 USD")
    half = await system.cancel(of_line(sample, "L2", "half"))
    assert half.released == money("30.00 USD")
    last = await system.cancel(of_line(sample, "L2", "last"))
    assert last.released == money("30.00 USD")
    assert (await system.gateway.read_payment(new)).capturable == money("0.00 USD")
    assert await system.refunds(sample.order_id) == []


# Refunds of others


async def after_an_event(system: System, sample: SampleOrder, line_id: str) -> Handle:
    """The cancellation of a line, looked at again because of an event of the gateway."""
    await system.library.look_again(of_line(sample, line_id, line_id), RefundEvent(event_id="evt_r"))
    handle = system.current(sample.order_id)
    system.started.append(handle)
    return handle


async def store_credit_for(system: System, sample: SampleOrder, line_id: str) -> None:
    """The gateway refuses the refund of a line, and the customer takes store credit."""
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    _, handle = await system.submit(of_line(sample, line_id, line_id))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    await system.finish(handle)


async def test_what_others_made_up_for_is_not_deducted_from_the_rest_as_well(system: System) -> None:
    """I1: the first refund has failed, and an agent refunds as much in the gateway's dashboard. No book knows either yet."""
    sample = two_lines()
    await cancel_first(system, sample)
    await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], FIRST)
    assert (await system.cancel(of_line(sample, "L2", "rest"))).refunded == REST
    assert await system.refunds(sample.order_id) == [FIRST, FIRST, REST]
    await system.assert_books_balance()


async def test_what_others_refunded_is_collected_by_one_cancellation(system: System) -> None:
    """I11: 64.00 of store credit for L1, 64.00 by others for L2, of which 28.00 are collected: nobody owes anything more."""
    sample = two_lines()
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await store_credit_for(system, sample, "L1")
    await system.shop.gateway.add_fault("refund.create", FaultKind.REFUSE, payment=payment)
    _, handle = await system.submit(of_line(sample, "L2", "L2"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.shop.gateway.refund_elsewhere(payment, FIRST)
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    asked = await system.wait_for_collection(handle, after=wait)
    assert asked
    assert "28.00 USD more than is due" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    assert await system.wait_for_collection(await after_an_event(system, sample, "L1")) is None
    await system.assert_books_balance()


async def test_what_others_refunded_besides_two_store_credits_is_collected_once(system: System) -> None:
    """I11: each line for itself leaves room for it at the gateway, the two together do not."""
    sample = two_lines()
    await system.shop.place_order(sample)
    for line_id in ("L1", "L2"):
        await store_credit_for(system, sample, line_id)
    assert await system.store_credit(sample.customer_id) == WHOLE
    await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("30.00 USD"))
    handle = await after_an_event(system, sample, "L1")
    asked = await system.wait_for_collection(handle)
    assert asked
    assert "30.00 USD more than is due" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    assert await system.wait_for_collection(await after_an_event(system, sample, "L2")) is None
    await system.assert_books_balance()
