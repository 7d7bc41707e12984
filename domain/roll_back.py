"""Why everything is undone, by the facts."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.facts import ApprovalRefused, Entry, RollBackOrdered, WithdrawalAsked
from domain.outcome import Outcome


@dataclass(frozen=True)
class RollBackCause:
    """Why everything is undone. `failed`: a step's failure is the cause, so the run ends as failed."""

    outcome: Outcome
    sentence: str
    failed: bool = False


def cause_of(entries: Sequence[Entry]) -> RollBackCause | None:
    """The first order among these to undo everything."""
    for entry in entries:
        match entry.fact:
            case WithdrawalAsked(by=by):
                return RollBackCause(Outcome.WITHDRAWN, f"Withdrawn by {by}.")
            case ApprovalRefused(by=by):
                return RollBackCause(Outcome.ROLLED_BACK, f"The approval was refused by {by}.")
            case RollBackOrdered(outcome=outcome, sentence=sentence, failed=failed):
                return RollBackCause(outcome, sentence, failed)
            case _:
                pass
    return None
