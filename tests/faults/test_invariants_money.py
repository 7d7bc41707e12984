"""What the checks of the money and of the ledger see: I1, I4 and I11."""

from collections.abc import Mapping

import pytest

from domain.money import money
from domain.request import LineScope
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.gateway_admin import GatewayAdmin
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.faults import invariants, papers
from tests.faults.broken import (
    L2,
    Broken,
    another_refund,
    by_others,
    cancelled,
    given_back,
    released,
    two_lines,
    undone,
    with_said,
)
from tests.faults.invariants import violations
from tests.faults.model import (
    CAPTURED,
    CHARGED_BACK,
    FAILED,
    REFUNDED,
    SETTLED,
    AtGateway,
    Invariant,
    Paper,
    Said,
    Verb,
    World,
)
from tests.faults.world import Watched, read_world, read_worlds
from tests.system import System
from tests.workflows.samples import an_id


def posted_again(world: World, **changed: str) -> World:
    """What went out by the gateway; the customer owes it, so that nothing is payable."""
    [paid] = [transfer for transfer in world.ledger if transfer.credit == "gateway_clearing"]
    again = paid.model_copy(update={"debit": "customer_receivable", **changed})
    return world.model_copy(update={"ledger": (*world.ledger, again)})


def refunded_twice_at_once(world: World, failed: float, another: float) -> World:
    """At these seconds after the first refund."""
    [first] = [effect for effect in world.money if effect.kind == REFUNDED]
    of_first = first.model_copy(update={"kind": FAILED, "at": first.at + failed})
    second = first.model_copy(update={"object_id": "re_2", "key": f"{first.key}2", "at": first.at + another})
    return world.model_copy(update={"money": (*world.money, of_first, second)})


def given_back_by_the_bank(world: World) -> World:
    """Before a person ordered the roll-back."""
    back = AtGateway(kind=CHARGED_BACK, tender_id="T1", object_id="dp_1", amount=6400, key=None, by_others=True, at=1)
    [recorded] = undone(world).cancellations
    found = recorded.model_copy(update={"taken_back_at": 2})
    return undone(world, money=(back,), cancellations=(found,))


def given_until_the_appeal(world: World) -> World:
    back = AtGateway(kind=CHARGED_BACK, tender_id="T1", object_id="dp_1", amount=6400, key=None, by_others=True)
    taken_back = back.model_copy(update={"amount": -6400})
    return world.model_copy(update={"money": (*world.money, back, taken_back)})


BROKEN: Mapping[str, Broken] = {
    "refunded_twice_under_another_key": Broken(
        invariants.never_more_than_captured,
        Invariant.MONEY,
        lambda world: another_refund(world, object_id="re_2", key="can-1/reverse_payment/T1/2"),
    ),
    "refund_failed_and_nobody_cared": Broken(
        invariants.carried_out_gives_what_its_goods_cost,
        Invariant.MONEY,
        lambda world: world.model_copy(
            update={
                "money": (
                    *world.money,
                    *(
                        AtGateway(kind=FAILED, tender_id="T1", object_id=effect.object_id, amount=6400, key=None)
                        for effect in world.money
                        if effect.kind == REFUNDED
                    ),
                )
            }
        ),
    ),
    "a_refund_that_has_not_arrived": Broken(
        invariants.over_once_it_has_arrived,
        Invariant.MONEY,
        lambda world: world.model_copy(update={"money": tuple(e for e in world.money if e.kind != SETTLED)}),
    ),
    "kept_although_nothing_was_cancelled": Broken(invariants.undone_gives_nothing, Invariant.MONEY, undone),
    "collected_although_the_customer_had_nothing": Broken(
        invariants.undone_takes_nothing,
        Invariant.MONEY,
        lambda world: with_said(
            undone(world, money=()),
            verb=Verb.DONE_BY_HAND,
            step=StepName.RESTORE_PAYMENT,
            target="T1",
            amount=money("-0.01 USD"),
        ),
    ),
    "the_order_names_a_payment_that_was_released": Broken(
        invariants.order_names_a_payment_that_holds, Invariant.MONEY, released
    ),
    "more_reserved_again_than_was_released": Broken(
        invariants.reserved_again_is_what_was_released,
        Invariant.MONEY,
        lambda world: released(world, "pi_2", "pi_3"),
    ),
    "refunded_of_what_was_captured_for_another_order": Broken(
        invariants.of_a_shared_payment_what_was_taken_for_it,
        Invariant.MONEY,
        lambda world: world.model_copy(update={"captured_for": (("T1", 6399),)}),
    ),
    "paid_by_hand_besides": Broken(
        invariants.never_more_than_the_price,
        Invariant.PAID_ONCE,
        lambda world: world.model_copy(
            update={"said": (Said(verb=Verb.DONE_BY_HAND, amount=money("64.00 USD"), accepted=None),)}
        ),
    ),
    "given_back_by_others_besides": Broken(
        invariants.never_more_than_the_price,
        Invariant.PAID_ONCE,
        lambda world: another_refund(world, object_id="re_2", key=None, by_others=True, amount=100),
    ),
    "given_back_by_the_bank_besides": Broken(
        invariants.never_more_than_the_price,
        Invariant.PAID_ONCE,
        lambda world: another_refund(world, object_id="dp_1", key=None, by_others=True, kind=CHARGED_BACK),
    ),
    "store_credit_besides": Broken(
        invariants.never_more_than_the_price,
        Invariant.PAID_ONCE,
        lambda world: another_refund(
            world, object_id="can-1/give_store_credit/T1/1", key="can-1/give_store_credit/T1/1", on_account=True
        ),
    ),
    "given_back_by_the_bank_besides_and_asked_about_a_parcel": Broken(
        invariants.never_more_than_the_price,
        Invariant.PAID_ONCE,
        lambda world: with_said(
            by_others(world, CHARGED_BACK), verb=Verb.DONE_BY_HAND, step=StepName.STOP_SHIPMENT, target="S1"
        ),
    ),
    "a_part_of_what_others_gave_besides_was_collected": Broken(
        invariants.never_more_than_the_price,
        Invariant.PAID_ONCE,
        lambda world: with_said(
            by_others(world, amount=2000),
            verb=Verb.DONE_BY_HAND,
            step=StepName.CHECK_REFUND,
            target="T1",
            amount=money("-19.99 USD"),
        ),
    ),
    "a_part_of_what_others_gave_besides_was_left": Broken(
        invariants.never_more_than_the_price,
        Invariant.PAID_ONCE,
        lambda world: with_said(
            by_others(world, amount=2000),
            verb=Verb.NOTHING_DUE,
            step=StepName.CHECK_REFUND,
            target="T1",
            waived=money("-19.99 USD"),
        ),
    ),
    "too_little_and_nothing_due_for_a_parcel": Broken(
        invariants.carried_out_gives_what_its_goods_cost,
        Invariant.MONEY,
        lambda world: with_said(
            given_back(world, 4400), verb=Verb.NOTHING_DUE, step=StepName.STOP_SHIPMENT, target="S1"
        ),
    ),
    "less_than_a_person_has_declared_not_due": Broken(
        invariants.carried_out_gives_what_its_goods_cost,
        Invariant.MONEY,
        lambda world: with_said(
            given_back(world, 4400),
            verb=Verb.NOTHING_DUE,
            step=StepName.REVERSE_PAYMENT,
            target="T1",
            waived=money("19.99 USD"),
        ),
    ),
    "released_and_asked_about_a_parcel": Broken(
        invariants.undone_gives_nothing,
        Invariant.MONEY,
        lambda world: with_said(released(world), verb=Verb.DONE_BY_HAND, step=StepName.RESUME_SHIPMENT, target="S1"),
    ),
    "payable_after_the_end_and_nothing_due_for_a_parcel": Broken(
        invariants.ledger_is_right,
        Invariant.LEDGER,
        lambda world: with_said(
            world.model_copy(update={"ledger": world.ledger[:1]}),
            verb=Verb.NOTHING_DUE,
            step=StepName.STOP_SHIPMENT,
            target="S1",
        ),
    ),
    "two_refunds_at_once_of_which_one_fails": Broken(
        invariants.never_more_than_captured, Invariant.MONEY, lambda world: refunded_twice_at_once(world, 3, 2)
    ),
    "payable_below_zero": Broken(
        invariants.ledger_is_right,
        Invariant.LEDGER,
        lambda world: world.model_copy(update={"ledger": (*world.ledger, world.ledger[-1])}),
    ),
    "posted_twice": Broken(invariants.ledger_is_right, Invariant.LEDGER, posted_again),
    "posted_although_the_bank_has_taken_it_back": Broken(
        invariants.what_the_bank_took_back_is_not_posted,
        Invariant.LEDGER,
        lambda world: posted_again(given_until_the_appeal(world), reference="dp_1"),
    ),
    "given_back_of_what_was_never_taken": Broken(
        invariants.nothing_of_what_was_never_taken,
        Invariant.MONEY,
        lambda world: world.model_copy(update={"never_taken": ("T1",)}),
    ),
    "given_back_by_the_bank_and_left_to_the_customer": Broken(
        invariants.what_the_bank_gave_is_collected, Invariant.PAID_ONCE, given_back_by_the_bank
    ),
    "a_credit_note_without_its_tax": Broken(
        papers.credit_notes_have_the_tax_of_what_was_cancelled,
        Invariant.LEDGER,
        lambda world: world.model_copy(update={"papers": (Paper(amount=6400, tax=500),)}),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_check_sees_what_it_is_there_for(sound: World, name: str) -> None:
    BROKEN[name].assert_seen_in(sound)


async def test_what_others_give_of_an_order_that_nobody_cancels_is_no_matter_of_the_process(system: System) -> None:
    order = await system.shop.place_order(two_lines())
    world = await read_world(system, Watched(order))
    assert violations(by_others(by_others(world, REFUNDED), CHARGED_BACK)) == []


async def test_a_part_of_a_reservation_goes_back_by_not_being_captured(system: System) -> None:
    sample = two_lines().model_copy(update={"tenders": (card("64.00 USD", "0.00 USD"),), "parcels": ()})
    order = await system.shop.place_order(sample)
    scope = LineScope(line_id="L2", quantity=1)
    await system.cancel(request(sample, scope))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT, scope=(scope,))]))
    assert violations(world) == []
    assert (world.given_back, world.reserved, world.cancelled) == (0, 6400, (("L1", 0), ("L2", 1)))
    [tender] = order.tenders
    taken = AtGateway(kind=CAPTURED, tender_id="T1", object_id=tender.reference, amount=6400, key=None)
    broken = violations(world.model_copy(update={"money": (taken,)}))
    assert {found.invariant for found in broken} == {Invariant.MONEY}


async def test_what_was_given_up_and_captured_all_the_same_goes_back_with_the_rest_of_the_order(system: System) -> None:
    sample = two_lines().model_copy(update={"tenders": (card("64.00 USD", "0.00 USD"),), "parcels": ()})
    order = await system.shop.place_order(sample)
    scope = LineScope(line_id="L2", quantity=1)
    await system.cancel(request(sample, scope))
    [tender] = order.tenders
    await system.shop.gateway.capture(tender.reference, money("64.00 USD"), final=True)
    await system.cancel(request(sample, request_id="the-rest"))
    said = [Said(verb=Verb.SUBMIT, scope=(scope,)), Said(verb=Verb.SUBMIT)]
    world = await read_world(system, Watched(order, said))
    assert violations(world) == []
    assert [(found.released, found.refunded) for found in world.carried_out] == [
        (money("24.00 USD"), money("0.00 USD")),
        (money("0.00 USD"), money("64.00 USD")),
    ]
    first, rest = world.cancellations
    more = first.model_copy(update={"refunded": money("0.01 USD")})
    [broken] = violations(world.model_copy(update={"cancellations": (more, rest)}))
    assert "the books say 8801, counterparts and people 6400" in broken.sentence


async def test_what_is_delivered_keeps_its_part_of_the_shipping_charge(system: System) -> None:
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "90.00 USD"),),
        tenders=(card("99.00 USD"),),
        shipping=money("9.00 USD"),
        parcels=(parcel(Script.DELIVERED, L1=2), parcel(Script.LABEL_ONLY, L1=1)),
    )
    order = await system.shop.place_order(sample)
    await system.cancel(request(sample))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert violations(world) == []
    assert (world.given_back, world.cancelled) == (3300, (("L1", 1),))
    one = Said(verb=Verb.SUBMIT, scope=(LineScope(line_id="L1", quantity=1),))
    broken = violations(world.model_copy(update={"said": (one,)}))
    assert {found.invariant for found in broken} == {Invariant.MONEY}, "single lines take no shipping with them"


async def test_of_a_shared_payment_each_order_has_its_own_share(system: System) -> None:
    whole = money("100.00 USD")
    payment = await system.shop.gateway.create_payment(whole, capture=whole)
    watched = []
    for total in ("60.00 USD", "40.00 USD"):
        paid = card(total, payment=payment)
        sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, total),), tenders=(paid,))
        order = await system.shop.place_order(sample)
        await system.cancel(request(sample))
        watched.append(Watched(order, [Said(verb=Verb.SUBMIT)]))
    worlds = await read_worlds(system, watched)
    assert [violations(world) for world in worlds] == [[], []]
    assert [world.given_back for world in worlds] == [6000, 4000]
    last = worlds[-1]
    assert {effect.amount for effect in last.for_other_orders if effect.kind == REFUNDED} == {6000}
    again = last.for_other_orders[-1].model_copy(update={"kind": REFUNDED, "object_id": "re_2", "amount": 1})
    too_much = last.model_copy(update={"for_other_orders": (*last.for_other_orders, again)})
    assert {found.invariant for found in violations(too_much)} == {Invariant.MONEY}
    [mine] = [effect for effect in last.money if effect.kind == REFUNDED]
    more = last.model_copy(update={"for_other_orders": (), "money": (*last.money[:1], replaced(mine, amount=6000))})
    assert Invariant.MONEY in {found.invariant for found in violations(more)}, "more than this order has paid"
    alone = await read_world(system, watched[-1])
    assert Invariant.ONCE in {found.invariant for found in violations(alone)}, "no order is known whose refund it is"


def replaced(effect: AtGateway, **changes: object) -> AtGateway:
    return effect.model_copy(update=changes)


async def test_one_line_of_two_is_worth_its_own_price(system: System) -> None:
    world = await cancelled(system, LineScope(line_id="L2", quantity=1))
    assert violations(world) == []
    assert (world.given_back, dict(world.cancelled)) == (2400, {"L1": 0, "L2": 1})


async def test_whatever_the_harness_did_not_do_for_others_the_process_did(system: System) -> None:
    """Under whatever key: also under one that the product could not read."""
    order = await system.shop.place_order(sample := two_lines())
    await system.cancel(request(sample, L2))
    [payment] = system.shop.payments[order.order_id]
    watched = Watched(order, [Said(verb=Verb.SUBMIT, scope=(L2,))])
    async with GatewayAdmin(system.shop.gateway.url) as somebody:
        await somebody.refund_elsewhere(payment, money("20.00 USD"))
    world = await read_world(system, watched)
    assert (world.given_back, world.by_others) == (4400, 0)
    assert {found.invariant for found in violations(world)} == {Invariant.MONEY, Invariant.ONCE}


async def test_a_refund_for_a_cancellation_that_the_register_lacks_is_not_another_orders(sound: World) -> None:
    lost = another_refund(sound, object_id="re_2", key="can-lost/reverse_payment/T1/1", amount=1)
    assert Invariant.ONCE in {found.invariant for found in violations(lost, [invariants.every_effect_is_noted])}


async def test_what_the_harness_did_for_others_is_theirs(system: System) -> None:
    order = await system.shop.place_order(sample := two_lines())
    await system.cancel(request(sample, L2))
    await system.shop.gateway.refund_elsewhere(system.shop.payments[order.order_id][0], money("10.00 USD"))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT, scope=(L2,))]))
    assert violations(world) == []
    assert (world.given_back, world.by_others) == (2400, 1000)


async def test_a_refund_in_the_place_of_one_that_has_failed_is_none_at_once(sound: World) -> None:
    later = refunded_twice_at_once(sound, 2, 3)
    assert violations(later, [invariants.never_more_than_captured]) == []


@pytest.mark.parametrize("by_them", [1, 1000])
async def test_what_others_give_excuses_nothing_of_what_the_process_gives(system: System, by_them: int) -> None:
    """For one line of 24.00, 44.00."""
    world = by_others(await cancelled(system, L2), amount=by_them)
    assert violations(world) == []
    too_much = given_back(world, 4400)
    [found] = violations(too_much, [invariants.carried_out_gives_what_its_goods_cost])
    assert "4400 went back for units worth 2400" in found.sentence


@pytest.mark.parametrize(
    ("verb", "moved"), [(Verb.DONE_BY_HAND, "amount"), (Verb.NOTHING_DUE, "waived")], ids=["collected", "left"]
)
async def test_what_others_gave_besides_is_somebodys_to_decide(sound: World, verb: Verb, moved: str) -> None:
    besides = by_others(sound, amount=2000)
    asked = with_said(besides, verb=verb, step=StepName.CHECK_REFUND, target="T1", **{moved: money("-20.00 USD")})
    assert violations(asked, [invariants.never_more_than_the_price]) == []


async def test_what_a_person_declared_not_due_is_missing_from_what_goes_back(sound: World) -> None:
    asked = {"verb": Verb.NOTHING_DUE, "step": StepName.REVERSE_PAYMENT, "target": "T1"}
    less = with_said(given_back(sound, 4400), **asked, waived=money("20.00 USD"))
    assert violations(less, [invariants.carried_out_gives_what_its_goods_cost]) == []
