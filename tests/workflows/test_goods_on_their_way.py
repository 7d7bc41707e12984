"""Goods in an order of events that nobody planned: none travel after their refund, and none are stopped for ever."""

from datetime import timedelta

import pytest

from domain.money import money
from domain.order import OrderFlag
from domain.outcome import GoodsStatus, Outcome, State
from domain.shipment import Shipment, ShipmentLine
from domain.step import StepName
from sandbox import built_in
from sandbox.carrier.model import FaultKind, Operation, Script, TrackerStatus
from sandbox.gateway.messages import FaultKind as GatewayFault
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.observing import eventually
from tests.system import Handle, System, customer_of, resolve, settled
from tests.workflows.samples import an_id, captured, in_network
from tests.workflows.test_settled_by_hand import settles, under_way

PRICE = money("64.00 USD")
SUSPECT = frozenset({OrderFlag.FRAUD_REVIEW})


def label_of(system: System, sample: SampleOrder) -> str:
    return system.shop.labels[sample.order_id][0]


async def test_a_run_that_takes_up_looks_at_the_parcels_before_the_money_goes_back(system: System) -> None:
    """C4, E15: the label was voided, the run was lost for a day, and the parcel travels meanwhile. The next run looks
    before it refunds, although it has not waited itself."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    _, lost = await system.submit(request(sample))
    await system.wait_for_state(lost, State.WAITING_FOR_APPROVAL)
    await system.lose(lost)
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.OUT_FOR_DELIVERY)
    await system.skip(timedelta(days=1))
    _, handle = await system.submit(request(sample, request_id="again"))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    await system.finish(handle)
    assert await system.refunds(sample.order_id) == [], "the customer has the goods and 64.00"


async def test_an_intercept_that_a_person_gives_up_is_taken_back(system: System) -> None:
    """I2, rule 7: the goods stay with the customer, who gets a return offer; so the parcel must not come back."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "nothing_due", "TICKET-1"))
    try:
        await system.finish(handle)
    except AssertionError:
        return  # a person is asked what becomes of it
    assert await system.carrier_effects(sample.order_id) == ["intercept.requested", "intercept.cancelled"], (
        "no money, and the parcel is on its way back"
    )


async def test_a_retry_for_a_parcel_that_reaches_a_refunded_customer_looks_again(system: System) -> None:
    """I10: "it is tried again" is said, so it is: by now the parcel is on its way back."""
    sample = under_way().model_copy(update={"parcels": captured().parcels})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.OUT_FOR_DELIVERY)
    await settles(system, sample)
    await system.wake_by_carrier(handle)
    assert await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.RETURN_TO_SENDER)
    await system.retry(handle, StepName.STOP_SHIPMENT, "S1")

    async def moved_on() -> bool:
        return not (await system.progress(handle)).waits

    await eventually(moved_on, "the retry finds that the parcel is on its way back", within=5)


async def test_a_parcel_that_a_person_stopped_is_a_persons_to_send_on(system: System) -> None:
    """I2: the carrier's interface was down, somebody telephoned, and the customer withdraws: the interface knows of no
    intercept, so somebody has to telephone again."""
    sample = in_network(Script.INTERCEPT_SILENT).model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place_order(sample)
    label = label_of(system, sample)
    for operation in (Operation.INTERCEPT_ELIGIBILITY, Operation.INTERCEPT_RETURN):
        await system.shop.carrier.add_fault(operation, FaultKind.HTTP_500, times=200, parcel=label)
    _, handle = await system.submit(request(sample))
    await system.skip_to_state(handle, State.WAITING_FOR_CARRIER, State.NEEDS_ATTENTION)
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "done_by_hand", "TELEPHONED-1"))
    await system.shop.carrier.clear_faults()
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.withdraw(handle, customer_of(sample))
    asked = await system.wait_for_step(handle, StepName.RESUME_SHIPMENT)
    assert asked, "the order goes on, and its parcel comes back"


# Parcels that were stopped, and reach the customer after all


async def coming_back(system: System, sample: SampleOrder) -> Handle:
    """The intercept was taken, and the parcel is on its way back."""
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.RETURN_TO_SENDER)
    await system.wake_by_carrier(handle)
    return handle


async def delivered(system: System, sample: SampleOrder, handle: Handle) -> None:
    for status in (TrackerStatus.OUT_FOR_DELIVERY, TrackerStatus.DELIVERED):
        await system.shop.carrier.scan(label_of(system, sample), status)
    await system.wake_by_carrier(handle)


async def test_an_intercepted_parcel_that_is_delivered_after_all_is_not_refunded(system: System) -> None:
    """I2, E10: it came back, its address was corrected, and it was delivered, all before the refund was approved. Its lines
    leave the cancellation."""
    sample = in_network(Script.INTERCEPT_SILENT).model_copy(update={"flags": SUSPECT})
    handle = await coming_back(system, sample)
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await delivered(system, sample, handle)
    await system.approve(handle)
    result = await system.finish(handle)
    assert await system.refunds(sample.order_id) == [], "the customer has the goods and 64.00"
    assert (result.outcome, result.goods) == (Outcome.REJECTED, GoodsStatus.NOT_STOPPED)


async def test_an_intercepted_parcel_that_is_delivered_while_the_money_settles_is_a_persons_to_fetch(
    system: System,
) -> None:
    """I2, C7: it is too late to leave the cancellation."""
    sample = under_way().model_copy(update={"parcels": in_network(Script.INTERCEPT_SILENT).parcels})
    handle = await coming_back(system, sample)
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await delivered(system, sample, handle)
    await settles(system, sample)
    await system.wake(handle)
    asked = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
    assert asked, "it ends as cancelled; the customer has the goods and 64.00"
    await system.resolve(handle, settled(asked, "done_by_hand", "RETURN-7"))
    assert (await system.finish(handle)).goods is GoodsStatus.COMING_BACK
    assert await system.refunds(sample.order_id) == [PRICE]


async def test_a_lost_parcel_that_is_delivered_after_the_refund_is_a_persons_to_fetch(system: System) -> None:
    """I2: the carrier has found it. The cancellation is opened again, once."""
    sample = in_network(Script.LOST)
    await system.shop.place_order(sample)
    assert (await system.cancel(request(sample))).goods is GoodsStatus.LOST
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.DELIVERED)
    handle = await system.notify_of_parcel(sample.order_id)
    asked = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
    assert asked, "the customer has the goods and 64.00"
    await system.resolve(handle, settled(asked, "nothing_due", "WRITTEN-OFF-1"))
    await system.finish(handle)
    assert (await system.finish(await system.notify_of_parcel(sample.order_id))).existing
    assert await system.refunds(sample.order_id) == [PRICE]


# Parcels that a person stopped


async def stopped_by_hand(system: System, sample: SampleOrder) -> Handle:
    """Planned as a voided label; it was scanned before that, the carrier's intercepts are down, and a person takes it off
    the belt."""
    await system.shop.place_order(sample)
    for operation in (Operation.INTERCEPT_ELIGIBILITY, Operation.INTERCEPT_RETURN):
        fault = FaultKind.HTTP_500
        await system.shop.carrier.add_fault(operation, fault, times=200, parcel=label_of(system, sample))
    _, handle = await system.submit(request(sample))
    await system.skip_to_state(handle, State.WAITING_FOR_CARRIER, State.NEEDS_ATTENTION)
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "done_by_hand", "BELT-7"))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    return handle


def scanned_and_suspect() -> SampleOrder:
    return captured(parcels=(parcel(Script.SCANNED_BEFORE_VOID, L1=1),)).model_copy(update={"flags": SUSPECT})


async def test_a_parcel_that_a_person_stopped_stays_stopped_for_the_next_run(system: System) -> None:
    """I2: tracking shows it where it was when they stopped it. The carrier is not asked once more."""
    sample = scanned_and_suspect()
    handle = await stopped_by_hand(system, sample)
    await system.lose(handle)
    _, handle = await system.submit(request(sample, request_id="again"))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.wake_by_carrier(handle)
    await system.approve(handle)
    result = await system.finish(handle)
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.STOPPED)
    assert await system.refunds(sample.order_id) == [PRICE]
    assert "intercept.requested" not in await system.carrier_effects(sample.order_id)


async def test_a_parcel_that_a_person_stopped_is_refunded_although_the_carrier_says_nothing(system: System) -> None:
    """I2: their word stands as long as it does not show that the parcel was delivered."""
    sample = scanned_and_suspect()
    handle = await stopped_by_hand(system, sample)
    for operation in (Operation.SHIPMENT_READ, Operation.TRACKER_READ):
        fault = FaultKind.HTTP_500
        await system.shop.carrier.add_fault(operation, fault, times=1_000, parcel=label_of(system, sample))
    await system.wake_by_carrier(handle)
    await system.approve(handle)
    result = await system.finish(handle)
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.STOPPED)
    assert await system.refunds(sample.order_id) == [PRICE]


async def test_a_parcel_that_a_person_stopped_and_that_is_delivered_is_a_persons_to_judge(system: System) -> None:
    """I2: before the money moves whoever stopped it is asked, once; what they say then stands."""
    sample = scanned_and_suspect()
    handle = await stopped_by_hand(system, sample)
    await delivered(system, sample, handle)
    await system.approve(handle)
    asked = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
    assert asked
    assert "stopped by hand (BELT-7)" in asked.reason
    assert await system.refunds(sample.order_id) == []
    await system.resolve(handle, settled(asked, "done_by_hand", "IN-OUR-STORE"))
    await system.wake_by_carrier(handle)
    result = await system.finish(handle)
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.COMING_BACK)
    assert await system.refunds(sample.order_id) == [PRICE]


async def test_a_parcel_that_a_person_stopped_and_the_customer_keeps_is_not_refunded(system: System) -> None:
    """I2, rule 7: it was delivered, and they say so."""
    sample = scanned_and_suspect()
    handle = await stopped_by_hand(system, sample)
    await delivered(system, sample, handle)
    await system.approve(handle)
    asked = await system.wait_for_step(handle, StepName.STOP_SHIPMENT)
    assert asked
    await system.shop.carrier.clear_faults()
    await system.resolve(handle, settled(asked, "nothing_due", "SIGNED-FOR"))
    assert (await system.finish(handle)).outcome is Outcome.REJECTED
    assert await system.refunds(sample.order_id) == []


# A parcel that is packed while the order is verified


async def test_a_parcel_that_is_packed_between_the_look_and_the_hold_is_stopped(system: System) -> None:
    """I2: the warehouse labels and hands over while the gateway is read slowly. The order is held as it was read, or it is
    read again."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.disturb_look(sample.order_id, GatewayFault.SLOW, seconds=3, times=2)
    handle = await system.start(request(sample))
    await system.wait_for_look(handle, sample.order_id)
    packed = await system.shop.carrier.parcel(Script.INTERCEPT_SILENT, reference=f"{sample.order_id}-S1")
    made_up = Shipment(
        shipment_id="S1",
        lines=(ShipmentLine(line_id="L1", quantity=1),),
        carrier="UPS",
        label_reference=packed.shipment_id,
        tracking_number=packed.tracking_number,
    )
    await built_in.add_shipment(system.engine, sample.order_id, made_up)
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    effects = [effect.kind.value for effect in await system.shop.carrier.effects(packed.shipment_id)]
    assert effects == ["label.bought", "intercept.requested"]
    assert await system.refunds(sample.order_id) == []


@pytest.mark.parametrize("settling", [False, True], ids=["before the money moves", "while it settles"])
async def test_a_stopped_parcel_that_the_oms_has_dropped_holds_nothing_up(system: System, *, settling: bool) -> None:
    """Rule 14, I3: it is looked at by the label that it had; nobody is asked about a parcel that is not there any more."""
    parcels, reviewed = {"parcels": captured().parcels}, {"flags": frozenset({OrderFlag.FRAUD_REVIEW})}
    sample = under_way().model_copy(update=parcels) if settling else captured().model_copy(update=reviewed)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT if settling else State.WAITING_FOR_APPROVAL)
    await built_in.remove_shipment(system.engine, sample.order_id, "S1")
    await system.wake_by_carrier(handle)
    if settling:
        await settles(system, sample)
        await system.wake(handle)
    else:
        await system.approve(handle)
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def test_a_parcel_of_a_carrier_that_stops_none_is_offered_as_a_return_and_the_rest_is_cancelled(
    system: System,
) -> None:
    """C10: L1 is on its way with another carrier than UPS, L2 is in the warehouse. Its number is not sent to UPS, and the
    quote says already what becomes of it."""
    lines = (line("L1", 1, "20.00 USD"), line("L2", 1, "44.00 USD"))
    sent = parcel(Script.INTERCEPT_SILENT, L1=1)
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("64.00 USD"),), parcels=(sent,))
    [shipment] = (await system.shop.place_order(sample)).shipments
    await built_in.remove_shipment(system.engine, sample.order_id, shipment.shipment_id)
    of_another = shipment.model_copy(update={"carrier": "FedEx", "tracking_number": "794644790138"})
    await built_in.add_shipment(system.engine, sample.order_id, of_another)
    quoted = (await system.library.quote(request(sample))).plan
    result = await system.cancel(request(sample))
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("44.00 USD"))
    assert quoted
    assert (quoted.refund, quoted.left_out, quoted.shipments) == (result.refunded, result.left_out, ())
    assert [effect.kind.value for effect in await system.shop.carrier.effects(label_of(system, sample))] == [
        "label.bought"
    ]


async def test_what_was_delivered_is_not_cancelled_although_an_older_scan_is_reported_later(system: System) -> None:
    """F14a, E10: the customer has it, and the carrier's last word is that it travels."""
    sample = in_network(Script.DELIVERED)
    await system.shop.place_order(sample)
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.IN_TRANSIT, ago=timedelta(hours=5))
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.REJECTED
    assert await system.refunds(sample.order_id) == []
    assert await system.carrier_effects(sample.order_id) == []


async def test_a_parcel_that_travels_on_its_way_back_is_refunded(system: System) -> None:
    """F14a, E10, C6: after the return scan it goes through the carrier's buildings, which is no news."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    for status in (TrackerStatus.RETURN_TO_SENDER, TrackerStatus.IN_TRANSIT, TrackerStatus.UNKNOWN):
        await system.shop.carrier.scan(label_of(system, sample), status)
    await system.wake_by_carrier(handle)
    result = await system.end(handle)
    assert (result.outcome, result.goods) == (Outcome.CANCELLED, GoodsStatus.COMING_BACK)
    assert await system.refunds(sample.order_id) == [PRICE]
