"""Loops that wait for something that is away."""

from runtime.rests import Rests


def test_what_is_away_is_asked_for_less_and_less_often() -> None:
    """P10"""
    rests = Rests(1)
    assert [rests.after_failure() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (rests.after_success(), rests.after_failure(), rests.after_failure()) == (1, 1, 2)
