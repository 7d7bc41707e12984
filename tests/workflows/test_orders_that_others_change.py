"""Orders that do not stay frozen, and what staff and the warehouse do to them before the money moves or at the close."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from structlog.testing import capture_logs

from domain.errors import ErrorCode, Refused
from domain.money import money
from domain.order import Order
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.shipment import GoodsGroup
from domain.step import StepName
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, request
from tests.observing import eventually
from tests.system import customer_of, settled
from tests.workflows.samples import an_id
from tests.workflows.test_shops_that_cannot_freeze import Oscar, over_oscar, two_lines

__all__ = ["over_oscar"]


async def test_a_parcel_that_leaves_by_the_oms_after_its_label_was_voided_is_not_refunded(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2, E20: its carrier has not seen it, and nobody stops it by a label that is void."""
    system = over_oscar.system
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "40.00 USD"), line("L2", 1, "20.00 USD")), tenders=(card("60.00 USD"),)
    )
    order = await over_oscar.place_order(sample)
    await over_oscar.send(order, Script.LABEL_ONLY, 0)
    other = await over_oscar.send(order, Script.INTERCEPT_SILENT, 1)
    parcel_id = (await over_oscar.read(sample.order_id)).shipments[0].shipment_id
    read = over_oscar.shop.orders.read

    async def with_departure(order_id: str) -> Order:
        found: Order = await read(order_id)
        left = {"group": GoodsGroup.IN_NETWORK}
        return found.model_copy(
            update={
                "shipments": tuple(
                    parcel.model_copy(update=left) if parcel.shipment_id == parcel_id else parcel
                    for parcel in found.shipments
                )
            }
        )

    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
        monkeypatch.setattr(over_oscar.shop.orders, "read", with_departure)
        await system.shop.carrier.scan(other.label_reference or "", TrackerStatus.RETURN_TO_SENDER)
        await system.wake_by_carrier(handle)
        result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("20.00 USD"))
    assert await over_oscar.gone(sample.order_id) == [0, 1]


def add_unit(order_id: str, line_id: str) -> None:
    """Staff adds a unit at the price of the others."""
    from django.db.models import F

    from tests.providers.oscar.adapter import Line

    line = Line.objects.get(pk=line_id)
    price = line.line_price_incl_tax / line.quantity
    Line.objects.filter(pk=line_id).update(
        quantity=F("quantity") + 1, line_price_incl_tax=F("line_price_incl_tax") + price
    )


@pytest.mark.parametrize("is_known", [True, False], ids=["it_is_known", "withdrawn"])
async def test_a_unit_that_is_added_to_an_order_that_is_cancelled_as_a_whole_is_a_persons_question(
    over_oscar: Oscar, *, is_known: bool
) -> None:
    """I3: all that was paid would go back, with the shipping charge of what is still to be sent."""
    system, sample = over_oscar.system, two_lines()
    order = await over_oscar.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await sync_to_async(add_unit)(sample.order_id, order.lines[1].line_id)
        await system.approve(handle)
        wait = await system.wait_for_step(handle, StepName.CHECK_ORDER)
        assert wait is not None
        assert f"added 1 of line {order.lines[1].line_id} to" in wait.reason
        assert await system.refunds(sample.order_id) == []
        if is_known:
            await system.resolve(handle, settled(wait, "done_by_hand", "TICKET-1"))
        else:
            await system.withdraw(handle, customer_of(sample))
        result = await system.finish(handle)
    refunded = [money("600.00 USD")] if is_known else []
    assert await system.refunds(sample.order_id) == refunded
    assert result.outcome is (Outcome.CANCELLED if is_known else Outcome.WITHDRAWN)
    assert await over_oscar.gone(sample.order_id) == ([1, 1] if is_known else [0, 0])


async def test_a_unit_that_is_added_to_an_order_of_which_a_part_is_cancelled_is_nobodys_question(
    over_oscar: Oscar,
) -> None:
    """What stays in the order is not the cancellation's."""
    system = over_oscar.system
    lines = (line("L1", 1, "600.00 USD"), line("L2", 1, "20.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("620.00 USD"),))
    order = await over_oscar.place_order(sample)
    part = request(sample, LineScope(line_id=order.lines[0].line_id, quantity=1))
    async with system.worker():
        _, handle = await system.submit(part)
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        await sync_to_async(add_unit)(sample.order_id, order.lines[1].line_id)
        await system.approve(handle)
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(sample.order_id)) == (Outcome.CANCELLED, [money("600.00 USD")])


async def test_no_money_moves_while_an_order_could_not_be_closed(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E20: staff is changing it. The run says so, and goes on by itself."""
    system, sample = over_oscar.system, two_lines()
    await over_oscar.place_order(sample)
    read, reads = over_oscar.shop.orders.read, list[str]()

    async def with_change(order_id: str) -> Order:
        reads.append(order_id)
        found: Order = await read(order_id)
        is_open = len(reads) < 4
        return found.model_copy(update={"not_closable": "It is being changed." if is_open else None})

    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        monkeypatch.setattr(over_oscar.shop.orders, "read", with_change)
        await system.approve(handle)

        async def is_read_again() -> bool:
            return len(reads) > 2

        await eventually(is_read_again, "it is read again")
        assert await system.refunds(sample.order_id) == []
        result = await system.finish(handle)
    assert (result.outcome, await system.refunds(sample.order_id)) == (Outcome.CANCELLED, [money("600.00 USD")])


async def test_a_refund_that_the_shop_does_not_note_keeps_no_cancellation_from_ending(
    over_oscar: Oscar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3: the books and the gateway know it. The log says why it is not in the shop's."""
    system = over_oscar.system
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    await over_oscar.place_order(sample)

    async def refuse(*_: Any, **__: Any) -> None:
        raise Refused(ErrorCode.ORDER_LOCKED, "The payment is 40.00, and 64.00 cannot be given back of it.")

    monkeypatch.setattr(over_oscar.shop.orders, "note_given_back", refuse)
    with capture_logs() as logs:
        async with system.worker():
            result = await system.cancel(request(sample))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("64.00 USD"))
    said = {log["why"] for log in logs if log["event"] == "refund_not_noted"}
    assert said == {"The payment is 40.00, and 64.00 cannot be given back of it."}
