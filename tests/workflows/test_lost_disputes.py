"""What the bank gives back besides a refund, once a dispute is lost: each cancellation collects its own part, and the ledger
has what the bank has given, no more and no less."""

from domain.money import money
from domain.outcome import Outcome
from domain.step import StepName
from sandbox import books
from sandbox.shop import request
from tests.system import System, settled
from tests.workflows.samples import captured
from tests.workflows.test_several_cancellations import (
    FIRST,
    REST,
    after_an_event,
    of_line,
    refund_of_first,
    two_lines,
)


async def receivable(system: System) -> int:
    """What the ledger says that customers owe."""
    account = "customer_receivable"
    transfers = await books.ledger(system.engine)
    return sum(t.amount.amount * ((t.debit == account) - (t.credit == account)) for t in transfers)


async def lose_dispute(system: System, order_id: str) -> str:
    """The bank gives the whole payment back; returns the dispute's number."""
    payment = system.shop.payments[order_id][0]
    await system.shop.gateway.dispute(payment)
    await system.shop.gateway.dispute(payment, "lost")
    return (await system.gateway.read_payment(payment)).charge_backs[0].reference


async def test_a_lost_dispute_over_two_cancellations_is_collected_by_each(system: System) -> None:
    """I4, I11: 64.00 and 36.00 are refunded, and then the bank gives back all 100.00 as well."""
    sample = two_lines()
    await system.shop.place(sample)
    for line_id in ("L1", "L2"):
        await system.cancel(of_line(sample, line_id, line_id))
    number = await lose_dispute(system, sample.order_id)
    for line_id, part in (("L1", FIRST), ("L2", REST)):
        handle = await after_an_event(system, sample, line_id)
        asked = await system.asks_to_collect(handle)
        assert asked
        assert f"{part} more than is due" in asked.reason
        await system.resolve(handle, settled(asked, "done_by_hand", f"COLLECTED-{line_id}"))
        then = await system.wait_like(handle, lambda wait: wait.step is not StepName.CHECK_REFUND, "it waits")
        assert then is None
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.paid_by_hand(number) == money("100.00 USD")
    assert await receivable(system) == 0
    await system.assert_books_balance()


async def test_a_dispute_that_is_named_after_it_was_posted_is_in_the_ledger_once(system: System) -> None:
    """I4: 64.00 are refunded, the bank gives them back as well, and they are collected. Then the refund fails: the person
    names the dispute, as the sentence says, and gives back what was collected."""
    sample = captured(parcels=())
    await system.shop.place(sample)
    await system.cancel(request(sample))
    number = await lose_dispute(system, sample.order_id)
    handle = await system.notified_of_refund(sample.order_id)
    asked = await system.asks_to_collect(handle)
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    await system.shop.gateway.fail(await refund_of_first(system, sample))
    handle = await system.notified_of_refund(sample.order_id)
    asked = await system.waits_at(handle, StepName.REVERSE_PAYMENT)
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", number))
    again = await system.asks_to_collect(handle, after=asked)
    assert again
    await system.resolve(handle, settled(again, "done_by_hand", "BANK-9"))
    await system.finish(handle)
    assert await receivable(system) == 0
    assert await system.payable() == 0
    await system.assert_books_balance()
