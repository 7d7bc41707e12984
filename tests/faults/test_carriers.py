"""What the check finds that is about parcels of other carriers than UPS."""

from domain.keys import EffectKey
from domain.outcome import Outcome
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.faults.invariants import violations
from tests.faults.model import Invariant, Noted, Said, Verb
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import an_id


async def test_what_another_carrier_has_on_its_way_is_not_to_be_stopped(system: System) -> None:
    """Its line stays in the order, and the other one is cancelled."""
    lines = (line("L1", 1, "20.00 USD"), line("L2", 1, "44.00 USD"))
    sent, packed = parcel(Script.INTERCEPT_SILENT, L1=1), parcel(Script.LABEL_ONLY, L2=1)
    parcels = tuple(placed.model_copy(update={"carrier": "FedEx"}) for placed in (sent, packed))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("64.00 USD"),), parcels=parcels)
    order = await system.shop.place_order(sample)
    await system.cancel(request(sample))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)], sample.handed_over))
    assert violations(world) == []
    assert ([found.outcome for found in world.cancellations], world.given_back) == ([Outcome.PARTIALLY_CANCELLED], 4400)
    [recorded] = world.cancellations
    key = str(EffectKey(recorded.cancellation_id, StepName.STOP_SHIPMENT, "S1"))
    asked = recorded.model_copy(update={"effects": (Noted(key=key), *recorded.effects)})
    broken = violations(world.model_copy(update={"cancellations": (asked,)}))
    assert {found.invariant for found in broken} == {Invariant.GOODS}
    await system.labels.void(order.shipments[0].label_reference or "")
    voided = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)], sample.handed_over))
    assert {found.invariant for found in violations(voided)} == {Invariant.GOODS}, "also where no note says so"
