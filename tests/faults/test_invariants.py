"""The checks find nothing in sound cancellations, and each has a broken world that it sees."""

from domain.outcome import Outcome, State
from sandbox.shop import card, line, request
from tests.faults import test_invariants_goods, test_invariants_money, test_invariants_run
from tests.faults.broken import cancelled, two_lines
from tests.faults.invariants import CHECKS, violations
from tests.faults.model import (
    Said,
    Verb,
)
from tests.faults.world import Watched, read_world
from tests.system import System, customer_of


def test_each_check_has_a_broken_world_that_it_sees() -> None:
    tables = (test_invariants_money.BROKEN, test_invariants_goods.BROKEN, test_invariants_run.BROKEN)
    assert {broken.check for table in tables for broken in table.values()} == set(CHECKS)


async def test_a_cancelled_order_breaks_nothing(system: System) -> None:
    world = await cancelled(system)
    assert violations(world) == []
    assert (world.given_back, world.cancelled) == (6400, (("L1", 2), ("L2", 1)))
    assert [parcel.voided for parcel in world.parcels] == [True]


async def test_a_withdrawn_cancellation_breaks_nothing(system: System) -> None:
    sample = two_lines().model_copy(
        update={"lines": (line("L1", 3, "900.00 USD"),), "tenders": (card("900.00 USD"),), "parcels": ()}
    )
    order = await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    waiting = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert violations(waiting) == []
    await system.withdraw(handle, customer_of(sample))
    await system.finish(handle)
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT), Said(verb=Verb.WITHDRAW)]))
    assert violations(world) == []
    assert [found.outcome for found in world.cancellations] == [Outcome.WITHDRAWN]
