"""The harnesses find what they are there to find: each bug that is planted here would cost money or goods, or hide that.

`python -m tests.faults.planted` looks for all of them; here each is only seen to be plantable, and a few are looked for.
"""

from pathlib import Path

import pytest

from tests.faults.model import Invariant
from tests.faults.planted.__main__ import search_for_bug
from tests.faults.planted.bugs import copy_tree, plant, read_bug, read_bugs

BUGS = {bug.name: bug for bug in read_bugs()}
FEW = ("a_failed_refund_ends_it", "two_answers_to_one_question", "what_was_paid_by_hand_is_not_subtracted")


def test_each_bug_can_be_planted_where_the_code_is_now(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    for bug in BUGS.values():
        plant(bug, tmp_path, really=False)


def test_each_invariant_of_an_order_is_broken_by_some_bug() -> None:
    """A glob that finds nothing passes everything."""
    broken = {invariant for bug in BUGS.values() for invariant in bug.breaks}
    assert broken >= set(Invariant)
    assert len(BUGS) >= 50


def test_a_bug_that_does_not_say_what_it_breaks_is_no_bug(tmp_path: Path) -> None:
    file = tmp_path / "silent.patch"
    file.write_text("The money is lost.\n\n--- a/domain/money.py\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="does not say in its second line what it breaks"):
        read_bug(file)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_without_a_bug_nothing_is_broken() -> None:
    result = search_for_bug(None)
    assert result.found, result


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", FEW)
def test_a_planted_bug_is_found_by_what_it_breaks(name: str) -> None:
    result = search_for_bug(BUGS[name])
    assert result.found, result
