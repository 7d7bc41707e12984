"""What the harness sees of bank debits, and what its check of those that fail finds."""

from datetime import timedelta

import pytest

from domain.money import money
from domain.outcome import State
from domain.step import StepName
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder, card, line, request
from tests.faults.invariants import violations
from tests.faults.model import REFUNDED, AtGateway, Invariant, Said, Verb
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import an_id


@pytest.mark.parametrize("is_taken", [True, False])
async def test_of_a_debit_that_fails_nothing_is_given_back(system: System, *, is_taken: bool) -> None:
    paid = card("64.00 USD", card=TestCard.DEBIT)
    order = await system.shop.place_order(
        sample := SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(paid,))
    )
    [payment] = system.shop.payments[sample.order_id]
    _, handle = await system.submit(request(sample))
    await system.skip(timedelta(minutes=4))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    end = system.shop.gateway.capture_ends if is_taken else system.shop.gateway.debit_fails
    await end(payment)
    await system.wake(handle)
    await system.finish(handle)
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert violations(world) == []
    assert (world.given_back, world.never_taken) == ((6400, ()) if is_taken else (0, ("T1",)))
    pays = Said(verb=Verb.DONE_BY_HAND, step=StepName.REVERSE_PAYMENT, target="T1", amount=money("64.00 USD"))
    credit = AtGateway(
        kind=REFUNDED,
        tender_id="T1",
        object_id="can-1/give_store_credit/T1/1",
        amount=6400,
        key="can-1/give_store_credit/T1/1",
    )
    for changes in ({"said": (*world.said, pays)}, {"money": (*world.money, credit)}):
        broken = violations(world.model_copy(update=changes))
        assert any("nothing was ever taken" in found.sentence for found in broken) is not is_taken
        assert Invariant.MONEY in {found.invariant for found in broken} or is_taken


async def test_a_debit_that_was_never_taken_needs_no_second_person(system: System) -> None:
    """It had failed before somebody asked: nothing goes out, however much the order cost."""
    paid = card("600.00 USD", card=TestCard.DEBIT)
    order = await system.shop.place_order(
        sample := SampleOrder(order_id=an_id(), lines=(line("L1", 1, "600.00 USD"),), tenders=(paid,))
    )
    [payment] = system.shop.payments[sample.order_id]
    await system.shop.gateway.debit_fails(payment)
    await system.cancel(request(sample))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert violations(world) == []
    as_if_reserved = violations(world.model_copy(update={"never_taken": ()}))
    assert any("without a second person" in found.sentence for found in as_if_reserved)
