"""Shops that put on sale at once what leaves an order: units that are on their way back stay in it until they arrive."""

import dataclasses
from typing import Any

import pytest

from domain.errors import OutcomeUnknown
from domain.keys import id_of
from domain.messages import ShipmentEvent
from domain.money import Money, money
from domain.order import Order
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.shipment import GoodsGroup
from domain.step import StepName
from sandbox.carrier.model import ManualScan, Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, request
from tests.system import Handle, settled
from tests.workflows.refunds import PENDING, refund_of
from tests.workflows.samples import an_id
from tests.workflows.test_orders_left_open import two_units
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar

__all__ = ["over_oscar"]


async def restocked_later(over: Oscar, monkeypatch: pytest.MonkeyPatch, sample: SampleOrder) -> tuple[Order, str, str]:
    """A shop that restocks at once: the first parcel of the order's only line comes back, the other is out for delivery."""
    monkeypatch.setattr(type(over.shop.orders), "restocks_at_once", True)
    order = await over.place_order(sample)
    back = await over.send(order, Script.INTERCEPT_SILENT, 0)
    other = await over.send(order, Script.OUT_FOR_DELIVERY, 0)
    _, handle = await over.system.submit(request(sample, request_id="first"))
    await over.system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await over.system.shop.carrier.scan(back.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
    await over.system.wake_by_carrier(handle)
    result = await over.system.finish(handle)
    assert result.outcome is Outcome.PARTIALLY_CANCELLED
    assert await over.gone(sample.order_id) == [0]
    return order, back.label_reference or "", other.label_reference or ""


async def test_a_unit_that_staff_took_out_is_not_counted_as_the_one_that_has_come_back(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E26, DESIGN 6: a difference is reported, never absorbed. Staff takes the other unit out before ours is received."""
    system, sample = over_oscar.system, two_units()
    async with system.worker():
        order, back, _ = await restocked_later(over_oscar, monkeypatch, sample)
        await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
        await system.shop.carrier.scan(back, TrackerStatus.DELIVERED)
        handle = await system.notify_of_parcel(sample.order_id)
        wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert wait or await over_oscar.gone(sample.order_id) == [2], "one unit gone, two paid back, and nobody notified"


async def test_what_comes_back_leaves_the_order_also_where_the_next_cancellation_was_closed_before(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3, E21: two cancellations of one unit each; the parcel of the first arrives last."""
    system, sample = over_oscar.system, two_units()
    async with system.worker():
        _, back, other = await restocked_later(over_oscar, monkeypatch, sample)
        await system.shop.carrier.scan(other, TrackerStatus.RETURN_TO_SENDER)
        asked = request(sample, request_id="second")
        assert (await system.cancel(asked)).outcome is Outcome.CANCELLED
        for label, of in ((other, asked), (back, request(sample, request_id="first"))):
            await system.shop.carrier.scan(label, TrackerStatus.DELIVERED)
            await system.library.look_again(of, ShipmentEvent(event_id=f"evt_{label}"))
            handle = system.current(sample.order_id)
            system.started.append(handle)
            assert (await system.finish(handle)).cancellation_id == id_of(of)
    assert Money.total(await system.refunds(sample.order_id), "USD") == money("64.00 USD")
    assert await over_oscar.gone(sample.order_id) == [2]


@pytest.mark.parametrize("warehouse", [1, 0], ids=["some_in_the_warehouse", "all_in_the_parcel"])
async def test_an_answer_lost_by_a_shop_that_restocks_at_once_is_nobody_elses_doing(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch, warehouse: int
) -> None:
    """E21: one unit of the line comes back and stays in the order, the other one was taken out by the first attempt."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1 + warehouse, "64.00 USD"),), tenders=(card("64.00 USD"),)
    )
    order = await over_oscar.place_order(sample)
    parcel = await over_oscar.send(order, Script.INTERCEPT_SILENT, 0)
    close, lost = over_oscar.shop.orders.close, list[int]()

    async def close_and_lose_the_answer(*args: Any, **more: Any) -> None:
        await close(*args, **more)
        if not lost:
            lost.append(1)
            raise OutcomeUnknown("The shop's answer was lost.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_and_lose_the_answer)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert wait is None, wait
    assert await over_oscar.gone(sample.order_id) == [warehouse]


async def expected_back(over: Oscar, monkeypatch: pytest.MonkeyPatch) -> tuple[SampleOrder, str]:
    """All of an order comes back to a shop that restocks at once."""
    monkeypatch.setattr(type(over.shop.orders), "restocks_at_once", True)
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over.place_order(sample)
    parcel = await over.send(order, Script.INTERCEPT_SILENT, 0)
    _, handle = await over.system.submit(request(sample))
    await over.system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await over.system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
    await over.system.wake_by_carrier(handle)
    assert (await over.system.finish(handle)).outcome is Outcome.CANCELLED
    assert await over.gone(sample.order_id) == [0]
    return sample, parcel.label_reference or ""


async def test_what_was_expected_back_and_a_person_has_fetched_leaves_the_order(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3, DESIGN 6: the carrier or a person closes these lines; the carrier says no more of what was fetched."""
    system = over_oscar.system
    async with system.worker():
        sample, label = await expected_back(over_oscar, monkeypatch)
        await system.shop.carrier.scan(label, TrackerStatus.OUT_FOR_DELIVERY)
        handle = await system.notify_of_parcel(sample.order_id)
        wait = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
        assert wait
        await system.resolve(handle, settled(wait, "done_by_hand", "FETCHED-1"))
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await over_oscar.gone(sample.order_id) == [1]


async def lose_parcel(over: Oscar, label: str) -> None:
    body = ManualScan(status=TrackerStatus.FAILURE, detail="lost").model_dump()
    (await over.system.shop.carrier._http.post(f"/parcels/{label}/scan", json=body)).raise_for_status()
    assert (await over.system.labels.track(label)).group is GoodsGroup.LOST


async def take_out_what_is_lost(over: Oscar, handle: Handle, sample: SampleOrder) -> None:
    """Somebody is asked to take the unit out without putting it on sale, and does."""
    wait = await over.system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert wait, "nobody is asked"
    assert "without putting it on sale" in wait.reason
    assert await over.gone(sample.order_id) == [0]
    [ordered] = (await over.shop.orders.read(sample.order_id)).lines
    await over.shop.take_out(sample.order_id, ordered.line_id, 1)
    await over.system.resolve(handle, settled(wait, "done_by_hand", "CLAIM-1"))
    assert (await over.system.finish(handle)).outcome is Outcome.CANCELLED


async def test_what_was_expected_back_and_is_lost_on_the_way_is_a_persons_to_take_out(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C12, I6: otherwise its line is in the order for ever, and nobody knows. Asked once: later events say nothing new."""
    system = over_oscar.system
    async with system.worker():
        sample, label = await expected_back(over_oscar, monkeypatch)
        await lose_parcel(over_oscar, label)
        handle = await system.notify_of_parcel(sample.order_id)
        await take_out_what_is_lost(over_oscar, handle, sample)
        again = await system.notify_of_parcel(sample.order_id)
        assert (await system.finish(again)).outcome is Outcome.CANCELLED
    assert await over_oscar.gone(sample.order_id) == [1]


async def test_a_parcel_that_arrives_after_the_answer_to_the_close_was_lost_is_nobody_elses_doing(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E21, DESIGN 6: of two units one was in the warehouse and was taken out, the answer was lost; the other one, which was
    left in the order, comes back before the close is tried again."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over_oscar.place_order(sample)
    parcel = await over_oscar.send(order, Script.INTERCEPT_SILENT, 0)
    close, lost = over_oscar.shop.orders.close, list[int]()

    async def close_and_lose_the_answer(*args: Any, **more: Any) -> None:
        await close(*args, **more)
        if not lost:
            lost.append(1)
            await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.DELIVERED)
            raise OutcomeUnknown("The shop's answer was lost.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_and_lose_the_answer)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert wait is None, wait.reason
    assert await over_oscar.gone(sample.order_id) == [2]


@pytest.mark.parametrize("arrives", [True, False], ids=["arrives", "is_lost"])
async def test_what_becomes_of_a_parcel_while_the_money_settles_is_seen_before_the_end(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch, *, arrives: bool
) -> None:
    """I3, C6, C12: the order is closed without its line, and the carrier says no more of it after the end."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD", card=PENDING),)
    )
    order = await over_oscar.place_order(sample)
    parcel = await over_oscar.send(order, Script.INTERCEPT_SILENT, 0)
    label = parcel.label_reference or ""
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(label, TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        assert await over_oscar.gone(sample.order_id) == [0]
        await (system.shop.carrier.scan(label, TrackerStatus.DELIVERED) if arrives else lose_parcel(over_oscar, label))
        await system.wake_by_carrier(handle)
        await system.shop.gateway.settle(await refund_of(system, sample))
        await system.wake(handle)
        if arrives:
            assert (await system.finish(handle)).outcome is Outcome.CANCELLED
        else:
            await take_out_what_is_lost(over_oscar, handle, sample)
    assert await over_oscar.gone(sample.order_id) == [1]


@pytest.mark.parametrize("heard", ["while_it_waits", "after_the_end"])
async def test_what_has_come_back_when_a_person_takes_out_what_is_lost_leaves_the_order_too(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch, heard: str
) -> None:
    """I3, C12, DESIGN 6: of three units one was in the warehouse, one is lost and one comes back. A person is asked to take
    out the lost one alone, and does; the other parcel arrives before they say so."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "90.00 USD"),), tenders=(card("90.00 USD"),))
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.LOST, 0)
    back = await over_oscar.send(order, Script.INTERCEPT_SILENT, 0)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(back.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        assert wait
        assert "without putting it on sale" in wait.reason
        assert await over_oscar.gone(sample.order_id) == [1]
        await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
        await system.shop.carrier.scan(back.label_reference or "", TrackerStatus.DELIVERED)
        if heard == "while_it_waits":
            await system.wake_by_carrier(handle)
        await system.resolve(handle, settled(wait, "done_by_hand", "TAKEN-OUT-1"))
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
        if heard == "after_the_end":
            await system.finish(await system.notify_of_parcel(sample.order_id))
    assert await over_oscar.gone(sample.order_id) == [3]


async def test_a_unit_that_left_right_before_the_close_of_a_shop_that_restocks_at_once_is_counted_once(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E20, E5, I3: of three units one is packed and two are cancelled; one of these leaves between the refund and the close,
    is seen afterwards, and is sent back. It has left the order already; the third unit is still in it, and can be
    cancelled."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "90.00 USD"),), tenders=(card("90.00 USD"),))
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.LABEL_ONLY, 0)
    close, sent = over_oscar.shop.orders.close, list[str]()

    async def close_too_late(*args: Any, **more: Any) -> None:
        if not sent:
            sent.append("")
            parcel = await over_oscar.send(order, Script.INTERCEPT_SILENT, 0)
            sent.append(parcel.label_reference or "")
        await close(*args, **more)

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_too_late)
    async with system.worker():
        two = LineScope(line_id=order.lines[0].line_id, quantity=2)
        _, handle = await system.submit(request(sample, two, request_id="first"))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(sent[1], TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
        assert await over_oscar.gone(sample.order_id) == [2]
        _, handle = await system.submit(request(sample, request_id="rest"))
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("60.00 USD"), money("30.00 USD")]


async def test_goods_that_a_person_writes_off_are_not_put_on_sale_by_a_shop_that_restocks_at_once(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C12, DESIGN 6: the parcel that was expected back reaches the customer after all, and a person does without it. Like
    what the carrier has lost, it does not come back."""
    from tests.providers.oscar.restocking import RestockingOscarOrders
    from tests.providers.oscar.shop import OscarShop

    shop = OscarShop(RestockingOscarOrders)
    over = Oscar(dataclasses.replace(over_oscar.system, orders=shop.orders), shop)
    system = over.system
    async with system.worker():
        sample, label = await expected_back(over, monkeypatch)
        [ordered] = (await over.read(sample.order_id)).lines
        before = await shop.for_sale(sample.order_id, ordered.line_id)
        await system.shop.carrier.scan(label, TrackerStatus.OUT_FOR_DELIVERY)
        await system.shop.carrier.scan(label, TrackerStatus.DELIVERED)
        handle = await system.notify_of_parcel(sample.order_id)
        wait = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
        assert wait
        await system.resolve(handle, settled(wait, "nothing_due", "WRITTEN-OFF-1"))
        await take_out_what_is_lost(over, handle, sample)
    assert await shop.for_sale(sample.order_id, ordered.line_id) == before


async def test_a_voided_label_that_is_used_and_sent_back_does_not_hide_a_unit_of_the_order(
    over_oscar: Oscar,
) -> None:
    """C4, E5, I3: one of two units had a label, which was voided; it left the order of a shop that restocks at once. The
    label is used after the end, and the parcel sent back. The other unit is still in the order."""
    from tests.providers.oscar.restocking import RestockingOscarOrders
    from tests.providers.oscar.shop import OscarShop

    shop = OscarShop(RestockingOscarOrders)
    over = Oscar(dataclasses.replace(over_oscar.system, orders=shop.orders), shop)
    system = over.system
    lines = (line("L1", 2, "60.00 USD"),)
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("60.00 USD"),))
    order = await over.place_order(sample)
    label = await over.send(order, Script.LABEL_ONLY, 0)
    other = await over.send(order, Script.OUT_FOR_DELIVERY, 0)
    async with system.worker():
        first = await system.cancel(request(sample, request_id="first"))
        assert first.outcome is Outcome.PARTIALLY_CANCELLED
        assert await over.gone(sample.order_id) == [1]
        await system.shop.carrier.scan(label.label_reference or "", TrackerStatus.IN_TRANSIT)
        handle = await system.notify_of_parcel(sample.order_id)
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER, State.NEEDS_ATTENTION)
        await system.shop.carrier.scan(label.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        await system.finish(handle)
        await system.shop.carrier.scan(other.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.cancel(request(sample, request_id="second"))
    assert await system.refunds(sample.order_id) == [money("30.00 USD"), money("30.00 USD")]
