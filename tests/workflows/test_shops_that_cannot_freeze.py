"""A real shop that knows nothing of us, django-oscar: nothing in it can be frozen, so goods leave and people take units out
while a cancellation is under way."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.closing import Closing
from domain.errors import OutcomeUnknown
from domain.facts import OrderClosed
from domain.keys import EffectKey
from domain.money import Money, money
from domain.order import Contact, Order, OrderState
from domain.outcome import Outcome, State
from domain.shipment import Shipment, ShipmentLine
from domain.step import Owner, StepName
from sandbox import books
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System, resolve, settled
from tests.workflows.samples import an_id, in_network

TWO_LINES = "600.00 USD"
"""Above the limit: the run waits for approval."""


@dataclasses.dataclass
class Oscar:
    """The system over django-oscar."""

    system: System
    shop: Any

    async def place_order(self, sample: SampleOrder) -> Order:
        """Paid at the gateway and placed in the shop; the order as its adapter reads it."""
        order = await self.system.shop.place_order(sample)
        contact = Contact(email=f"{sample.customer_id.lower()}@customer.example")
        await self.shop.place_order(order.model_copy(update={"contact": contact}))
        return await self.read(sample.order_id)

    async def read(self, order_id: str) -> Order:
        order: Order = await self.shop.orders.read(order_id)
        return order

    async def send(self, order: Order, script: Script, *lines: int, units: int = 1) -> Shipment:
        """The warehouse hands so many of each of these lines to the carrier, where the parcel does as the script says."""
        [label] = (await self.system.shop.place_order(in_network(script))).shipments
        parts = tuple(ShipmentLine(line_id=order.lines[at].line_id, quantity=units) for at in lines)
        parcel = label.model_copy(update={"lines": parts})
        await self.shop.ship(order.order_id, parcel)
        return parcel

    async def gone(self, order_id: str) -> list[int]:
        return [line.cancelled for line in (await self.read(order_id)).lines]


@pytest.fixture
def over_oscar(bare_system: System, oscar: Path) -> Oscar:
    from tests.providers.oscar.shop import OscarShop

    shop = OscarShop()
    return Oscar(dataclasses.replace(bare_system, orders=shop.orders), shop)


def two_lines() -> SampleOrder:
    return SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "400.00 USD"), line("L2", 1, "200.00 USD")), tenders=(card(TWO_LINES),)
    )


async def test_an_order_is_cancelled_and_refunded(over_oscar: Oscar) -> None:
    """The whole way, in a shop that was not made for us."""
    system, sample = (
        over_oscar.system,
        SampleOrder(order_id=an_id(), lines=(line("L1", 3, "90.00 USD"),), tenders=(card("90.00 USD"),)),
    )
    order = await over_oscar.place_order(sample)
    before = await over_oscar.shop.for_sale(sample.order_id, order.lines[0].line_id)
    async with system.worker():
        result = await system.cancel(request(sample))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("90.00 USD"))
    assert (await over_oscar.read(sample.order_id)).state is OrderState.CANCELLED
    assert await over_oscar.shop.for_sale(sample.order_id, order.lines[0].line_id) == before + 3
    assert await system.refunds(sample.order_id) == [money("90.00 USD")]


async def test_a_cancellation_without_a_failure_logs_none(over_oscar: Oscar) -> None:
    """A shop that is asked over a network is never asked within the workflow's own task, and that is no failure."""
    system, sample = over_oscar.system, two_lines()
    await over_oscar.place_order(sample)
    with capture_logs() as logs:
        async with system.worker():
            _, handle = await system.submit(request(sample))
            await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
            await system.approve(handle)
            await system.finish(handle)
    assert {line["event"] for line in logs} >= {"step_attempt_is_repeated", "step_attempt_succeeded"}
    assert [line for line in logs if line["log_level"] != "info"] == []


async def test_goods_that_leave_while_the_run_waits_are_a_declined_stop(over_oscar: Oscar) -> None:
    """E20: seen before the pivot; what has left stays in the order and is not refunded."""
    system, sample = over_oscar.system, two_lines()
    order = await over_oscar.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.send(order, Script.OUT_FOR_DELIVERY, 0)
        await system.approve(handle)
        result = await system.finish(handle)
    assert result.outcome is Outcome.PARTIALLY_CANCELLED
    assert await system.refunds(sample.order_id) == [money("200.00 USD")]
    assert await over_oscar.gone(sample.order_id) == [0, 1]
    assert [document.total for document in await books.documents(system.engine)][-1:] == [money("200.00 USD")]


async def test_a_parcel_that_left_while_the_run_waited_is_stopped_where_the_carrier_does(over_oscar: Oscar) -> None:
    """E20: it is in the network and comes back, so everything is cancelled."""
    system, sample = over_oscar.system, two_lines()
    order = await over_oscar.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0)
        await system.approve(handle)
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money(TWO_LINES)]
    assert await over_oscar.gone(sample.order_id) == [1, 1]


async def test_when_everything_has_left_nothing_is_refunded(over_oscar: Oscar) -> None:
    """E20: the customer is offered a return."""
    system, sample = over_oscar.system, two_lines()
    order = await over_oscar.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.send(order, Script.DELIVERED, 0, 1)
        await system.approve(handle)
        result = await system.finish(handle)
    assert result.outcome is Outcome.REJECTED
    assert await system.refunds(sample.order_id) == []
    assert await over_oscar.gone(sample.order_id) == [0, 0]


async def test_what_leaves_between_the_refund_and_the_close_is_a_persons_to_fetch(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E20, I2: the money is on its way; the lines leave the order, and somebody has to get the goods."""
    system, sample = over_oscar.system, two_lines()
    order = await over_oscar.place_order(sample)
    close = over_oscar.shop.orders.close
    sent: list[Shipment] = []

    async def close_too_late(*args: Any, **more: Any) -> None:
        if not sent:
            sent.append(await over_oscar.send(order, Script.DELIVERED, 1))
        await close(*args, **more)

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_too_late)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
        assert wait is not None
        assert wait.owner is Owner.OPERATIONS
        assert await over_oscar.gone(sample.order_id) == [1, 1]
        await system.resolve(handle, settled(wait, "done_by_hand", "FETCHED-1"))
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money(TWO_LINES)]


@pytest.mark.parametrize("put_back", [True, False], ids=["put_back", "rolled_back"])
async def test_units_that_staff_takes_out_meanwhile_are_a_difference_that_is_reported(
    over_oscar: Oscar, *, put_back: bool
) -> None:
    """E26: before any money has moved, and never one unit gone and two refunded."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, TWO_LINES),), tenders=(card(TWO_LINES),))
    order = await over_oscar.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert wait.owner is Owner.OPERATIONS
        assert f"1 of line {order.lines[0].line_id}" in wait.reason
        assert await system.refunds(sample.order_id) == []
        if put_back:
            await over_oscar.shop.put_back(sample.order_id)
            await system.retry(handle, StepName.CHECK_ORDER, sample.order_id)
        else:
            await system.resolve(handle, resolve(StepName.CHECK_ORDER, sample.order_id, "roll_back"))
        result = await system.finish(handle)
    if put_back:
        assert result.outcome is Outcome.CANCELLED
        assert await system.refunds(sample.order_id) == [money(TWO_LINES)]
        assert await over_oscar.gone(sample.order_id) == [2]
    else:
        assert result.outcome is Outcome.ROLLED_BACK
        assert await system.refunds(sample.order_id) == []
        assert await over_oscar.gone(sample.order_id) == [1]


async def test_units_that_staff_takes_out_after_the_refund_are_not_counted_as_ours(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E26: found before the order is closed; a person closes it by hand, and the books go on."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await over_oscar.place_order(sample)
    note_effect = system.books.note_effect

    async def staff_is_quicker(key: EffectKey, *args: Any, **more: Any) -> Any:
        if key.step is StepName.REVERSE_PAYMENT and not sum(await over_oscar.gone(sample.order_id)):
            await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
        return await note_effect(key, *args, **more)

    monkeypatch.setattr(system.books, "note_effect", staff_is_quicker)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        assert wait is not None
        assert await over_oscar.gone(sample.order_id) == [1], "nothing more was taken out"
        await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 1)
        await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-7"))
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    assert await over_oscar.gone(sample.order_id) == [2]
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


@pytest.mark.parametrize("times", [1, 3])
async def test_an_answer_that_is_lost_after_the_shop_has_closed_the_order_takes_nothing_out_twice(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """E21: one cancellation, stock counted once."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "90.00 USD"),), tenders=(card("90.00 USD"),))
    order = await over_oscar.place_order(sample)
    before = await over_oscar.shop.for_sale(sample.order_id, order.lines[0].line_id)
    close = over_oscar.shop.orders.close
    lost: list[int] = []

    async def close_and_lose_the_answer(*args: Any, **more: Any) -> None:
        await close(*args, **more)
        if len(lost) < times:
            lost.append(1)
            raise OutcomeUnknown("The shop's answer was lost.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_and_lose_the_answer)
    async with system.worker():
        result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    assert len(lost) == times
    assert await over_oscar.gone(sample.order_id) == [3]
    assert await over_oscar.shop.for_sale(sample.order_id, order.lines[0].line_id) == before + 3
    assert await system.refunds(sample.order_id) == [money("90.00 USD")]


async def test_what_is_coming_back_stays_in_an_order_that_restocks_at_once(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6: the run does not wait for the parcel; the register expects it, and the carrier's word closes its line alone."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system, sample = (
        over_oscar.system,
        SampleOrder(
            order_id=an_id(),
            lines=(line("L1", 1, "40.00 USD"), line("L2", 1, "20.00 USD")),
            tenders=(card("60.00 USD"),),
        ),
    )
    order = await over_oscar.place_order(sample)
    parcel = await over_oscar.send(order, Script.INTERCEPT_SILENT, 0)
    assert parcel.label_reference is not None
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        await system.shop.carrier.scan(parcel.label_reference, TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        result = await system.finish(handle)
        assert result.outcome is Outcome.CANCELLED
        assert await over_oscar.gone(sample.order_id) == [0, 1]
        [shipment] = (await over_oscar.read(sample.order_id)).shipments
        closed = [e.fact for e in await books.facts(system.engine, sample.order_id) if isinstance(e.fact, OrderClosed)]
        assert [fact.expected_back for fact in closed] == [(shipment.shipment_id,)]
        again = await system.library.quote(request(sample, request_id="again"))
        assert again.plan is None, "nothing of it can be cancelled once more"
        await system.shop.carrier.scan(parcel.label_reference, TrackerStatus.DELIVERED)
        handle = await system.notify_of_parcel(sample.order_id)
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await over_oscar.gone(sample.order_id) == [1, 1]
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    assert Money.total(await system.refunds(sample.order_id), "USD") == money("60.00 USD")


@pytest.mark.parametrize("lost", [True, False], ids=["answer_lost", "answered"])
async def test_of_a_line_that_is_partly_on_its_way_back_the_rest_leaves_once(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    """E21: two of three are in a parcel that comes back, and what was taken out is nobody else's doing."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "60.00 USD"),), tenders=(card("60.00 USD"),))
    order = await over_oscar.place_order(sample)
    parcel = await over_oscar.send(order, Script.INTERCEPT_ACCEPTED_THEN_RETURNS, 0, units=2)
    close = over_oscar.shop.orders.close
    calls: list[Closing] = []

    async def close_and_lose_the_answer(order_id: str, closing: Closing, *args: Any, **more: Any) -> None:
        await close(order_id, closing, *args, **more)
        calls.append(closing)
        if lost and len(calls) == 1:
            raise OutcomeUnknown("The shop's answer was lost.")

    monkeypatch.setattr(over_oscar.shop.orders, "close", close_and_lose_the_answer)
    async with system.worker():
        result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    assert parcel.lines[0].quantity == 2
    assert [dict(closing.targets) for closing in calls] == [{order.lines[0].line_id: 1}] * (1 + lost)
    assert await over_oscar.gone(sample.order_id) == [1]
    assert await system.refunds(sample.order_id) == [money("60.00 USD")]


async def test_a_lost_parcel_is_not_put_on_sale_by_a_shop_that_restocks_at_once(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C12: the unit in the warehouse leaves the order at once; those that are lost are a person's to take out."""
    monkeypatch.setattr(type(over_oscar.shop.orders), "restocks_at_once", True)
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 3, "60.00 USD"),), tenders=(card("60.00 USD"),))
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.LOST, 0, units=2)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        wait = await system.wait_for_step(handle, StepName.CLOSE_ORDER)
        assert wait, "nobody is asked"
        assert await over_oscar.gone(sample.order_id) == [1]
        await over_oscar.shop.take_out(sample.order_id, order.lines[0].line_id, 2)
        await system.resolve(handle, settled(wait, "done_by_hand", "CLAIM-1"))
        result = await system.finish(handle)
    assert result.outcome is Outcome.CANCELLED
    assert StepName.CHECK_ORDER not in {row.step for row in result.steps}
    assert await over_oscar.gone(sample.order_id) == [3]
    assert await system.refunds(sample.order_id) == [money("60.00 USD")]
