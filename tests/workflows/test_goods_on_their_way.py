"""Goods in an order of events that nobody planned: none travel after their refund, and none are stopped for ever."""

from datetime import timedelta

from domain.order import OrderFlag
from domain.outcome import State
from domain.step import StepName
from sandbox.carrier.model import FaultKind, Operation, Script, TrackerStatus
from sandbox.shop import SampleOrder, request
from tests.observing import eventually
from tests.system import System, customer_of, resolve
from tests.workflows.samples import captured, in_network
from tests.workflows.test_settled_by_hand import settles, under_way


def label_of(system: System, sample: SampleOrder) -> str:
    return system.shop.labels[sample.order_id][0]


async def test_a_run_that_takes_up_looks_at_the_parcels_before_the_money_goes_back(system: System) -> None:
    """C4, E15: the label was voided, the run was lost for a day, and the parcel travels meanwhile. The next run looks
    before it refunds, although it has not waited itself."""
    sample = captured().model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place(sample)
    _, lost = await system.submit(request(sample))
    await system.waits_for(lost, State.WAITING_FOR_APPROVAL)
    await system.lose(lost)
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.OUT_FOR_DELIVERY)
    await system.skip(timedelta(days=1))
    _, handle = await system.submit(request(sample, request_id="again"))
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
    await system.approve(handle)
    await system.finish(handle)
    assert await system.refunds(sample.order_id) == [], "the customer has the goods and 64.00"


async def test_an_intercept_that_a_person_gives_up_is_taken_back(system: System) -> None:
    """I2, rule 7: the goods stay with the customer, who gets a return offer; so the parcel must not come back."""
    sample = in_network(Script.INTERCEPT_SILENT)
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_CARRIER)
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
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.OUT_FOR_DELIVERY)
    await settles(system, sample)
    await system.wake_by_carrier(handle)
    assert await system.waits_at(handle, StepName.STOP_SHIPMENT)
    await system.shop.carrier.scan(label_of(system, sample), TrackerStatus.RETURN_TO_SENDER)
    await system.retry(handle, StepName.STOP_SHIPMENT, "S1")

    async def moved_on() -> bool:
        return not (await system.progress(handle)).waits

    await eventually(moved_on, "the retry finds that the parcel is on its way back", within=5)


async def test_a_parcel_that_a_person_stopped_is_a_persons_to_send_on(system: System) -> None:
    """I2: the carrier's interface was down, somebody telephoned, and the customer withdraws: the interface knows of no
    intercept, so somebody has to telephone again."""
    sample = in_network(Script.INTERCEPT_SILENT).model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    await system.shop.place(sample)
    label = label_of(system, sample)
    for operation in (Operation.INTERCEPT_ELIGIBILITY, Operation.INTERCEPT_RETURN):
        await system.shop.carrier.break_(operation, FaultKind.HTTP_500, times=200, parcel=label)
    _, handle = await system.submit(request(sample))
    await system.skip(timedelta(minutes=3))
    await system.waits_for(handle, State.WAITING_FOR_CARRIER, State.NEEDS_ATTENTION)
    await system.resolve(handle, resolve(StepName.STOP_SHIPMENT, "S1", "done_by_hand", "TELEPHONED-1"))
    await system.shop.carrier.mend()
    await system.waits_for(handle, State.WAITING_FOR_APPROVAL)
    await system.withdraw(handle, customer_of(sample))
    asked = await system.waits_at(handle, StepName.RESUME_SHIPMENT)
    assert asked, "the order goes on, and its parcel comes back"
