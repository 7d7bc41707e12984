"""What the check of the approval limits finds."""

from domain.decision import Gate
from domain.keys import id_of
from domain.money import money
from domain.request import LineScope
from sandbox.shop import SampleOrder, card, line, request
from tests.faults.invariants import violations
from tests.faults.model import Invariant, Said, Verb
from tests.faults.world import Watched, read_world
from tests.system import AGENT, SUPERVISOR, System
from tests.workflows.samples import an_id


async def test_who_asks_for_an_order_line_by_line_needs_a_second_person(system: System) -> None:
    lines = tuple(line(f"L{number}", 1, "300.00 USD") for number in (1, 2))
    order = await system.shop.place_order(
        sample := SampleOrder(order_id=an_id(), lines=lines, tenders=(card("600.00 USD"),))
    )
    said = []
    for sold, gate in zip(lines, (Gate.NONE, Gate.BEFORE_STOPPING), strict=True):
        scope = LineScope(line_id=sold.line_id, quantity=1)
        asked = request(sample, scope, request_id=f"slice-{sold.line_id}").model_copy(update={"actor": AGENT})
        decided, handle = await system.submit(asked)
        assert decided.decision.gate is gate
        said.append(Said(verb=Verb.SUBMIT, by=AGENT, scope=(scope,)))
        if gate is not Gate.NONE:
            await system.approve(handle)
            said.append(Said(verb=Verb.APPROVE, by=SUPERVISOR, cancellation=id_of(asked)))
        await system.finish(handle)
    world = await read_world(system, Watched(order, said))
    assert violations(world) == []
    assert [found.refunded for found in world.cancellations] == [money("300.00 USD")] * 2
    nobody_approved = world.model_copy(update={"said": tuple(said[:2])})
    assert {found.invariant for found in violations(nobody_approved)} == {Invariant.ANSWERED}
    another = said[2].model_copy(update={"cancellation": world.cancellations[0].cancellation_id})
    first_alone = world.model_copy(update={"said": (*said[:2], another)})
    assert violations(first_alone) == [], "300.00 is for one person to decide"
