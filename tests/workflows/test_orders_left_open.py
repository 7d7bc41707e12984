"""Orders that their order management system cannot freeze: what others do to them while a cancellation is under way."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.money import Money, money
from domain.order import Order
from domain.outcome import Outcome, State
from domain.request import CancellationRequest, LineScope
from domain.shipment import Shipment, ShipmentLine
from domain.step import StepName
from providers.outbox.port import NoticeKind
from sandbox.carrier.model import Script
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
    [label] = (await over.system.shop.place_order(in_network(script))).shipments
    parts = tuple(ShipmentLine(line_id=order.lines[at].line_id, quantity=n) for at, n in units.items())
    parcel = label.model_copy(update={"lines": parts})
    await over.shop.ship(order.order_id, parcel)
    return parcel


def three_units(total: str = "600.00 USD", **paid: Any) -> SampleOrder:
    return SampleOrder(order_id=an_id(), lines=(line("L1", 3, total),), tenders=(card(total, **paid),))


def two_units() -> SampleOrder:
    return SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))


def two_lines(first: str) -> SampleOrder:
    lines = (line("L1", 1, first), line("L2", 1, "200.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card(str(money(first) + money("200.00 USD"))),))


@pytest.mark.parametrize("moment", ["before_the_pivot", "after_the_close"])
async def test_a_new_parcel_that_also_holds_goods_that_stay_is_not_sent_back(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """C10/PARCEL_SHARED: a parcel on its way cannot be stopped in part; the customer keeps L2."""
    system, sample = over_oscar.system, two_lines("700.00 USD")
    order = await over_oscar.place_order(sample)
    close, sent = over_oscar.shop.orders.close, list[Shipment]()

    async def close_too_late(*args: Any, **more: Any) -> None:
        if moment == "after_the_close" and not sent:
            sent.append(await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0, 1))
        await close(*args, **more)

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_too_late)
    async with system.worker():
        _, handle = await system.submit(of_lines(sample, {order.lines[0].line_id: 1}))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        if moment == "before_the_pivot":
            sent.append(await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0, 1))
        await system.approve(handle)
        if moment == "before_the_pivot":
            ended = (await system.finish(handle)).outcome
        else:
            await system.wait_for_state(handle, State.NEEDS_ATTENTION, State.WAITING_FOR_CARRIER)
    effects = [effect.kind.value for effect in await system.shop.carrier.effects(sent[0].label_reference or "")]
    assert [kind for kind in effects if kind != "label.bought"] == [], "L2 is the customer's, and was sent back"
    if moment == "before_the_pivot":
        assert (ended, await system.refunds(sample.order_id)) == (Outcome.REJECTED, [])
        [mail] = [m for m in await system.notices(sample.order_id) if m.kind is NoticeKind.PARCEL_NOT_STOPPED]
        assert [part.line_id for part in mail.lines] == [order.lines[0].line_id], "what they keep is not spoken of"


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

    order = await over_oscar.place_order(sample)
    monkeypatch.setattr(over_oscar.shop.orders, "read", only_what_is_left)
    async with system.worker():
        _, handle = await system.submit(of_lines(sample, {order.lines[0].line_id: 1}))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
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
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0)
    await over_oscar.send(order, Script.DELIVERED, 0)
    async with system.worker():
        first = await system.cancel(request(sample, request_id="first"))
        assert first.outcome is Outcome.PARTIALLY_CANCELLED
        assert await system.refunds(sample.order_id) == [money("32.00 USD")]
        second = await system.cancel(request(sample, request_id="second"))
    assert (second.outcome, await system.refunds(sample.order_id)) == (Outcome.REJECTED, [money("32.00 USD")])


@pytest.mark.parametrize("said", ["away", "locked"])
async def test_units_that_staff_takes_out_while_the_shop_does_nothing_are_not_ours(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """E26: the shop said that it did nothing; one unit gone, and the customer has staff's refund and ours."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over_oscar.place_order(sample)
    close, tried = over_oscar.shop.orders.close, list[int]()

    async def nothing_at_first(*args: Any, **more: Any) -> None:
        if not tried:
            tried.append(1)
            await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
            if said == "away":
                raise Unavailable("The shop's database is not reachable at the moment.")
            raise Refused(ErrorCode.ORDER_LOCKED, f"Order {sample.order_id} is locked.")
        await close(*args, **more)

    monkeypatch.setattr(over_oscar.shop.orders, "close", nothing_at_first)
    async with system.worker():
        _, handle = await system.submit(of_lines(sample, {order.lines[0].line_id: 1}))
        wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        assert wait
        if said == "locked":
            assert "is locked" in wait.reason
            await system.retry(handle, StepName.CLOSE_ORDER, wait.target or "")
            wait = await system.wait_for_wait(
                handle, lambda now: "is locked" not in now.reason, "it waits for another reason"
            )
    assert await over_oscar.gone(sample.order_id) == [1]
    assert wait, "nobody is asked"
    assert "Somebody else has taken 1 of line" in wait.reason


async def test_units_that_left_with_a_lost_answer_are_ours_also_after_the_shop_was_away(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E21: the first attempt took them out, the second read that the shop cannot be reached."""
    system, sample = over_oscar.system, two_units()
    order = await over_oscar.place_order(sample)
    close, tried = over_oscar.shop.orders.close, list[int]()

    async def lose_and_go_away(*args: Any, **more: Any) -> None:
        tried.append(1)
        if len(tried) == 2:
            raise Unavailable("The shop's database is not reachable at the moment.")
        await close(*args, **more)
        if len(tried) == 1:
            raise OutcomeUnknown("The shop's answer was lost.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", lose_and_go_away)
    async with system.worker():
        result = await system.cancel(of_lines(sample, {order.lines[0].line_id: 1}))
    assert (result.outcome, await over_oscar.gone(sample.order_id)) == (Outcome.CANCELLED, [1])
    assert len(tried) == 3


async def test_what_left_beside_a_unit_that_staff_took_out_is_seen_before_the_pivot(over_oscar: Oscar) -> None:
    """E20 with E26: a person settles the difference of L2; L1 is out for delivery, and still a declined stop."""
    system, sample = over_oscar.system, two_lines("400.00 USD")
    order = await over_oscar.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.shop.take_out(sample.order_id, order.lines[1].line_id, 1)
        await over_oscar.send(order, Script.OUT_FOR_DELIVERY, 0)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait
        await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-7"))
        await system.wait_for_wait(handle, lambda other: other.step is not StepName.CHECK_ORDER, "the next wait")
    assert Money.total(await system.refunds(sample.order_id), "USD") <= money("200.00 USD"), "L1 goes to the customer"


async def test_a_lost_run_that_had_closed_the_order_in_the_shop_is_nobody_elses_doing(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E15, E21: the units are ours, noted and refunded; the next run goes on from the books."""
    system, sample = over_oscar.system, two_units()
    await over_oscar.place_order(sample)
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
        wait = await system.wait_for_wait(handle, lambda _: True, "it waits for anybody")
    assert wait is None, wait
    assert await over_oscar.gone(sample.order_id) == [2]


def unpack(order_id: str) -> None:
    """The warehouse throws the voided label away."""
    from tests.providers.oscar.adapter import ShippingEvent, event_type

    ShippingEvent.objects.filter(order__number=order_id, event_type=event_type("Shipped")).delete()


async def test_goods_that_are_packed_again_after_their_label_was_voided_are_seen(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E20: the shop cannot freeze, so the warehouse gives the unit another label and sends it before the pivot."""
    system, sample = over_oscar.system, two_lines("64.00 USD")
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.LABEL_ONLY, 0)
    [label] = (await system.shop.place_order(in_network(Script.OUT_FOR_DELIVERY))).shipments
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


async def test_a_unit_that_staff_puts_back_is_not_said_to_be_taken(over_oscar: Oscar) -> None:
    """E26, rule 14: one of three units was taken out by staff, who put it back while the run waits for approval."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "1800.00 USD"),), tenders=(card("1800.00 USD"),))
    order = await over_oscar.place_order(sample)
    await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
    async with system.worker():
        one = LineScope(line_id=order.lines[0].line_id, quantity=1)
        _, handle = await system.submit(request(sample, one))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.shop.put_back(sample.order_id)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
    assert wait is None or "taken -1" not in wait.reason, wait.reason


async def test_units_that_a_person_has_said_are_this_cancellations_are_not_asked_about_again(
    over_oscar: Oscar,
) -> None:
    """Rule 12, E26: staff takes the unit out itself while the run waits, and says so where the run asks: "resolve the step
    with a reference when they are this cancellation's"."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "1200.00 USD"),), tenders=(card("1200.00 USD"),))
    order = await over_oscar.place_order(sample)
    async with system.worker():
        one = LineScope(line_id=order.lines[0].line_id, quantity=1)
        _, handle = await system.submit(request(sample, one))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait
        await system.resolve(handle, settled(wait, "done_by_hand", "OURS-1"))
        again = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
    assert again is None, again.reason
    assert await over_oscar.gone(sample.order_id) == [1]
