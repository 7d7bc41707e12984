"""What has gone back to a customer is noted in Vendure's books, as far as the payments there can take it."""

import pytest

from domain.money import money
from domain.order import Order
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.gateway.messages import EffectKind
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.over import OverVendure, request, units, with_plugin
from tests.system import resolve, settled
from tests.workflows.samples import an_id

WHOLE = money("60.00 USD")


async def place_order_of_two_payments(over: OverVendure) -> Order:
    """One payment of 60.00 at the gateway, which Vendure has as two of one transaction: 40.00 and 20.00."""
    asked = await over.system.shop.place_order(
        SampleOrder(order_id=an_id(), lines=(line("L1", 2, "60.00 USD"),), tenders=(card("60.00 USD"),))
    )
    [tender] = asked.tenders
    parts = tuple(
        tender.model_copy(update={"tender_id": name, "amount": money(amount)})
        for name, amount in (("a", "40.00 USD"), ("b", "20.00 USD"))
    )
    return await over.read(await over.shop.place_order(asked.model_copy(update={"tenders": parts})))


async def refunds_by_payment(over: OverVendure, order: Order) -> list[list[int]]:
    """Of each payment in Vendure, what was given back of it."""
    payments = (await over.shop.read(order.order_id)).payments
    return [[refund.total for refund in payment.refunds] for payment in payments]


@with_plugin
async def test_a_refund_is_divided_over_the_payments_of_its_transaction(over: OverVendure) -> None:
    """I3: none of them gives back more than it is."""
    order = await place_order_of_two_payments(over)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, WHOLE)
    assert await refunds_by_payment(over, order) == [[4000], [2000]]
    assert await over.shop.read_holder(order.order_id) is None


@pytest.mark.long
@with_plugin
async def test_the_refunds_of_two_cancellations_are_divided_over_the_payments_of_their_transaction(
    over: OverVendure,
) -> None:
    """I3: the second one goes on where the first one has stopped."""
    order = await place_order_of_two_payments(over)
    async with over.system.worker():
        await over.system.cancel(request(order, units(order, 0, 1)))
        assert await refunds_by_payment(over, order) == [[3000], []]
        await over.system.cancel(request(order, units(order, 0, 1), request_id="second"))
    assert await refunds_by_payment(over, order) == [[3000, 1000], [2000]]


@with_plugin
async def test_what_the_customer_had_twice_and_has_paid_back_is_not_noted(over: OverVendure) -> None:
    """I3, I11: a person has paid by hand, the refund arrives all the same, and a person collects it."""
    system = over.system
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"),),
        tenders=(card("64.00 USD", card="pm_card_pendingRefund"),),
    )
    order = await over.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(order))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        tender_id = order.tenders[0].tender_id
        await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, tender_id, "done_by_hand", "BANK-1"))
        [payment] = system.shop.payments[order.order_id]
        [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
        await system.shop.gateway.settle(refund.object_id)
        await system.wake(handle)
        asked = await system.wait_for_collection(handle)
        assert asked is not None
        await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await over.shop.given_back(order.order_id) == [("BANK-1", money("64.00 USD"))]
