"""Whatever a line costs, shows, and others have cancelled of it: each unit is cancelled once, and all of it goes back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.marketplace.mirakl_order import Line, Order
from providers.marketplace.mirakl_request import Way, ask_for
from sandbox.marketplace.answers import order_json
from sandbox.marketplace.ledger import Demand, Ledger
from sandbox.marketplace.model import REASONS, Kind, Sale, SoldLine, Withdrawal

MINOR = 100

lines = st.builds(
    SoldLine,
    id=st.just("1"),
    quantity=st.integers(1, 5),
    price=st.integers(100, 20_000),
    shipping=st.sampled_from([0, 500]),
    tax=st.sampled_from([0, 190]),
    fees=st.sampled_from([{}, {"CARD_FEE": 75}, {"CARD_FEE": 1, "GIFT_WRAP": 200}]),
    commission=st.sampled_from([0, 99]),
)


def listed(ledger: Ledger) -> tuple[Order, Line]:
    sale = ledger.sale("M-1")
    assert sale is not None
    order = Order.model_validate(order_json(sale, can_cancel=ledger.may_cancel(sale)))
    return order, order.order_lines[0]


def cancel(ledger: Ledger, units: int) -> None:
    """As the adapter does it, but for the way over HTTP."""
    order, line = listed(ledger)
    kind, way = (Kind.CANCELATION, Way.CANCEL) if order.can_cancel else (Kind.REFUND, Way.REFUND)
    asked = ask_for(order, line, units, way, min(REASONS[kind]))
    demand = Demand(
        line_id="1",
        quantity=asked.quantity,
        amount=int(asked.amount * MINOR),
        shipping=int(asked.shipping_amount * MINOR),
        tax=sum(int(tax.amount * MINOR) for tax in asked.taxes) if asked.taxes is not None else None,
        reason_code=asked.reason_code,
        fees={fee.code: int(fee.amount * MINOR) for fee in asked.fees or ()},
    )
    sale = ledger.sale("M-1")
    assert sale is not None
    ledger.take_back(sale, kind, [demand])


@pytest.mark.properties
@given(line=lines, charged=st.booleans(), takes_off=st.booleans(), data=st.data())
def test_each_unit_is_cancelled_once_and_all_of_the_line_goes_back(
    line: SoldLine, charged: bool, takes_off: bool, data: st.DataObject
) -> None:
    """F15, F27, E11"""
    ledger = Ledger(Path(":memory:"))
    ledger.sell(Sale(order_id="M-1", currency="EUR", lines=[line], charged=charged, takes_off=takes_off))
    whole = listed(ledger)[0].payment().captured
    gone = 0
    while gone < line.quantity:
        units = data.draw(st.integers(1, line.quantity - gone))
        if data.draw(st.booleans()):
            sale = ledger.sale("M-1")
            assert sale is not None
            tells = data.draw(st.booleans())
            ledger.withdraw(sale, Withdrawal(line_id="1", quantity=units, reports_quantity=tells))
        else:
            cancel(ledger, units)
        gone += units
        order, shown = listed(ledger)
        assert order.units_gone(shown) == gone
        assert order.payment().captured == whole
        assert order.covering(shown, gone - units, gone) == [shown.cancelled[-1]]
    assert order.payment().refundable.amount == 0
    sale = ledger.sale("M-1")
    assert sale is not None
    [sold] = sale.lines
    assert (sold.price_left, sold.shipping_left, sold.tax_left, set(sold.fees_left.values()) | {0}) == (0, 0, 0, {0})
    ledger.close()
