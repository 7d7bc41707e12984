"""Found by trying: each is a case of its own kind."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker

from domain.money import money
from domain.step import StepName
from domain.terms import RefundMethod
from providers.orders.built_in.tables import GivenBackRow
from sandbox.gateway_admin import OpenPayment
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System, customer_of, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import an_id, captured
from tests.workflows.test_shared_payments import THEIRS, two_orders
from tests.workflows.test_shops_that_cannot_freeze import over_oscar

__all__ = ["over_oscar"]

WHOLE = money("100.00 USD")


@pytest.mark.xfail(strict=True, reason="128.00 for 64.00")
async def test_the_order_does_not_show_a_refund_that_has_failed_besides_the_store_credit_for_it(system: System) -> None:
    """I3, B23: the shop's own record of what went back is what the customer has."""
    sample = captured(parcels=())
    await system.shop.place(sample)
    await system.cancel(request(sample))
    await system.shop.gateway.fail(await refund_of(system, sample))
    handle = await system.notified_of_refund(sample.order_id)
    assert await system.waits_at(handle, StepName.REVERSE_PAYMENT)
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert (await system.finish(handle)).refunded == money("64.00 USD")
    async with async_sessionmaker(system.engine)() as session:
        rows = await session.scalars(select(GivenBackRow).where(GivenBackRow.order_id == sample.order_id))
        assert sum(row.amount for row in rows) == 6400


@pytest.mark.xfail(
    strict=True, reason="no money to give back; the customer can pay for what is cancelled, and nobody knows"
)
async def test_of_an_open_payment_for_two_orders_it_is_said_what_is_not_to_be_taken(system: System) -> None:
    """E1, E3: it cannot be closed for one of its orders, and the customer can still pay for the cancelled one. As with a
    shared reservation the decision says so."""
    payment = await system.shop.gateway.create_open_payment(WHOLE, OpenPayment.ACTION)
    ours = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "60.00 USD"),), tenders=(card("60.00 USD", payment=payment),)
    )
    await system.shop.place(ours)
    submission, handle = await system.submit(request(ours))
    await system.finish(handle)
    await system.shop.gateway.complete(payment)
    assert "60.00 USD" in submission.decision.sentence, submission.decision.sentence


@pytest.mark.xfail(strict=True, reason="accepted; it waits for ever to be closed: the refund is in the ledger already")
async def test_the_refund_of_the_other_order_of_a_payment_is_no_proof(system: System) -> None:
    """E3, rule 6: a refund that another cancellation has made is refused as a proof of what is owed here."""
    ours, theirs, payment = await two_orders(system, captured=WHOLE)
    await system.cancel(request(ours))
    await system.shop.gateway.fail(await refund_of(system, ours))
    handle = await system.notified_of_refund(ours.order_id)
    wait = await system.waits_at(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert (await system.cancel(request(theirs))).refunded == THEIRS
    [of_other] = [r for r in (await system.gateway.read_payment(payment)).refunds if not r.status.has_failed]
    refusal = await system.refusal(system.resolve(handle, settled(wait, "done_by_hand", of_other.reference)))
    rest = None if refusal else await system.wait_like(handle, lambda w: w != wait, "the money is still owed")
    assert refusal or (rest and rest.step is StepName.REVERSE_PAYMENT), rest
