"""A dispute that the bank decides for the customer and then, on appeal, for the merchant: a customer who has paid back what
the bank gave them lacks it. Also after a roll-back, and for each of the order's cancellations."""

from domain.money import money
from domain.outcome import Outcome
from domain.step import StepName
from sandbox.shop import SampleOrder, card, line, request
from tests.faults.events import GatewayNews, dispatching_events, receive_news, wait_for_delivery
from tests.system import Handle, System, eventually, resolve, settled
from tests.workflows.samples import an_id, captured
from tests.workflows.test_disputes_that_are_won import hear, name_open_dispute
from tests.workflows.test_lost_disputes import given_by_dispute, lose_dispute, receivable
from tests.workflows.test_several_cancellations import after_an_event, of_line, two_lines


async def roll_back_after_a_lost_dispute(system: System, sample: SampleOrder) -> tuple[Handle, str]:
    """The bank decides for the customer while a person waits for it, and they have it all rolled back."""
    await system.shop.place_order(sample)
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0])
    _, handle = await system.submit(request(sample))
    await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    number = await lose_dispute(system, sample.order_id)
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "roll_back", "goes-on"))
    return handle, number


async def collect(system: System, handle: Handle, step: StepName) -> None:
    asked = await system.wait_for_step(handle, step, "T1")
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))


async def decide(system: System, sample: SampleOrder, status: str) -> None:
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0], status)


async def collected_and_won(system: System, sample: SampleOrder) -> tuple[Handle, str]:
    """The customer keeps the order and has paid back what the bank gave them. Then the bank takes that back too."""
    handle, number = await roll_back_after_a_lost_dispute(system, sample)
    await collect(system, handle, StepName.RESTORE_PAYMENT)
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await decide(system, sample, "won")
    again = await hear(system, sample, number)
    assert again, "the customer has paid twice for the order, and nobody looks"
    return again, number


async def test_what_was_collected_in_a_roll_back_for_a_lost_dispute_is_owed_when_that_is_won_on_appeal(
    system: System,
) -> None:
    """I1, I3: 64.00."""
    sample = captured(parcels=())
    again, number = await collected_and_won(system, sample)
    owed = await system.wait_for_step(again, StepName.RESTORE_PAYMENT, "T1")
    assert owed
    assert f"64.00 USD of tender T1 of order {sample.order_id} was collected" in owed.reason
    assert number in owed.reason
    await system.resolve(again, settled(owed, "done_by_hand", "SEPA-1"))
    assert (await system.finish(again)).outcome is Outcome.ROLLED_BACK
    assert await system.paid_by_hand("SEPA-1") == money("64.00 USD")
    assert await given_by_dispute(system, number) == 0
    assert (await system.payable(), await receivable(system)) == (0, 0)
    assert await hear(system, sample, number) is None
    await system.assert_books_balance()


async def test_what_is_said_not_due_of_what_was_collected_in_a_roll_back_is_payable_no_more(system: System) -> None:
    """I4: the customer had never paid the 64.00 back, as it turns out."""
    sample = captured(parcels=())
    again, _ = await collected_and_won(system, sample)
    owed = await system.wait_for_step(again, StepName.RESTORE_PAYMENT, "T1")
    assert owed
    await system.resolve(again, settled(owed, "nothing_due", "NEVER-PAID"))
    assert (await system.finish(again)).outcome is Outcome.ROLLED_BACK
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def test_what_is_to_be_given_back_after_a_roll_back_is_looked_at_again_by_retry(system: System) -> None:
    """I11: the bank decides once more, and the customer has its 64.00 after all."""
    sample = captured(parcels=())
    again, number = await collected_and_won(system, sample)
    assert await system.wait_for_step(again, StepName.RESTORE_PAYMENT, "T1")
    await decide(system, sample, "lost")
    await system.retry(again, StepName.RESTORE_PAYMENT, "T1")
    assert (await system.finish(again)).outcome is Outcome.ROLLED_BACK
    assert await given_by_dispute(system, number) == 64_00
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def test_an_open_dispute_that_was_named_before_a_roll_back_is_owed_when_it_is_won(system: System) -> None:
    """I1: 50.00 on a disputed card counted as given, and were collected when it was all rolled back."""
    tenders = (card("50.00 USD"), card("30.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "80.00 USD"),), tenders=tenders)
    await system.shop.place_order(sample)
    for payment in system.shop.payments[sample.order_id]:
        await system.shop.gateway.dispute(payment)
    handle, number = await name_open_dispute(system, sample, request(sample))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T2")
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T2", "roll_back", "goes-on"))
    await collect(system, handle, StepName.RESTORE_PAYMENT)
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    await decide(system, sample, "won")
    again = await hear(system, sample, number)
    assert again
    owed = await system.wait_for_step(again, StepName.RESTORE_PAYMENT, "T1")
    assert owed
    assert "50.00 USD of tender T1" in owed.reason
    await system.resolve(again, settled(owed, "done_by_hand", "SEPA-1"))
    assert (await system.finish(again)).outcome is Outcome.ROLLED_BACK
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def test_what_the_bank_gave_back_is_collected_in_a_roll_back_although_its_run_was_lost(system: System) -> None:
    """I2, I11: nothing was refunded, so that the books have no effect on the money, but what the bank did."""
    sample = captured()
    lost, _ = await roll_back_after_a_lost_dispute(system, sample)
    assert await system.wait_for_step(lost, StepName.RESTORE_PAYMENT, "T1")
    await system.lose(lost)
    _, handle = await system.submit(request(sample))
    await collect(system, handle, StepName.RESTORE_PAYMENT)
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert await system.paid_by_hand("COLLECTED-1") == money("64.00 USD")
    await system.assert_books_balance()


async def test_retry_looks_whether_anything_is_still_to_be_collected(system: System) -> None:
    """I10, I11: 64.00 were refunded, the bank gave them back as well, and takes them back while a person is asked."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    number = await lose_dispute(system, sample.order_id)
    handle = await system.notify_of_refund(sample.order_id)
    assert await system.wait_for_collection(handle)
    await decide(system, sample, "won")
    await system.retry(handle, StepName.CHECK_REFUND, "T1")
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await given_by_dispute(system, number) == 0
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def test_a_dispute_that_is_won_on_appeal_is_heard_of_by_the_cancellation_that_collected_for_it(
    system: System,
) -> None:
    """I1: 64.00 and 36.00 were refunded, and given back by the bank as well. The customer may keep the 64.00, and pays the
    36.00 back. Then the bank takes its 100.00 back."""
    sample = two_lines()
    await system.shop.place_order(sample)
    for line_id in ("L1", "L2"):
        await system.cancel(of_line(sample, line_id, line_id))
    number = await lose_dispute(system, sample.order_id)
    for line_id, resolution in (("L1", "nothing_due"), ("L2", "done_by_hand")):
        handle = await after_an_event(system, sample, line_id)
        asked = await system.wait_for_collection(handle)
        assert asked
        await system.resolve(handle, settled(asked, resolution, f"SAID-{line_id}"))
        await system.finish(handle)
    mails = await system.notices(sample.order_id)
    await decide(system, sample, "won")
    await receive_news(system, GatewayNews(system.shop.payments[sample.order_id][0], won=number))

    async def pay_what_is_owed() -> bool:
        run = system.current(sample.order_id)
        waits = [wait for wait in (await system.progress(run)).waits if wait.step is StepName.REVERSE_PAYMENT]
        for wait in waits:
            assert wait.reason.startswith("36.00 USD")
            await system.resolve(run, settled(wait, "done_by_hand", "SEPA-1"))
            await system.finish(run)
        return bool(waits)

    async with dispatching_events(system):
        await eventually(pay_what_is_owed, "a person is asked for the 36.00")
        assert await system.notices(sample.order_id) == mails, "nothing is new for anybody"
        await wait_for_delivery(system, sample.order_id)
    assert await given_by_dispute(system, number) == 0
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()
