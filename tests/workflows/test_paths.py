"""The ways forward, each on the real parts: what is decided, what the gateway and the carrier did, what the books say."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.decision import Rule, Verdict
from domain.money import Money, money
from domain.order import OrderState
from domain.outcome import CancellationResult, GoodsStatus, MoneyStatus, Outcome, PaperStatus, State
from domain.plan import LeftOutReason
from domain.request import LineScope
from domain.terms import RefundIntercepted, Terms
from sandbox import books, built_in
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import POLICY, System
from tests.workflows.samples import an_id, captured, in_network, split_tender
from workflows.cancellation import CancellationWorkflow

# Who, when, which order


async def test_an_unknown_order_and_somebody_elses_get_the_same_answer(system: System) -> None:
    """A1: and nothing is called but the OMS read."""
    sample = captured()
    await system.shop.place_order(sample)
    effects_before = await system.shop.gateway.effects()
    strangers = request(sample.model_copy(update={"order_id": sample.order_id}))
    strangers = strangers.model_copy(
        update={"customer_id": "C-other", "actor": strangers.actor.model_copy(update={"id": "C-other"})}
    )
    unknown = strangers.model_copy(update={"order_id": "no-such-order"})
    answers = [await system.cancel(strangers), await system.cancel(unknown)]
    assert [answer.outcome for answer in answers] == [Outcome.REJECTED, Outcome.REJECTED]
    sentences = {answer.sentence.replace(answer.order_id, "X") for answer in answers}
    assert len(sentences) == 1
    assert await system.shop.gateway.effects() == effects_before
    assert (await system.read_order(sample.order_id)).held_by is None
    assert await books.cancellations(system.engine) == []


async def test_a_stranger_who_joins_a_running_cancellation_learns_nothing(system: System) -> None:
    """A1"""
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    await system.submit(request(sample))
    stranger = request(sample, request_id="stranger").model_copy(
        update={"customer_id": "C-other", "actor": request(sample).actor.model_copy(update={"id": "C-other"})}
    )
    submission, _ = await system.submit(stranger)
    assert submission.decision.rule is Rule.ORDER_NOT_FOUND
    assert submission.plan is None


async def test_an_order_that_is_cancelled_already_returns_the_existing_cancellation(system: System) -> None:
    """A3: by another request, after the run has ended; no new effect."""
    sample = captured()
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample))
    again = await system.cancel(request(sample, request_id="another"))
    assert again.existing
    assert again.cancellation_id == first.cancellation_id
    assert again.outcome is Outcome.CANCELLED
    assert again.credit_note == first.credit_note
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_double_click_is_one_cancellation_with_one_answer(system: System) -> None:
    """A4: ten at once, and once more after the end."""
    sample = captured()
    await system.shop.place_order(sample)
    answers = await asyncio.gather(*(system.submit(request(sample)) for _ in range(10)))
    assert len({submission.model_dump_json() for submission, _ in answers}) == 1
    first = await system.end(answers[0][1])
    again = await system.cancel(request(sample))
    assert again.existing
    assert again.cancellation_id == first.cancellation_id
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_request_id_that_comes_again_with_other_content_is_a_conflict(system: System) -> None:
    """A4"""
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    await system.submit(request(sample))
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await system.submit(request(sample).model_copy(update={"note": "something else"}))
    cause = refused.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "request_conflict"
    assert "new request id" in cause.message


async def test_a_request_id_with_other_content_is_a_conflict_after_the_run_has_ended_too(system: System) -> None:
    """A4: our books remember the request."""
    sample = captured()
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    again = await system.cancel(request(sample).model_copy(update={"note": "something else"}))
    assert again.outcome is Outcome.REJECTED
    assert again.decision is not None
    assert again.decision.rule is Rule.REQUEST_CONFLICT
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


# Money


async def test_an_authorisation_is_voided_and_the_customer_notified(system: System) -> None:
    """B1, C1: void, no refund; the promise is released, stock on hand stays."""
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD", "0.00 USD"),)
    )
    order = await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert (result.outcome, result.money, result.paper) == (
        Outcome.CANCELLED,
        MoneyStatus.RELEASED,
        PaperStatus.NONE_NEEDED,
    )
    assert result.released == money("64.00 USD")
    assert await system.refunds(sample.order_id) == []
    assert await system.voids(sample.order_id) == 1
    stock = await built_in.stock(system.engine, order.lines[0].sku)
    assert (stock.on_hand, stock.reserved) == (2, 0)
    sent = Counter(notice.kind.value for notice in await books.notices(system.engine))
    assert sent == {"received": 1, "reservation_released": 1, "cancelled": 1}


async def test_a_captured_payment_is_refunded(system: System) -> None:
    """B2, C3: the label is voided ("submitted" is enough to go on), the payment refunded; finished when settled."""
    sample = captured()
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    assert (result.goods, result.money, result.paper) == (
        GoodsStatus.NEVER_HANDED_OVER,
        MoneyStatus.REFUNDED,
        PaperStatus.CREDITED,
    )
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED
    await system.assert_books_balance()


async def test_a_partly_captured_payment_is_refunded_and_released(system: System) -> None:
    """B3: 50 of 106 captured."""
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "106.00 USD"),), tenders=(card("106.00 USD", "50.00 USD"),)
    )
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert (result.refunded, result.released) == (money("50.00 USD"), money("56.00 USD"))
    assert await system.refunds(sample.order_id) == [money("50.00 USD")]
    assert await system.voids(sample.order_id) == 1
    assert [document.total for document in await books.documents(system.engine)] == [money("50.00 USD")]
    await system.assert_books_balance()


async def test_an_earlier_refund_is_not_made_again(system: System) -> None:
    """B8: 5.00 of 12.72 went back earlier."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "12.72 USD"),),
        tenders=(card("12.72 USD", refunded_elsewhere=money("5.00 USD")),),
    )
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.refunded == money("7.72 USD")
    assert Money.total(await system.refunds(sample.order_id), "USD") == money("12.72 USD")
    assert [document.total for document in await books.documents(system.engine)] == [money("7.72 USD")]


async def test_an_order_that_was_refunded_in_full_still_has_its_parcel_stopped(system: System) -> None:
    """B9"""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", refunded_elsewhere=money("64.00 USD")),)})
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.NOTHING_DUE)
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_lines_worth_more_than_is_left_are_rejected_before_the_gateway_is_asked_to_refund(system: System) -> None:
    """B10"""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "80.00 USD"), line("L2", 1, "40.00 USD")),
        tenders=(card("120.00 USD", refunded_elsewhere=money("60.00 USD")),),
    )
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample, LineScope(line_id="L1", quantity=1)))
    assert result.outcome is Outcome.REJECTED
    assert result.decision is not None
    assert result.decision.rule is Rule.AMOUNT_EXCEEDS_REFUNDABLE
    assert result.decision.maximum == money("60.00 USD")
    assert await system.refunds(sample.order_id) == [money("60.00 USD")]


async def test_each_tender_gets_back_what_it_gave(system: System) -> None:
    """B12: gift card 10.00 and card 42.35."""
    sample = split_tender()
    order = await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.refunded == money("52.35 USD")
    assert await system.refunds(sample.order_id) == [money("42.35 USD")]
    assert await built_in.balance(system.engine, order.tenders[0].reference) == money("10.00 USD")
    await system.assert_books_balance()


@pytest.mark.parametrize(("total", "minor"), [("9899 JPY", 9899), ("12.340 KWD", 12340), ("52.35 USD", 5235)])
async def test_every_currency_goes_back_in_its_own_minor_units(system: System, total: str, minor: int) -> None:
    """B30: in the call, in the document and in the ledger."""
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, total),), tenders=(card(total),))
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    assert [refund.amount for refund in await system.refunds(sample.order_id)] == [minor]
    assert [document.total.amount for document in await books.documents(system.engine)] == [minor]
    assert {transfer.amount.amount for transfer in await books.ledger(system.engine)} == {minor}


async def test_a_part_of_an_order_is_cancelled_and_later_the_rest(system: System) -> None:
    """B32, B34: 180 of 270 for two of three; the rest takes the shipping charge with it."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "270.00 USD"),),
        tenders=(card("274.90 USD"),),
        shipping=money("4.90 USD"),
    )
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample, LineScope(line_id="L1", quantity=2)))
    assert first.refunded == money("180.00 USD")
    assert (await system.read_order(sample.order_id)).state is OrderState.PARTIALLY_CANCELLED
    second = await system.cancel(request(sample, request_id="the-rest"))
    assert second.refunded == money("94.90 USD")
    assert (await system.read_order(sample.order_id)).state is OrderState.CANCELLED
    await system.assert_books_balance()


# Goods


async def intercepted(system: System, sample: SampleOrder) -> CancellationResult:
    """Cancel, and let the carrier's time pass once it has taken the intercept."""
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.shop.carrier.advance(3600)
    return await system.end(handle)


async def test_a_parcel_that_was_scanned_before_the_void_is_intercepted(system: System) -> None:
    """C4"""
    sample = in_network(Script.SCANNED_BEFORE_VOID)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))

    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
    result = await system.end(handle)
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.COMING_BACK)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_an_intercepted_parcel_is_refunded_when_it_is_scanned_on_its_way_back(system: System) -> None:
    """C6"""
    sample = in_network(Script.INTERCEPT_ACCEPTED_THEN_RETURNS)
    order = await system.shop.place_order(sample)
    result = await intercepted(system, sample)
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.COMING_BACK)
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested"]
    assert (await built_in.stock(system.engine, order.lines[0].sku)).expected_back == 1


@pytest.mark.parametrize("when", [RefundIntercepted.ON_ACCEPTANCE, RefundIntercepted.ON_RECEIPT])
async def test_the_policy_says_when_an_intercepted_parcel_is_refunded(
    bare_system: System, when: RefundIntercepted
) -> None:
    """C6: as soon as the carrier has taken the intercept, or not before the parcel is back in the warehouse."""
    system = bare_system
    terms = Terms(refund_intercepted=when)
    async with system.worker(policy=POLICY.model_copy(update={"terms": terms})):
        sample = in_network(Script.INTERCEPT_SILENT)
        await system.shop.place_order(sample)
        _, handle = await system.submit(request(sample))
        if when is RefundIntercepted.ON_RECEIPT:
            label = system.shop.labels[sample.order_id][0]
            await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
            await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
            await system.skip(timedelta(hours=3))
            await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
            assert await system.refunds(sample.order_id) == []
            await system.shop.carrier.scan(label, TrackerStatus.DELIVERED)
        result = await system.end(handle)
        assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.COMING_BACK)
        assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_parcel_delivered_in_spite_of_the_intercept_is_not_refunded(system: System) -> None:
    """C7: nothing else was in the order, so nothing is cancelled; a return is offered."""
    sample = in_network(Script.INTERCEPT_ACCEPTED_THEN_DELIVERED)
    await system.shop.place_order(sample)
    result = await intercepted(system, sample)
    assert result.outcome is Outcome.REJECTED
    assert [(out.shipment_id, out.reason) for out in result.left_out] == [("S1", LeftOutReason.STOP_DECLINED)]
    assert await system.refunds(sample.order_id) == []
    assert (await system.read_order(sample.order_id)).held_by is None


@pytest.mark.parametrize("script", [Script.DELIVERED, Script.OUT_FOR_DELIVERY])
async def test_goods_that_reach_the_customer_are_a_return_and_no_cancellation(system: System, script: Script) -> None:
    """C8, C9"""
    sample = in_network(script)
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.REJECTED
    assert result.decision is not None
    assert result.decision.rule is Rule.ALREADY_DELIVERED
    assert "offer a return" in result.sentence
    assert await system.carrier_effects(sample.order_id) == []
    assert await system.refunds(sample.order_id) == []


async def test_what_was_delivered_stays_and_what_was_not_is_cancelled(system: System) -> None:
    """C10: two delivered, one label only."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "90.00 USD"),),
        tenders=(card("99.00 USD"),),
        shipping=money("9.00 USD"),
        parcels=(parcel(Script.DELIVERED, L1=1), parcel(Script.DELIVERED, L1=1), parcel(Script.LABEL_ONLY, L1=1)),
    )
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.PARTIALLY_CANCELLED
    assert result.refunded == money("33.00 USD")
    assert {out.shipment_id for out in result.left_out} == {"S1", "S2"}
    assert await system.refunds(sample.order_id) == [money("33.00 USD")]


async def test_every_shipment_is_stopped(system: System) -> None:
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "30.00 USD"), line("L2", 1, "20.00 USD")),
        tenders=(card("50.00 USD"),),
        parcels=(parcel(Script.LABEL_ONLY, L1=1), parcel(None, L2=1)),
    )
    await system.shop.place_order(sample)
    submission, handle = await system.submit(request(sample))
    assert submission.decision.verdict is Verdict.APPROVED
    assert submission.plan is not None
    assert submission.plan.refund == money("50.00 USD")
    await system.end(handle)
    assert [stop.status for stop in (await handle.query(CancellationWorkflow.progress)).steps if stop.target == "S2"]
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]
    assert {shipment.stopped for shipment in (await system.read_order(sample.order_id)).shipments} <= {True}


async def test_a_lost_parcel_is_refunded(system: System) -> None:
    """C12: no restock."""
    sample = in_network(Script.LOST)
    order = await system.shop.place_order(sample)
    result = await system.cancel(request(sample))
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.LOST)
    assert (await built_in.stock(system.engine, order.lines[0].sku)).expected_back == 0
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
