"""A few of the pairs of pairs.py, at an approval and where a refund was refused."""

import pytest

from tests.faults.pairs import Case, Meetings, Order, list_cases
from tests.faults.results import Draw
from tests.faults.selection import REPEATED
from tests.faults.stories import Story
from tests.faults.words import Word
from tests.system import System

_FEW = 6

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("story", "contradicting"),
    [
        (Story.APPROVED, (Word.APPROVE, Word.REJECT)),
        (Story.STORE_CREDIT, (Word.STORE_CREDIT, Word.DONE_BY_HAND)),
    ],
)
async def test_two_messages_in_one_task_break_nothing(
    real_time_system: System, story: Story, contradicting: tuple[Word, Word]
) -> None:
    """I10: of two answers to one question one is accepted, in either order; so it is when the second comes too late. What
    the books refuse is refused as often as it is sent."""
    meetings = Meetings(real_time_system)
    usual, waits = await meetings.dry_run(story)
    few = Draw().of(list_cases(story, waits))[:_FEW]
    first, second = contradicting
    both = ((first, second), (second, first))
    always = [Case(story, waits[-1], order, *pair) for order in (Order.TOGETHER, Order.LATE) for pair in both]
    for order, word in REPEATED:
        always.append(Case(story, waits[-1], order, word, word))
    found = await meetings.run([*few, *always], {story: usual})
    assert [(result.case, result.violations) for result in found if not result.survived] == []
    assert all(result.hit for result in found)
