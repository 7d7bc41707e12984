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
    another_refund,
    cancelled,
    released,
    two_lines,
    undone,
    with_parcel,
)
from tests.faults.invariants import violations
from tests.faults.model import (
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


BROKEN: Mapping[str, Broken] = {
    "refunded_twice_under_one_key": Broken(
        invariants.once_per_key, Invariant.ONCE, lambda world: another_refund(world, object_id="re_2")
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


async def test_a_label_that_is_bought_under_any_key_is_seen(system: System) -> None:
    order = await system.shop.place_order(two_lines())
    watched = Watched(order)
    assert violations(await read_world(system, watched)) == []
    [label] = system.shop.labels[order.order_id]
    await system.labels.buy_again(label, key="no key of the process")
    world = await read_world(system, watched)
    assert [parcel.bought_again for parcel in world.parcels] == [1]
    assert {found.invariant for found in violations(world)} == {Invariant.COMPENSATION}
