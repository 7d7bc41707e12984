"""What holds at any instant, judged while a cancellation waits: whenever somebody is about to answer it.

The whole of what is promised is judged by undisturbed.py at each wait, and by all others at the end. Here it is what one
look at the lists of the counterparts shows, and what needs neither the run nor a call of the carrier, which may have a fault
left that is meant for the process.
"""

import asyncio

from domain.order import Order
from tests.faults.goods import once_at_the_shop, once_per_parcel
from tests.faults.invariants import (
    every_effect_is_noted,
    ledger_is_right,
    never_more_than_captured,
    once_per_key,
    violations,
)
from tests.faults.model import Check, Violation
from tests.faults.world import Watched, read_instant
from tests.system import System

AT_ANY_INSTANT: tuple[Check, ...] = (
    never_more_than_captured,
    ledger_is_right,
    once_per_key,
    once_per_parcel,
    once_at_the_shop,
    every_effect_is_noted,
)
_LOOKED_AGAIN_AFTER = 1.0
"""Seconds. The lists are read one after the other, and something may have happened between two of them."""


async def find_broken_now(system: System, watched: Watched) -> list[Violation]:
    """Of an order that shares a payment nothing is said: what others do with that is told apart at the end alone."""
    if _shares_payment(system, watched.order):
        return []
    broken = violations(await read_instant(system, watched), AT_ANY_INSTANT)
    if not broken:
        return []
    await asyncio.sleep(_LOOKED_AGAIN_AFTER)
    still = violations(await read_instant(system, watched), AT_ANY_INSTANT)
    return [violation for violation in broken if violation in still]


def _shares_payment(system: System, order: Order) -> bool:
    mine = {tender.reference for tender in order.tenders}
    return any(mine & {*paid} for other, paid in system.shop.payments.items() if other != order.order_id)
