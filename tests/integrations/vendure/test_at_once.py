"""Several who act on one order in Vendure at the same moment."""

import asyncio

import pytest

from client.errors import StarterError
from domain.closing import Closing
from domain.keys import EffectKey
from domain.money import Money, money
from domain.order import Order
from domain.outcome import Outcome
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import OverVendure, request, units
from tests.integrations.vendure.shops import VendureUnderTest
from tests.workflows.samples import an_id

pytestmark = pytest.mark.long


async def of_two_lines(over: OverVendure) -> Order:
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "40.00 USD"), line("L2", 1, "20.00 USD")),
        tenders=(card("64.90 USD"),),
        shipping=money("4.90 USD"),
    )
    return await over.place_order(sample)


async def test_two_who_cancel_an_order_at_once_cancel_it_once(over: OverVendure) -> None:
    """E21: one cancellation, one refund, stock counted once; the second is told so."""
    system, order = over.system, await of_two_lines(over)
    async with system.worker():
        (_, handle), (_, other) = await asyncio.gather(
            system.submit(request(order, request_id="first")), system.submit(request(order, request_id="second"))
        )
        results = [await system.finish(handle), await system.finish(other)]
    assert [result.outcome for result in results] == [Outcome.CANCELLED] * 2
    assert len({result.cancellation_id for result in results}) == 1
    assert await system.refunds(order.order_id) == [money("64.90 USD")]
    await check_books(over, order, results[0])


async def test_of_two_who_want_different_lines_at_once_one_is_asked_to_wait(over: OverVendure) -> None:
    """E21: nothing is mixed up, and each unit leaves once."""
    system, order = over.system, await of_two_lines(over)
    asked = [
        request(order, units(order, 0, 2), request_id="first"),
        request(order, units(order, 1, 1), request_id="second"),
    ]
    async with system.worker():
        answers = await asyncio.gather(*map(system.library.start, asked), return_exceptions=True)
        results = [await system.finish(system.current(order.order_id))]
        [refused] = [wanted for wanted, answer in zip(asked, answers, strict=True) if isinstance(answer, StarterError)]
        _, handle = await system.submit(refused)
        results.append(await system.finish(handle))
    assert Money.total(await system.refunds(order.order_id), "USD") == money("64.90 USD")
    assert await over.left(order) == [0, 0]
    await check_books(over, order, *results)


async def test_an_order_that_two_attempts_close_at_once_is_closed_once(
    over: OverVendure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E21: an attempt that was given up is still under way when the next one does the same."""
    system, order = over.system, await of_two_lines(over)
    close = system.orders.close
    other = VendureUnderTest(over.shop, over.network)

    async def close_twice(order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        await asyncio.gather(
            close(order_id, closing, before, key=key), other.orders.close(order_id, closing, before, key=key)
        )

    monkeypatch.setattr(system.orders, "close", close_twice)
    async with system.worker():
        result = await system.cancel(request(order, units(order, 0, 1)))
    await other.aclose()
    assert (result.outcome, await over.left(order)) == (Outcome.CANCELLED, [1, 1])
    await check_books(over, order, result)
