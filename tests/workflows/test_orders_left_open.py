"""Orders that their order management system cannot freeze: what others do to them while a cancellation is under way."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from domain.errors import OutcomeUnknown, Unavailable
from domain.keys import id_of
from domain.messages import ShipmentEvent
from domain.money import Money, money
from domain.order import Order
from domain.outcome import Outcome, State
from domain.request import CancellationRequest, LineScope
from domain.shipment import GoodsGroup, Shipment, ShipmentLine
from domain.step import StepName
from sandbox.carrier.model import ManualScan, Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, request
from tests.observing import eventually
from tests.system import settled
from tests.workflows.samples import an_id, in_network
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar

__all__ = ["over_oscar"]


def of_lines(sample: SampleOrder, units: dict[str, int], request_id: str = "first") -> CancellationRequest:
    scopes = [LineScope(line_id=line_id, quantity=quantity) for line_id, quantity in units.items()]
    return request(sample, *scopes, request_id=request_id)


async def send(over: Oscar, order: Order, script: Script, units: dict[int, int]) -> Shipment:
    [label] = (await over.system.shop.place(in_network(script))).shipments
    parts = tuple(ShipmentLine(line_id=order.lines[at].line_id, quantity=n) for at, n in units.items())
    parcel = label.model_copy(update={"lines": parts})
    await over.shop.ship(order.order_id, parcel)
    return parcel


def three_units(total: str = "600.00 USD", **paid: Any) -> SampleOrder:
    return SampleOrder(order_id=an_id(), lines=(line("L1", 3, total),), tenders=(card(total, **paid),))


def two_lines(first: str) -> SampleOrder:
    lines = (line("L1", 1, first), line("L2", 1, "200.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card(str(money(first) + money("200.00 USD"))),))


@pytest.mark.parametrize("moment", ["before_the_pivot", "after_the_close"])
async def test_a_new_parcel_that_also_holds_goods_that_stay_is_not_sent_back(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """C10/PARCEL_SHARED: a parcel on its way cannot be stopped in part; the customer keeps L2."""
    system, sample = over_oscar.system, two_lines("700.00 USD")
    order = await over_oscar.place(sample)
    close, sent = over_oscar.shop.orders.close, list[Shipment]()

    async def close_too_late(*args: Any, **more: Any) -> None:
        if moment == "after_the_close" and not sent:
            sent.append(await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0, 1))
        await close(*args, **more)

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_too_late)
    async with system.worker():
        _, handle = await system.submit(of_lines(sample, {order.lines[0].line_id: 1}))
        await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
        if moment == "before_the_pivot":
            sent.append(await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0, 1))
        await system.approve(handle)
        if moment == "before_the_pivot":
            ended = (await system.finish(handle)).outcome
        else:
            await system.waits_for(handle, State.NEEDS_ATTENTION, State.WAITING_FOR_CARRIER)
    effects = [effect.kind.value for effect in await system.shop.carrier.effects(sent[0].label_reference or "")]
    assert [kind for kind in effects if kind != "label.bought"] == [], "L2 is the customer's, and was sent back"
    if moment == "before_the_pivot":
        assert (ended, await system.refunds(sample.order_id)) == (Outcome.REJECTED, [])


async def test_the_rest_that_ships_while_the_run_waits_is_left_alone_where_the_shop_counts_what_is_left(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E25; docs/providers.md: a system that counts only what is left may say so."""
    system, sample = over_oscar.system, three_units("1800.00 USD")
    read = over_oscar.shop.orders.read

    async def only_what_is_left(order_id: str) -> Order:
        order: Order = await read(order_id)
        lines = tuple(
            ln.model_copy(
                update={
                    "quantity": ln.remaining,
                    "total": ln.total.share(ln.remaining, ln.quantity),
                    "tax": ln.tax.share(ln.remaining, ln.quantity),
                    "cancelled": 0,
                }
            )
            for ln in order.lines
            if ln.remaining
        )
        return order.model_copy(update={"lines": lines})

    order = await over_oscar.place(sample)
    monkeypatch.setattr(over_oscar.shop.orders, "read", only_what_is_left)
    async with system.worker():
        _, handle = await system.submit(of_lines(sample, {order.lines[0].line_id: 1}))
        await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
        parcel = await send(over_oscar, order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, {0: 2})
        await system.approve(handle)
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    effects = [effect.kind.value for effect in await system.shop.carrier.effects(parcel.label_reference or "")]
    assert [kind for kind in effects if kind != "label.bought"] == [], "the two units that were not cancelled"


async def test_a_unit_that_was_delivered_is_not_refunded_by_a_second_request_for_the_parcel_that_came_back(
    over_oscar: Oscar,
) -> None:
    """C9: two parcels of one line; one is delivered, the other was stopped, and cancelled by the first request."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over_oscar.place(sample)
    await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0)
    await over_oscar.send(order, Script.DELIVERED, 0)
    async with system.worker():
        first = await system.cancel(request(sample, request_id="first"))
        assert first.outcome is Outcome.PARTIALLY_CANCELLED
        assert await system.refunds(sample.order_id) == [money("32.00 USD")]
        second = await system.cancel(request(sample, request_id="second"))
    assert (second.outcome, await system.refunds(sample.order_id)) == (Outcome.REJECTED, [money("32.00 USD")])


@pytest.mark.xfail(strict=True, reason="staff's unit is counted as ours")
async def test_units_that_staff_takes_out_while_the_shop_does_not_answer_are_not_ours(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E26: the shop said that it did nothing; one unit gone, and the customer has staff's refund and ours."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over_oscar.place(sample)
    close, tried = over_oscar.shop.orders.close, list[int]()

    async def away_at_first(*args: Any, **more: Any) -> None:
        if not tried:
            tried.append(1)
            await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
            raise Unavailable("The shop's database is not reachable at the moment.")
        await close(*args, **more)

    monkeypatch.setattr(over_oscar.shop.orders, "close", away_at_first)
    async with system.worker():
        _, handle = await system.submit(of_lines(sample, {order.lines[0].line_id: 1}))
        wait = await system.waits_at(handle, StepName.CLOSE_ORDER)
    assert await over_oscar.gone(sample.order_id) == [1]
    assert wait is not None, "staff's unit was counted as ours"


async def restocked_later(over: Oscar, monkeypatch: pytest.MonkeyPatch, sample: SampleOrder) -> tuple[Order, str, str]:
    """A shop that restocks at once: the first parcel of the order's only line comes back, the other is out for delivery."""
    monkeypatch.setattr(type(over.shop.orders), "restocks_at_once", True)
    order = await over.place(sample)
    back = await over.send(order, Script.INTERCEPT_SILENT, 0)
    other = await over.send(order, Script.OUT_FOR_DELIVERY, 0)
    _, handle = await over.system.submit(request(sample, request_id="first"))
    await over.system.waits_for(handle, State.WAITING_FOR_CARRIER)
    await over.system.shop.carrier.scan(back.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
    await over.system.wake_by_carrier(handle)
    result = await over.system.finish(handle)
    assert result.outcome is Outcome.PARTIALLY_CANCELLED
    assert await over.gone(sample.order_id) == [0]
    return order, back.label_reference or "", other.label_reference or ""


def two_units() -> SampleOrder:
    return SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))


async def test_a_unit_that_staff_took_out_is_not_counted_as_the_one_that_has_come_back(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E26, DESIGN 6: a difference is reported, never absorbed. Staff takes the other unit out before ours is received."""
    system, sample = over_oscar.system, two_units()
    async with system.worker():
        order, back, _ = await restocked_later(over_oscar, monkeypatch, sample)
        await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
        await system.shop.carrier.scan(back, TrackerStatus.DELIVERED)
        handle = await system.notified_of_parcel(sample.order_id)
        wait = await system.waits_at(handle, StepName.CLOSE_ORDER)
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


async def test_what_left_beside_a_unit_that_staff_took_out_is_seen_before_the_pivot(over_oscar: Oscar) -> None:
    """E20 with E26: a person settles the difference of L2; L1 is out for delivery, and still a declined stop."""
    system, sample = over_oscar.system, two_lines("400.00 USD")
    order = await over_oscar.place(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.shop.take_out(sample.order_id, order.lines[1].line_id, 1)
        await over_oscar.send(order, Script.OUT_FOR_DELIVERY, 0)
        await system.approve(handle)
        wait = await system.waits_at(handle, StepName.CHECK_ORDER)
        assert wait
        await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-7"))
        await system.wait_like(handle, lambda other: other.step is not StepName.CHECK_ORDER, "the next wait")
    assert Money.total(await system.refunds(sample.order_id), "USD") <= money("200.00 USD"), "L1 goes to the customer"


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
    order = await over_oscar.place(sample)
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
        await system.waits_for(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(parcel.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        wait = await system.waits_at(handle, StepName.CLOSE_ORDER)
    assert wait is None, wait
    assert await over_oscar.gone(sample.order_id) == [warehouse]


async def expected_back(over: Oscar, monkeypatch: pytest.MonkeyPatch) -> tuple[SampleOrder, str]:
    """All of an order comes back to a shop that restocks at once."""
    monkeypatch.setattr(type(over.shop.orders), "restocks_at_once", True)
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over.place(sample)
    parcel = await over.send(order, Script.INTERCEPT_SILENT, 0)
    _, handle = await over.system.submit(request(sample))
    await over.system.waits_for(handle, State.WAITING_FOR_CARRIER)
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
        handle = await system.notified_of_parcel(sample.order_id)
        wait = await system.waits_at(handle, StepName.STOP_SHIPMENT)
        assert wait
        await system.resolve(handle, settled(wait, "done_by_hand", "FETCHED-1"))
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await over_oscar.gone(sample.order_id) == [1]


@pytest.mark.xfail(strict=True, reason="the unit stays in the order, and nobody is asked")
async def test_what_was_expected_back_and_is_lost_on_the_way_leaves_the_order_or_somebody_is_asked(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C12, I6: otherwise its line is in the order for ever, and nobody knows."""
    system = over_oscar.system
    async with system.worker():
        sample, label = await expected_back(over_oscar, monkeypatch)
        body = ManualScan(status=TrackerStatus.FAILURE, detail="lost").model_dump()
        (await system.shop.carrier._http.post(f"/parcels/{label}/scan", json=body)).raise_for_status()
        assert (await system.labels.track(label)).group is GoodsGroup.LOST
        handle = await system.notified_of_parcel(sample.order_id)
        wait = await system.wait_like(handle, lambda _: True, "anybody is asked")
    assert wait or await over_oscar.gone(sample.order_id) == [1]


async def test_a_lost_run_that_had_closed_the_order_in_the_shop_is_nobody_elses_doing(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E15, E21: the units are ours, noted and refunded; the next run goes on from the books."""
    system, sample = over_oscar.system, two_units()
    await over_oscar.place(sample)
    close, closed = over_oscar.shop.orders.close, list[int]()

    async def close_and_lose_the_run(*args: Any, **more: Any) -> None:
        await close(*args, **more)
        if not closed:
            closed.append(1)
            await system.lose(system.current(sample.order_id))
            raise OutcomeUnknown("The worker was killed.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_and_lose_the_run)
    async with system.worker():
        await system.start(request(sample, request_id="first"))

        async def is_closed() -> bool:
            return bool(closed)

        await eventually(is_closed, "the shop has closed the order")
        await system.lose(system.current(sample.order_id))
        handle = await system.start(request(sample, request_id="first"))
        wait = await system.wait_like(handle, lambda _: True, "it waits for anybody")
    assert wait is None, wait
    assert await over_oscar.gone(sample.order_id) == [2]


def unpack(order_id: str) -> None:
    """The warehouse throws the voided label away."""
    from tests.providers.oscar.adapter import ShippingEvent, event_type

    ShippingEvent.objects.filter(order__number=order_id, event_type=event_type("Shipped")).delete()


@pytest.mark.xfail(strict=True, reason="the unit that was sent is refunded too")
async def test_goods_that_are_packed_again_after_their_label_was_voided_are_seen(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E20: the shop cannot freeze, so the warehouse gives the unit another label and sends it before the pivot."""
    system, sample = over_oscar.system, two_lines("64.00 USD")
    order = await over_oscar.place(sample)
    await over_oscar.send(order, Script.LABEL_ONLY, 0)
    [label] = (await system.shop.place(in_network(Script.OUT_FOR_DELIVERY))).shipments
    again = label.model_copy(update={"lines": (ShipmentLine(line_id=order.lines[0].line_id, quantity=1),)})
    void, sent = system.labels.void, list[int]()

    async def void_and_pack_again(*args: Any, **more: Any) -> Any:
        answer = await void(*args, **more)
        if not sent:
            sent.append(1)
            await sync_to_async(unpack)(sample.order_id)
            await over_oscar.shop.ship(sample.order_id, again)
        return answer

    monkeypatch.setattr(system.labels, "void", void_and_pack_again)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        result = await system.finish(handle)
    assert sent
    assert (result.outcome, await system.refunds(sample.order_id)) == (
        Outcome.PARTIALLY_CANCELLED,
        [money("200.00 USD")],
    )
