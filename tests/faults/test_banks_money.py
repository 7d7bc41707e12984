"""What the check finds that is about money which the bank has given back before a roll-back."""

from domain.money import money
from domain.outcome import Outcome
from domain.step import StepName
from sandbox.shop import SampleOrder, card, line, request
from tests.faults.invariants import violations
from tests.faults.model import REFUNDED, AtGateway, Invariant, Said, Verb
from tests.faults.world import Watched, read_world
from tests.system import System, resolve, settled
from tests.workflows.samples import an_id, captured


async def test_what_the_bank_gave_back_before_a_roll_back_is_somebodys_to_collect(system: System) -> None:
    order = await system.shop.place_order(sample := captured())
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment)
    _, handle = await system.submit(request(sample))
    await system.wait_for_step(handle, StepName.REVERSE_PAYMENT, "T1")
    await system.shop.gateway.dispute(payment, "lost")
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "roll_back", "goes-on"))
    asked = await system.wait_for_step(handle, StepName.RESTORE_PAYMENT, "T1")
    assert asked
    await system.resolve(handle, settled(asked, "done_by_hand", "COLLECTED-1"))
    await system.read_rolled_back(handle)
    said = [
        Said(verb=Verb.SUBMIT),
        Said(verb=Verb.ROLL_BACK, step=StepName.REVERSE_PAYMENT, target="T1"),
        Said(verb=Verb.DONE_BY_HAND, step=StepName.RESTORE_PAYMENT, target="T1"),
    ]
    world = await read_world(system, Watched(order, said))
    assert violations(world) == []
    assert [found.outcome for found in world.cancellations] == [Outcome.ROLLED_BACK]
    unasked = world.model_copy(update={"said": tuple(said[:2])})
    assert Invariant.PAID_ONCE in {found.invariant for found in violations(unasked)}
    [recorded] = world.cancellations
    [back] = [effect for effect in world.money if effect.kind == "charged_back"]
    before = recorded.model_copy(update={"taken_back_at": back.at})
    assert violations(unasked.model_copy(update={"cancellations": (before,)})) == []


async def test_what_others_give_twice_on_a_payment_is_no_matter_of_a_cancellation_that_gives_nothing_on_it(
    system: System,
) -> None:
    first = card("20.00 USD", refunded_elsewhere=money("20.00 USD"))
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(first, card("44.00 USD", "0.00 USD"))
    )
    order = await system.shop.place_order(sample)
    await system.cancel(request(sample))
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0])
    await system.shop.gateway.dispute(system.shop.payments[sample.order_id][0], "lost")
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert (world.given_back, world.by_others) == (4400, 4000)
    assert violations(world) == []
    theirs = AtGateway(kind=REFUNDED, tender_id="T2", object_id="re_2", amount=1, key=None, by_others=True)
    besides = world.model_copy(update={"money": (*world.money, theirs)})
    assert Invariant.PAID_ONCE in {found.invariant for found in violations(besides)}
