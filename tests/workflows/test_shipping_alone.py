"""Staff gives the shipping charge back and cancels nothing: the goods come too late, say."""

import pytest
from pydantic import ValidationError

from domain.decision import Rule, Verdict
from domain.money import money
from domain.order import OrderState, TenderKind
from domain.outcome import GoodsStatus, Outcome, PaperStatus
from domain.request import Actor, CancellationRequest, LineScope, ReasonCode
from providers.outbox.port import NoticeKind
from sandbox import books
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, SampleTender, card, line, parcel, request
from tests.system import AGENT, System, customer_of
from tests.workflows.samples import an_id

CHARGE = money("4.90 USD")


def shipped() -> SampleOrder:
    """Two units in a parcel that is on its way, and 4.90 of shipping with 0.78 of tax."""
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "50.00 USD"),),
        tenders=(card("54.90 USD"),),
        parcels=(parcel(Script.IN_NETWORK, L1=2),),
        shipping=CHARGE,
        shipping_tax=money("0.78 USD"),
    )


def shipping_of(sample: SampleOrder, *, by: Actor = AGENT, request_id: str = "shipping") -> CancellationRequest:
    return request(sample, request_id=request_id).model_copy(update={"actor": by, "shipping": True})


async def test_staff_gives_back_the_shipping_charge_and_nothing_else(system: System) -> None:
    """F21, E13: from the request to the credit note; the parcel goes on, and the lines stay in the order."""
    sample = shipped()
    await system.shop.place_order(sample)
    submission, handle = await system.submit(shipping_of(sample))
    plan = submission.plan
    assert plan is not None
    assert (plan.everything, plan.lines, plan.shipments, plan.left_out) == (False, (), (), ())
    assert (plan.shipping, plan.refund) == (CHARGE, CHARGE)
    result = await system.finish(handle)
    assert (result.outcome, result.goods, result.paper) == (
        Outcome.CANCELLED,
        GoodsStatus.UNTOUCHED,
        PaperStatus.CREDITED,
    )
    assert (
        result.sentence == f"The shipping charge of order {sample.order_id} is given back; its goods are not cancelled."
    )
    assert await system.refunds(sample.order_id) == [CHARGE]
    assert [(document.total, document.tax) for document in await books.documents(system.engine)] == [
        (CHARGE, money("0.78 USD"))
    ]
    assert await system.carrier_effects(sample.order_id) == []
    order = await system.read_order(sample.order_id)
    assert (order.state, order.held_by, order.lines[0].remaining) == (OrderState.OPEN, None, 2)
    await system.assert_books_balance()


async def test_the_customer_reads_of_the_refund_and_of_no_cancellation(system: System) -> None:
    """F21, E13"""
    sample = shipped()
    await system.shop.place_order(sample)
    await system.cancel(shipping_of(sample))
    assert {mail.kind for mail in await system.notices(sample.order_id)} == {NoticeKind.REFUNDED}


async def test_the_goods_can_still_be_cancelled_without_the_charge(system: System) -> None:
    """F21, E13: it is given back once."""
    sample = shipped().model_copy(update={"parcels": ()})
    await system.shop.place_order(sample)
    first = await system.cancel(shipping_of(sample))
    rest = await system.cancel(request(sample, request_id="goods"))
    assert (first.refunded, rest.refunded) == (CHARGE, money("50.00 USD"))
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED


async def test_a_request_for_the_whole_order_does_not_join_one_for_the_shipping_charge(bare_system: System) -> None:
    """F21, rule 15: they are not the same scope; the other order's charge waits for approval meanwhile."""
    system = bare_system
    async with system.worker():
        sample = shipped().model_copy(
            update={
                "shipping": money("600.00 USD"),
                "tenders": (card("650.00 USD"),),
                "parcels": (),
            }
        )
        await system.shop.place_order(sample)
        submission, handle = await system.submit(shipping_of(sample))
        assert submission.decision.verdict is Verdict.NEEDS_APPROVAL
        refusal = await system.refusal(_sent(system, request(sample, request_id="goods")))
        assert refusal is not None
        assert "under way" in refusal
        joined, _ = await system.submit(shipping_of(sample, request_id="the-same"))
        assert joined.joined
        await system.approve(handle)
        assert (await system.finish(handle)).refunded == money("600.00 USD")


async def test_a_charge_whose_approval_is_refused_stays_and_nobody_is_written_to(system: System) -> None:
    """F21, E13: the customer has asked for nothing, and nothing was to be cancelled."""
    sample = shipped().model_copy(
        update={"shipping": money("600.00 USD"), "tenders": (card("650.00 USD"),), "parcels": ()}
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(shipping_of(sample))
    await system.reject(handle)
    assert (await system.finish(handle)).outcome is Outcome.ROLLED_BACK
    assert await system.notices(sample.order_id) == []
    assert await system.refunds(sample.order_id) == []
    assert (await system.read_order(sample.order_id)).held_by is None


def test_a_withdrawal_by_law_is_from_goods_and_not_from_the_shipping_charge() -> None:
    """F21, A15: it would pass every limit of the policy."""
    with pytest.raises(ValidationError, match="from goods"):
        CancellationRequest.model_validate(
            {**shipping_of(shipped()).model_dump(), "reason": ReasonCode.STATUTORY_WITHDRAWAL}
        )


async def _sent(system: System, asked: CancellationRequest) -> None:
    await system.submit(asked)


@pytest.mark.parametrize("given", [None, "before"], ids=["there_is_none", "it_has_gone_back"])
async def test_without_a_charge_that_is_left_the_request_is_refused(system: System, given: str | None) -> None:
    """F21, E13: there is none, or it has gone back already."""
    sample = shipped().model_copy(update={"parcels": ()})
    if given is None:
        sample = sample.model_copy(update={"shipping": None, "shipping_tax": None})
    await system.shop.place_order(sample)
    if given:
        await system.cancel(shipping_of(sample, request_id="first"))
    submission, _ = await system.submit(shipping_of(sample))
    assert (submission.decision.verdict, submission.decision.rule) == (Verdict.REJECTED, Rule.INVALID_SCOPE)
    assert "shipping charge" in submission.decision.sentence
    assert (await system.read_order(sample.order_id)).lines[0].remaining == 2


async def test_a_customer_does_not_give_themselves_the_shipping_charge(system: System) -> None:
    """F21"""
    sample = shipped()
    await system.shop.place_order(sample)
    submission, _ = await system.submit(shipping_of(sample, by=customer_of(sample)))
    assert submission.decision.rule is Rule.INVALID_SCOPE


async def test_what_a_marketplace_settles_gives_its_shipping_charge_back_there(system: System) -> None:
    """F21: it is refused, and says where to do it."""
    order_id = an_id()
    sample = SampleOrder(
        order_id=order_id,
        lines=(line(f"{order_id}-L1", 1, "64.00 USD"),),
        tenders=(SampleTender(kind=TenderKind.MARKETPLACE, amount=money("64.00 USD")),),
        shipping=CHARGE,
    )
    await system.shop.place_order(sample)
    submission, _ = await system.submit(shipping_of(sample))
    assert submission.decision.rule is Rule.INVALID_SCOPE
    assert "marketplace" in submission.decision.sentence


async def test_with_lines_the_shipping_charge_goes_back_beside_them(system: System) -> None:
    """F21: as before."""
    sample = shipped().model_copy(update={"parcels": ()})
    await system.shop.place_order(sample)
    asked = request(sample, LineScope(line_id="L1", quantity=1)).model_copy(update={"actor": AGENT, "shipping": True})
    assert (await system.cancel(asked)).refunded == money("29.90 USD")
