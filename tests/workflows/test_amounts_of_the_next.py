"""What the next cancellation of an order, and an order that shares a payment, gives back."""

import pytest
from sqlalchemy import update

from domain.decision import Verdict
from domain.money import Money, money
from domain.outcome import Outcome, State
from domain.request import CancellationRequest, LineScope
from providers.orders.built_in.tables import OrderLineRow, OrderRow
from sandbox.shop import SampleOrder, card, line, request
from tests.system import AGENT, POLICY, System, customer_of
from tests.workflows.samples import an_id
from tests.workflows.test_shared_payments import OURS, THEIRS, two_orders

WHOLE = money("100.00 USD")


def of_line(sample: SampleOrder, line_id: str, request_id: str) -> CancellationRequest:
    return request(sample, LineScope(line_id=line_id, quantity=1), request_id=request_id)


async def test_two_tenders_on_one_payment_give_back_all_of_it_in_two_parts(system: System) -> None:
    """F3, I1: a shop that keeps one payment as two tenders; half of the order, then the rest."""
    payment = await system.shop.gateway.create_payment(WHOLE, capture=WHOLE)
    tenders = (card(str(OURS), payment=payment), card(str(THEIRS), payment=payment))
    lines = (line("L1", 1, "50.00 USD"), line("L2", 1, "50.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=tenders)
    await system.shop.place_order(sample)
    first = await system.cancel(of_line(sample, "L1", "first"))
    rest = await system.cancel(request(sample, request_id="rest"))
    assert (first.refunded, rest.refunded) == (money("50.00 USD"), money("50.00 USD"))
    assert (await system.gateway.read_payment(payment)).refunded == WHOLE


async def test_what_is_refunded_for_the_other_order_meanwhile_is_not_taken_from_this_ones_share(
    bare_system: System,
) -> None:
    """F3, E3: as before the decision: of 100.00, the other order's 40.00 went back at the gateway."""
    system = bare_system
    ours, _, payment = await two_orders(system, captured=WHOLE)
    async with system.worker(policy=POLICY.model_copy(update={"approval_limits": ()})):
        submission, handle = await system.submit(request(ours))
        assert submission.decision.verdict is Verdict.NEEDS_APPROVAL
        await system.shop.gateway.refund_elsewhere(payment, THEIRS)
        await system.approve(handle)
        result = await system.finish(handle)
    assert result.refunded == OURS
    assert (await system.gateway.read_payment(payment)).refunded == WHOLE


@pytest.mark.parametrize("how", ["price", "discount"])
async def test_what_an_order_costs_now_counts_where_the_first_cancellation_was_withdrawn(
    bare_system: System, how: str
) -> None:
    """I11: nothing has left the order. The customer stays for 20.00 off, which they get back; then cancels half of it."""
    system = bare_system
    lines = (line("L1", 1, "1000.00 USD"), line("L2", 1, "1000.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("2000.00 USD"),))
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(of_line(sample, "L1", "first"))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await system.withdraw(handle, customer_of(sample))
        assert (await system.finish(handle)).outcome is Outcome.WITHDRAWN
        async with system.engine.begin() as shop:
            if how == "price":
                of = (OrderLineRow.order_id == sample.order_id) & (OrderLineRow.line_id == "L1")
                await shop.execute(update(OrderLineRow).where(of).values(total=80000))
            else:
                await shop.execute(update(OrderRow).where(OrderRow.order_id == sample.order_id).values(discount=20000))
        payment = system.shop.payments[sample.order_id][0]
        await system.shop.gateway.refund_elsewhere(payment, money("200.00 USD"))
        right = money("800.00 USD" if how == "price" else "900.00 USD")
        submission, _ = await system.submit(of_line(sample, "L1", "second"))
    assert submission.plan is not None
    assert submission.plan.refund == right


async def test_what_a_gateway_does_not_take_of_a_shared_payment_is_shown(system: System) -> None:
    """F10c, E9: 3.333 of a payment of 10.000 are this order's; 3.330 can be sent, and the plan says what is missing."""
    payment = await system.shop.gateway.create_payment(money("10.000 KWD"), capture=money("10.000 KWD"))
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "3.333 KWD"),), tenders=(card("3.333 KWD", payment=payment),)
    )
    await system.shop.place_order(sample)
    submission, _ = await system.submit(request(sample))
    assert submission.plan is not None
    plan = submission.plan
    assert plan.given_back - plan.value == plan.rounding, (plan.given_back, plan.value, plan.rounding)


async def reserved_as_two_tenders(system: System) -> tuple[SampleOrder, str]:
    payment = await system.shop.gateway.create_payment(WHOLE, capture=None)
    tenders = (card(str(OURS), payment=payment), card(str(THEIRS), payment=payment))
    lines = (line("L1", 1, str(OURS)), line("L2", 1, str(THEIRS)))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=tenders)
    await system.shop.place_order(sample)
    return sample, payment


async def test_a_reservation_that_is_all_this_orders_is_released_also_where_it_is_two_tenders(system: System) -> None:
    """B1: nobody else's money is in it, so it is voided with the whole order."""
    sample, payment = await reserved_as_two_tenders(system)
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    assert (await system.gateway.read_payment(payment)).capturable == money("0.00 USD")


async def test_of_a_reservation_that_is_two_tenders_a_part_is_not_captured(system: System) -> None:
    """B2: one line of two, worth just what one of the tenders is. The rest is captured when it ships, so nothing is voided
    before the last line."""
    sample, payment = await reserved_as_two_tenders(system)
    first = await system.cancel(of_line(sample, "L1", "first"))
    assert first.outcome is Outcome.CANCELLED
    assert (await system.gateway.read_payment(payment)).capturable == WHOLE
    rest = await system.cancel(request(sample, request_id="rest"))
    assert rest.outcome is Outcome.CANCELLED
    assert (await system.gateway.read_payment(payment)).capturable == money("0.00 USD")


async def test_the_shipping_charge_goes_back_once_beside_a_discount_and_a_partial_cancellation(system: System) -> None:
    """E13, E2, I1: shipping alone, one line, then the rest: all that was paid, exactly."""
    lines = (line("L1", 1, "10.01 USD"), line("L2", 1, "10.01 USD"))
    sample = SampleOrder(
        order_id=an_id(),
        lines=lines,
        tenders=(card("20.02 USD"),),
        shipping=money("4.99 USD"),
        shipping_tax=money("0.79 USD"),
        discount=money("4.99 USD"),
    )
    await system.shop.place_order(sample)
    alone = request(sample, request_id="alone").model_copy(update={"actor": AGENT, "shipping": True})
    given = [(await system.cancel(alone)).refunded]
    given.append((await system.cancel(of_line(sample, "L1", "one"))).refunded)
    given.append((await system.cancel(request(sample, request_id="rest"))).refunded)
    assert Money.total([amount for amount in given if amount], "USD") == money("20.02 USD"), given
    await system.assert_books_balance()
