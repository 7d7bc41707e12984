"""When things happen and in which order they are shown: the step table, the clocks that a request starts, the rest of an
order whose refund takes days."""

from datetime import timedelta

import pytest

from domain.money import money
from domain.order import OrderFlag, OrderState
from domain.outcome import Outcome, State
from domain.request import LineScope, ReasonCode
from domain.step import StepName
from sandbox import built_in
from sandbox.carrier.model import FaultKind, Operation
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.system import POLICY, System
from tests.workflows.samples import an_id, captured

PENDING = "pm_card_pendingRefund"


# The step table


@pytest.mark.parametrize("looked_at_again", [False, True])
async def test_the_steps_are_listed_in_the_order_in_which_they_happened(
    real_time_system: System, looked_at_again: bool
) -> None:
    """M12: the carrier reported on the voided label while the refund settled, and the gateway after the end."""
    system = real_time_system
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card=PENDING),)})
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        await system.wake_by_carrier(handle)
        await system.shop.gateway.advance(timedelta(days=6).total_seconds())
        await system.wake(handle)
        await system.end(handle)
        if looked_at_again:
            await system.end(await system.notify_of_refund(sample.order_id))
    assert await system.carrier_effects(sample.order_id) == ["label.void_submitted"]
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    status = await system.library.status(sample.order_id)
    happened = [row for row in status.steps if row.step in _STEPS]
    assert [row.step for row in sorted(happened, key=lambda row: row.started_at)] == list(_STEPS)
    assert [row.step for row in happened] == list(_STEPS)
    ends = {row.step: row.ended_at for row in happened}
    stopped, reversed_ = ends[StepName.STOP_SHIPMENT], ends[StepName.REVERSE_PAYMENT]
    assert stopped is not None
    assert reversed_ is not None
    assert stopped <= reversed_
    assert ends[StepName.CLOSE_ORDER] is not None
    assert status.past_pivot


_STEPS = (
    StepName.VERIFY_ORDER,
    StepName.STOP_SHIPMENT,
    StepName.REVERSE_PAYMENT,
    StepName.CREDIT_REFUND,
    StepName.CLOSE_ORDER,
)


# Clocks


async def test_the_clocks_begin_with_the_request_and_not_with_its_verification(system: System) -> None:
    """M30, A15: the carrier could not be asked for three days, so that nothing could be verified."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.EU_CONSUMER}), "country": "DE"})
    await system.shop.place_order(sample)
    label = system.shop.labels[sample.order_id][0]
    for operation in (Operation.SHIPMENT_READ, Operation.TRACKER_READ):
        await system.shop.carrier.add_fault(operation, FaultKind.HTTP_429, times=100_000, parcel=label, seconds=3_600)
    handle = await system.start(request(sample, reason=ReasonCode.STATUTORY_WITHDRAWAL))
    await system.skip(timedelta(days=3))
    await system.shop.carrier.clear_faults()
    await system.end(handle)
    began = await system.began_at(handle)
    receipts = [n.received_at for n in await system.notices(sample.order_id) if n.kind == "withdrawal_acknowledged"]
    assert len(receipts) == 1
    assert receipts[0] is not None
    assert abs(receipts[0] - began) < timedelta(minutes=1)
    due = (await system.progress(handle)).refund_due
    assert due is not None
    (clock,) = (clock for clock in POLICY.refund_clocks if clock.law == due.law)
    assert due.at == clock.due(began, "DE")
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


# The rest of an order whose refund takes days


async def test_the_rest_of_the_order_ships_while_the_refund_settles(system: System) -> None:
    """E25: the line is out, its stock is for sale, and the customer knows; `refunded` is said after settlement only."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "64.00 USD"), line("L2", 1, "20.00 USD")),
        tenders=(card("84.00 USD", card=PENDING),),
        parcels=(parcel(None, L1=1), parcel(None, L2=1)),
    )
    await system.shop.place_order(sample)
    first = request(sample, LineScope(line_id="L1", quantity=1))
    _, handle = await system.submit(first)
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    order = await system.read_order(sample.order_id)
    assert order.held_by is None
    assert {line.line_id: line.cancelled for line in order.lines} == {"L1": 1, "L2": 0}
    assert order.state is OrderState.PARTIALLY_CANCELLED
    assert [shipment.stopped for shipment in order.shipments if shipment.shipment_id == "S2"] == [False]
    stocks = [await built_in.stock(system.engine, f"SKU-{sample.order_id}-{name}") for name in ("L1", "L2")]
    assert [(stock.on_hand, stock.reserved) for stock in stocks] == [(1, 0), (1, 1)]
    before = {notice.kind.value for notice in await system.notices(sample.order_id)}
    assert "cancelled" in before
    assert "refunded" not in before
    await system.shop.gateway.advance(timedelta(days=6).total_seconds())
    await system.end(handle)
    after = {notice.kind.value for notice in await system.notices(sample.order_id)}
    assert after - before == {"refunded"}
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]
    assert await system.outcomes(sample.order_id) == [Outcome.CANCELLED]
    assert (await system.read_order(sample.order_id)).held_by is None
    await system.assert_books_balance()


async def test_a_part_that_was_captured_for_what_stays_is_not_refunded_to_the_part_that_goes(system: System) -> None:
    """B3, I1: 640.00 reserved; the 600.00 line goes, and the shop takes its 40.00 for the other line, with which the
    gateway releases the rest. The customer keeps the goods of 40.00 and pays 40.00."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "600.00 USD"), line("L2", 1, "40.00 USD")),
        tenders=(card("640.00 USD", "0.00 USD"),),
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample, LineScope(line_id="L1", quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.capture(system.shop.payments[sample.order_id][0], money("40.00 USD"), final=True)
    await system.approve(handle)
    await system.finish(handle)
    assert await system.refunds(sample.order_id) == [], "600.00 were released, and the 40.00 belong to the other line"
