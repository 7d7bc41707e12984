"""One dispute that is named as the proof for several cancellations of an order, and is decided for less than one of them."""

from domain.money import money
from tests.faults.events import GatewayNews, receive_news
from tests.system import System
from tests.workflows.test_disputes_that_are_won import name_open_dispute
from tests.workflows.test_lost_disputes import pay_two_by_hand, receivable
from tests.workflows.test_several_cancellations import of_line, two_lines


async def test_what_an_open_dispute_does_not_give_is_owed_by_each_cancellation_that_named_it(system: System) -> None:
    """B27, I1: 64.00 and 36.00 were settled with its number, and the bank gives 20.00 back by it: 16.00 and 64.00 are
    owed."""
    sample = two_lines()
    await system.shop.place_order(sample)
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment, amount=money("20.00 USD"))
    for line_id in ("L1", "L2"):
        ended, _ = await name_open_dispute(system, sample, of_line(sample, line_id, line_id))
        await system.finish(ended)
    await system.shop.gateway.dispute(payment, "lost")
    await receive_news(system, GatewayNews(payment))
    assert await pay_two_by_hand(system, sample.order_id) == [16_00, 64_00]
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()
