"""Refunds that the tests of the process talk about."""

from datetime import timedelta

from domain.money import money
from domain.outcome import State
from sandbox.gateway.messages import EffectKind
from sandbox.shop import SampleOrder, request
from tests.system import Handle, System

PENDING = "pm_card_pendingRefund"
"""A card whose refunds settle days later."""


async def refund_of(system: System, sample: SampleOrder, tender: int = 0) -> str:
    payment = system.shop.payments[sample.order_id][tender]
    return (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[-1].object_id


async def refunded_in_part_by_others(system: System, sample: SampleOrder) -> tuple[Handle, str]:
    """20.00 of 64.00, while the approval is waited for; with their refund's id."""
    await system.shop.place_order(sample.model_copy(update={"age": timedelta(days=60)}))
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    theirs = await system.shop.gateway.refund_elsewhere(system.shop.payments[sample.order_id][0], money("20.00 USD"))
    return handle, theirs
