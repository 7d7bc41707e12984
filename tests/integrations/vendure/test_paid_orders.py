"""Orders in Vendure that nobody has packed yet, by what they were paid with."""

import pytest

from domain.money import Money, money
from domain.outcome import Outcome
from sandbox.shop import SampleOrder, card, line
from tests.integrations.vendure.agreeing import check_books
from tests.integrations.vendure.over import OverVendure, request, units, with_plugin
from tests.workflows.samples import an_id


async def test_a_captured_order_is_cancelled_refunded_and_for_sale(over: OverVendure) -> None:
    """With its shipping charge, since nothing of it is left."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "40.00 USD"), line("L2", 1, "20.00 USD")),
        tenders=(card("64.90 USD"),),
        shipping=money("4.90 USD"),
    )
    order = await over.place_order(sample)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.90 USD"))
    assert await over.left(order) == [0, 0]
    await check_books(over, order, result)


@pytest.mark.long
async def test_a_payment_that_is_only_authorised_is_released(over: OverVendure) -> None:
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD", "0.00 USD"),)
    )
    order = await over.place_order(sample)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.released) == (Outcome.CANCELLED, money("64.00 USD"))
    assert await over.system.voids(order.order_id) == 1
    await check_books(over, order, result)


@pytest.mark.long
async def test_of_several_payments_each_gets_back_its_own(over: OverVendure) -> None:
    parts = ["30.00 USD", "24.00 USD"]
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 2, "54.00 USD"),), tenders=tuple(card(part) for part in parts)
    )
    order = await over.place_order(sample)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert result.outcome is Outcome.CANCELLED
    assert await over.system.refunds(order.order_id) == [money(part) for part in parts]
    await check_books(over, order, result)


@pytest.mark.long
async def test_one_unit_of_two_leaves_the_order_and_the_rest_goes_on(over: OverVendure) -> None:
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "40.00 USD"),),
        tenders=(card("44.90 USD"),),
        shipping=money("4.90 USD"),
    )
    order = await over.place_order(sample)
    async with over.system.worker():
        result = await over.system.cancel(request(order, units(order, 0, 1)))
        assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("20.00 USD"))
        await check_books(over, order, result)
        packed = await over.pack(order, 0)
        assert (packed, "Pending") in await over.fulfillments(order)
    assert Money.total(await over.system.refunds(order.order_id), "USD") == money("20.00 USD")


@pytest.mark.long
@pytest.mark.parametrize(("price", "shipping"), [("9900 JPY", "500 JPY"), ("64.00 EUR", "4.90 EUR")])
async def test_each_currency_goes_back_in_its_own_minor_units(over: OverVendure, price: str, shipping: str) -> None:
    """B30: Vendure keeps two decimals in every currency."""
    total = money(price) + money(shipping)
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, price),), tenders=(card(str(total)),), shipping=money(shipping)
    )
    order = await over.place_order(sample)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, total)
    await check_books(over, order, result)


@with_plugin
async def test_of_an_order_that_is_cancelled_no_surcharge_and_no_discount_is_left(over: OverVendure) -> None:
    """I3: nothing is owed to the shop or the customer. Its history says what was taken off."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "300.00 EUR"),),
        tenders=(card("274.90 EUR"),),
        shipping=money("4.90 EUR"),
        discount=money("30.00 EUR"),
    )
    order = await over.place_order(sample)
    async with over.system.worker():
        result = await over.system.cancel(request(order))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("274.90 EUR"))
    shown = await over.shop.read(order.order_id)
    assert (shown.state, shown.shipping, shown.total) == ("Cancelled", 0, 0)
    assert [surcharge.price for surcharge in shown.surcharges] == [0]
