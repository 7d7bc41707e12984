"""Cuts a plan that fails down to the shortest one that still fails: orders first, then what happens to the processes, then
what happens to each order."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tests.faults.plan import Plan, PlannedOrder

Fails = Callable[[Plan], Awaitable[bool]]
T = TypeVar("T")
_PARTS = ("acts", "gateway_faults", "carrier_faults", "answers")


async def shrink(plan: Plan, fails: Fails) -> Plan:
    """`plan` fails. A part is left out for good when the plan fails without it."""

    async def with_orders(orders: Sequence[PlannedOrder]) -> bool:
        return await fails(plan.model_copy(update={"orders": tuple(orders)}))

    plan = plan.model_copy(update={"orders": await _fewest(plan.orders, with_orders, least=1)})

    async def disturbed(disturbances: Sequence[object]) -> bool:
        return await fails(plan.model_copy(update={"disturbances": tuple(disturbances)}))

    plan = plan.model_copy(update={"disturbances": await _fewest(plan.disturbances, disturbed)})
    for number in range(len(plan.orders)):
        for part in _PARTS:
            plan = await _shrink_part(plan, number, part, fails)
    return plan


async def _shrink_part(plan: Plan, number: int, part: str, fails: Fails) -> Plan:
    def with_part(left: Sequence[object]) -> Plan:
        order = plan.orders[number].model_copy(update={part: tuple(left)})
        return plan.model_copy(update={"orders": (*plan.orders[:number], order, *plan.orders[number + 1 :])})

    async def still(left: Sequence[object]) -> bool:
        return await fails(with_part(left))

    return with_part(await _fewest(getattr(plan.orders[number], part), still))


async def _fewest(parts: Sequence[T], fails: Callable[[Sequence[T]], Awaitable[bool]], least: int = 0) -> tuple[T, ...]:
    """Delta debugging: whole halves are left out before quarters, and single parts last."""
    kept = tuple(parts)
    size = len(kept)
    while size:
        at = 0
        while at < len(kept):
            without = kept[:at] + kept[at + size :]
            if len(without) >= least and await fails(without):
                kept = without
            else:
                at += size
        size = min(size // 2, len(kept))
    return kept
