"""An event that is sent on when its cancellation has ended in the books, and its run has not ended yet."""

from domain.outcome import Outcome
from domain.step import StepName
from sandbox.gateway.messages import EffectKind
from tests.faults.events import GatewayNews, dispatching_events, receive_news, wait_for_delivery
from tests.faults.invariants import violations
from tests.faults.moments import Moment, Place, halting_worker
from tests.faults.staff import place_order
from tests.faults.stories import STORIES, Story
from tests.faults.world import read_world
from tests.system import System


async def test_a_refund_that_fails_while_the_run_ends_is_paid_again(real_time_system: System) -> None:
    """I1, B24: the last step has ended the cancellation in the books, and its task is not completed."""
    system = real_time_system
    staff = await place_order(system, STORIES[Story.LABEL])
    order_id = staff.sample.order_id
    [payment] = system.shop.payments[order_id]
    failed: list[str] = []

    async def fail_refund(moment: Moment) -> None:
        if (moment.place, moment.name) != (Place.AFTER, StepName.CLOSE_ORDER) or failed:
            return
        assert await system.outcomes(order_id) == [Outcome.CANCELLED]
        [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
        failed.append(refund.object_id)
        await system.shop.gateway.fail(refund.object_id)
        await receive_news(system, GatewayNews(payment, refund=refund.object_id))
        await wait_for_delivery(system, order_id, times=1)

    async with halting_worker(system, fail_refund), dispatching_events(system):
        await staff.submit()
        await staff.see_through()
        await wait_for_delivery(system, order_id)
        await staff.see_through()
        world = await read_world(system, staff.watched)
    assert failed
    assert violations(world) == []
