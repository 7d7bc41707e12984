"""What the people of the harnesses count of what they have said themselves."""

from domain.outcome import Wait
from domain.step import StepName
from tests.faults.invariants import violations
from tests.faults.model import Verb
from tests.faults.staff import place_order
from tests.faults.stories import STORIES, Story
from tests.faults.world import read_world
from tests.system import System


async def test_a_person_who_was_refused_has_collected_nothing(real_time_system: System) -> None:
    """I1, I11: the run is lost as they are about to say that they have collected what was paid twice. The next run asks them
    for all of it."""
    system = real_time_system
    staff = await place_order(system, STORIES[Story.PAID_BEFORE_IT_SETTLED])

    async def lose_run(wait: Wait) -> None:
        if wait.step is StepName.CHECK_REFUND:
            staff.before_answer = None
            await system.lose(staff.handle)

    staff.before_answer = lose_run
    async with system.worker():
        for _ in range(2):
            await staff.submit()
            await staff.see_through()
        world = await read_world(system, staff.watched)
    collected = [said for said in world.said if (said.verb, said.step) == (Verb.DONE_BY_HAND, StepName.CHECK_REFUND)]
    assert [said.accepted for said in collected] == [False, True]
    assert violations(world) == []
