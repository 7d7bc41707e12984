"""What the checks let be, because it is as it should be."""

import pytest

from domain.money import money
from domain.order import OrderFlag
from domain.outcome import Outcome
from domain.request import LineScope
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.faults import answers, invariants
from tests.faults.broken import given_back, two_lines
from tests.faults.invariants import violations
from tests.faults.model import RELEASED, AtGateway, Invariant, Recorded, Said, Verb, World
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import an_id


async def test_what_was_only_reserved_of_a_suspect_is_released_without_a_second_person(system: System) -> None:
    """Its parcel must not leave while somebody looks."""
    expensive = (line("L1", 1, "6000.00 USD"),)
    sample = two_lines().model_copy(
        update={"lines": expensive, "tenders": (card("6000.00 USD", "0.00 USD"),), "parcels": ()}
    )
    order = await system.shop.place_order(
        suspect := sample.model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    )
    await system.cancel(request(suspect))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert violations(world) == []
    trusted = world.model_copy(update={"order": order.model_copy(update={"flags": frozenset()})})
    assert {found.invariant for found in violations(trusted)} == {Invariant.ANSWERED}


async def test_a_share_of_the_shipping_charge_goes_back_with_lines_that_are_all_that_there_is(system: System) -> None:
    """One unit is delivered all the same: half of the 4.00 for shipping, which has no tax, goes back with the other."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 2, "27.97 USD", "5.00 USD"),),
        tenders=(card("12.78 USD", "3.83 USD"), card("19.19 USD", "0.00 USD")),
        shipping=money("4.00 USD"),
        parcels=(parcel(Script.LABEL_ONLY, L1=1), parcel(Script.INTERCEPT_ACCEPTED_THEN_DELIVERED, L1=1)),
    )
    scope = LineScope(line_id="L1", quantity=2)
    order = await system.shop.place_order(sample)
    await system.cancel(request(sample, scope))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT, scope=(scope,))]))
    assert world.papers
    assert violations(world) == []


@pytest.mark.parametrize(("paid_anew", "broken"), [(1_000, set()), (999, {Invariant.MONEY})])
def test_what_was_paid_anew_after_a_roll_back_is_the_shops_to_list(
    sound: World, paid_anew: int, broken: set[Invariant]
) -> None:
    given_up = AtGateway(
        kind=RELEASED, tender_id="T1", object_id="pi_1", amount=1_000, key="can-0/reverse_payment/T1/1"
    )
    undone = Recorded(cancellation_id="can-0", outcome=Outcome.ROLLED_BACK)
    paid = Said(
        verb=Verb.DONE_BY_HAND,
        accepted=True,
        step=StepName.RESTORE_PAYMENT,
        target="T1",
        cancellation="can-0",
        amount=-money("10.00 USD"),
    )
    less = given_back(sound, 5_400)
    world = less.model_copy(
        update={
            "money": (*less.money, given_up.model_copy(update={"amount": paid_anew})),
            "cancellations": (undone, *less.cancellations),
            "said": (*less.said, paid.model_copy(update={"amount": money(f"-{paid_anew / 100:.2f} USD")})),
        }
    )
    found = violations(world, [invariants.carried_out_gives_what_its_goods_cost])
    assert {violation.invariant for violation in found} == broken


def test_an_order_to_try_again_is_in_no_book_where_there_is_no_cancellation(sound: World) -> None:
    again = sound.model_copy(update={"said": (*sound.said, Said(verb=Verb.RETRY, accepted=True))})
    checks = [answers.acknowledged_has_effect]
    assert {found.invariant for found in violations(again, checks)} == {Invariant.ANSWERED}
    assert violations(again.model_copy(update={"cancellations": ()}), checks) == []
