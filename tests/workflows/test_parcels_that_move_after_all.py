"""What was achieved no longer holds: voided labels that travel and intercepts without an answer, while the run goes on and
after it has ended."""

from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from temporalio.client import WorkflowUpdateFailedError

from domain.messages import ShipmentEvent
from domain.money import money
from domain.order import OrderFlag
from domain.outcome import GoodsStatus, MoneyStatus, Outcome, State
from domain.plan import LeftOutReason
from domain.shipment import ShipmentLine
from domain.step import Owner, StepName
from domain.terms import RefundIntercepted, Terms
from providers.books.inbox import SqlInbox
from providers.inbox.port import EventStatus, Provider, ProviderEvent
from sandbox import books, built_in
from sandbox.carrier.model import EventKind, Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import POLICY, System, resolve
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id, captured, in_network
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar
from workflows.cancellation import CancellationWorkflow

__all__ = ["over_oscar"]


def label(system: System, sample: SampleOrder) -> str:
    return system.shop.labels[sample.order_id][0]


async def test_a_parcel_that_travels_after_an_accepted_void_is_intercepted_before_the_money_goes_back(
    system: System,
) -> None:
    """C4: it was scanned while the approval was waited for."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.IN_TRANSIT)
    await handle.signal(CancellationWorkflow.shipment_event, ShipmentEvent(event_id="evt_p"))
    await system.approve(handle)
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    assert await system.refunds(sample.order_id) == []
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.RETURN_TO_SENDER)
    result = await system.end(handle)
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.COMING_BACK)
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_parcel_that_is_delivered_after_an_accepted_void_is_not_refunded(system: System) -> None:
    """C7: no event came; the look after the wait finds it."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.DELIVERED)
    await system.skip(timedelta(hours=3))
    await system.approve(handle)
    result = await system.end(handle)
    assert result.outcome is Outcome.REJECTED
    assert [out.reason for out in result.left_out] == [LeftOutReason.STOP_DECLINED]
    assert await system.refunds(sample.order_id) == []


async def test_a_parcel_that_reaches_a_refunded_customer_is_a_persons_to_fetch(system: System) -> None:
    """C7: scanned while the refund was settling; too late to leave the cancellation."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    order = await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.DELIVERED)
    await system.shop.gateway.settle(await refund_of(system, sample))
    await handle.signal(CancellationWorkflow.shipment_event, ShipmentEvent(event_id="evt_p"))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert progress.waits[0].owner is Owner.OPERATIONS
    assert "fetch the goods" in progress.waits[0].reason
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "done_by_hand", "RETURN-7"))
    result = await system.end(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    assert (await built_in.stock(system.engine, order.lines[0].sku)).expected_back == 1
    await system.assert_books_balance()


async def test_a_parcel_that_travels_after_the_end_opens_the_cancellation_again_and_is_returned(
    system: System,
) -> None:
    """C4: the carrier reports it days later. Nothing is refunded twice, and the stock is right."""
    sample = captured()
    order = await system.shop.place_order(sample)
    first = await system.cancel(request(sample))
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.IN_TRANSIT)
    handle = await system.notify_of_parcel(sample.order_id)
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    assert [(c.cancellation_id, c.outcome) for c in await books.cancellations(system.engine)] == [
        (first.cancellation_id, None)
    ]
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.RETURN_TO_SENDER)
    result = await system.end(handle)
    assert (result.cancellation_id, result.outcome) == (first.cancellation_id, Outcome.CANCELLED)
    assert result.goods is GoodsStatus.COMING_BACK
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    stock = await built_in.stock(system.engine, order.lines[0].sku)
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (0, 0, 1)
    await system.assert_books_balance()


async def test_goods_that_are_done_without_after_the_end_are_not_in_stock(system: System) -> None:
    """C7: the warehouse never booked that they left; the customer has them."""
    sample = captured()
    order = await system.shop.place_order(sample)
    await system.cancel(request(sample))
    await system.shop.carrier.scan(label(system, sample), TrackerStatus.DELIVERED)
    handle = await system.notify_of_parcel(sample.order_id)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "nothing_due", "WRITTEN-OFF-1"))
    await system.end(handle)
    stock = await built_in.stock(system.engine, order.lines[0].sku)
    assert (stock.on_hand, stock.reserved, stock.expected_back) == (0, 0, 0)


async def test_an_event_about_an_ended_cancellation_that_still_holds_changes_nothing(system: System) -> None:
    sample = captured()
    await system.shop.place_order(sample)
    first = await system.cancel(request(sample))
    handle = await system.notify_of_parcel(sample.order_id)
    result = await system.end(handle)
    assert result.existing
    assert result.cancellation_id == first.cancellation_id
    assert (await system.read_order(sample.order_id)).held_by is None


async def test_an_intercept_that_was_refunded_on_acceptance_and_delivered_goes_to_a_person(bare_system: System) -> None:
    """C6, C7: the policy refunds on acceptance and bears the risk; the cancellation is opened again."""
    system = bare_system
    terms = Terms(refund_intercepted=RefundIntercepted.ON_ACCEPTANCE)
    async with system.worker(policy=POLICY.model_copy(update={"terms": terms})):
        sample = captured(parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
        await system.shop.place_order(sample)
        first = await system.cancel(request(sample))
        assert first.outcome is Outcome.CANCELLED
        await system.shop.carrier.scan(label(system, sample), TrackerStatus.DELIVERED)
        handle = await system.notify_of_parcel(sample.order_id)
        await system.wait_for_state(handle, State.NEEDS_ATTENTION)
        with pytest.raises(WorkflowUpdateFailedError):  # it was closed: not rolled back any more
            await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "roll_back"))
        await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "nothing_due", "WRITTEN-OFF-1"))
        result = await system.end(handle)
        assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
        assert (
            await system.end(await system.notify_of_parcel(sample.order_id))
        ).existing  # and is not opened once more


async def test_a_carrier_that_is_silent_about_an_intercept_needs_attention_and_a_person_decides(system: System) -> None:
    """C7, C14: ten days of silence; nothing is refunded meanwhile, and the customer is notified that it was not stopped."""
    sample = captured(parcels=(parcel(Script.INTERCEPT_SILENT, L1=1),))
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    assert (await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)).waits[0].owner is Owner.CARRIER
    await system.skip(timedelta(days=11))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert progress.waits[0].step is StepName.STOP_SHIPMENT
    assert await system.refunds(sample.order_id) == []
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "nothing_due", "UPS-CLAIM-1"))
    result = await system.end(handle)
    assert result.outcome is Outcome.REJECTED
    assert [out.reason for out in result.left_out] == [LeftOutReason.STOP_DECLINED]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script.INTERCEPT_ACCEPTED_THEN_RETURNS, "parcel_stopped"),
        (Script.INTERCEPT_ACCEPTED_THEN_DELIVERED, "parcel_not_stopped"),
        (Script.INTERCEPT_DECLINED, "parcel_not_stopped"),
    ],
)
async def test_the_customer_is_notified_what_became_of_a_parcel_on_its_way(
    system: System, script: Script, kind: str
) -> None:
    """C6, C7: stopped or declined, once, with what is in it."""
    sample = captured(parcels=(parcel(script, L1=1),))
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    if script is not Script.INTERCEPT_DECLINED:
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.advance(3600)
    await system.end(handle)
    sent = [notice for notice in await books.notices(system.engine) if notice.kind.value.startswith("parcel_")]
    assert [(notice.kind.value, notice.notice_id.rpartition("/")[2]) for notice in sent] == [(kind, "S1")]


def keep_label_alone(order_id: str, label: str) -> None:
    from tests.providers.oscar.adapter import ShippingEvent

    ShippingEvent.objects.filter(order__number=order_id).update(notes=label)


async def test_an_event_about_a_voided_label_without_a_tracking_number_finds_the_ended_cancellation(
    over_oscar: Oscar,
) -> None:
    """C4, rule 14: the shop keeps the label, and its tracking number nowhere; the label is used after the end."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over_oscar.place_order(sample)
    [made] = (await system.shop.place_order(in_network(Script.LABEL_ONLY))).shipments
    assert made.label_reference
    parts = (ShipmentLine(line_id=order.lines[0].line_id, quantity=1),)
    await over_oscar.shop.ship(sample.order_id, made.model_copy(update={"lines": parts}))
    await sync_to_async(keep_label_alone)(sample.order_id, made.label_reference)
    assert [parcel.tracking_number for parcel in (await over_oscar.read(sample.order_id)).shipments] == [None]
    inbox = SqlInbox(system.engine)
    event = ProviderEvent(
        provider=Provider.EASYPOST,
        event_id=f"evt_{an_id()}",
        kind=EventKind.TRACKER_UPDATED,
        tracking_number=made.tracking_number,
        shipment=made.label_reference,
        may_undo_outcome=True,
    )
    async with system.worker():
        assert (await system.cancel(request(sample))).outcome is Outcome.CANCELLED
        await system.shop.carrier.scan(made.label_reference, TrackerStatus.DELIVERED)
        assert await inbox.receive(event) is EventStatus.ACCEPTED
        claimed = await inbox.claim_due(datetime.now(UTC) + timedelta(minutes=1), 50)
        [due] = [due for due in claimed if due.order_id == sample.order_id]
        assert await inbox.find_ended(due)
        handle = await system.notify_of_parcel(sample.order_id)
        assert await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
