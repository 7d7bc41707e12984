"""What the checks of goods, effects and compensations see: I2, I5 and I9."""

from collections.abc import Mapping

import pytest

from domain.facts import EffectOutcome
from domain.keys import EffectKey
from domain.shipment import GoodsGroup
from domain.step import StepName
from sandbox.shop import request
from tests.faults import goods, invariants
from tests.faults.broken import (
    Broken,
    Change,
    another_refund,
    cancelled,
    released,
    two_lines,
    undone,
    with_parcel,
)
from tests.faults.invariants import violations
from tests.faults.model import (
    AtShop,
    Invariant,
    Said,
    Verb,
    World,
)
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import bought_gift_card


def with_effects(world: World, *steps: StepName) -> World:
    """Noted and ended one after the other."""
    [recorded] = world.cancellations
    keys = [str(EffectKey(recorded.cancellation_id, step, "T1")) for step in steps]
    effects = (*recorded.effects, *((key, ended) for key in keys for ended in (None, EffectOutcome.DONE)))
    facts = (*recorded.facts, "roll_back_ordered")
    found = recorded.model_copy(update={"effects": effects, "facts": facts})
    return world.model_copy(update={"cancellations": (found,)})


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


def with_effects_of_parcel(world: World, *kinds: str) -> World:
    return with_parcel(world, effects=(*world.parcels[0].effects, *kinds))


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
    "undone_first_to_last": Broken(
        goods.undone_last_first,
        Invariant.COMPENSATION,
        lambda world: with_effects(
            undone(world), StepName.CREDIT_REFUND, StepName.RESTORE_PAYMENT, StepName.REVOKE_REFUND
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
        goods.undone_at_most_once, Invariant.COMPENSATION, lambda world: with_parcel(world, bought_again=2)
    ),
    "compensated_side_by_side": Broken(goods.undone_last_first, Invariant.COMPENSATION, undone_side_by_side),
    "compensated_first_to_last": Broken(goods.undone_last_first, Invariant.COMPENSATION, undone_first_to_last),
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


@pytest.fixture
async def sound(system: System) -> World:
    return await cancelled(system)


@pytest.mark.parametrize("name", BROKEN)
async def test_each_check_sees_what_it_is_there_for(sound: World, name: str) -> None:
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


async def test_what_shop_and_gift_cards_did_is_read(system: System) -> None:
    order = await system.shop.place_order(sample := bought_gift_card())
    await system.cancel(request(sample))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert [parcel.effects for parcel in world.parcels] == [("gift_card.deactivated",)]
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
