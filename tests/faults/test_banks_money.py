"""What the check finds that is about money which the bank has given back before a roll-back."""

from domain.money import money
from domain.outcome import Outcome
from domain.step import StepName
from sandbox.shop import SampleOrder, card, line, request
from tests.faults import invariants
from tests.faults.invariants import violations
from tests.faults.model import CHARGED_BACK, REFUNDED, AtGateway, Invariant, Said, Verb
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


async def test_what_the_bank_has_taken_back_on_appeal_is_owed_again(system: System) -> None:
    """It counts as given until then, and what was collected because of it counts for ever."""
    order = await system.shop.place_order(sample := captured())
    await system.cancel(request(sample))
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment)
    await system.shop.gateway.dispute(payment, "lost")
    collected = Said(
        verb=Verb.DONE_BY_HAND, step=StepName.CHECK_REFUND, target="T1", amount=money("-64.00 USD"), accepted=None
    )
    watched = Watched(order, [Said(verb=Verb.SUBMIT), collected])
    checks = [invariants.carried_out_gives_what_its_goods_cost, invariants.never_more_than_the_price]
    lost = await read_world(system, watched)
    assert (lost.by_others, violations(lost, checks)) == (6400, [])
    await system.shop.gateway.dispute(payment, "won")
    won = await read_world(system, watched)
    first, *more = violations(won, checks)
    assert (won.by_others, {found.invariant for found in (first, *more)}) == (0, {Invariant.MONEY})
    assert first.sentence == "only 0 went back for units worth 6400"
    paid = Said(verb=Verb.DONE_BY_HAND, step=StepName.REVERSE_PAYMENT, target="T1", amount=money("64.00 USD"))
    assert violations(won.model_copy(update={"said": (*won.said, paid)}), checks) == []


async def test_what_the_bank_gave_back_counts_in_the_ledger_until_it_has_taken_it_back(system: System) -> None:
    order = await system.shop.place_order(sample := captured())
    await system.cancel(request(sample))
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.dispute(payment, amount=money("20.00 USD"))
    await system.shop.gateway.dispute(payment, "lost")
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    [back] = [effect for effect in world.money if effect.kind == CHARGED_BACK]
    posted = world.ledger[-1].model_copy(
        update={"debit": "customer_receivable", "amount": back.amount, "reference": back.object_id}
    )
    given = world.model_copy(update={"ledger": (*world.ledger, posted)})
    assert (back.amount, violations(given, [invariants.ledger_is_right])) == (2000, [])
    taken_back = back.model_copy(update={"amount": -2000})
    appealed = given.model_copy(update={"money": (*given.money, taken_back)})
    [found] = violations(appealed, [invariants.what_the_bank_took_back_is_not_posted])
    assert "2000 is posted" in found.sentence
