"""Undisturbed, every story comes to its end and breaks nothing: what the sweeps disturb is sound."""

from collections.abc import Mapping

import pytest

from domain.outcome import Outcome, Wait
from tests.faults.invariants import violations
from tests.faults.staff import place_order
from tests.faults.stories import LONGER_STORIES, STORIES, Longer, Story
from tests.faults.undisturbed import run_story
from tests.faults.waits import every_wait, name_of
from tests.faults.world import read_world
from tests.system import System

_ENDS = {
    Story.INTERCEPT_DECLINED: Outcome.REJECTED,
    Story.INTERCEPT_FAILS: Outcome.REJECTED,
    Story.INTERCEPT_IS_FINAL: Outcome.WITHDRAWN,
    Story.APPROVAL_REFUSED: Outcome.ROLLED_BACK,
    Story.GOODS_LET_GO: Outcome.WITHDRAWN,
    Story.BALANCE_TAKEN_BACK: Outcome.ROLLED_BACK,
    Story.REFUND_TAKEN_BACK: Outcome.ROLLED_BACK,
    Story.RESERVED_AGAIN: Outcome.ROLLED_BACK,
    Story.REFUND_COLLECTED: Outcome.ROLLED_BACK,
}

_APPROVAL = "waiting_for_approval"
_CARRIER = "waiting_for_carrier-stop_shipment"
_SETTLEMENT = "waiting_for_settlement-reverse_payment"
_CLOSE = "needs_attention-close_order"
_REFUND_FAILED = "needs_attention-reverse_payment"
_WAITS: Mapping[Story, tuple[str, ...]] = {
    Story.INTERCEPTED: (_CARRIER,),
    Story.INTERCEPT_FAILS: (_CARRIER,),
    Story.INTERCEPT_IS_FINAL: (_CARRIER, "needs_attention-resume_shipment"),
    Story.PENDING_REFUND: (_SETTLEMENT,),
    Story.REFUND_FAILS: (_SETTLEMENT, _REFUND_FAILED),
    Story.STORE_CREDIT: (_SETTLEMENT, _REFUND_FAILED),
    Story.SOLD_ELSEWHERE: (_SETTLEMENT,),
    Story.ONE_OF_THREE_SOLD: (_SETTLEMENT,),
    Story.APPROVED: (_APPROVAL,),
    Story.APPROVAL_REFUSED: (_APPROVAL,),
    Story.GOODS_LET_GO: (_CARRIER,),
    Story.BALANCE_TAKEN_BACK: (_CLOSE,),
    Story.REFUND_TAKEN_BACK: (_CLOSE,),
    Story.RESERVED_AGAIN: (_CLOSE,),
    Story.REFUND_COLLECTED: (_CLOSE, "needs_attention-restore_payment"),
    Story.PAID_BEFORE_IT_SETTLED: (_SETTLEMENT, "needs_attention-check_refund"),
    Story.PARCEL_FETCHED: (_SETTLEMENT, "needs_attention-stop_shipment"),
}
"""Where each waits, in this sequence."""


@pytest.mark.parametrize("longer", Longer)
async def test_a_longer_story_breaks_nothing_on_its_way(real_time_system: System, longer: Longer) -> None:
    async with real_time_system.worker():
        assert await run_story(real_time_system, LONGER_STORIES[longer], 60) == []


@pytest.mark.parametrize("story", Story)
async def test_an_undisturbed_story_breaks_nothing(real_time_system: System, story: Story) -> None:
    system = real_time_system
    staff = await place_order(system, STORIES[story])
    waits: dict[str, None] = {}

    async def record(wait: Wait) -> None:
        waits.setdefault(name_of(wait))

    staff.before_answer = record
    async with system.worker():
        await staff.submit()
        await staff.see_through()
        world = await read_world(system, staff.watched)
    assert violations(world) == []
    assert [found.outcome for found in world.cancellations] == [_ENDS.get(story, Outcome.CANCELLED)]
    assert tuple(waits) == _WAITS.get(story, ())


def test_every_kind_of_wait_is_met_by_a_story() -> None:
    """So pairs.py and acts.py, which say everything at each wait of each story, say it at every kind."""
    assert {wait for waits in _WAITS.values() for wait in waits} == every_wait()
