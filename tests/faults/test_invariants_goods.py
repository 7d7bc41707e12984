"""What the checks of goods, effects and compensations see: I2, I5 and I9."""

from collections.abc import Mapping

import pytest

from domain.facts import EffectOutcome
from domain.keys import EffectKey
from domain.shipment import GoodsGroup
from domain.step import StepName
from sandbox.shop import request
from tests.faults import goods, invariants, sequence
from tests.faults.broken import (
    Broken,
    Change,
    another_refund,
    released,
    two_lines,
    undone,
    with_parcel,
)
from tests.faults.invariants import violations
from tests.faults.model import (
    FAILED,
    REFUNDED,
    AtShop,
    DoneToParcel,
    Invariant,
    Noted,
    Said,
    Verb,
    World,
)
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import bought_gift_card


def rolled_back(world: World, *rows: tuple[StepName, str]) -> World:
    """A roll-back is ordered when the last fact was written. Each of these is noted, and ends, in the minutes after it."""
    [recorded] = undone(world).cancellations
    ordered = recorded.ended_at
    assert ordered is not None
    noted = tuple(
        Noted(
            key=str(EffectKey(recorded.cancellation_id, step, target)),
            outcome=outcome,
            at=ordered + 60 * minute + (30 if outcome else 0),
        )
        for minute, (step, target) in enumerate(rows, start=1)
        for outcome in (None, EffectOutcome.DONE)
    )
    changes = {"effects": (*recorded.effects, *noted), "rolled_back_at": ordered, "ended_at": None}
    return undone(world, cancellations=(recorded.model_copy(update=changes),))


def undone_side_by_side(world: World) -> World:
    """The parcel goes on before the credit note has been taken back."""
    changed = rolled_back(
        world, (StepName.CREDIT_REFUND, "T1"), (StepName.REVOKE_REFUND, "T1"), (StepName.RESUME_SHIPMENT, "S1")
    )
    [recorded] = changed.cancellations
    *before, revoked, resume, resumed = recorded.effects
    late = revoked.model_copy(update={"at": resumed.at + 1})
    found = recorded.model_copy(update={"effects": (*before, resume, resumed, late)})
    return changed.model_copy(update={"cancellations": (found,)})


def undone_first_to_last(world: World) -> World:
    """Two parcels, in the order in which they were stopped and in which the plan has them."""
    rows = [(step, target) for step in (StepName.STOP_SHIPMENT, StepName.RESUME_SHIPMENT) for target in ("S1", "S2")]
    changed = rolled_back(with_parcel(world, effects=()), *rows)
    [recorded] = changed.cancellations
    notes = recorded.effects[-8:]
    found = recorded.model_copy(update={"effects": notes, "planned": ("S1", "S2")})
    return changed.model_copy(update={"cancellations": (found,)})


def undone_by_counterparts(world: World, *, parcel_minute: int, refund_minute: int) -> World:
    """So many minutes after the order to roll back. The parcel had been stopped before the refund was made. By the notes the
    refund is taken back first."""
    changed = rolled_back(world, (StepName.RESTORE_PAYMENT, "T1"), (StepName.RESUME_SHIPMENT, "S1"))
    ordered = changed.cancellations[0].rolled_back_at
    assert ordered is not None
    [refund] = [effect for effect in world.money if effect.kind == REFUNDED]
    taken_back = refund.model_copy(
        update={"kind": FAILED, "key": "of the call that cancels it", "at": ordered + 60 * refund_minute}
    )
    [parcel] = world.parcels
    bought = DoneToParcel(kind="label.bought", at=ordered + 60 * parcel_minute)
    return with_parcel(
        changed.model_copy(update={"money": (*world.money, taken_back)}), effects=(*parcel.effects, bought)
    )


def with_effects_of_parcel(world: World, *kinds: str) -> World:
    more = (DoneToParcel(kind=kind) for kind in kinds)
    return with_parcel(world, effects=(*world.parcels[0].effects, *more))


def at_shop(world: World, *kinds: str, reference: str | None = None) -> World:
    """Each under a key of its own."""
    [recorded] = world.cancellations
    found = (
        AtShop(kind=kind, cancellation_id=recorded.cancellation_id, target="S1", reference=reference) for kind in kinds
    )
    return world.model_copy(update={"at_shop": (*world.at_shop, *found)})


BROKEN: Mapping[str, Broken] = {
    "refunded_twice_under_one_key": Broken(
        invariants.once_per_key, Invariant.ONCE, lambda world: another_refund(world, object_id="re_2")
    ),
    "five_intercepts": Broken(
        goods.once_per_parcel,
        Invariant.ONCE,
        lambda world: with_effects_of_parcel(world, *["intercept.requested"] * 5),
    ),
    "three_voids": Broken(
        goods.once_per_parcel,
        Invariant.ONCE,
        lambda world: with_effects_of_parcel(world, *["label.void_submitted"] * 2),
    ),
    "voided_twice": Broken(
        goods.once_per_parcel, Invariant.ONCE, lambda world: with_effects_of_parcel(world, *["label.voided"] * 2)
    ),
    "stopped_again_once_too_often": Broken(
        goods.once_per_parcel,
        Invariant.ONCE,
        lambda world: with_effects_of_parcel(world, *["intercept.requested"] * 3, "intercept.cancelled"),
    ),
    "a_gift_card_deactivated_twice": Broken(
        goods.once_per_parcel,
        Invariant.ONCE,
        lambda world: with_effects_of_parcel(world, *["gift_card.deactivated"] * 2),
    ),
    "a_gift_card_activated_twice": Broken(
        goods.undone_at_most_once,
        Invariant.COMPENSATION,
        lambda world: with_effects_of_parcel(world, "gift_card.deactivated", *["gift_card.activated"] * 2),
    ),
    "a_pick_withdrawn_twice": Broken(
        goods.once_at_the_shop, Invariant.ONCE, lambda world: at_shop(world, "withdraw_pick", "withdraw_pick")
    ),
    "a_pick_that_goes_on_twice": Broken(
        goods.once_at_the_shop, Invariant.ONCE, lambda world: at_shop(world, "withdraw_pick", *["resume_pick"] * 2)
    ),
    "an_order_closed_twice": Broken(
        goods.once_at_the_shop, Invariant.ONCE, lambda world: at_shop(world, "close_order", "close_order")
    ),
    "a_label_put_on_a_parcel_twice": Broken(
        goods.once_at_the_shop, Invariant.ONCE, lambda world: at_shop(world, "relabel", "relabel", reference="shp_2")
    ),
    "a_payment_put_into_an_order_twice": Broken(
        goods.once_at_the_shop,
        Invariant.ONCE,
        lambda world: at_shop(world, "replace_payment", "replace_payment", reference="pi_2"),
    ),
    "reserved_again_twice": Broken(
        invariants.once_per_key, Invariant.ONCE, lambda world: released(world, "pi_2", "pi_3")
    ),
    "an_effect_that_is_not_noted": Broken(
        invariants.every_effect_is_noted,
        Invariant.ONCE,
        lambda world: world.model_copy(
            update={"cancellations": tuple(r.model_copy(update={"effects": ()}) for r in world.cancellations)}
        ),
    ),
    "the_parcel_goes_on_before_the_refund_is_taken_back": Broken(
        sequence.undone_last_first,
        Invariant.COMPENSATION,
        lambda world: undone_by_counterparts(world, parcel_minute=1, refund_minute=2),
    ),
    "the_credit_note_is_taken_back_last": Broken(
        sequence.undone_last_first,
        Invariant.COMPENSATION,
        lambda world: rolled_back(
            world, (StepName.CREDIT_REFUND, "T1"), (StepName.RESTORE_PAYMENT, "T1"), (StepName.REVOKE_REFUND, "T1")
        ),
    ),
    "delivered_all_the_same": Broken(
        goods.goods_and_money_agree,
        Invariant.GOODS,
        lambda world: with_parcel(world, voided=False, group=GoodsGroup.DELIVERED),
    ),
    "void_although_nothing_was_cancelled": Broken(
        goods.undone_goods_move_again,
        Invariant.GOODS,
        lambda world: with_parcel(undone(world, money=()), voided=True),
    ),
    "intercepted_although_nothing_was_cancelled": Broken(
        goods.undone_goods_move_again,
        Invariant.GOODS,
        lambda world: with_parcel(undone(world, money=()), voided=False, intercepted=True, group=GoodsGroup.IN_NETWORK),
    ),
    "coming_back_although_nothing_was_cancelled": Broken(
        goods.undone_goods_move_again,
        Invariant.GOODS,
        lambda world: with_parcel(
            undone(world, money=()), voided=False, intercepted=True, group=GoodsGroup.COMING_BACK
        ),
    ),
    "a_label_too_many": Broken(
        goods.undone_at_most_once,
        Invariant.COMPENSATION,
        lambda world: with_effects_of_parcel(world, "label.bought", "label.bought"),
    ),
    "compensated_side_by_side": Broken(sequence.undone_last_first, Invariant.COMPENSATION, undone_side_by_side),
    "compensated_first_to_last": Broken(sequence.undone_last_first, Invariant.COMPENSATION, undone_first_to_last),
    "on_its_way_back_although_nothing_was_cancelled": Broken(
        goods.undone_goods_move_again,
        Invariant.GOODS,
        lambda world: with_parcel(undone(world), intercepted=True, group=GoodsGroup.COMING_BACK),
    ),
    "stopped_on_its_way_with_another_carrier": Broken(
        goods.only_ups_is_asked_to_stop,
        Invariant.GOODS,
        lambda world: with_parcel(
            world.model_copy(update={"handed_over": frozenset({"S1"})}),
            shipment=world.order.shipments[0].model_copy(update={"carrier": "FedEx"}),
        ),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_check_sees_what_it_is_there_for(sound: World, name: str) -> None:
    BROKEN[name].assert_seen_in(sound)


async def test_a_gift_card_is_usable_until_it_is_deactivated(system: System) -> None:
    order = await system.shop.place_order(sample := bought_gift_card())
    await system.cancel(request(sample))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert violations(world) == []
    broken = violations(with_parcel(world, deactivated=False))
    assert {found.invariant for found in broken} == {Invariant.GOODS}


@pytest.mark.parametrize(
    "change",
    [
        lambda world: with_effects_of_parcel(
            world, "intercept.requested", "intercept.cancelled", "intercept.requested"
        ),
        lambda world: at_shop(world, "withdraw_pick", "resume_pick", "withdraw_pick"),
        lambda world: with_effects_of_parcel(
            world, "gift_card.deactivated", "gift_card.activated", "gift_card.deactivated"
        ),
    ],
    ids=["intercept", "pick", "gift_card"],
)
async def test_what_was_undone_may_be_done_again(sound: World, change: Change) -> None:
    assert violations(change(sound), [goods.once_per_parcel, goods.once_at_the_shop, goods.undone_at_most_once]) == []


async def test_the_counterparts_say_in_which_sequence_it_was_undone(sound: World) -> None:
    last_first = undone_by_counterparts(sound, parcel_minute=2, refund_minute=1)
    assert violations(last_first, [sequence.undone_last_first]) == []


async def test_what_shop_and_gift_cards_did_is_read(system: System) -> None:
    order = await system.shop.place_order(sample := bought_gift_card())
    await system.cancel(request(sample))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert [[effect.kind for effect in parcel.effects] for parcel in world.parcels] == [["gift_card.deactivated"]]
    assert [(effect.kind, effect.target) for effect in world.at_shop] == [("close_order", order.order_id)]


async def test_a_label_that_is_bought_under_any_key_is_seen(system: System) -> None:
    order = await system.shop.place_order(two_lines())
    watched = Watched(order)
    assert violations(await read_world(system, watched)) == []
    [label] = system.shop.labels[order.order_id]
    await system.labels.buy_again(label, key="no key of the process")
    world = await read_world(system, watched)
    assert [parcel.bought_again for parcel in world.parcels] == [1]
    assert {found.invariant for found in violations(world)} == {Invariant.COMPENSATION}
