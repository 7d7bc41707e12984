"""A roll-back has reserved the money anew, so the order is paid by another payment. What was collected of the first one, and
what becomes of its refunds, is still the order's."""

from domain.money import money
from domain.outcome import Outcome
from domain.step import StepName
from providers.books.inbox import SqlInbox
from providers.events.stripe import StripeEventKind
from providers.inbox.port import EventStatus, Provider, ProviderEvent
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System
from tests.workflows.samples import an_id
from tests.workflows.test_cancelled_after_collected import given_by_hand, rolled_back_and_collected
from tests.workflows.test_several_cancellations import refund_of_first

COLLECTED, RESERVED = money("64.00 USD"), money("36.00 USD")


async def replaced(system: System) -> tuple[SampleOrder, str]:
    """64.00 are captured and 36.00 reserved. All is cancelled and rolled back: 64.00 are collected, and 36.00 reserved anew.
    Returns the number of the payment before."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"), line("L2", 1, "36.00 USD")),
        tenders=(card("100.00 USD", "64.00 USD", mandate=True),),
    )
    await rolled_back_and_collected(system, sample, request(sample))
    [tender] = (await system.read_order(sample.order_id)).tenders
    before = system.shop.payments[sample.order_id][0]
    assert tender.reference != before
    return sample, before


async def test_what_was_collected_before_the_payment_was_replaced_goes_back(system: System) -> None:
    """I1: all is cancelled again. The new payment has 36.00; a person gives the 64.00 back."""
    sample, _ = await replaced(system)
    submission, again = await system.submit(request(sample, request_id="again"))
    assert submission.plan
    assert (submission.plan.refund, submission.plan.release) == (COLLECTED, RESERVED)
    assert await given_by_hand(system, again, "BANK-1") == COLLECTED
    assert (await again.result()).released == RESERVED
    assert (await again.result()).outcome is Outcome.CANCELLED


async def test_a_refund_of_a_replaced_payment_that_fails_is_heard_of(system: System) -> None:
    """Rule 1, I6: the customer has paid back what never reached them, and is given it back."""
    sample, before = await replaced(system)
    ours = await refund_of_first(system, sample)
    await system.shop.gateway.fail(ours)
    event = ProviderEvent(
        provider=Provider.STRIPE,
        event_id=f"evt_{sample.order_id}",
        kind=StripeEventKind.REFUND_FAILED,
        payment=before,
        refund=ours,
        may_undo_outcome=True,
    )
    assert await SqlInbox(system.engine).receive(event) is EventStatus.ACCEPTED
    again = await system.notify_of_refund(sample.order_id)
    asked = await system.wait_for_step(again, StepName.RESTORE_PAYMENT)
    assert asked
    assert "64.00 USD" in asked.reason
