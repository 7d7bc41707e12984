"""An order whose payments are in another currency than the order: it is refused at once, and says which they are."""

import asyncio
from datetime import UTC, datetime

from domain.decision import Verdict
from domain.money import Money, money
from domain.order import Order, OrderLine, OrderState, Tender, TenderKind
from domain.outcome import Outcome
from sandbox import built_in
from sandbox.marketplace.model import SoldLine
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System
from tests.workflows.samples import an_id


async def is_refused(system: System, sample: SampleOrder, *currencies: str) -> None:
    """By a decision that names them, with nothing held and nothing given back."""
    async with asyncio.timeout(20):
        submission, handle = await system.submit(request(sample))
    assert (submission.decision.verdict, submission.decision.rule.value) == (Verdict.REJECTED, "invalid_order")
    for currency in currencies:
        assert currency in submission.decision.sentence
    assert "T1" in submission.decision.sentence
    assert (await system.finish(handle)).outcome is Outcome.REJECTED
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by) == (OrderState.OPEN, None)
    assert await system.refunds(sample.order_id) == []


async def test_an_order_in_euro_that_was_paid_in_dollars_is_refused_with_both_names(system: System) -> None:
    """F5, E4"""
    payment = await system.shop.gateway.create_payment(money("70.00 USD"), capture=money("70.00 USD"))
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "64.00 EUR"),), tenders=(card("64.00 EUR", payment=payment),)
    )
    await system.shop.place_order(sample)
    await is_refused(system, sample, "EUR", "USD")


async def test_a_gift_card_in_another_currency_is_refused_with_both_names(system: System) -> None:
    """F5, E4"""
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 EUR"),), tenders=())
    card_of_gift = f"gift-{sample.order_id}"
    await add(system, sample, TenderKind.GIFT_CARD, card_of_gift, balances={card_of_gift: money("5.00 USD")})
    await is_refused(system, sample, "EUR", "USD")


async def test_a_marketplace_sale_in_another_currency_is_refused_with_both_names(system: System) -> None:
    """F5, E4"""
    assert system.shop.marketplace is not None
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 EUR"),), tenders=())
    sale = f"M-{sample.order_id}"
    await system.shop.marketplace.sell(sale, [SoldLine(id=f"{sale}-1", quantity=1, price=6400, tax=0)], currency="USD")
    await add(system, sample, TenderKind.MARKETPLACE, sale)
    await is_refused(system, sample, "EUR", "USD")


async def add(
    system: System, sample: SampleOrder, kind: TenderKind, reference: str, balances: dict[str, Money] | None = None
) -> None:
    """Put the order into the book, paid by this one tender."""
    [sold] = sample.lines
    zero = Money.zero(sample.currency)
    order = Order(
        order_id=sample.order_id,
        customer_id=sample.customer_id,
        placed_at=datetime.now(UTC),
        currency=sample.currency,
        lines=(
            OrderLine(
                line_id=sold.line_id, sku=f"SKU-{sample.order_id}", title="T", quantity=1, total=sold.total, tax=zero
            ),
        ),
        tenders=(Tender(tender_id="T1", kind=kind, amount=sold.total, reference=reference),),
        shipments=(),
        shipping=zero,
        shipping_credited=zero,
    )
    await built_in.add_order(system.engine, order, email="c@customer.example", balances=balances)
