"""What the harness sees of a parcel that is packed anew under its number."""

from domain.request import LineScope
from domain.shipment import GoodsGroup
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.faults.invariants import violations
from tests.faults.model import Invariant, Said, Verb
from tests.faults.warehouse import find_stopped, label_anew, replace_parcel, with_parcel
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import an_id

UNIT = LineScope(line_id="L1", quantity=1)


async def test_what_is_packed_anew_is_another_parcel(system: System) -> None:
    lines = (line("L1", 2, "40.00 USD"), line("L2", 1, "24.00 USD"))
    parcels = (parcel(Script.LABEL_ONLY, L1=2, L2=1),)
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("64.00 USD"),), parcels=parcels)
    watched = Watched(await system.shop.place_order(sample))
    assert await find_stopped(system, watched) is None
    await system.cancel(request(sample, UNIT))
    watched.said.append(Said(verb=Verb.SUBMIT, scope=(UNIT,)))
    stopped = await find_stopped(system, watched)
    assert stopped
    assert [(part.line_id, part.quantity) for part in stopped.lines] == [("L1", 1), ("L2", 1)]
    anew = await label_anew(system, sample.order_id, stopped)
    await replace_parcel(system, sample.order_id, anew)
    watched.order = with_parcel(watched.order, anew)
    world = await read_world(system, watched)
    assert violations(world) == []
    assert [(now.group, now.voided) for now in world.parcels] == [(GoodsGroup.NOT_HANDED_OVER, False)]
    assert await find_stopped(system, watched) is None
    await system.cancel(request(sample, request_id="the-rest"))
    watched.said.append(Said(verb=Verb.SUBMIT))
    world = await read_world(system, watched)
    assert violations(world) == []
    assert [now.voided for now in world.parcels] == [True]
    await system.shop.carrier.scan(anew.label_reference or "", TrackerStatus.DELIVERED)
    assert {found.invariant for found in violations(await read_world(system, watched))} == {Invariant.GOODS}
