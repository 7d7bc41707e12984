"""An order that is not paid yet, and of which a part goes on to the customer: its payment stays open for that part."""

from domain.money import money
from domain.outcome import MoneyStatus, Outcome
from providers.outbox.port import NoticeKind
from sandbox.carrier.model import Script
from sandbox.gateway_admin import OpenPayment
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import Handle, System
from tests.workflows.samples import an_id
from tests.workflows.test_captured_all_the_same import hear, refund_when_asked

OURS, STAYS = money("20.00 USD"), money("44.00 USD")


async def a_part_stays(system: System) -> tuple[SampleOrder, str, Handle]:
    """20.00 and 44.00, of which the carrier does not stop the second."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, str(OURS)), line("L2", 1, str(STAYS))),
        tenders=(card("64.00 USD", wants=OpenPayment.ACTION),),
        parcels=(parcel(Script.LABEL_ONLY, L1=1), parcel(Script.INTERCEPT_DECLINED, L2=1)),
    )
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert "close the payment of 64.00 USD" in submission.decision.sentence
    return sample, system.shop.payments[sample.order_id][0], handle


async def test_of_an_open_payment_the_customer_reads_what_is_not_to_be_paid(system: System) -> None:
    """E1, I1: the payment stays open for the part that goes on."""
    sample, payment, handle = await a_part_stays(system)
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.PARTIALLY_CANCELLED, MoneyStatus.NOTHING_DUE)
    [mail] = [n for n in await system.notices(sample.order_id) if n.kind is NoticeKind.RESERVATION_RELEASED]
    assert (mail.amount, mail.notice_id.rpartition("/")[2]) == (OURS, "not_to_be_paid")
    assert (await system.gateway.read_payment(payment)).unpaid == OURS + STAYS


async def test_what_was_not_to_be_paid_and_is_paid_after_the_end_is_refunded(system: System) -> None:
    """E1, E29, I1: the customer pays all of it, for goods of 44.00."""
    sample, payment, handle = await a_part_stays(system)
    await system.finish(handle)
    await system.shop.gateway.complete(payment)
    again = await hear(system, sample, payment)
    assert again
    await refund_when_asked(system, again, str(OURS), Outcome.PARTIALLY_CANCELLED)
    assert await system.refunds(sample.order_id) == [OURS]
    await system.assert_books_balance()
