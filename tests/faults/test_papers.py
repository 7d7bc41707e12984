"""What the check of the credit notes' tax finds."""

from collections.abc import Callable

import pytest

from domain.money import money
from domain.request import LineScope
from sandbox.shop import SampleOrder, card, line, request
from tests.faults.invariants import violations
from tests.faults.model import Invariant, Paper, Said, Verb, World
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import an_id

UNIT = LineScope(line_id="L1", quantity=1)


async def cancelled(system: System, price: str, tax: str, *scopes: LineScope) -> World:
    """Three units, one after the other where they are named; and what of their shipping charge is tax."""
    amount, of_it = money(price), money(tax)
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, price, tax),),
        tenders=(card(str(amount + amount)),),
        shipping=amount,
        shipping_tax=of_it,
    )
    order = await system.shop.place_order(sample)
    said = []
    for number, scope in enumerate(scopes):
        asked = request(sample, scope, request_id=f"{number}-{sample.order_id}")
        decided, handle = await system.submit(asked)
        if decided.decision.gate.value != "none":  # the policy has no limit for every currency
            await system.approve(handle)
            said.append(Said(verb=Verb.APPROVE, cancellation=decided.cancellation_id))
        await system.finish(handle)
        said.append(Said(verb=Verb.SUBMIT, scope=(scope,)))
    return await read_world(system, Watched(order, said))


@pytest.mark.parametrize(
    ("price", "tax"), [("10.00 USD", "1.61 USD"), ("100 JPY", "9 JPY"), ("10.000 BHD", "0.909 BHD")]
)
@pytest.mark.parametrize("units", [1, 2, 3])
async def test_the_tax_of_units_that_are_cancelled_one_by_one_is_theirs(
    system: System, price: str, tax: str, units: int
) -> None:
    world = await cancelled(system, price, tax, *[UNIT] * units)
    assert violations(world) == []
    assert len(world.papers) == units


def changed(change: Callable[[Paper], Paper]) -> Callable[[World], World]:
    """The last note."""
    return lambda world: world.model_copy(update={"papers": (*world.papers[:-1], change(world.papers[-1]))})


def more(tax: int) -> Callable[[Paper], Paper]:
    return lambda paper: Paper(amount=paper.amount, tax=paper.tax + tax)


@pytest.mark.parametrize(
    "change",
    [
        changed(more(-20)),
        changed(more(20)),
        changed(lambda paper: Paper(amount=paper.amount, tax=paper.amount + 1)),
        changed(lambda paper: Paper(amount=paper.amount - 500, tax=paper.tax)),
    ],
    ids=["too_little", "too_much", "more_than_the_amount", "as_if_all_went_back"],
)
async def test_a_wrong_tax_is_seen(system: System, change: Callable[[World], World]) -> None:
    world = await cancelled(system, "30.00 USD", "4.79 USD", UNIT)
    assert violations(world) == []
    assert {found.invariant for found in violations(change(world))} == {Invariant.LEDGER}


async def test_notes_of_nothing_have_no_tax(system: System) -> None:
    order = await system.shop.place_order(
        sample := SampleOrder(order_id=an_id(), lines=(line("L1", 1, "5.00 USD"),), tenders=(card("5.00 USD"),))
    )
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    notes = (Paper(amount=500, tax=80), Paper(amount=-500, tax=-79))
    found = violations(world.model_copy(update={"papers": notes}))
    assert [violation.invariant for violation in found if "notes" in violation.sentence] == [Invariant.LEDGER], sample
