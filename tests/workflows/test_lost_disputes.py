"""What the bank gives back besides a refund, once a dispute is lost: each cancellation collects its own part, and the ledger
has what the bank has given, no more and no less."""

from datetime import UTC, datetime

import pytest

from domain.messages import RefundEvent
from domain.money import money
from domain.outcome import CancellationResult, Outcome, State
from domain.payment import Payment
from domain.step import StepName
from providers.books.inbox import SqlInbox
from sandbox import books
from sandbox.shop import SampleOrder, request
from tests.faults.events import GatewayNews, dispatching_events, receive_news, wait_for_delivery
from tests.system import AGENT, Handle, System, eventually, resolve, settled
from tests.workflows.refunds import refund_of
from tests.workflows.samples import captured
from tests.workflows.test_disputes_that_are_won import name_open_dispute
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
    await system.shop.place_order(sample)
    for line_id in ("L1", "L2"):
        await system.cancel(of_line(sample, line_id, line_id))
    number = await lose_dispute(system, sample.order_id)
    for line_id, part in (("L1", FIRST), ("L2", REST)):
        handle = await after_an_event(system, sample, line_id)
        asked = await system.wait_for_collection(handle)
        assert asked
        assert f"{part} more than is due" in asked.reason
        await system.resolve(handle, settled(asked, "done_by_hand", f"COLLECTED-{line_id}"))
        then = await system.wait_for_wait(handle, lambda wait: wait.step is not StepName.CHECK_REFUND, "it waits")
        assert then is None
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.paid_by_hand(number) == money("100.00 USD")
    assert await receivable(system) == 0
    await system.assert_books_balance()


async def hear_of_dispute(system: System, sample: SampleOrder) -> Handle | None:
    """The gateway's event that the bank gave the payment back; None: it is about no cancellation."""
    payment = system.shop.payments[sample.order_id][0]
    request = await system.find_reopened(sample.order_id, payment)
    if request is None:
        return None
    await system.library.look_again(request, RefundEvent(event_id="evt_d", subject=payment))
    handle = system.current(sample.order_id)
    system.started.append(handle)
    return handle


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        pytest.param("100.00 USD", {"L2": "36.00 USD", "L1": "64.00 USD"}, id="all of the payment"),
        pytest.param("50.00 USD", {"L2": "36.00 USD", "L1": "14.00 USD"}, id="a part of it"),
    ],
)
async def test_each_part_of_an_order_is_opened_again_by_the_event_of_a_lost_dispute(
    system: System, monkeypatch: pytest.MonkeyPatch, given: str, shares: dict[str, str]
) -> None:
    """I11: 64.00 and 36.00 are refunded; then the bank gives something back as well. The last part is asked about first."""
    give_back_in_part(system, monkeypatch, given)
    sample = two_lines()
    await system.shop.place_order(sample)
    for line_id in ("L1", "L2"):
        await system.cancel(of_line(sample, line_id, line_id))
    number = await lose_dispute(system, sample.order_id)
    for line_id, share in shares.items():
        handle = await hear_of_dispute(system, sample)
        assert handle, f"{line_id} is not opened again"
        asked = await system.wait_for_collection(handle)
        assert asked
        assert f"{share} more than is due" in asked.reason
        await system.resolve(handle, settled(asked, "done_by_hand", f"COLLECTED-{line_id}"))
        await system.finish(handle)
    assert await system.paid_by_hand(number) == money(given)
    events = await SqlInbox(system.engine).claim_due(datetime.now(UTC), 100)
    assert [event.subject for event in events] == [system.shop.payments[sample.order_id][0]] * 2
    assert await receivable(system) == 0
    await system.assert_books_balance()


async def test_a_dispute_that_is_named_after_it_was_posted_is_in_the_ledger_once(system: System) -> None:
    """I4: 64.00 are refunded, the bank gives them back as well, and they are collected. Then the refund fails: the person
    names the dispute, as the sentence says, and gives back what was collected."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    number = await lose_dispute(system, sample.order_id)
    handle = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_collection(handle)
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.finish(handle)
    await system.shop.gateway.fail(await refund_of_first(system, sample))
    handle = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", number))
    again = await system.wait_for_collection(handle, after=asked)
    assert again
    await system.resolve(handle, settled(again, "done_by_hand", "BANK-9"))
    await system.finish(handle)
    assert await receivable(system) == 0
    assert await system.payable() == 0
    await system.assert_books_balance()


def give_back_in_part(system: System, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """Every dispute is about this amount, and not about the whole payment."""
    read = system.gateway.read_payment

    async def disputed_in_part(reference: str) -> Payment:
        found = await read(reference)
        backs = tuple(back.model_copy(update={"amount": money(given)}) for back in found.charge_backs)
        return found.model_copy(update={"charge_backs": backs})

    monkeypatch.setattr(system.gateway, "read_payment", disputed_in_part)


async def transfer(system: System, handle: Handle, proof: str) -> CancellationResult:
    """A person pays what the bank has not given back; returns how the cancellation ends."""
    wait = await system.wait_for_wait(handle, lambda wait: "Transfer it" in wait.reason, "a transfer is asked for")
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", proof))
    return await system.finish(handle)


@pytest.mark.parametrize("decided", ["before it is named", "afterwards"])
async def test_what_the_bank_has_not_given_back_of_a_lost_dispute_is_still_owed(
    system: System, monkeypatch: pytest.MonkeyPatch, decided: str
) -> None:
    """B27, I1: the customer has disputed 20.00 of 64.00, and the bank gives these back. The person does what the sentences
    say."""
    give_back_in_part(system, monkeypatch, "20.00 USD")
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.dispute(payment)
    if decided == "before it is named":
        number = await lose_dispute(system, sample.order_id)
        _, handle = await system.submit(request(sample))
        wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    else:
        _, handle = await system.submit(request(sample))
        wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
        number = await lose_dispute(system, sample.order_id)
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", number))
    rest = await system.wait_for_wait(handle, lambda wait: "44.00 USD of" in wait.reason, "44.00 are owed")
    assert rest
    once_more = resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", number, AGENT)
    assert "recorded already" in str(await system.refusal(system.resolve(handle, once_more)))
    result = await transfer(system, handle, "BANK-44")
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert (await system.paid_by_hand(number), await system.paid_by_hand("BANK-44")) == (
        money("20.00 USD"),
        money("44.00 USD"),
    )
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def test_what_the_bank_gave_back_counts_for_one_of_two_cancellations(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I1: the first one is settled with the dispute's number, as far as it goes; the second one has nothing of it."""
    give_back_in_part(system, monkeypatch, "20.00 USD")
    sample = two_lines()
    await system.shop.place_order(sample)
    number = await lose_dispute(system, sample.order_id)
    _, handle = await system.submit(of_line(sample, "L1", "L1"))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", number))
    await transfer(system, handle, "BANK-44")
    _, handle = await system.submit(of_line(sample, "L2", "L2"))
    await transfer(system, handle, "BANK-36")
    paid = [(await system.paid_by_hand(proof)).amount for proof in (number, "BANK-44", "BANK-36")]
    assert paid == [20_00, 44_00, 36_00]
    await system.assert_books_balance()


async def test_what_the_bank_gave_back_is_collected_before_the_goods_go_on(system: System) -> None:
    """I2, I11: the bank has decided for the customer, and staff has it all rolled back. What was collected is
    owed when the order is cancelled all the same."""
    sample = captured()
    await system.shop.place_order(sample)
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment)
    _, handle = await system.submit(request(sample))
    await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    await system.shop.gateway.dispute(payment, "lost")
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "roll_back", "goes-on"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT, "T1")
    assert asked
    assert "64.00 USD by the bank (dispute dp_" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert (await system.read_rolled_back(handle)).refunded == money("0.00 USD")
    assert await system.paid_by_hand("COLLECTED-1") == money("64.00 USD")
    await system.assert_books_balance()
    _, again = await system.submit(request(sample, request_id="again"))
    owed = await system.wait_for_step(again, StepName.REVERSE_PAYMENT, "T1")
    assert owed
    assert "is owed besides what the bank gave back" in owed.reason
    await system.resolve(again, settled(owed, "done_by_hand", "TRANSFER-1"))
    assert (await system.finish(again)).refunded == money("64.00 USD")
    await system.assert_books_balance()


async def test_a_part_that_is_settled_by_a_dispute_leaves_the_other_part_its_whole_share(system: System) -> None:
    """I11: 64.00 and 36.00 were refunded, the second refund fails, and the bank gives all 100.00 back: 36.00 of it are for
    the refund that has failed, and 64.00 are too much."""
    sample = two_lines()
    await system.shop.place_order(sample)
    for line_id in ("L1", "L2"):
        await system.cancel(of_line(sample, line_id, line_id))
    await system.shop.gateway.fail(await refund_of(system, sample))
    number = await lose_dispute(system, sample.order_id)
    handle = await after_an_event(system, sample, "L2")
    owed = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert owed
    await system.resolve(handle, settled(owed, "done_by_hand", number))
    await system.finish(handle)
    first = await hear_of_dispute(system, sample)
    assert first
    asked = await system.wait_for_collection(first)
    assert asked
    assert f"{FIRST} more than is due" in asked.reason
    await system.resolve(first, settled(asked, "done_by_hand", "COLLECTED-L1"))
    await system.finish(first)
    again = await hear_of_dispute(system, sample)
    assert again
    assert (await system.finish(again)).existing
    assert await receivable(system) == 0
    await system.assert_books_balance()


async def test_what_the_bank_does_not_give_back_of_two_cancellations_that_name_one_open_dispute_is_owed(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B27, I1: 64.00 and 36.00 were settled with the number of one dispute, and the bank gives 50.00 back by it. That is
    enough for the cancellation that is looked at first, and 50.00 of the other one are owed."""
    sample = two_lines()
    await system.shop.place_order(sample)
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment)
    for asked in (of_line(sample, "L1", "first"), of_line(sample, "L2", "rest")):
        ended, _ = await name_open_dispute(system, sample, asked)
        await system.finish(ended)
    mails = await system.notices(sample.order_id)
    give_back_in_part(system, monkeypatch, "50.00 USD")
    await system.shop.gateway.dispute(payment, "lost")
    first = await hear_of_dispute(system, sample)
    assert first
    assert (await system.finish(first)).outcome is Outcome.CANCELLED
    assert await system.notices(sample.order_id) == mails, "nothing is new for anybody"
    second = await hear_of_dispute(system, sample)
    assert second
    asked_about = await system.wait_for_step(second, StepName.REVERSE_PAYMENT)
    assert asked_about
    assert "50.00 USD" in asked_about.reason, asked_about.reason
    await system.resolve(second, settled(asked_about, "done_by_hand", "SEPA-1"))
    result = await system.finish(second)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def test_what_was_collected_for_a_lost_dispute_is_owed_when_that_is_won_on_appeal(system: System) -> None:
    """I1, I3: 64.00 were refunded, the bank gave them back as well, and they were collected. Then the bank takes its 64.00
    back."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    number = await lose_dispute(system, sample.order_id)
    handle = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_collection(handle)
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.dispute(payment, "won")
    found = await system.find_reopened(sample.order_id, number, won=True)
    assert found
    await system.library.look_again(found, RefundEvent(event_id="evt_d", subject=number))
    again = system.current(sample.order_id)
    system.started.append(again)
    owed = await system.wait_for_wait(again, lambda wait: wait.state is State.NEEDS_ATTENTION, "a person is asked")
    assert owed
    assert "64.00 USD" in owed.reason
    await system.resolve(again, settled(owed, "done_by_hand", "SEPA-1"))
    assert (await system.finish(again)).refunded == money("64.00 USD")
    assert await given_by_dispute(system, number) == 0
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def given_by_dispute(system: System, number: str) -> int:
    """What the ledger says that the bank has given back by it."""
    account = "gateway_clearing"
    transfers = [t for t in await books.ledger(system.engine) if t.reference == number]
    return sum(t.amount.amount * ((t.credit == account) - (t.debit == account)) for t in transfers)


async def test_a_lost_dispute_that_is_won_on_appeal_before_anything_is_collected_leaves_nothing_in_the_ledger(
    system: System,
) -> None:
    """I4: 64.00 were refunded, and the bank gave them back as well, and took them back while a person was asked. Then
    nothing is too much any more."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    number = await lose_dispute(system, sample.order_id)
    handle = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_collection(handle)
    assert asked
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0], "won")
    await system.resolve(handle, settled(asked, "nothing_due", "APPEAL-1"))
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    found = await system.find_reopened(sample.order_id, number, won=True)
    if found is not None:
        await system.library.look_again(found, RefundEvent(event_id="evt_d", subject=number))
        again = system.current(sample.order_id)
        system.started.append(again)
        assert (await system.finish(again)).outcome is Outcome.CANCELLED
    assert await given_by_dispute(system, number) == 0
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def test_each_cancellation_that_collected_for_a_lost_dispute_is_opened_again_when_that_is_won_on_appeal(
    system: System,
) -> None:
    """I1, I3: 64.00 and 36.00 were refunded, given back by the bank as well, and collected. Then the bank takes its 100.00
    back."""
    sample = two_lines()
    await system.shop.place_order(sample)
    for line_id in ("L1", "L2"):
        await system.cancel(of_line(sample, line_id, line_id))
    number = await lose_dispute(system, sample.order_id)
    for line_id in ("L1", "L2"):
        handle = await after_an_event(system, sample, line_id)
        asked = await system.wait_for_collection(handle)
        assert asked
        await system.resolve(handle, settled(asked, "done_by_hand", f"COLLECTED-{line_id}"))
        await system.finish(handle)
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0], "won")
    await receive_news(system, GatewayNews(system.shop.payments[sample.order_id][0], won=number))
    assert await pay_two_by_hand(system, sample.order_id) == [36_00, 64_00]
    assert await given_by_dispute(system, number) == 0
    assert (await system.payable(), await receivable(system)) == (0, 0)
    await system.assert_books_balance()


async def pay_two_by_hand(system: System, order_id: str) -> list[int]:
    """What two of its cancellations owe once an event has opened them again. Returns how much each was, sorted."""
    paid: list[str] = []

    async def pay_what_is_owed() -> bool:
        run = system.current(order_id)
        for wait in (await system.progress(run)).waits:
            if wait.step is StepName.REVERSE_PAYMENT:
                paid.append(f"SEPA-{len(paid) + 1}")
                await system.resolve(run, settled(wait, "done_by_hand", paid[-1]))
                await system.finish(run)
                return True
        return False

    async with dispatching_events(system):
        for _ in range(2):
            await eventually(pay_what_is_owed, f"a person is asked; after {paid}")
        await wait_for_delivery(system, order_id)
    return sorted([(await system.paid_by_hand(reference)).amount for reference in paid])
