"""A story from its request to its end, undisturbed, and what is broken then, or wherever it waits."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from domain.outcome import Wait
from domain.step import StepName
from sandbox.gateway.messages import EffectKind
from tests.faults.events import GatewayNews, dispatching_events, receive_news, wait_for_delivery
from tests.faults.invariants import violations
from tests.faults.kept import sending_kept, wait_for_sending
from tests.faults.model import Invariant, Violation
from tests.faults.rest import NotAtRest
from tests.faults.staff import Staff, place_order
from tests.faults.stories import Course
from tests.faults.world import read_world
from tests.system import System

_SHOWN_WITHIN = 1.0
"""Seconds, until the list of runs shows what a run waits for."""


async def run_story(system: System, course: Course, within: float) -> list[Violation]:
    staff = await place_order(system, course)
    watching = _Watching(staff)
    staff.before_answer = watching.check
    order_id = staff.sample.order_id
    try:
        async with AsyncExitStack() as stack:
            if course.kept:
                await stack.enter_async_context(sending_kept(system))
            if course.fails_at_close:
                await stack.enter_async_context(dispatching_events(system))
            await staff.submit()
            await staff.see_through(within)
            await wait_for_sending(system, order_id)
            await wait_for_delivery(system, order_id)
            await staff.see_through(within)
        if course.and_the_rest:
            staff.course = replace(course, scope=(), answers=None)
            await staff.submit("the-rest")
            await staff.see_through(within)
    except NotAtRest as moves:
        watching.found.append(Violation(invariant=Invariant.TERMINAL, order_id=order_id, sentence=str(moves)))
    return [*staff.seen, *watching.found, *await watching.find_broken()]


@dataclass
class _Watching:
    """Whoever looks at each wait, and brings about what a course has for its first one."""

    staff: Staff
    found: list[Violation] = field(default_factory=list)
    done: bool = False

    async def check(self, wait: Wait) -> None:
        course = self.staff.course
        if course.kept and not self.done:
            self.done = True
            await self.staff.submit_by_right()
        if course.fails_at_close and wait.step is StepName.CLOSE_ORDER and not self.done:
            self.done = True
            await self._fail()
        if broken := await self.find_broken():
            await asyncio.sleep(_SHOWN_WITHIN)
            still = set(map(str, broken)) & set(map(str, await self.find_broken()))
            self.found.extend(violation for violation in broken if str(violation) in still)

    async def find_broken(self) -> list[Violation]:
        return violations(await read_world(self.staff.system, self.staff.watched))

    async def _fail(self) -> None:
        """The first refund, which had arrived. Once the run has heard of it, the order can be closed."""
        staff, system = self.staff, self.staff.system
        order_id = staff.sample.order_id
        payment = system.shop.payments[order_id][0]
        refund = (await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED))[0].object_id
        await system.shop.gateway.fail(refund)
        await receive_news(system, GatewayNews(payment, refund=refund))
        await wait_for_delivery(system, order_id, times=1)
        await staff.lock_order(None)
        staff.unlocked = True
