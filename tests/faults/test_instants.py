"""What is broken while a cancellation waits is seen then, although it may be as it should in the end."""

import pytest

from domain.money import money
from sandbox.gateway_admin import GatewayAdmin
from tests.faults.model import Invariant
from tests.faults.staff import place_order
from tests.faults.stories import STORIES, Story
from tests.system import System


@pytest.mark.parametrize("is_ours", [True, False])
async def test_a_refund_that_no_book_knows_is_seen_at_a_wait(real_time_system: System, *, is_ours: bool) -> None:
    """The harness knows what it has refunded itself, for somebody in the dashboard."""
    system = real_time_system
    staff = await place_order(system, STORIES[Story.APPROVED])
    [payment] = system.shop.payments[staff.sample.order_id]
    async with system.worker(), GatewayAdmin(system.shop.gateway.url) as another:
        await (another if is_ours else system.shop.gateway).refund_elsewhere(payment, money("1.00 USD"))
        await staff.submit()
        await staff.see_through()
    assert {found.invariant for found in staff.seen} == ({Invariant.ONCE} if is_ours else set())
