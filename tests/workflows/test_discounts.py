"""A discount on the order as a whole, which may be more than the goods cost and then pays for their shipping too."""

from domain.decision import Rule, Verdict
from domain.money import Money, money
from domain.order import OrderState
from domain.outcome import Outcome
from domain.request import LineScope
from sandbox import books
from sandbox.shop import SampleOrder, SampleTender, card, line, request
from tests.system import System
from tests.workflows.samples import an_id


def discounted(*tenders: SampleTender, discount: str = "35.00 USD") -> SampleOrder:
    """3 × 10.00 and 10.00 of shipping, for 40.00 less the discount."""
    return SampleOrder(
        order_id=an_id(),
        lines=tuple(line(f"L{n}", 1, "10.00 USD", "1.60 USD") for n in (1, 2, 3)),
        tenders=tenders,
        shipping=money("10.00 USD"),
        shipping_tax=money("1.60 USD"),
        discount=money(discount),
    )


async def taxes(system: System) -> Money:
    return Money.total((document.tax for document in await books.documents(system.engine)), "USD")


async def test_a_discount_that_covers_the_shipping_is_divided_over_it_too(system: System) -> None:
    """F2, E2: 35.00 of 40.00; each line is worth 1.25 and the shipping 1.25. One line, then the rest."""
    sample = discounted(card("5.00 USD"))
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    assert submission.plan is not None
    assert [planned.amount for planned in submission.plan.lines] == [money("1.25 USD")]
    first = await system.finish(handle)
    assert (first.outcome, first.refunded) == (Outcome.CANCELLED, money("1.25 USD"))
    rest = await system.cancel(request(sample, request_id="the-rest"))
    assert (rest.outcome, rest.refunded) == (Outcome.CANCELLED, money("3.75 USD"))
    assert await system.refunds(sample.order_id) == [money("1.25 USD"), money("3.75 USD")]
    assert await taxes(system) == money("0.80 USD")
    await system.assert_books_balance()


async def test_a_discount_over_more_than_the_order_costs_is_refused_before_the_order_is_held(system: System) -> None:
    """F2, E2: no amount is ever negative; nothing but reading has happened."""
    sample = discounted(card("5.00 USD"), discount="45.00 USD")
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert (submission.decision.verdict, submission.decision.rule.value) == (Verdict.REJECTED, "invalid_order")
    for figure in ("45.00 USD", "40.00 USD"):
        assert figure in submission.decision.sentence
    assert (await system.finish(handle)).outcome is Outcome.REJECTED
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by) == (OrderState.OPEN, None)
    assert await system.refunds(sample.order_id) == []


async def test_an_order_that_a_discount_paid_in_full_is_cancelled_without_money(system: System) -> None:
    """E2: 40.00 of 40.00; a line, then the rest; there is nothing to give back, and no credit note."""
    sample = discounted(discount="40.00 USD")
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample, LineScope(line_id="L1", quantity=1)))
    rest = await system.cancel(request(sample, request_id="the-rest"))
    assert [result.outcome for result in (first, rest)] == [Outcome.CANCELLED, Outcome.CANCELLED]
    assert [result.refunded for result in (first, rest)] == [money("0.00 USD"), money("0.00 USD")]
    assert first.decision is not None
    assert first.decision.rule is Rule.WITHIN_POLICY
    assert await books.documents(system.engine) == []
