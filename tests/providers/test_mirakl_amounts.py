"""Units, amounts and fees at a marketplace: amounts and cancelations decide, not the quantity."""

from decimal import Decimal

import pytest

from domain.money import money
from providers.marketplace.mirakl import MiraklMarketplace
from providers.marketplace.mirakl_order import Line, Order
from sandbox.marketplace.model import Actor, SoldLine
from sandbox.marketplace_admin import MarketplaceAdmin
from tests.providers.test_mirakl import REASON, REQUESTED, effects, of, shares, sold

SHOWS = pytest.mark.parametrize("takes_off", [False, True], ids=["shows what was sold", "shows what is left"])
CHARGED = pytest.mark.parametrize("charged", [True, False], ids=["charged", "not charged"])
BOUGHT = SoldLine(id="1", quantity=3, price=1000, shipping=500, tax=100, commission=101)


@SHOWS
@CHARGED
async def test_each_unit_of_a_line_is_cancelled_once_whatever_the_line_shows(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, charged: bool, takes_off: bool
) -> None:
    """F15, E11: one by one, each asked for twice."""
    order_id = await sold(marketplace_sandbox, BOUGHT, charged=charged, takes_off=takes_off)
    given = []
    for before in range(3):
        [refund] = await marketplace.cancel(order_id, [of(order_id, 1, 1, before=before)], REASON, key=f"k/{before}")
        assert await marketplace.cancel(order_id, [of(order_id, 1, 1, before=before)], REASON, key="k") == (refund,)
        sale = await marketplace.read_sale(order_id)
        assert sale.captured == money("14.99 EUR"), "the whole sale"
        given.append(str(refund.amount))
    assert given == ["3.44 EUR", "3.44 EUR", "8.11 EUR"], "shipping goes with the last unit"
    assert [quantity for _, _, quantity in await effects(marketplace_sandbox, order_id)] == [1, 1, 1]
    assert (await marketplace.read_sale(order_id)).refundable == money("0 EUR")


@SHOWS
async def test_a_unit_that_was_given_back_without_a_quantity_is_not_given_back_again(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, takes_off: bool
) -> None:
    """F15, E11: an operator's refund of one unit of two."""
    order_id = await sold(marketplace_sandbox, takes_off=takes_off)
    theirs = await marketplace_sandbox.withdraw(order_id, f"{order_id}-1", 1, reports_quantity=False)
    [first] = await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    assert first.reference == theirs.id
    [second] = await marketplace.cancel(order_id, [of(order_id, 1, 1, before=1)], REASON, key="k/2")
    assert second.reference != theirs.id
    assert await effects(marketplace_sandbox, order_id) == [(REQUESTED, "1", 1), (REQUESTED, "1", 1)]


@SHOWS
async def test_a_refund_of_a_part_of_the_price_is_no_unit_whatever_quantity_it_tells(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, takes_off: bool
) -> None:
    """F15, E11: 5.00 for the trouble, of a unit of 50.00, and both units are cancelled afterwards."""
    order_id = await sold(marketplace_sandbox, takes_off=takes_off)
    line_id = f"{order_id}-1"
    trouble = await marketplace_sandbox.withdraw(order_id, line_id, 0, amount=500, by=Actor.MARKETPLACE)
    refunds = await marketplace.cancel(order_id, [of(order_id, 1, 2)], REASON, key="k/1")
    assert [refund.reference == trouble.id for refund in refunds] == [True, False]
    sale = await marketplace.read_sale(order_id)
    assert sale.refunded == money("97.20 EUR")
    assert sale.captured == money("124.20 EUR")


# Fees


@SHOWS
@CHARGED
async def test_fees_are_counted_and_given_back_with_the_units(
    marketplace_sandbox: MarketplaceAdmin, marketplace: MiraklMarketplace, charged: bool, takes_off: bool
) -> None:
    """F27, E11"""
    line = SoldLine(id="1", quantity=2, price=1000, commission=100, fees={"CARD_FEE": 75, "GIFT_WRAP": 200})
    order_id = await sold(marketplace_sandbox, line, charged=charged, takes_off=takes_off)
    assert (await marketplace.read_sale(order_id)).captured == money("11.75 EUR")
    first = await marketplace.cancel(order_id, [of(order_id, 1, 1)], REASON, key="k/1")
    second = await marketplace.cancel(order_id, [of(order_id, 1, 1, before=1)], REASON, key="k/2")
    assert shares((*first, *second)) == ["5.87 EUR", "5.88 EUR"]
    assert (await marketplace.read_sale(order_id)).refundable == money("0 EUR")


# What a line was sold for, by what it shows


def listed(price: int, quantity: int, *cancelled: int, unit: float | None = 50, state: str = "SHIPPING") -> Line:
    """A line of units for 50.00, of which others have cancelled these amounts."""
    return Line.model_validate(
        {
            "order_line_id": "1",
            "order_line_state": state,
            "quantity": quantity,
            "price": price,
            "price_unit": unit,
            "total_commission": 0,
            "cancelations": [
                {"id": str(n), "amount": amount, "commission_total_amount": 0, "created_date": "2026-11-01T08:00:00Z"}
                for n, amount in enumerate(cancelled)
            ],
        }
    )


@pytest.mark.parametrize(
    ("line", "sold_for", "units", "gone"),
    [
        (listed(100, 2), 100, 2, 0),
        (listed(100, 2, 50), 100, 2, 1),
        (listed(50, 2, 50), 100, 2, 1),
        (listed(50, 2, 50, unit=None), 100, 2, 1),
        (listed(50, 1, 50), 100, 2, 1),
        (listed(50, 3, 50, 50), 150, 3, 2),
        (listed(0, 2, 100, state="CANCELED"), 100, 2, 2),
        (listed(100, 2, 100, state="CANCELED"), 100, 2, 2),
        (listed(100, 2, 5), 100, 2, 0),
        (listed(95, 2, 5), 100, 2, 0),
        (listed(90, 2, 45), 90, 2, 1),
    ],
)
def test_what_a_line_was_sold_for_follows_from_its_amounts(line: Line, sold_for: int, units: int, gone: int) -> None:
    """F15, E11"""
    order = Order(order_id="M-1", currency_iso_code="EUR", order_lines=(line,))
    assert (line.sold.amount, line.units, order.units_gone(line)) == (Decimal(sold_for), units, gone)


@pytest.mark.parametrize("amount", ["3.33", "3.34"])
def test_a_price_that_others_have_divided_their_own_way_is_a_unit_all_the_same(amount: str) -> None:
    """F15: a third of 10.00."""
    line = listed(10, 3, unit=3.33).model_copy(update={"cancelations": listed(0, 3, 1).cancelations})
    [one] = line.cancelations
    line = line.model_copy(update={"cancelations": (one.model_copy(update={"amount": Decimal(amount)}),)})
    assert Order(order_id="M-1", currency_iso_code="EUR", order_lines=(line,)).units_gone(line) == 1
