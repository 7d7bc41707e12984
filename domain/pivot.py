"""The pivot: from here on the process only goes forward. Pure, from the facts."""

from collections.abc import Sequence

from domain.facts import Credited, EffectNoted, Entry, OrderClosed, Reopened, SettledByHand, StepOrdered
from domain.step import FINAL_STEPS, MONEY_STEPS


def pivot_of(entries: Sequence[Entry]) -> int | None:
    """Where in the entries it stands: an effect on money, or the end on paper, is ordered or noted, or a person has paid."""
    for at, entry in enumerate(entries):
        match entry.fact:
            case EffectNoted(key=key) if key.step in MONEY_STEPS | FINAL_STEPS:
                return at
            case StepOrdered(step=step) if step in MONEY_STEPS | FINAL_STEPS:
                return at
            case SettledByHand(step=step) if step in MONEY_STEPS:
                return at
            case Credited() | OrderClosed() | Reopened():
                return at
            case _:
                pass
    return None
