"""A run may take 10,000 signals; one that hears of its parcel or its refund again and again continues long before."""

from datetime import timedelta

import pytest

from domain.outcome import State
from sandbox.shop import card, request
from tests.system import System
from tests.workflows.samples import captured
from tests.workflows.test_long_waits import PENDING, PRICE, assert_small, chain

pytestmark = pytest.mark.long


@pytest.mark.timeout(900)
async def test_ten_thousand_signals_one_after_the_other_are_heard(open_system: System) -> None:
    """E17, rule 13: no run of the chain is long, and the settlement is found after the last of them."""
    system = open_system
    sample = captured(parcels=()).model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    for _ in range(10_000):
        await system.wake(system.current(sample.order_id))
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    await system.wake(system.current(sample.order_id))
    assert (await system.library.result(sample.order_id)).refunded == PRICE
    assert await system.refunds(sample.order_id) == [PRICE]
    await assert_small(system, handle, runs=len(await chain(system, handle)))
    await system.assert_books_balance()
