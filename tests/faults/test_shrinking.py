"""A plan is drawn from its seed alone, and is cut down to what makes it fail."""

import pytest

from tests.faults.drawing import draw_plan
from tests.faults.plan import ActKind, DisturbanceKind, Plan
from tests.faults.shrinking import shrink


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_is_drawn_from_its_seed_alone_and_is_data(seed: int) -> None:
    plan = draw_plan(seed, 30)
    assert draw_plan(seed, 30) == plan
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert draw_plan(seed + 100, 30) != plan


def test_everything_that_can_happen_is_drawn() -> None:
    plans = [draw_plan(seed, 200) for seed in (1, 2)]
    assert {plan.freezes for plan in plans} == {True, False}
    assert {act.kind for plan in plans for order in plan.orders for act in order.acts} == {*ActKind}
    assert {disturbance.kind for plan in plans for disturbance in plan.disturbances} == {*DisturbanceKind}


async def test_what_does_not_matter_is_left_out() -> None:
    """The plan fails where an order is terminated in a plan that kills a worker."""
    plan = draw_plan(1, 60)
    tried = 0

    async def fails(cut: Plan) -> bool:
        nonlocal tried
        tried += 1
        lost = any(act.kind is ActKind.TERMINATE for order in cut.orders for act in order.acts)
        return lost and any(found.kind is DisturbanceKind.KILL for found in cut.disturbances)

    shortest = await shrink(plan, fails)
    [order] = shortest.orders
    assert [act.kind for act in order.acts] == [ActKind.TERMINATE]
    assert [found.kind for found in shortest.disturbances] == [DisturbanceKind.KILL]
    assert shortest.size == 3
    assert tried < 100, "halves are left out first"
