"""The checks themselves: they find nothing in sound cancellations, and each finds what it is there for."""

from collections.abc import Callable, Mapping

import pytest

from domain.facts import EffectOutcome
from domain.keys import EffectKey
from domain.money import money
from domain.outcome import Outcome, State
from domain.request import LineScope
from domain.shipment import GoodsGroup
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.faults.invariants import violations
from tests.faults.model import (
    CAPTURED,
    CHARGED_BACK,
    FAILED,
    REFUNDED,
    RELEASED,
    RESERVED,
    SETTLED,
    AtGateway,
    Invariant,
    Said,
    Verb,
    World,
)
from tests.faults.world import Watched, read_world
from tests.system import System, customer_of
from tests.workflows.samples import an_id, bought_gift_card
from workflows.money import MoneySteps

Change = Callable[[World], World]

L2 = LineScope(line_id="L2", quantity=1)


def two_lines() -> SampleOrder:
    lines = (line("L1", 2, "40.00 USD"), line("L2", 1, "24.00 USD"))
    return SampleOrder(
        order_id=an_id(), lines=lines, tenders=(card("64.00 USD"),), parcels=(parcel(Script.LABEL_ONLY, L1=2, L2=1),)
    )


async def cancelled(system: System, *scope: LineScope) -> World:
    order = await system.shop.place_order(sample := two_lines())
    await system.cancel(request(sample, *scope))
    return await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))


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


async def test_what_others_give_of_an_order_that_nobody_cancels_is_no_matter_of_the_process(system: System) -> None:
    order = await system.shop.place_order(two_lines())
    world = await read_world(system, Watched(order))
    [refund, back] = (
        AtGateway(kind=kind, tender_id="T1", object_id=f"of-{kind}", amount=6400, key=None)
        for kind in (REFUNDED, CHARGED_BACK)
    )
    assert violations(world.model_copy(update={"money": (*world.money, refund, back)})) == []


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


def another_refund(world: World, **changes: object) -> World:
    [refund] = [effect for effect in world.money if effect.kind == REFUNDED]
    return world.model_copy(update={"money": (*world.money, refund.model_copy(update=changes))})


def with_run(world: World, **changes: object) -> World:
    assert world.run is not None
    return world.model_copy(update={"run": world.run.model_copy(update=changes)})


def with_parcel(world: World, **changes: object) -> World:
    [one] = world.parcels
    return world.model_copy(update={"parcels": (one.model_copy(update=changes),)})


def undone(world: World, **changes: object) -> World:
    """Nothing was cancelled, by the register and by the order."""
    undone = {"outcome": Outcome.ROLLED_BACK, "refunded": None, "released": None}
    found = tuple(recorded.model_copy(update=undone) for recorded in world.cancellations)
    return world.model_copy(update={"cancellations": found, "cancelled": (), **changes})


def with_effects(world: World, *steps: StepName) -> World:
    """Noted and ended one after the other."""
    [recorded] = world.cancellations
    keys = [str(EffectKey(recorded.cancellation_id, step, "T1")) for step in steps]
    effects = (*recorded.effects, *((key, ended) for key in keys for ended in (None, EffectOutcome.DONE)))
    facts = (*recorded.facts, "roll_back_ordered")
    found = recorded.model_copy(update={"effects": effects, "facts": facts})
    return world.model_copy(update={"cancellations": (found,)})


def released(world: World, *more: str) -> World:
    """By us; and so many payments are made in its place."""
    [tender] = world.order.tenders
    key = "can-1/reverse_payment/T1/1.void"
    void = AtGateway(kind=RELEASED, tender_id="T1", object_id=tender.reference, amount=6400, key=key)
    made = [AtGateway(kind=RESERVED, tender_id="T1", object_id=name, amount=6400, key=None) for name in more]
    return undone(world, money=(void, *made), paid_with=(("T1", more[-1] if more else tender.reference),))


def joined(world: World) -> World:
    return with_said(world, verb=Verb.SUBMIT, scope=(L2,), request_id="r-2", joined=True)


def with_said(world: World, **changes: object) -> World:
    return world.model_copy(update={"said": (*world.said, Said.model_validate(changes))})


def with_lines(world: World, **gone: int) -> World:
    """So many units have left the order, and no others."""
    return world.model_copy(update={"cancelled": tuple(gone.items())})


def posted_again(world: World) -> World:
    """What went out by the gateway; the customer owes it, so that nothing is payable."""
    [paid] = [transfer for transfer in world.ledger if transfer.credit == "gateway_clearing"]
    again = paid.model_copy(update={"debit": "customer_receivable"})
    return world.model_copy(update={"ledger": (*world.ledger, again)})


def undone_side_by_side(world: World) -> World:
    """The parcel goes on before the credit note is taken back."""
    stop, resume = (
        str(EffectKey(world.cancellations[0].cancellation_id, step, "S1"))
        for step in (StepName.STOP_SHIPMENT, StepName.RESUME_SHIPMENT)
    )
    [recorded] = with_effects(undone(world), StepName.CREDIT_REFUND, StepName.REVOKE_REFUND).cancellations
    done = EffectOutcome.DONE
    effects = ((stop, None), (stop, done), *recorded.effects[:-1], (resume, None), (resume, done), recorded.effects[-1])
    return world.model_copy(update={"cancellations": (recorded.model_copy(update={"effects": effects}),)})


def undone_first_to_last(world: World) -> World:
    """Two parcels, in the order in which they were stopped and in which the plan has them."""
    [recorded] = undone(world).cancellations
    keys = [
        str(EffectKey(recorded.cancellation_id, step, target))
        for step in (StepName.STOP_SHIPMENT, StepName.RESUME_SHIPMENT)
        for target in ("S1", "S2")
    ]
    noted_and_done = tuple((key, ended) for key in keys for ended in (None, EffectOutcome.DONE))
    facts = ("effect_noted", "effect_ended", "effect_noted", "effect_ended", "roll_back_ordered")
    changed = recorded.model_copy(update={"effects": noted_and_done, "facts": facts, "planned": ("S1", "S2")})
    return world.model_copy(update={"cancellations": (changed,)})


def said(world: World, *verbs: Verb) -> World:
    return world.model_copy(update={"said": (*world.said, *(Said(verb=verb) for verb in verbs))})


BROKEN: Mapping[str, tuple[Change, Invariant]] = {
    "refunded_twice_under_another_key": (
        lambda world: another_refund(world, object_id="re_2", key="can-1/reverse_payment/T1/2"),
        Invariant.MONEY,
    ),
    "refunded_twice_under_one_key": (lambda world: another_refund(world, object_id="re_2"), Invariant.ONCE),
    "refund_failed_and_nobody_cared": (
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
        Invariant.MONEY,
    ),
    "a_refund_that_has_not_arrived": (
        lambda world: world.model_copy(update={"money": tuple(e for e in world.money if e.kind != SETTLED)}),
        Invariant.MONEY,
    ),
    "kept_although_nothing_was_cancelled": (undone, Invariant.MONEY),
    "the_order_names_a_payment_that_was_released": (released, Invariant.MONEY),
    "reserved_again_twice": (lambda world: released(world, "pi_2", "pi_3"), Invariant.ONCE),
    "an_effect_that_is_not_noted": (
        lambda world: world.model_copy(
            update={"cancellations": tuple(r.model_copy(update={"effects": ()}) for r in world.cancellations)}
        ),
        Invariant.ONCE,
    ),
    "undone_first_to_last": (
        lambda world: with_effects(
            undone(world), StepName.CREDIT_REFUND, StepName.RESTORE_PAYMENT, StepName.REVOKE_REFUND
        ),
        Invariant.COMPENSATION,
    ),
    "joined_another_scope": (joined, Invariant.ANSWERED),
    "the_list_names_another_wait": (
        lambda world: with_run(world, status="running", state="running", needs_person=True),
        Invariant.VISIBLE,
    ),
    "paid_by_hand_besides": (
        lambda world: world.model_copy(
            update={"said": (Said(verb=Verb.DONE_BY_HAND, amount=money("64.00 USD"), accepted=None),)}
        ),
        Invariant.PAID_ONCE,
    ),
    "given_back_by_others_besides": (
        lambda world: another_refund(world, object_id="re_2", key=None, amount=100),
        Invariant.PAID_ONCE,
    ),
    "given_back_by_the_bank_besides": (
        lambda world: another_refund(world, object_id="dp_1", key=None, kind=CHARGED_BACK),
        Invariant.PAID_ONCE,
    ),
    "store_credit_besides": (
        lambda world: another_refund(
            world, object_id="can-1/give_store_credit/T1/1", key="can-1/give_store_credit/T1/1"
        ),
        Invariant.PAID_ONCE,
    ),
    "delivered_all_the_same": (
        lambda world: with_parcel(world, voided=False, group=GoodsGroup.DELIVERED),
        Invariant.GOODS,
    ),
    "void_although_nothing_was_cancelled": (
        lambda world: with_parcel(undone(world, money=()), voided=True),
        Invariant.GOODS,
    ),
    "intercepted_although_nothing_was_cancelled": (
        lambda world: with_parcel(undone(world, money=()), voided=False, intercepted=True, group=GoodsGroup.IN_NETWORK),
        Invariant.GOODS,
    ),
    "coming_back_although_nothing_was_cancelled": (
        lambda world: with_parcel(
            undone(world, money=()), voided=False, intercepted=True, group=GoodsGroup.COMING_BACK
        ),
        Invariant.GOODS,
    ),
    "a_label_too_many": (lambda world: with_parcel(world, bought_again=2), Invariant.COMPENSATION),
    "waits_for_nobody": (lambda world: with_run(world, status="running", waits=()), Invariant.VISIBLE),
    "its_task_fails": (lambda world: with_run(world, status="running", task_fails=True), Invariant.VISIBLE),
    "another_word_in_the_list": (lambda world: with_run(world, state="rejected"), Invariant.TERMINAL),
    "still_held": (lambda world: world.model_copy(update={"held_by": "can-1"}), Invariant.TERMINAL),
    "lines_without_a_cancellation": (
        lambda world: world.model_copy(
            update={
                "cancellations": tuple(
                    found.model_copy(update={"outcome": Outcome.REJECTED}) for found in world.cancellations
                )
            }
        ),
        Invariant.TERMINAL,
    ),
    "payable_below_zero": (
        lambda world: world.model_copy(update={"ledger": (*world.ledger, world.ledger[-1])}),
        Invariant.LEDGER,
    ),
    "posted_twice": (posted_again, Invariant.LEDGER),
    "a_proof_that_no_book_has": (
        lambda world: with_said(world, verb=Verb.DONE_BY_HAND, proof="REF-1"),
        Invariant.ANSWERED,
    ),
    "kept_and_never_decided": (
        lambda world: with_said(
            with_lines(world, L1=2), verb=Verb.SUBMIT, scope=(L2,), request_id="r-2", deferred=True
        ),
        Invariant.TERMINAL,
    ),
    "an_email_address_in_a_failure": (
        lambda world: world.model_copy(update={"leaks": ("the failure of event 3 shows 'jo@customer.example'",)}),
        Invariant.CONFIDENTIAL,
    ),
    "compensated_side_by_side": (undone_side_by_side, Invariant.COMPENSATION),
    "compensated_first_to_last": (undone_first_to_last, Invariant.COMPENSATION),
    "on_its_way_back_although_nothing_was_cancelled": (
        lambda world: with_parcel(undone(world), intercepted=True, group=GoodsGroup.COMING_BACK),
        Invariant.GOODS,
    ),
    "an_approval_without_effect": (lambda world: said(world, Verb.APPROVE), Invariant.ANSWERED),
    "withdrawn_and_cancelled": (lambda world: said(world, Verb.WITHDRAW), Invariant.ANSWERED),
}


@pytest.fixture
async def sound(system: System) -> World:
    return await cancelled(system)


@pytest.mark.parametrize("name", BROKEN)
async def test_each_invariant_is_seen_when_it_is_broken(sound: World, name: str) -> None:
    change, invariant = BROKEN[name]
    found = violations(change(sound))
    assert invariant in {violation.invariant for violation in found}, found
    assert all(sound.order.order_id in str(violation) for violation in found)


async def test_a_gift_card_is_usable_until_it_is_deactivated(system: System) -> None:
    order = await system.shop.place_order(sample := bought_gift_card())
    await system.cancel(request(sample))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert violations(world) == []
    broken = violations(with_parcel(world, deactivated=False))
    assert {found.invariant for found in broken} == {Invariant.GOODS}


async def test_of_a_shared_payment_each_order_has_its_own_share(system: System) -> None:
    whole = money("100.00 USD")
    payment = await system.shop.gateway.create_payment(whole, capture=whole)
    worlds = []
    for total in ("60.00 USD", "40.00 USD"):
        paid = card(total, payment=payment)
        sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, total),), tenders=(paid,))
        order = await system.shop.place_order(sample)
        await system.cancel(request(sample))
        worlds.append(await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)])))
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


def replaced(effect: AtGateway, **changes: object) -> AtGateway:
    return effect.model_copy(update=changes)


async def test_one_line_of_two_is_worth_its_own_price(system: System) -> None:
    world = await cancelled(system, LineScope(line_id="L2", quantity=1))
    assert violations(world) == []
    assert (world.given_back, dict(world.cancelled)) == (2400, {"L1": 0, "L2": 1})


async def nothing(*_: object) -> None:
    return None


async def test_a_history_that_does_not_replay_is_seen(
    real_time_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7: also that of a run which has ended, and which another one has followed."""
    system = real_time_system
    order = await system.shop.place_order(sample := two_lines())
    watched = Watched(order, [Said(verb=Verb.SUBMIT)])
    async with system.worker():
        await system.cancel(request(sample))
        await system.cancel(request(sample, request_id="another"))
    assert violations(await read_world(system, watched)) == []
    monkeypatch.setattr(MoneySteps, "credit_refund", nothing)
    found = violations(await read_world(system, watched))
    assert [violation.invariant for violation in found] == [Invariant.REPLAY]
