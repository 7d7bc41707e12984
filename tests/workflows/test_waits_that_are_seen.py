"""Whatever takes long is a wait that is seen, with whose turn it is."""

from datetime import UTC, datetime, timedelta

from google.protobuf.empty_pb2 import Empty
from temporalio.converter import PayloadConverter

from domain.examination import Counterpart
from domain.messages import PutOff, RefundEvent, ShipmentEvent, Withdraw
from domain.money import money
from domain.outcome import State
from domain.step import Owner, StepName
from runtime import search_attributes
from sandbox.carrier.model import FaultKind as Breakage
from sandbox.carrier.model import Operation, Script
from sandbox.gateway.messages import FaultKind
from sandbox.shop import parcel, request
from tests.observing import eventually
from tests.system import SUPERVISOR, Handle, System, customer_of
from tests.workflows.samples import captured
from workflows.cancellation import CancellationWorkflow

_ENDS = ("marker_recorded", "activity_task_failed", "activity_task_timed_out")


async def has_ended_its_first_attempt(handle: Handle) -> None:
    """The marker of a local activity, or the end of an ordinary one, is in the history."""

    async def ended() -> bool:
        events = (await handle.fetch_history()).events
        return any(event.HasField(f"{end}_event_attributes") for event in events for end in _ENDS)  # type: ignore[arg-type]

    await eventually(ended, "the first attempt has ended")


async def test_a_provider_that_names_a_late_time_is_a_visible_wait(system: System) -> None:
    """Rule 14, I6: the gateway asks verification to come again in six hours. The first attempt is a local one; no run sleeps
    for so long without a wait, an owner and a due time."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.disturb_look(sample.order_id, FaultKind.HTTP_429, seconds=6 * 3600, times=1_000)
    handle = await system.start(request(sample))
    await has_ended_its_first_attempt(handle)
    await system.skip(timedelta(hours=1))

    async def is_seen() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return bool(pending or (await system.progress(handle)).waits)

    await eventually(is_seen, "an hour later something is seen to wait")


async def test_a_wait_for_a_system_that_is_away_names_it(system: System) -> None:
    """Rule 14, I6: one filter finds whoever waits for the gateway, and the page of each says since when."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    payment = system.shop.payments[sample.order_id][0]
    await system.shop.gateway.add_fault(
        "payment_intent.retrieve", FaultKind.DROP_BEFORE_COMMIT, payment=payment, times=24
    )
    handle = await system.start(request(sample))
    await has_ended_its_first_attempt(handle)
    await system.skip(timedelta(minutes=3))
    [wait] = (await system.wait_for_state(handle, State.NEEDS_ATTENTION)).waits
    assert (wait.step, wait.away) == (StepName.VERIFY_ORDER, Counterpart.GATEWAY)
    assert await published(handle) == ["gateway"]
    await system.finish(handle)
    assert await published(handle) == ["gateway", None], "nobody waits for it any more"
    assert await system.refunds(sample.order_id) == [money("64.00 USD")]


async def published(handle: Handle) -> list[object]:
    """The values that the attribute for systems that are away has had; None: it was taken away."""
    upserts = [
        event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
        for event in (await handle.fetch_history()).events
    ]
    name = search_attributes.AWAY.name
    return [PayloadConverter.default.from_payload(fields[name]) for fields in upserts if name in fields]


async def test_a_withdrawal_while_verification_sleeps_is_carried_out_at_once(system: System) -> None:
    """The same: the customer's withdrawal is acknowledged, and carried out after one round at most."""
    sample = captured(parcels=())
    await system.shop.place_order(sample)
    await system.disturb_look(sample.order_id, FaultKind.HTTP_429, seconds=6 * 3600, times=1)
    handle = await system.start(request(sample))
    await has_ended_its_first_attempt(handle)
    await system.withdraw(handle, customer_of(sample))
    await system.skip(timedelta(hours=1))
    await system.wait_for_state(handle, State.WITHDRAWN)


async def test_a_wait_for_the_carrier_is_its_owners_once_it_is_overdue(system: System) -> None:
    """Rule 14: the carrier is silent while the label is voided. Its time is over after a day, and from then on a person is
    needed, also in the middle of a rest, which has grown to six hours."""
    sample = captured(parcels=(parcel(Script.LABEL_ONLY, L1=1),))
    await system.shop.place_order(sample)
    label = system.shop.labels[sample.order_id][0]
    await system.shop.carrier.add_fault(
        Operation.SHIPMENT_REFUND, Breakage.HTTP_429, parcel=label, times=10_000, seconds=60
    )
    _, handle = await system.submit(request(sample))
    await system.skip(timedelta(minutes=5))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.skip(timedelta(hours=25))
    progress = await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    now = await system.client.test_service.get_current_time(Empty())
    [wait] = progress.waits
    assert wait.due_at < now.time.ToDatetime(UTC), "it is overdue"


async def test_an_event_about_an_ended_cancellation_is_seen_in_the_run_that_it_waits_for(system: System) -> None:
    """Rule 14, I6: once each, however often it is sent; until this run has ended. What cannot be read shows nothing."""
    sample = captured(parcels=()).model_copy(update={"age": timedelta(days=60)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    due_at = datetime(2030, 1, 1, tzinfo=UTC)
    put_off = PutOff(cancellation_id="can-ended", due_at=due_at)
    for _ in range(2):
        await handle.signal(CancellationWorkflow.refund_event, RefundEvent(subject="re_1", put_off=put_off))
    await handle.signal(CancellationWorkflow.shipment_event, ShipmentEvent(tracking_number="1Z9", put_off=put_off))
    await handle.signal(CancellationWorkflow.refund_event, {"subject": "re_2", "put_off": "soon"})
    await system.wait_for_wait(handle, lambda wait: wait.target == "1Z9", "the parcel's event is seen")
    approval, *waits = (await system.progress(handle)).waits
    assert approval.state is State.WAITING_FOR_APPROVAL
    assert [(wait.target, wait.owner, wait.due_at) for wait in waits] == [
        ("re_1", Owner.REFUND_DEPARTMENT, due_at),
        ("1Z9", Owner.OPERATIONS, due_at),
    ]
    assert all("can-ended" in wait.reason and wait.state is State.NEEDS_ATTENTION for wait in waits)
    await system.send(handle, CancellationWorkflow.withdraw, Withdraw(actor=SUPERVISOR))
    await handle.result()
    assert (await system.progress(handle)).waits == ()
