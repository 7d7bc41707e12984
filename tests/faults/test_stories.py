"""Undisturbed, every story comes to its end and breaks nothing: what the sweeps disturb is sound."""

import pytest

from domain.outcome import Outcome
from tests.faults.invariants import violations
from tests.faults.selection import run_story
from tests.faults.staff import place_order
from tests.faults.stories import LONGER_STORIES, STORIES, Longer, Story
from tests.faults.world import read_world
from tests.system import System

_ENDS = {
    Story.INTERCEPT_DECLINED: Outcome.REJECTED,
    Story.APPROVAL_REFUSED: Outcome.ROLLED_BACK,
    Story.GOODS_LET_GO: Outcome.WITHDRAWN,
    Story.BALANCE_TAKEN_BACK: Outcome.ROLLED_BACK,
    Story.REFUND_TAKEN_BACK: Outcome.ROLLED_BACK,
    Story.RESERVED_AGAIN: Outcome.ROLLED_BACK,
}


@pytest.mark.parametrize("longer", Longer)
async def test_a_longer_story_breaks_nothing_on_its_way(real_time_system: System, longer: Longer) -> None:
    async with real_time_system.worker():
        assert await run_story(real_time_system, LONGER_STORIES[longer], 60) == []


@pytest.mark.parametrize("story", Story)
async def test_an_undisturbed_story_breaks_nothing(real_time_system: System, story: Story) -> None:
    system = real_time_system
    staff = await place_order(system, STORIES[story])
    async with system.worker():
        await staff.submit()
        await staff.see_through()
        world = await read_world(system, staff.watched)
    assert violations(world) == []
    assert [found.outcome for found in world.cancellations] == [_ENDS.get(story, Outcome.CANCELLED)]
