"""One dispute that is named as the proof for several cancellations of an order, and is decided for less than one of them."""

from domain.money import money
from domain.step import StepName
from tests.faults.events import GatewayNews, dispatching_events, receive_news, wait_for_delivery
from tests.system import System, eventually, settled
from tests.workflows.test_disputes_that_are_won import name_open_dispute
from tests.workflows.test_lost_disputes import receivable
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
    owed: list[str] = []

    async def pay_what_is_owed() -> bool:
        run = system.current(sample.order_id)
        for wait in (await system.progress(run)).waits:
            if wait.step is StepName.REVERSE_PAYMENT:
                owed.extend(amount for amount in ("16.00 USD", "64.00 USD") if amount in wait.reason)
                await system.resolve(run, settled(wait, "done_by_hand", f"SEPA-{len(owed)}"))
                await system.finish(run)
                return True
        return False

    async with dispatching_events(system):
        for _ in range(2):
            await eventually(pay_what_is_owed, f"a person is asked; after {owed}")
        await wait_for_delivery(system, sample.order_id)
    paid = [(await system.paid_by_hand(f"SEPA-{n}")).amount for n in (1, 2)]
    assert sorted(paid) == [16_00, 64_00], owed
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()
