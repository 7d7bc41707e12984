"""A few of the acts of acts.py, in stories that go all the way forward and all the way back."""

import pytest

from tests.faults.acts import Case, Deed, Histories, Sweep, list_cases
from tests.faults.results import Draw
from tests.faults.stories import Story
from tests.system import System

_FEW = 8

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]


@pytest.mark.parametrize(
    ("story", "histories"),
    [(Story.LABEL, Histories.LONG), (Story.REFUND_TAKEN_BACK, Histories.LONG), (Story.APPROVED, Histories.SHORT)],
)
async def test_an_act_at_any_moment_breaks_nothing(
    real_time_system: System, story: Story, histories: Histories
) -> None:
    """I1 to I6, I9 to I11: each act is hit where it was aimed at."""
    sweep = Sweep(real_time_system)
    usual, watch, tasks = await sweep.dry_run(story, histories)
    few = Draw().of(list_cases(story, histories, len(watch.seen), tasks))[:_FEW]
    found = await sweep.run([*few, *_always(story, histories)], {story: usual})
    assert [(result.case, result.violations) for result in found if not result.survived] == []
    assert sum(result.hit for result in found) > _FEW // 2


def _always(story: Story, histories: Histories) -> list[Case]:
    """After a terminate in the middle of the first step the order is asked for again once the keys have expired; and the run
    that is over is reset to its first task."""
    return [
        Case(story, histories, Deed.TERMINATE_ANOTHER_LATE, 2),
        Case(story, histories, Deed.RESET_ENDED, 0),
    ]


async def test_an_answer_counts_although_its_run_is_reset_before_it_is_acknowledged(real_time_system: System) -> None:
    """Between the book that keeps it and the word to its sender."""
    story, histories = Story.REFUND_COLLECTED, Histories.LONG
    sweep = Sweep(real_time_system)
    usual, watch, _ = await sweep.dry_run(story, histories)
    recorded = [at for at, moment in enumerate(watch.seen) if moment.endswith("after record_decision")]
    cases = [Case(story, histories, Deed.RESET_LAST, at) for at in recorded]
    found = await sweep.run(cases, {story: usual})
    assert [(result.case, result.violations) for result in found if not result.survived] == []
    assert recorded
    assert all(result.hit for result in found)
