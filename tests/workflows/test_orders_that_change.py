"""Orders that change while they are cancelled: their parcels, their labels, and what their shop has done already."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from sqlalchemy import update

from domain.keys import EffectKey
from domain.money import money
from domain.order import Order, OrderFlag
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.shipment import GoodsGroup, Shipment, ShipmentLine
from domain.step import StepName
from domain.terms import RefundIntercepted, Terms
from providers.books.inbox import SqlInbox
from providers.inbox.port import EventStatus, Provider, ProviderEvent
from providers.orders.built_in.tables import ShipmentRow
from providers.outbox.port import NoticeKind
from sandbox import built_in
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, request
from tests.system import POLICY, System
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id, captured, in_network
from tests.workflows.test_orders_left_open import unpack
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar, two_lines

__all__ = ["over_oscar"]

WHOLE = money("100.00 USD")


def add_to_parcel(order_id: str, line_id: str, units: int) -> None:
    """The warehouse puts more into the parcel that it has packed."""
    from django.db.models import F

    from tests.providers.oscar.adapter import Line, ShippingEvent, event_type

    parcel = ShippingEvent.objects.get(order__number=order_id, event_type=event_type("Shipped"))
    line = Line.objects.get(pk=line_id)
    there = parcel.line_quantities.filter(line=line)
    if there.exists():
        there.update(quantity=F("quantity") + units)
    else:
        parcel.line_quantities.create(line=line, quantity=units)
    line.consume_allocation(units)


async def take_label_off(system: System, sample: SampleOrder) -> None:
    async with system.engine.begin() as shop:
        of_order = ShipmentRow.order_id == sample.order_id
        await shop.execute(update(ShipmentRow).where(of_order).values(label_reference=None, tracking_number=None))


def put_label_on(order_id: str, parcel: Shipment) -> None:
    """The warehouse labels what it has packed."""
    from tests.providers.oscar.adapter import ShippingEvent, event_type

    notes = f"{parcel.label_reference} {parcel.tracking_number}"
    ShippingEvent.objects.filter(order__number=order_id, event_type=event_type("Shipped")).update(notes=notes)


async def test_a_parcel_that_was_delivered_before_is_not_taken_for_the_one_that_left_since(over_oscar: Oscar) -> None:
    """E20: of two units one was delivered long ago; the other is cancelled, leaves meanwhile, and is intercepted."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "1200.00 USD"),), tenders=(card("1200.00 USD"),))
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.DELIVERED, 0)
    async with system.worker():
        _, handle = await system.submit(request(sample, LineScope(line_id=order.lines[0].line_id, quantity=1)))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0)
        await system.approve(handle)
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("600.00 USD")]


async def test_goods_that_leave_an_order_that_somebody_has_let_go_on_are_not_refunded(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E20: the shop has frozen it, and staff can end that there."""
    system = over_oscar.system

    async def freeze(seen: Order, *, key: EffectKey) -> bool:
        return True

    monkeypatch.setattr(over_oscar.shop.orders, "freeze", freeze)
    order = await over_oscar.place_order(sample := two_lines())
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.send(order, Script.DELIVERED, 0)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("200.00 USD"))
    assert await over_oscar.gone(order.order_id) == [0, 1]


async def test_no_mail_says_of_goods_whose_money_is_on_its_way_back_that_they_are_not_refunded(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C7: what left after the refund is a person's to fetch; the customer has the money."""
    system = over_oscar.system
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "40.00 USD"), line("L2", 1, "20.00 USD")), tenders=(card("60.00 USD"),)
    )
    order = await over_oscar.place_order(sample)
    close, sent = over_oscar.shop.orders.close, list[int]()

    async def close_too_late(*args: Any, **more: Any) -> None:
        if not sent:
            sent.append(1)
            await over_oscar.send(order, Script.DELIVERED, 1)
        await close(*args, **more)

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_too_late)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        assert await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
    assert await system.refunds(sample.order_id) == [money("60.00 USD")]
    kinds = [notice.kind for notice in await system.notices(sample.order_id)]
    assert NoticeKind.PARCEL_NOT_STOPPED not in kinds


async def test_no_mail_says_of_goods_that_were_refunded_on_acceptance_that_they_are_not_refunded(
    bare_system: System,
) -> None:
    """C6, C7: the refund is on its way when the parcel is delivered in spite of the intercept."""
    system = bare_system
    terms = Terms(refund_intercepted=RefundIntercepted.ON_ACCEPTANCE)
    async with system.worker(policy=POLICY.model_copy(update={"terms": terms})):
        sample = in_network(Script.INTERCEPT_SILENT).model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
        await system.shop.place_order(sample)
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.DELIVERED)
        await system.wake_by_carrier(handle)
        await system.shop.gateway.settle(await refund_of(system, sample))
        await system.wake(handle)
        assert await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
    kinds = [notice.kind for notice in await system.notices(sample.order_id)]
    assert NoticeKind.PARCEL_NOT_STOPPED not in kinds


@pytest.mark.parametrize("same_line", [True, False], ids=["of_the_same_line", "of_another_line"])
async def test_a_unit_that_is_added_to_a_parcel_of_the_plan_and_leaves_with_it_is_not_refunded(
    over_oscar: Oscar, *, same_line: bool
) -> None:
    """E20: both units are out for delivery in one parcel, of which one was in it when it was decided."""
    system = over_oscar.system
    two = (line("L1", 2, "1200.00 USD"),)
    lines = two if same_line else (line("L1", 1, "600.00 USD"), line("L2", 1, "600.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("1200.00 USD"),))
    order = await over_oscar.place_order(sample)
    parcel = await over_oscar.send(order, Script.LABEL_ONLY, 0)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await sync_to_async(add_to_parcel)(sample.order_id, order.lines[-1].line_id, 1)
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.OUT_FOR_DELIVERY)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(sample.order_id)) == (Outcome.REJECTED, [])


async def test_a_parcel_of_the_plan_to_which_goods_that_stay_were_added_is_not_intercepted(over_oscar: Oscar) -> None:
    """C10: a parcel on its way cannot be stopped in part; the customer keeps L2, which was added while the run waited."""
    system = over_oscar.system
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "600.00 USD"), line("L2", 1, "20.00 USD")), tenders=(card("620.00 USD"),)
    )
    order = await over_oscar.place_order(sample)
    parcel = await over_oscar.send(order, Script.LABEL_ONLY, 0)
    async with system.worker():
        _, handle = await system.submit(request(sample, LineScope(line_id=order.lines[0].line_id, quantity=1)))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await sync_to_async(add_to_parcel)(sample.order_id, order.lines[1].line_id, 1)
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.IN_TRANSIT)
        await system.approve(handle)
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER, State.REJECTED, State.CANCELLED)
    effects = [effect.kind.value for effect in await system.shop.carrier.effects(parcel.label_reference or "")]
    assert [kind for kind in effects if kind != "label.bought"] == []


async def test_a_parcel_that_is_packed_anew_while_the_run_waits_is_stopped_as_it_is_now(over_oscar: Oscar) -> None:
    """E20: the shop cannot freeze; the warehouse gives the unit another label before the approval."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "600.00 USD"),), tenders=(card("600.00 USD"),))
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.LABEL_ONLY, 0)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await sync_to_async(unpack)(sample.order_id)
        await over_oscar.send(order, Script.LABEL_ONLY, 0)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(sample.order_id)) == (Outcome.CANCELLED, [money("600.00 USD")])


async def test_of_two_new_parcels_the_one_that_can_be_stopped_is_taken(over_oscar: Oscar) -> None:
    """E20, C3: one of two units is cancelled; one has been delivered meanwhile, the other only got its label."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "1200.00 USD"),), tenders=(card("1200.00 USD"),))
    order = await over_oscar.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample, LineScope(line_id=order.lines[0].line_id, quantity=1)))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.send(order, Script.DELIVERED, 0)
        await over_oscar.send(order, Script.LABEL_ONLY, 0)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(sample.order_id)) == (Outcome.CANCELLED, [money("600.00 USD")])


async def test_what_had_come_back_before_it_was_cancelled_leaves_an_order_that_restocks_at_once(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3, DESIGN 6: the carrier has said already that it is back, and will not say so again."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over_oscar.place_order(sample)
    parcel = await over_oscar.send(order, Script.INTERCEPT_SILENT, 0)
    for scan in (TrackerStatus.RETURN_TO_SENDER, TrackerStatus.DELIVERED):
        await system.shop.carrier.scan(parcel.label_reference or "", scan)
    assert (await system.labels.track(parcel.label_reference or "")).group is GoodsGroup.RETURNED
    async with system.worker():
        result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    assert await over_oscar.gone(sample.order_id) == [1]


@pytest.mark.parametrize("how", ["dropped", "without_its_label"])
async def test_a_voided_label_that_is_used_after_the_end_is_seen_although_the_oms_has_let_it_go(
    system: System, how: str
) -> None:
    """C4, rule 14: it is looked at by the label that it had, after the end as well."""
    sample = captured()
    await system.shop.place_order(sample)
    assert (await system.cancel(request(sample))).outcome is Outcome.CANCELLED
    label = system.shop.labels[sample.order_id][0]
    if how == "dropped":
        await built_in.remove_shipment(system.engine, sample.order_id, "S1")
    else:
        await take_label_off(system, sample)
    await system.shop.carrier.scan(label, TrackerStatus.OUT_FOR_DELIVERY)
    handle = await system.notify_of_parcel(sample.order_id)
    assert await system.wait_for_step(handle, StepName.STOP_SHIPMENT), "it goes to the customer, who has the money"


async def test_a_voided_label_that_is_used_before_the_refund_is_seen_although_the_oms_has_taken_it_off(
    system: System,
) -> None:
    """C4, C8: the warehouse's system takes a voided label off its shipment; the parcel is out for delivery all the same."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await take_label_off(system, sample)
    await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.OUT_FOR_DELIVERY)
    await system.wake_by_carrier(handle)
    await system.approve(handle)
    result = await system.finish(handle)
    assert (result.outcome, await system.refunds(sample.order_id)) == (Outcome.REJECTED, [])


async def test_what_was_labelled_since_it_was_decided_leaves_an_order_that_restocks_at_once_when_it_is_back(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3, C6: the parcel had no label when it was decided; it was intercepted by the one that it has now."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "600.00 USD"),), tenders=(card("600.00 USD"),))
    order = await over_oscar.place_order(sample)
    [label] = (await system.shop.place_order(in_network(Script.INTERCEPT_SILENT))).shipments
    parts = (ShipmentLine(line_id=order.lines[0].line_id, quantity=1),)
    packed = label.model_copy(update={"lines": parts, "label_reference": None, "tracking_number": None})
    await over_oscar.shop.ship(sample.order_id, packed)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await sync_to_async(put_label_on)(sample.order_id, label)
        await system.approve(handle)
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(label.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
        assert await over_oscar.gone(sample.order_id) == [0]
        await system.shop.carrier.scan(label.label_reference or "", TrackerStatus.DELIVERED)
        await system.finish(await system.notify_of_parcel(sample.order_id))
    assert await over_oscar.gone(sample.order_id) == [1]


async def test_an_event_about_a_label_that_was_bought_since_it_was_decided_finds_the_ended_cancellation(
    over_oscar: Oscar,
) -> None:
    """C7, rule 14: the parcel had no label when it was decided; its voided label is used after the end."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "600.00 USD"),), tenders=(card("600.00 USD"),))
    order = await over_oscar.place_order(sample)
    [label] = (await system.shop.place_order(in_network(Script.LABEL_ONLY))).shipments
    parts = (ShipmentLine(line_id=order.lines[0].line_id, quantity=1),)
    packed = label.model_copy(update={"lines": parts, "label_reference": None, "tracking_number": None})
    await over_oscar.shop.ship(sample.order_id, packed)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await sync_to_async(put_label_on)(sample.order_id, label)
        await system.approve(handle)
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    at, inbox = datetime.now(UTC), SqlInbox(system.engine)
    event = ProviderEvent(
        provider=Provider.EASYPOST,
        event_id=f"evt_{an_id()}",
        kind="tracker.updated",
        tracking_number=label.tracking_number,
        shipment=label.label_reference,
        may_undo_outcome=True,
    )
    assert await inbox.receive(event) is EventStatus.ACCEPTED
    [due] = [due for due in await inbox.claim_due(at + timedelta(minutes=1), 50) if due.order_id == sample.order_id]
    assert await inbox.find_ended(due), "the order's cancellation is not looked at again"
